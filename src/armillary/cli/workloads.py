"""Commands that show networks: those of the zoo, and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from armillary.cli.shared import Dim, Json, Seed, dims_of, workloads_app
from armillary.console import print_result, print_table, progress_bars, tell
from armillary.types import ArmillaryError

_WIDTH = 100
"""Columns that the table of layers takes at most."""
_LEAST_NAME = 12

Operators = Annotated[
    list[str] | None,
    typer.Option(
        "--op",
        help="What an operator of others is, e.g. com.acme.Foo=elementwise, or an operator of ONNX that it is like; or "
        "a YAML file of such. Repeatable.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with status 1 if there is work that nobody knows.")]
Phase = Annotated[
    str | None,
    typer.Option(help="Of a language model: prefill, or decode, which adds one token to those of the cache."),
]
Seq = Annotated[int | None, typer.Option(help="Tokens that prefill reads.", min=1)]
Past = Annotated[int | None, typer.Option(help="Tokens that the cache holds when decode begins.", min=0)]
Batch = Annotated[int | None, typer.Option(help="Sequences at once, with --phase.", min=1)]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the layers to this CSV file, too.", dir_okay=False)]


@workloads_app.callback()
def workloads(context: typer.Context, as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the zoo."""
    if context.invoked_subcommand is not None:
        return
    from armillary.workloads import zoo
    from armillary.workloads.context import context_of

    built = [zoo.build(name) for name in zoo.names()]
    rows = [
        {
            "name": w.name,
            "macs": w.macs,
            "parameters": w.parameters,
            **{k.removesuffix("_ops"): int(v) for k, v in list(context_of(w).as_dict().items())[:3]},
        }
        for w in built
    ]
    print_result(rows, as_json, lambda: print_table(rows))


@workloads_app.command("show")
def workloads_show(
    name: Annotated[str, typer.Argument(help="A name of the zoo or an ONNX file.")],
    dim: Dim = None,
    op: Operators = None,
    phase: Phase = None,
    seq: Seq = None,
    past: Past = None,
    batch: Batch = None,
    csv: Csv = None,
    strict: Strict = False,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a workload: MACs, parameters, layers, operators beside the array, context, warnings."""
    from armillary.workloads import load
    from armillary.workloads.describe import as_json as described
    from armillary.workloads.phases import dims_of_phase

    dims = dims_of_phase(name, phase, dims_of(dim), seq=seq, past=past, batch=batch)
    workload = load(name, dims, operators_of(op))
    content = described(workload)
    if csv is not None:
        _write_csv(content["layers"], csv)
    print_result(content, as_json, lambda: _show(content))
    if strict and workload.unknown_work:
        raise typer.Exit(1)


@workloads_app.command("check")
def workloads_check(
    folder: Annotated[Path, typer.Argument(help="Of models, and an expected.json that says what each needs.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Import a folder of models, and compare MACs and parameters with those expected; status 1 if one differs."""
    from armillary.workloads import checking

    results = []
    with progress_bars() as on_progress:
        cases = checking.cases_of(folder)
        for number, case in enumerate(cases):
            on_progress("importing", number, len(cases))
            results.append(checking.check(case))
        on_progress("importing", len(cases), len(cases))
    rows = checking.rows_of(results)
    wrong = [row for row in rows if not row["ok"]]
    content = {"cases": len(rows), "right": len(rows) - len(wrong), "rows": rows}

    def show() -> None:
        print_table([{key: value for key, value in row.items() if key != "note"} for row in rows])
        for row in wrong:
            tell(f"\n{row['name']}: {row['note'] or 'counted otherwise'}")
        tell(f"\n{content['right']} of {content['cases']} as expected")

    print_result(content, as_json, show)
    if wrong:
        raise typer.Exit(1)


def operators_of(texts: Sequence[str] | None) -> dict[str, str]:
    """Return what `--op` says that operators are; refuses malformed ones."""
    from armillary.workloads.operators_file import read_operators

    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, kind = text.partition("=")
        if not equals and text.endswith((".yaml", ".yml")):
            found |= read_operators(Path(text))
        elif not name or not kind:
            raise ArmillaryError(f"--op {text!r} is not allowed; write DOMAIN.NAME=elementwise, or a YAML file")
        else:
            found[name] = kind
    return found


def _show(content: Mapping[str, Any]) -> None:
    layers = content["layers"]
    unknown = content.get("unknown_work", [])
    more = f" + unknown work of {len(unknown)} node{'s' * (len(unknown) > 1)}" if unknown else ""
    tell(
        f"{content['name']}: {sum(x['count'] for x in layers)} layers, {len(layers)} different, "
        f"{content['parameters']:,} parameter bytes (8 bit)\nMACs: {content['macs']:,}{more}\n"
    )
    print_table(_narrow(layers))
    if content["not_mapped"]:
        tell("\nbeside the array")
        print_table(content["not_mapped"])
    if content.get("beside"):
        tell("\nwhat they compute and move, in values; passed: that come from a layer alone")
        print_table([_work(row) for row in content["beside"]])
    for key, title in (("algorithm", "algorithm"), ("dataflow", "dataflow graph"), ("context", "context")):
        if content.get(key):
            tell(f"\n{title}")
            print_table([content[key]])
    for key, title in (("unknown_work", "unknown work"), ("warnings", "warnings")):
        if content.get(key):
            tell(f"\n{title}")
            tell("\n".join(f"- {line}" for line in content[key]))


def _work(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of the work beside the array, narrow enough for models of billions of values."""
    amounts = {key: row[key] for key in ("functions", "reads", "writes", "passed")}
    return {"kind": row["kind"], "runs": row["count"], "operations": row["adds"] + row["multiplies"], **amounts}


def _narrow(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the layers as rows that fit the width, with the dimensions that are not 1 in one column."""
    rows = [
        {
            "name": layer["name"],
            "kind": layer["kind"],
            "runs": layer["count"],
            "shape": _shape(layer),
            "macs": layer["macs"],
            "parameters": layer["parameters"],
        }
        for layer in layers
    ]
    others = [key for key in rows[0] if key != "name"] if rows else []
    widths = [
        max(len(key), *(len(f"{row[key]:,}" if isinstance(row[key], int) else row[key]) for row in rows))
        for key in others
    ]
    room = max(_WIDTH - sum(widths) - 2 * len(widths), _LEAST_NAME)
    return [{**row, "name": _cut(row["name"], room)} for row in rows]


def _shape(layer: Mapping[str, Any]) -> str:
    parts = [f"{key}{layer[key]}" for key in "NKCPQRS" if layer[key] != 1]
    strides = layer["stride_h"], layer["stride_w"]
    if strides != (1, 1):
        parts.append(f"/{strides[0]}" if strides[0] == strides[1] else f"/{strides[0]}x{strides[1]}")
    if layer["groups"] > 1:
        parts.append(f"groups {layer['groups']}")
    return " ".join(parts) or "1"


def _cut(name: str, room: int) -> str:
    """Return a name without its middle where it is too long."""
    if len(name) <= room:
        return name
    tail = (room - 2) * 2 // 3
    return f"{name[: room - 2 - tail]}..{name[-tail:]}"


def _write_csv(layers: Sequence[Mapping[str, Any]], path: Path) -> None:
    import csv

    from armillary.atomic_file import replaced

    with replaced(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(layers[0]) if layers else ["name"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(layers)

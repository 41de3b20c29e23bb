"""Commands that show what goes in: networks and templates."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from armillary.cli.shared import (
    Dim,
    Json,
    Seed,
    template_of,
    templates_app,
    workload_of,
    workloads_app,
)
from armillary.console import print_result, print_table

_MOST_VALUES = 30


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
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a workload: layers, MACs, parameter bytes, context, operators not mapped."""
    from armillary.workloads.describe import as_json as described

    content = described(workload_of(name, dim))

    def show() -> None:
        print(
            f"{content['name']}: {content['macs']:,} MACs, {content['parameters']:,} parameter bytes (8 bit), "
            f"{sum(x['count'] for x in content['layers'])} layers, {len(content['layers'])} different\n"
        )
        shown = ("name", "kind", "count", "N", "K", "C", "P", "Q", "R", "S", "stride_h", "groups", "macs", "parameters")
        print_table([{key: layer[key] for key in shown} for layer in content["layers"]])
        print("\ncontext")
        print_table([content["context"]])
        if content["not_mapped"]:
            print("\nnot mapped")
            print_table(content["not_mapped"])

    print_result(content, as_json, show)


@templates_app.callback()
def templates(context: typer.Context, as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the templates."""
    if context.invoked_subcommand is not None:
        return
    from armillary.evaluators import fidelities
    from armillary.hardware import templates as registry

    rows = []
    for name in registry.names():
        sized = registry.depends_on_workload(name)
        space = None if sized else registry.load(name).space
        rows.append(
            {
                "name": name,
                "parameters": space and len(space.parameters),
                "designs": space and space.size,
                "space": "two parameters per layer of the workload" if sized else "fixed",
                "fidelities": fidelities(name),
            }
        )
    print_result(rows, as_json, lambda: print_table(rows))


@templates_app.command("show")
def templates_show(
    name: Annotated[str, typer.Argument(help="A name from `armillary templates`.")],
    workload: Annotated[
        str | None, typer.Option(help="A name of the zoo or an ONNX file, where the parameters depend on it.")
    ] = None,
    dim: Dim = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a template: its parameters with their values, and its published baseline."""
    template = template_of(name, [workload] if workload else (), dim)
    baseline = template.baseline.as_dict()
    rows = [
        {"parameter": p.name, "unit": p.unit, "values": list(p.values), template.baseline_name: baseline[p.name]}
        for p in template.space.parameters
    ]
    content = {
        "name": template.name,
        "designs": template.space.size,
        "one_hot_width": template.space.one_hot_width,
        "max_area_mm2": template.max_area_mm2,
        "baseline": baseline,
        "parameters": [{"name": p.name, "unit": p.unit, "values": list(p.values)} for p in template.space.parameters],
    }

    def show() -> None:
        print(f"{template.name}: {template.space.size:,} designs, at most {template.max_area_mm2:g} mm2\n")
        print_table([{**row, "values": _shortened(row["values"])} for row in rows])

    print_result(content, as_json, show)


def _shortened(values: list[Any]) -> str:
    """Return values as text, of many only the first and the last."""
    if len(values) <= _MOST_VALUES:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, ..., {values[-1]} ({len(values)} values)"

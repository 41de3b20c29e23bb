"""Commands that show what goes in: templates, surrogates, optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.shared import (
    Dim,
    Json,
    Seed,
    app,
    template_of,
    templates_app,
)
from armillary.console import print_result, print_table, print_warning, tell
from armillary.registry import Registry
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.evaluators.kind import EvaluatorKind

_MOST_VALUES = 30


@templates_app.callback()
def templates(context: typer.Context, as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the templates."""
    if context.invoked_subcommand is not None:
        return
    from armillary.evaluators import fidelities
    from armillary.hardware import templates as registry

    rows = []
    for name in registry.names():
        row: dict[str, Any] = {"name": name, "parameters": None, "designs": None, "space": "cannot be loaded"}
        row["fidelities"] = fidelities(name)
        try:
            if registry.depends_on_workload(name):
                row["space"] = "two parameters per layer of the workload"
            else:
                space = registry.load(name).space
                row |= {"parameters": len(space.parameters), "designs": space.size, "space": "fixed"}
        except ArmillaryError as fault:  # one broken package hides no other
            print_warning(str(fault))
        rows.append(row)
    print_result(rows, as_json, lambda: print_table(rows))


@templates_app.command("show", cls=Choosing)
def templates_show(
    name: Annotated[str, typer.Argument(help="One of {templates}.", autocompletion=completing("templates"))],
    workload: Annotated[
        str | None, typer.Option(help="A name of the zoo or an ONNX file, where the parameters depend on it.")
    ] = None,
    dim: Dim = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a template: its parameters with their values, its baseline, its evaluators and their options."""
    from armillary.evaluators import fidelities, kind_of
    from armillary.types import Fidelity

    template = template_of(name, [workload] if workload else (), dim)
    baseline = {} if template.baseline is None else template.baseline.as_dict()
    named = {template.baseline_name: baseline} if baseline else {}
    rows = [
        {"parameter": p.name, "unit": p.unit, "values": list(p.values), **{n: v[p.name] for n, v in named.items()}}
        for p in template.space.parameters
    ]
    kinds = [kind_of(template.name, Fidelity(fidelity)) for fidelity in fidelities(template.name)]
    content = {
        "name": template.space.name,
        "designs": template.space.size,
        "one_hot_width": template.space.one_hot_width,
        "max_area_mm2": template.limits.get("area_mm2"),
        "limits": dict(template.limits),
        "laws": list(template.laws),
        "budgets": dict(template.budgets),
        "evaluators": [
            {
                "fidelity": str(kind.fidelity),
                "name": kind.name,
                "version": kind.version,
                "cost": str(kind.cost),
                "options": _options(kind),
            }
            for kind in kinds
        ],
        "baseline": baseline or None,
        "parameters": [{"name": p.name, "unit": p.unit, "values": list(p.values)} for p in template.space.parameters],
    }

    def show() -> None:
        most = "".join(f", {bound}" for bound in _bounds("at most", template.limits))
        tell(f"{template.space.name}: {template.space.size:,} designs{most}")
        for bound in _bounds("unless bounded otherwise, at most", template.budgets):
            tell(bound)
        tell()
        print_table([{**row, "values": _shortened(row["values"])} for row in rows])
        for kind in kinds:
            tell(f"\nevaluator {kind.name} {kind.version} (--fidelity {kind.fidelity}): {kind.cost} per design")
            if options := _options(kind):
                print_table(options)

    print_result(content, as_json, show)


def _bounds(words: str, bounds: Mapping[str, float]) -> list[str]:
    from armillary.metrics import METRICS

    return [f"{words} {limit:g} {METRICS[metric].unit} ({metric})" for metric, limit in bounds.items()]


@app.command()
def surrogates(as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the surrogates, ours and those of other packages, and where each comes from."""
    from armillary.surrogates import REGISTRY

    _list_members(REGISTRY, as_json)


@app.command()
def optimizers(as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the optimizers, ours and those of other packages, and where each comes from."""
    from armillary.optimizers import REGISTRY

    _list_members(REGISTRY, as_json)


def _list_members(registry: Registry, as_json: bool) -> None:
    rows = [{"name": name, "from": path} for name, path in registry.paths().items()]
    print_result(rows, as_json, lambda: print_table(rows))


def _options(kind: EvaluatorKind) -> list[dict[str, Any]]:
    """Return an evaluator's options, which `--set` takes."""
    fields = kind.options.model_json_schema().get("properties", {})
    return [
        {
            "option": name,
            "type": field.get("type", "") if "enum" not in field else " | ".join(field["enum"]),
            "default": str(field.get("default", "")),
            "description": field.get("description", ""),
        }
        for name, field in fields.items()
    ]


def _shortened(values: list[Any]) -> str:
    """Return values as text, of many only the first and the last."""
    if len(values) <= _MOST_VALUES:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, ..., {values[-1]} ({len(values)} values)"

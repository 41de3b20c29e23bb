"""Write the reference pages from the code; `--check` fails if a page is stale.

Usage: python docs/generate.py [--check]
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from armillary import evaluators, optimizers, surrogates
from armillary.benchmarks import BENCHES
from armillary.cli import app
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware import templates
from armillary.log.schema import to_table
from armillary.spaces.space import Parameter
from armillary.types import METRICS, Value
from armillary.workloads import zoo
from armillary.workloads.context import context_of

FOLDER = Path(__file__).parent / "reference"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def commands() -> str:
    """Return the reference of the command line."""
    parts = ["# Command line", "Exit status: 0, 1 (the work failed), 2 (the request was wrong), 130 (interrupted)."]
    root = typer.main.get_command(app)
    for path, command in _leaves(root, "armillary"):
        rows = [
            (f"`{', '.join(p.opts)}`" if p.param_type_name == "option" else p.name.upper(), _default(p), p.help or "")
            for p in command.params
            if getattr(p, "help", None) is not None or p.param_type_name == "argument"
        ]
        parts += [f"## {path}", command.help or "", table(("option", "default", "meaning"), rows)]
    return "\n\n".join(parts)


def _default(parameter: object) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default is None or default is False or callable(default) else f"`{default}`"


MOST_VALUES = 30


def _leaves(command: object, path: str) -> Iterable[tuple[str, object]]:
    subcommands = getattr(command, "commands", {})
    if not subcommands or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, inner in subcommands.items():
        yield from _leaves(inner, f"{path} {name}")


def template_pages() -> str:
    """Return the parameters of every template."""
    parts = ["# Templates"]
    for name in templates.names():
        per_layer = templates.depends_on_workload(name)
        template = templates.load(name, zoo.build("resnet50")) if per_layer else templates.load(name)
        baseline = template.baseline.as_dict()
        shown = template.space.parameters[: 2 if per_layer else None]
        rows = [(f"`{p.name}`", p.unit, values_of(p), spelt(baseline[p.name])) for p in shown]
        size = f"{template.space.size:,} designs"
        if per_layer:
            size = "An array of its own for every layer, with two parameters each (those of the first are listed)"
        parts += [
            f"## {name}",
            f"{size}; fidelities: {', '.join(evaluators.fidelities(name))}.",
            table(("parameter", "unit", "values", template.baseline_name), rows),
        ]
    return "\n\n".join(parts)


def values_of(parameter: Parameter) -> str:
    """Return a parameter's values, of many only the first and the last."""
    values = [spelt(v) for v in parameter.values]
    return ", ".join(values) if len(values) <= MOST_VALUES else f"{values[0]} to {values[-1]}, {len(values)} values"


def spelt(value: Value) -> str:
    """Return a parameter's value as people write it."""
    return value if isinstance(value, str) else f"{value:,}"


def workload_page() -> str:
    """Return the zoo."""
    rows = []
    for name in zoo.names():
        workload = zoo.build(name)
        context = context_of(workload)
        counts = (int(context.conv_ops), int(context.depthwise_ops), int(context.feed_forward_ops))
        rows.append((f"`{name}`", f"{workload.macs:,}", f"{workload.parameters:,}", *counts))
    head = ("name", "MACs", "parameters", "convolutions", "depthwise", "fully connected")
    return "# Workloads\n\n" + table(head, rows)


def log_page() -> str:
    """Return the columns of a log."""
    template = templates.load("edge_tpu")
    rows = EdgeTpuEvaluator().evaluate([template.baseline], zoo.build("mobilenet_v2"))
    from armillary.types import Evaluations

    schema = to_table(Evaluations.from_list(rows)).schema
    fields = [(f"`{field.name}`", field.type) for field in schema]
    text = "Columns of a log of `edge_tpu` evaluations; in queries there is also `failure`, the reason as text."
    units = [(f"`{name}`", metric.unit) for name, metric in METRICS.items()]
    return "\n\n".join(
        ["# Log", text, table(("column", "type"), fields), "## Metrics", table(("metric", "unit"), units)]
    )


def index_page() -> str:
    """Return the list of pages and registries."""
    members = [
        ("surrogates", ", ".join(surrogates.names())),
        ("optimizers", ", ".join(optimizers.names())),
        ("benchmarks", ", ".join(BENCHES.names())),
    ]
    toctree = "```{toctree}\ncli\ntemplates\nworkloads\nlog\n```"
    return "\n\n".join(["# Reference", "Generated from the code.", toctree, table(("kind", "members"), members)])


PAGES = {
    "index.md": index_page,
    "cli.md": commands,
    "templates.md": template_pages,
    "workloads.md": workload_page,
    "log.md": log_page,
}


def main() -> None:
    """Write or check every page."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page() + "\n"
        if path.exists() and path.read_text() == text:
            continue
        if "--check" in sys.argv:
            stale.append(str(path))
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run python docs/generate.py")


if __name__ == "__main__":
    main()

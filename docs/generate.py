"""Write the reference pages from the code, of our own members alone, and what pages cite of recorded benchmarks.

`--check` fails if a page is stale.

Usage: python docs/generate.py [--check]
"""

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import house_picture
import pyarrow as pa
import python_reference
import recorded
import typer
from recorded import table

from armillary import evaluators, optimizers, surrogates
from armillary.benchmarks import BENCHES
from armillary.cli import app
from armillary.cli.choices import expanded
from armillary.hardware import templates
from armillary.log.layer_rows import BOUNDS, GROUPS, KINDS, ONES
from armillary.log.layer_runs import LayerRuns
from armillary.log.schema import CONTEXT_PREFIX, EVALUATIONS, FAILURE_COLUMN, LAYER_RUNS, SPACE_COLUMN, to_table
from armillary.metrics import OURS, largest, total
from armillary.spaces.space import Parameter
from armillary.surrogates import layers
from armillary.types import Evaluation, Evaluations, EvaluatorSpec, Fidelity, LayerRun, Metric, Value
from armillary.workloads import zoo
from armillary.workloads.context import context_of

FOLDER = Path(__file__).parent / "reference"


def commands() -> str:
    """Return the reference of the command line."""
    parts = ["# Command line", "Exit status: 0, 1 (the work failed), 2 (the request was wrong), 130 (interrupted)."]
    root = typer.main.get_command(app)
    parts += ["## Before the command", "As in `armillary --quiet design ...`.", _options(root)]
    for path, command in _leaves(root, "armillary"):
        parts += [f"## {path}", command.help or "", _options(command)]
    return "\n\n".join(parts)


def _options(command: object) -> str:
    rows = []
    for p in command.params:
        if getattr(p, "help", None) is not None or p.param_type_name == "argument":
            name = f"`{', '.join(p.opts)}`" if p.param_type_name == "option" else p.name.upper()
            rows.append((name, _default(p), expanded(p.help or "")))
    return table(("option", "default", "meaning"), rows)


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
    for name in sorted(templates.TEMPLATES.members):
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


# Unit and meaning of the plain columns of a log; a column that lacks them here fails the generation.
COLUMNS = {
    SPACE_COLUMN: ("", "the space that the design is of"),
    "workload": ("", "the network; empty for a layer that ran alone"),
    "network": ("", "which network a layer that ran alone was taken from; empty where nobody said"),
    "evaluator": ("", "name of the evaluator"),
    "version": ("", "version of the evaluator; results of different versions are never mixed"),
    "fidelity": ("", f"how true the evaluator is: {', '.join(Fidelity)}"),
    "options": (
        "",
        "options of the evaluator as JSON, sorted by name; empty for none; `mappings` is `given` among them where the "
        "candidate brought mappings",
    ),
    "feasible": ("", "whether the design works"),
    "failure_kind": ("", "`infeasible`: the design cannot work; `error`: the tool broke; `timeout`; empty if feasible"),
    "failure_resource": ("", "what ran out; ends in its unit"),
    "failure_layer": ("", "the layer at which it ran out; empty for the whole chip"),
    "failure_needed": ("the resource's", "how much of it was needed"),
    "failure_available": ("the resource's", "how much of it there was"),
    "failure_detail": ("", "other words about the failure"),
    FAILURE_COLUMN: ("", "the failure in words, NULL if feasible; in queries only"),
    "seconds": ("s", "time that the evaluation took"),
    "seed": ("", "seed of the evaluator's random choices"),
    "time": ("UTC", "when it was evaluated"),
    "position": ("", "which of the workload's uses of layers it is, from 0; 0 for a layer that ran alone"),
    "runs": ("", "how often that use of the layer runs per inference; 1 for a layer that ran alone"),
    "layer": ("", "name of the layer"),
    "kind": ("", "`conv`, `depthwise` or `gemm`"),
    "N": ("", "batch"),
    "K": ("", "output channels, of all groups together"),
    "C": ("", "input channels, of all groups together"),
    "P": ("", "output height"),
    "Q": ("", "output width"),
    "R": ("", "filter height"),
    "S": ("", "filter width"),
    "stride_h": ("", "input rows from one output row to the next"),
    "stride_w": ("", "input columns from one output column to the next"),
    "dilation_h": ("", "input rows from one filter row to the next"),
    "dilation_w": ("", "input columns from one filter column to the next"),
    "groups": ("", "into how many parts the channels fall, each computed from its own input channels"),
    "bias": ("", "whether a bias is added"),
    "dynamic": ("", "whether the second operand is computed at run time (attention) and so is no parameter"),
    "outputs_per_bias": ("", "output channels that share one bias, more than 1 for transposed convolutions"),
    "mapping": ("", "mapping of the layer as text; empty where the evaluator states none"),
}
TYPES = {
    "text": "letters, in UTF-8",
    "bool": "`true` or `false`",
    "int64": "a whole number",
    "double": "a number with a fraction, of 64 bits; NULL where it is not known",
    "timestamp[us]": "a moment, to the microsecond",
}
FOLDS = {total: "sum of `runs` times the values", largest: "largest value", None: ""}


def log_page() -> str:
    """Return the columns of the tables of a log."""
    template, workload = templates.load("edge_tpu"), zoo.build("mobilenet_v2")
    run = LayerRun(template.baseline, workload.layers[0].layer, "", dict.fromkeys(OURS, 1.0))
    evaluation = Evaluation(
        template.baseline, workload.name, context_of(workload).as_dict(), "", "", Fidelity.ANALYTICAL, run.metrics,
        True, None, 0.0, 0, datetime(2026, 1, 1),
    )  # fmt: skip
    spec = EvaluatorSpec(template.name, evaluation.fidelity, "", "")
    evaluations = to_table(Evaluations.from_list([evaluation]), EVALUATIONS)
    layer_runs = to_table(LayerRuns.of_runs([run], spec, evaluation.time), LAYER_RUNS)
    head, units = ("column", "type", "unit", "meaning"), {p.name: p.unit for p in template.space.parameters}
    return "\n\n".join(
        [
            "# Log",
            "A log has two tables. Below are the columns of a log of `edge_tpu`; the parameters are that template's.",
            "## Evaluations",
            "One row per evaluation. The files lie in the log's folder, and queries see them as `log`.",
            table(head, _columns(evaluations.schema, units)),
            "## Layer runs",
            "One row per use of a layer in an evaluation, or per layer that ran alone; not every evaluator states "
            "them. The files lie in the folder `layer_runs` within the log's, and queries see them as `layer_runs`. A "
            "row belongs to the evaluation with the same parameters, `workload`, `evaluator`, `version`, `options` and "
            "`seed`. Its metrics are those of a single run of the layer.",
            table(head, _columns(layer_runs.schema, units)),
            "## Rows of a file",
            "What `armillary collect --from` evaluates and `armillary predict --rows` predicts is a CSV or Parquet "
            "file whose columns are called as those of layer runs, so that what `armillary log export --layer-runs "
            "--csv` or `armillary log query ... --csv` writes can be read. For a model of whole designs the file has "
            "the parameters and `workload`. Other columns of the log are not used.",
            table(("column", "where it is missing", "value"), _row_columns()),
            "## Types",
            "As Parquet stores them, and DuckDB and pandas read them.",
            table(("type", "meaning"), _types(evaluations.schema, layer_runs.schema)),
            "## Metrics",
            "Each metric that an evaluator measures is a column, whatever its name. These are Armillary's own. The "
            "last column says how the value of a network follows from those of its layers.",
            table(("metric", "unit", "of a network"), [(f"`{n}`", m.unit, _of_network(m)) for n, m in OURS.items()]),
        ]
    )


def _columns(schema: pa.Schema, units: Mapping[str, str]) -> Iterable[tuple[str, str, str, str]]:
    for field in schema:
        if field.name in COLUMNS:
            unit, meaning = COLUMNS[field.name]
        elif field.name in units:
            unit, meaning = units[field.name], "parameter"
        elif field.name.startswith(CONTEXT_PREFIX):
            unit, meaning = "", "context feature of the workload"
        else:
            break  # metrics, which have a table of their own
        yield f"`{field.name}`", _type(field.type), unit, meaning
    yield "a metric's name", "double", "see below", "NULL where it is not known"
    yield f"`{FAILURE_COLUMN}`", "text", *COLUMNS[FAILURE_COLUMN]


def _row_columns() -> Iterable[tuple[str, str, str]]:
    positive = "an integer from 1 up"
    yield "`mapping`", "an error", "a mapping of the layer, as text; factors multiply to the bounds, K and C per group"
    yield from ((f"`{name}`", "an error", f"{COLUMNS[name][1]}; {positive}") for name in BOUNDS)
    for name in ONES:
        also = f", also called `{GROUPS}`" if name == "groups" else ""
        yield f"`{name}`", "1", f"{COLUMNS[name][1]}{also}; {positive}"
    yield "`kind`", f"`{KINDS[0]}`", COLUMNS["kind"][1]
    yield from ((f"`{name}`", "`false`", f"{COLUMNS[name][1]}; `true` or `false`") for name in ("bias", "dynamic"))
    yield "`layer`", "made of the bounds", COLUMNS["layer"][1]
    yield "`network`", "`workload`, else empty", "which network the layer was taken from"
    yield "each parameter", "the template's default", "one of its values"


def _types(*schemas: pa.Schema) -> Iterable[tuple[str, str]]:
    for name in dict.fromkeys(_type(field.type) for schema in schemas for field in schema):
        yield f"`{name}`", TYPES[name]


def _type(kind: pa.DataType) -> str:
    return "text" if pa.types.is_dictionary(kind) else str(kind)


def _of_network(metric: Metric) -> str:
    return "follows from other metrics" if metric.derive else FOLDS[metric.over_layers]


def index_page() -> str:
    """Return the list of pages and registries."""
    members = [
        ("surrogates", ", ".join(sorted(surrogates.REGISTRY.members))),
        ("surrogates of layers", ", ".join(sorted(layers.REGISTRY.members))),
        ("optimizers", ", ".join(sorted(optimizers.REGISTRY.members))),
        ("benchmarks", ", ".join(BENCHES.names())),
    ]
    toctree = "```{toctree}\ncli\npython\ntemplates\nworkloads\nlog\n```"
    return "\n\n".join(["# Reference", "Generated from the code.", toctree, table(("kind", "members"), members)])


PAGES = {
    "index.md": index_page,
    "cli.md": commands,
    "python.md": python_reference.page,
    "templates.md": template_pages,
    "workloads.md": workload_page,
    "log.md": log_page,
    "../images/house.svg": house_picture.picture,
    "../results.md": recorded.page,
}


def main() -> None:
    """Write or check every page."""
    texts = {(FOLDER / name).resolve(): page().rstrip() + "\n" for name, page in PAGES.items()}
    texts |= {path: recorded.cited(path.read_text()) for path in recorded.citing() if path not in texts}
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    if stale and "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(map(str, stale))}; run python docs/generate.py")
    for path in stale:
        path.write_text(texts[path])


if __name__ == "__main__":
    main()

"""Commands that say what one design or mapping costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.shared import (
    DEFAULT_TEMPLATE,
    JOINT,
    Dim,
    HowRun,
    Json,
    MemoryLimit,
    Options,
    Seed,
    TimeLimit,
    app,
    limits_of,
    options_of,
    running_of,
    runs_networks,
    subject_of,
    warned,
)
from armillary.console import print_result, print_table, progress_bars, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.evaluators.explanation import FusedCost
    from armillary.hardware.hierarchy import Hierarchy
    from armillary.studies.map_network import MappedLayer
    from armillary.studies.running import Running
    from armillary.types import Evaluation, LayerRun
    from armillary.workloads.layer import Workload


TemplateOrFiles = Annotated[
    str | None,
    typer.Option(
        "--template",
        help="One of {templates}; default: what the design's file names, else edge_tpu.",
        autocompletion=completing("templates"),
    ),
]
Ert = Annotated[Path | None, typer.Option(help="Accelergy's energy table for the hierarchy.")]
BitsOf = Annotated[
    list[str] | None,
    typer.Option(
        "--bits",
        help="Widths of weights, inputs, partial sums and outputs: W=4,I=8,P=32,O=8, or int4, int8, fp8, fp16; "
        "LAYER:WIDTHS is for one layer. Or of tensors: weights=4, kv=8 (keys and values), activations=16. Repeatable.",
    ),
]
BudgetOf = Annotated[
    int | None,
    typer.Option(
        help="Mappings that the search evaluates per layer; by default a proof ends after 1,000,000 nodes and "
        "mappings, annealing when it no longer improves, the other methods after 50,000.",
        min=1,
    ),
]
Remainders = Annotated[
    bool,
    typer.Option(
        "--remainders/--perfect", help="Whether the last round of a loop may be short, or all factors must divide."
    ),
]
Art = Annotated[Path | None, typer.Option(help="Accelergy's area table for the hierarchy.")]


@app.command(cls=Choosing)
@runs_networks
def evaluate(
    workload: Annotated[
        str, typer.Option(help="A name of the zoo or an ONNX file; with --hierarchy also a Timeloop problem.")
    ],
    design_file: Annotated[
        Path | None, typer.Option("--design", help="YAML file with the parameters of a template's design.")
    ] = None,
    hierarchy: Annotated[Path | None, typer.Option(help="YAML file of a hierarchy, ours or Timeloop's.")] = None,
    mapping: Annotated[
        str,
        typer.Option(help="`search`, a YAML file of layer name: mapping, or one layer's mapping; or Timeloop's file."),
    ] = "search",
    ert: Ert = None,
    art: Art = None,
    bits: BitsOf = None,
    method: Annotated[
        str, typer.Option(help="How mappings are searched: {methods}.", autocompletion=completing("methods"))
    ] = "proven",
    goal: Annotated[
        str, typer.Option(help="What the search minimises: {goals}.", autocompletion=completing("goals"))
    ] = "edp",
    budget: BudgetOf = None,
    remainders: Remainders = True,
    fuse: Annotated[
        bool,
        typer.Option(
            help="With --hierarchy: whether two layers keep what is between them on the chip, where that pays. "
            "Mappings that are given run by themselves."
        ),
    ] = True,
    save_mapping: Annotated[
        Path | None,
        typer.Option(
            "--save-mappings",
            "--save-mapping",
            help="With --hierarchy: write the mappings here, as --mapping reads them.",
            dir_okay=False,
        ),
    ] = None,
    template: TemplateOrFiles = None,
    fidelity: Annotated[
        str,
        typer.Option(help="One of {fidelities}, or external with --program.", autocompletion=completing("fidelities")),
    ] = "analytical",
    options: Options = None,
    program: Annotated[Path | None, typer.Option(help="YAML description of an external simulator.")] = None,
    log: Annotated[str | None, typer.Option(help="Append the evaluation to this log.")] = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    *,
    running: HowRun,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate one design, or mappings onto one hierarchy, on one workload; an infeasible one is an answer too."""
    from armillary.studies.running import tensor_bits

    tensors, widths = _split(bits or ())
    running = replace(running, bits=tensor_bits(tensors))
    if (design_file is None) == (hierarchy is None):
        raise ArmillaryError("name what to evaluate: either --design, of a template, or --hierarchy")
    if hierarchy is not None:
        from armillary.studies.map_network import read_hierarchy, with_bits

        if template is not None:
            raise ArmillaryError("--template goes with --design; leave it out with --hierarchy")
        if log is not None:
            raise ArmillaryError("--log holds evaluations of a template's designs; leave it out with --hierarchy")
        chip, network = with_bits(read_hierarchy(hierarchy, ert=ert, art=art), _network(workload, running), widths)
        _evaluate_hierarchy(chip, network, mapping, method, goal, budget, remainders, fuse, save_mapping, seed, as_json)
    elif design_file is not None:
        from armillary.hardware import templates as registry
        from armillary.studies.design_file import read_design, template_named
        from armillary.studies.evaluate import evaluate_one, fused_layers
        from armillary.studies.map_network import SEARCH, read_mapping_texts

        if save_mapping is not None:
            raise ArmillaryError("--save-mappings goes with --hierarchy; --json prints mappings of a design")
        if widths:
            raise ArmillaryError(
                f"--bits {widths[0]!r} goes with --hierarchy; a design takes widths of tensors, such as weights=4"
            )
        named = template_named(design_file)
        if template is not None and named not in (None, template, template.removesuffix(JOINT)):
            raise ArmillaryError(f"{design_file}: holds a design of template {named!r}, not {template!r}")
        name = template or named or DEFAULT_TEMPLATE
        subject = subject_of(name, None, fidelity, options)
        (network,) = warned(subject.workloads([workload], running))
        joint = subject.name != name  # a design that brings its knobs
        chosen = subject.template([network], whole=True) if joint else registry.load(name, network)
        evaluation = evaluate_one(
            chosen,
            read_design(design_file, chosen.space, chosen.defaults),
            network,
            subject.fidelity,
            options=options_of(options),
            mappings=None if mapping == SEARCH else read_mapping_texts(mapping, network),
            program=program,
            seed=seed,
            log=log,
            limits=limits_of(time_limit, memory_limit),
        )
        fused = fused_layers(evaluation, network) if program is None else ()
        _show_evaluation(evaluation, chosen.name, [asdict(pair) for pair in fused], as_json)


def _show_evaluation(evaluation: Evaluation, template: str, fused: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    content = {
        "design": evaluation.design.as_dict(),
        "workload": evaluation.workload,
        "evaluator": f"{evaluation.evaluator} {evaluation.version}",
        "fidelity": str(evaluation.fidelity),
        "feasible": evaluation.feasible,
        "failure": None if evaluation.failure is None else str(evaluation.failure),
        "metrics": dict(evaluation.metrics),
        "options": dict(evaluation.options),
        "layers": [
            {"layer": run.layer.name, "runs": run.runs, "mapping": run.mapping, **run.metrics}
            for run in evaluation.layers
        ],
        **({"fused": fused} if fused else {}),
        "seconds": evaluation.seconds,
    }

    def show() -> None:
        tell(f"{evaluation.workload} on {template}: {'feasible' if evaluation.feasible else 'infeasible'}")
        if evaluation.failure is not None:
            tell(str(evaluation.failure))
        print_table([{"metric": name, "value": f"{value:,.6g}"} for name, value in evaluation.metrics.items()])
        if told := _beside(evaluation.metrics):
            tell(told)
        if evaluation.layers:
            tell()
            print_table([_run_row(run) for run in evaluation.layers])
        if fused:
            tell("\nlayers that keep what is between them on the chip, and what that saves:")
            print_table([_fused_row(pair) for pair in fused])

    print_result(content, as_json, show)
    if evaluation.failure is not None and evaluation.failure.kind != "infeasible":
        raise typer.Exit(1)  # the evaluation broke, so nobody knows what the design is worth


def _beside(metrics: Mapping[str, float]) -> str:
    """Return which share of an inference the operators beside the array take; empty where they are not timed."""
    named = (("delay_cycles", "beside_cycles", "delay"), ("energy_pj", "beside_energy_pj", "energy"))
    shares = [f"{metrics[own] / metrics[total]:.1%} of the {what}" for total, own, what in named if own in metrics]
    return f"operators beside the array: {', '.join(shares)}" if shares else ""


def _fused_row(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layers": f"{pair['producer']} + {pair['consumer']}",
        "runs": pair["count"],
        "tiles": pair["tiling"],
        "cycles": f"{pair['saved_delay_cycles']:,.0f}",
        "energy uJ": f"{pair['saved_energy_pj'] / 1e6:,.4g}",
        "DRAM MB": f"{pair['saved_dram_bytes'] / 1e6:,.4g}",
    }


def _run_row(run: LayerRun) -> dict[str, Any]:
    energy_pj = run.metrics.get("energy_pj")
    return {
        "layer": run.layer.name,
        "runs": run.runs,
        "cycles": f"{run.metrics['delay_cycles']:,.0f}",
        **({} if energy_pj is None else {"energy uJ": f"{energy_pj / 1e6:,.4g}"}),
        "utilization": f"{run.metrics['utilization']:.1%}",
        "mapping": run.mapping,
    }


def _evaluate_hierarchy(
    chip: Hierarchy,
    network: Workload,
    mapping: str,
    method: Any,
    goal: Any,
    budget: int | None,
    remainders: bool,
    fuse: bool,
    save_mapping: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    from armillary.hardware.technology import area_mm2
    from armillary.studies.fuse_network import fused_pairs
    from armillary.studies.map_network import (
        SEARCH,
        map_as_given,
        map_by_search,
        read_mappings,
        write_mappings,
    )

    fused: Sequence[FusedCost] = ()
    if mapping != SEARCH:
        layers = map_as_given(chip, network, read_mappings(mapping, network, chip))
    else:
        with progress_bars() as on_progress:
            layers = map_by_search(
                chip,
                network,
                method=method,
                goal=goal,
                budget=budget,
                seed=seed,
                perfect=not remainders,
                on_progress=on_progress,
            )
            if fuse:
                fused = fused_pairs(chip, network, layers, goal=goal, seed=seed, on_progress=on_progress)
    if save_mapping is not None:
        write_mappings(layers, save_mapping)
    rows = [_layer_content(layer, chip) for layer in layers]
    delay, energy = (_sum(layers, fused, name) for name in ("delay_cycles", "energy_pj"))
    content = {
        "hierarchy": chip.name,
        "workload": network.name,
        **_bits_content(chip),
        "feasible": all(row["feasible"] for row in rows),
        "metrics": {
            "delay_cycles": delay,
            "energy_pj": energy,
            "runtime_s": delay / (chip.clock_ghz * 1e9),
            "area_mm2": area_mm2(chip),
        },
        "layers": rows,
        **({"fused": [asdict(pair) for pair in fused]} if fused else {}),
    }

    print_result(content, as_json, lambda: _show_mapped(content, f"{network.name} on {chip}", save_mapping))


def _sum(layers: Sequence[MappedLayer], fused: Sequence[FusedCost], metric: str) -> float:
    """Return a metric of an inference: that of the layers by themselves, less what fusion saves."""
    apart: float = sum(layer.use.count * getattr(layer, metric) for layer in layers)
    saved: float = sum(getattr(pair, f"saved_{metric}") for pair in fused)
    return apart - saved


def _bits_content(chip: Hierarchy) -> dict[str, Any]:
    """Return the widths that a hierarchy and its levels set."""
    levels = {level.name: str(level.bits) for level in chip.levels if level.bits is not None}
    found: dict[str, Any] = {} if chip.bits is None else {"bits": str(chip.bits)}
    return found | ({"level_bits": levels} if levels else {})


def _show_mapped(content: Mapping[str, Any], title: str, saved: Path | None) -> None:
    from armillary.studies.map_network import NOTATION

    metrics, rows = content["metrics"], content["layers"]
    tell(f"{title}\n")
    proofs = (
        [{"proven": _proven(row)} for row in rows] if any(row["gap"] is not None for row in rows) else [{}] * len(rows)
    )
    print_table([_layer_row(row) | proof for row, proof in zip(rows, proofs, strict=True)])
    if told := _proofs(rows):
        tell(f"\n{told}")
    if fused := content.get("fused"):
        tell("\nlayers that keep what is between them on the chip, and what that saves of the sums below:")
        print_table([_fused_row(pair) for pair in fused])
    tell(
        f"\n{metrics['delay_cycles']:,.0f} cycles, {1e3 * metrics['runtime_s']:,.4g} ms, "
        f"{metrics['energy_pj'] / 1e6:,.4g} uJ, {metrics['area_mm2']:,.4g} mm2\n"
    )
    for row in rows:
        tell(f"{row['layer']}: {row['mapping'] or row['failure']}")
    tell(f"\n{NOTATION}")
    if saved is not None:
        tell(f"mappings {saved}")


def _layer_content(layer: MappedLayer, chip: Hierarchy) -> dict[str, Any]:
    content: dict[str, Any] = {
        "layer": layer.use.layer.name,
        "count": layer.use.count,
        "macs": layer.use.layer.macs,
        "feasible": layer.failure is None,
        "failure": None if layer.failure is None else str(layer.failure),
        "mapping": None if layer.mapping is None else str(layer.mapping),
        "optimal": layer.optimal,
        "gap": layer.gap,
        "delay_cycles": layer.delay_cycles,
        "energy_pj": layer.energy_pj,
        "utilization": None if layer.costs is None else float(layer.costs.utilization),
        "bound": layer.bound(chip),
    }
    if layer.use.layer.bits is not None:
        content["bits"] = str(layer.use.layer.bits)
    if layer.costs is not None:
        energies = layer.costs.access_energy_pj[:, :, 0].sum(dim=1).tolist()
        content["level_energy_pj"] = {
            level.name: energy for level, energy in zip(chip.inner_first, energies, strict=True)
        }
    return content


def _proven(row: Mapping[str, Any]) -> str:
    """Return how near to the optimum of its goal a layer's mapping is, if that is known."""
    if row["gap"] is None:
        return ""
    return "optimal" if row["optimal"] else f"within {row['gap']:.2%}"


def _proofs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many layers have a mapping that is proven, and how near to the optimum the others are."""
    known = [row for row in rows if row["gap"] is not None]
    if not known:
        return ""
    best = sum(row["optimal"] for row in known)
    worst = max(row["gap"] for row in known)
    others = "" if best == len(known) else f"; no other mapping of the others is better by more than {worst:.2%}"
    return f"proven optimal for its goal: {best} of {len(rows)} layers{others}"


def _layer_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layer": row["layer"],
        "count": row["count"],
        "MACs": f"{row['macs']:,}",
        "cycles": f"{row['delay_cycles']:,.0f}",
        "energy uJ": f"{row['energy_pj'] / 1e6:,.4g}",
        "utilization": "" if row["utilization"] is None else f"{row['utilization']:.1%}",
        "bound by": row["bound"],
        "feasible": "yes" if row["feasible"] else "no",
    }


@app.command()
def explain(
    hierarchy: Annotated[Path, typer.Option(help="YAML file of a hierarchy, ours or Timeloop's.")],
    workload: Annotated[str, typer.Option(help="A name of the zoo, an ONNX file or a Timeloop problem.")],
    mapping: Annotated[
        str, typer.Option(help="`search`, a YAML file of layer name: mapping, or one layer's mapping.")
    ] = "search",
    ert: Ert = None,
    art: Art = None,
    bits: BitsOf = None,
    layer: Annotated[str | None, typer.Option(help="The layer to explain; needed if there are several.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of the nest here.")] = None,
    budget: BudgetOf = None,
    remainders: Remainders = True,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print a mapping's loop nest, with tile sizes beside each loop and accesses beside each level."""
    from armillary.atomic_file import replaced
    from armillary.cost_model.explain import as_text
    from armillary.reports.nest_picture import nest_picture
    from armillary.studies.map_network import NOTATION, explain_layer, read_hierarchy, with_bits

    tensors, widths = _split(bits or ())
    chip, network = with_bits(
        read_hierarchy(hierarchy, ert=ert, art=art), _network(workload, running_of(dim, bits=tensors)), widths
    )
    found = explain_layer(chip, network, layer, mapping, budget=budget, seed=seed, perfect=not remainders)
    if svg is not None:
        with replaced(svg) as unfinished:
            unfinished.write_text(nest_picture(found))
    content = {
        "mapping": str(found.mapping),
        "feasible": found.failure is None,
        "failure": None if found.failure is None else str(found.failure),
        "bound": found.bound,
        **{name: value for name, value in asdict(found).items() if name not in ("mapping", "failure", "layer")},
        "layer": found.layer.name,
    }

    def show() -> None:
        tell(f"{found.layer.name}: {found.mapping}\n")
        tell(as_text(found))
        tell(
            f"\n{found.delay_cycles:,.0f} cycles, bound by {found.bound}; {found.energy_pj / 1e6:,.4g} uJ, "
            f"{found.utilization:.1%} of the compute units at work"
        )
        if found.failure is not None:
            tell(f"infeasible: {found.failure}")
        tell(f"\n{NOTATION}")
        if svg is not None:
            tell(f"picture  {svg}")

    print_result(content, as_json, show)


def _network(workload: str, running: Running) -> Any:
    from armillary.studies.map_network import read_problem

    if not workload.endswith((".yaml", ".yml")):
        return warned([running.load(workload)])[0]
    if running.phase is not None or running.bits:
        raise ArmillaryError(f"{workload}: a Timeloop problem is one layer, without phases or tensors of a network")
    return read_problem(Path(workload))


def _split(bits: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the widths of tensors of a network, such as `weights=4`, and those of roles in layers."""
    from armillary.studies.running import TENSORS

    own: list[str] = []
    others: list[str] = []
    for text in bits:
        (own if text.partition("=")[0] in TENSORS else others).append(text)
    return own, others

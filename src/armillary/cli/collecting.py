"""Commands that fill a log with samples, and learn from layers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing
from armillary.cli.shared import (
    DryRun,
    ExecutorName,
    FidelityName,
    HowRun,
    Json,
    LogPath,
    MemoryLimit,
    Options,
    ProblemPath,
    RayAddress,
    SamplerName,
    Seed,
    TemplateOrProblem,
    TimeLimit,
    WorkloadNames,
    app,
    evaluating,
    limits_of,
    resumable,
    runs_networks,
    show_foreseen,
    subject_of,
    warned,
)
from armillary.console import print_result, print_table, print_warning, progress_bars
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.evaluators.sampling import SampledLayers
    from armillary.execution.local import LocalExecutor
    from armillary.spaces.space import Parameter, Space
    from armillary.studies.running import Running
    from armillary.types import EvaluatorSpec, MappedLayer, Value

_DESIGNS = 16_384


@app.command(cls=Choosing)
@runs_networks
def collect(
    log: LogPath,
    workload: WorkloadNames = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Designs per workload: 16,384 by default, but of layouts none; with --per-layer, samples in all: "
            "65,536 by default, 4,096 where an evaluation takes minutes.",
            min=1,
        ),
    ] = None,
    architectures: Annotated[
        int | None,
        typer.Option(
            help="With --fidelity physical and --points instead of --samples: architectures, each laid out at every "
            "point.",
            min=1,
        ),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="With --architectures: values of the back end's knobs together.", min=1)
    ] = None,
    sampler: SamplerName = "sobol",
    fidelity: FidelityName = "analytical",
    options: Options = None,
    per_layer: Annotated[
        bool,
        typer.Option(
            "--per-layer",
            help="Sample designs, layers and mappings together, into the log's layer runs; by default of resnet50, "
            "retinanet, unet and bert.",
        ),
    ] = False,
    rows: Annotated[
        Path | None, typer.Option("--from", help="Evaluate the mapped layers of this CSV file instead.", dir_okay=False)
    ] = None,
    knob: Annotated[
        list[str] | None,
        typer.Option(
            help="PARAMETER=VALUE, PARAMETER=VALUE,VALUE or PARAMETER=LEAST..MOST: what a parameter of the sampled "
            "designs can be. Repeatable."
        ),
    ] = None,
    remainders: Annotated[
        bool, typer.Option("--remainders/--perfect", help="With --per-layer: whether a loop's last round may be short.")
    ] = False,
    most_cycles: Annotated[
        float | None,
        typer.Option(
            help="With --per-layer: what a layer may take by the cost model; default: any, or 3 million where an "
            "evaluation takes minutes."
        ),
    ] = None,
    unfit_share: Annotated[
        float | None,
        typer.Option(
            help="With --per-layer: of the samples, how many keep their first mapping even if it does not fit; "
            "default: 0.1."
        ),
    ] = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    executor: ExecutorName = "local",
    ray_address: RayAddress = None,
    *,
    running: HowRun,
    dry_run: DryRun = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate samples of a template's space or of your problem's and log them; resumes where it was interrupted."""
    from armillary.execution.local import LocalExecutor
    from armillary.log.store import Log

    subject, place = subject_of(template, problem, fidelity, options), Log(log)
    of_samples = {"--most-cycles": most_cycles, "--unfit-share": unfit_share, "--remainders": remainders or None}
    of_designs = {"--architectures": architectures, "--points": points}
    if rows is not None:
        given = {"--workload": workload, "--samples": samples, "--per-layer": per_layer or None, "--knob": knob,
                 **of_samples, **of_designs}  # fmt: skip
        refuse_given(given, "goes with samples; leave it out with --from, whose rows say what is evaluated")
    elif not per_layer:
        refuse_given(of_samples, "goes with --per-layer")
    else:
        refuse_given(of_designs, "goes with whole designs; leave out --per-layer")
    spec, make = evaluating(subject.simulator(seed=seed), subject)
    runs = LocalExecutor(place, limits=limits_of(time_limit, memory_limit, executor, ray_address), make=make)
    if rows is None and not per_layer:
        drawn = {**_numbers(spec, samples, architectures, points), "sampler": sampler, "seed": seed}
        _collect_designs(subject, runs, spec, make, place, workload, running, drawn, knob or (), dry_run, as_json)
        return
    if rows is not None:
        chosen = subject.template()
        wanted, sampled = _rows_of(rows, runs, spec, chosen.space, chosen.defaults), None
    else:
        sampled = _sampled(subject, runs, spec, workload, running, {
            "samples": samples, "sampler": sampler, "seed": seed, "knobs": knob, "remainders": remainders,
            "most_cycles": most_cycles, "unfit_share": unfit_share,
        })  # fmt: skip
        wanted = sampled.rows
    _collect_layers(runs, spec, place, wanted, sampled, dry_run, as_json)


def refuse_given(options: Mapping[str, Any], why: str) -> None:
    """Refuse the first of the options that was given."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ArmillaryError(f"{given[0]} {why}")


def _collect_designs(
    subject: Any,
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    make: Any,
    place: Any,
    workload: Sequence[str] | None,
    running: Running,
    drawn: Mapping[str, Any],
    knobs: Sequence[str],
    dry_run: bool,
    as_json: bool,
) -> None:
    from armillary.studies.collect import collect as run
    from armillary.studies.collect import foresee_collect

    networks = warned(subject.workloads(workload or [], running, place))
    of_each = [(template := subject.template([n]), n, _knobs(knobs, template.space)) for n in networks]
    if dry_run:
        stages = [foresee_collect(t, n, place, spec, make=make, choices=c, **drawn) for t, n, c in of_each]
        show_foreseen(stages, as_json)
        return
    with progress_bars(resumable(place.path)) as on_progress:
        found = [
            asdict(run(template, network, executor, spec, choices=choices, on_progress=on_progress, **drawn))
            for template, network, choices in of_each
        ]
    print_result(found, as_json, lambda: print_table(found))


def _numbers(
    spec: EvaluatorSpec, samples: int | None, architectures: int | None, points: int | None
) -> dict[str, int | None]:
    """Return how many designs to sample, or how many architectures at how many points."""
    if (architectures is None) != (points is None):
        raise ArmillaryError("--architectures and --points go together: each architecture is laid out at every point")
    if architectures is not None and samples is not None:
        raise ArmillaryError(f"--samples {samples} goes without --architectures and --points")
    if architectures is None and samples is None and spec.fidelity == "physical":
        raise ArmillaryError("a layout takes seconds to minutes; give --samples, or --architectures and --points")
    return {"samples": architectures or samples or _DESIGNS, "points": points}


def _rows_of(
    path: Path, executor: LocalExecutor, spec: EvaluatorSpec, space: Space, defaults: Mapping[str, Value]
) -> tuple[MappedLayer, ...]:
    """Return the mapped layers of a file, each of which the evaluator takes."""
    from armillary.log.layer_rows import read_layer_rows
    from armillary.studies.layers import check_rows

    found = read_layer_rows(path, space, defaults)
    if found.unused:
        print_warning(f"{path}: columns that are not used: {', '.join(found.unused)}")
    check_rows(executor, spec, found)
    return found.rows


def _sampled(
    subject: Any,
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    workload: Sequence[str] | None,
    running: Running,
    asked: Mapping[str, Any],
) -> SampledLayers:
    from armillary.evaluators.sampling import LayerSampling
    from armillary.studies.layers import default_most_cycles, default_networks, default_samples, draw_layers

    networks = subject.workloads(workload, running) if workload else default_networks()
    given = {name: value for name, value in asked.items() if value is not None}
    defaults = {"samples": default_samples(spec), "most_cycles": default_most_cycles(spec)}
    knobs = _knobs(given.pop("knobs", ()), subject.template(networks).space)
    with progress_bars() as on_progress:
        return draw_layers(executor, spec, networks, LayerSampling(**{**defaults, **given}, knobs=knobs), on_progress)


def _knobs(texts: Sequence[str], space: Space) -> dict[str, tuple[Value, ...]]:
    """Return the values of `--knob` by parameter."""
    found: dict[str, tuple[Value, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        parameter = next((one for one in space.parameters if one.name == name), None)
        if parameter is None or not values or name in found:
            why = "name each once" if name in found else f"write PARAMETER=VALUE, a parameter of {list(space.names)}"
            raise ArmillaryError(f"--knob {text!r} is not allowed; {why}")
        known = {str(value): value for value in parameter.values}
        values = _listed(values, parameter)
        wrong = [value for value in values.split(",") if value.strip() not in known]
        if wrong:
            raise ArmillaryError(f"--knob {name}={wrong[0]!r} is not allowed; choose of {list(parameter.values)}")
        found[name] = tuple(known[value.strip()] for value in values.split(","))
    return found


def _listed(values: str, parameter: Parameter) -> str:
    """Return the values of LEAST..MOST with commas between; others as they are."""
    ends = values.split("..")
    try:
        least, most = map(float, ends)
    except ValueError:
        return values
    if parameter.kind == "categorical":
        return values
    return ",".join(str(value) for value in parameter.values if least <= float(value) <= most) or values


def _collect_layers(
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    place: Any,
    wanted: Sequence[MappedLayer],
    sampled: SampledLayers | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    from armillary.studies.layers import collect_layers, foresee_layers

    if dry_run:
        show_foreseen([foresee_layers(spec, wanted, place)], as_json)
        return
    with progress_bars(resumable(place.path)) as on_progress:
        found = asdict(collect_layers(executor, spec, wanted, on_progress))
    if sampled is not None:
        found |= {"layers": sampled.layers, "pairs_too_long": sampled.too_long, "samples_missed": sampled.missed}
    print_result(found, as_json, lambda: print_table([found]))


def fit_layers(
    log: str,
    out: Path,
    template: str | None,
    surrogate: str | None,
    networks: Sequence[str],
    metric: str | None,
    fidelity: str | None,
    analytical_log: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a surrogate of layers to a log's layer runs, save it, and show what there is to tell."""
    from armillary.log.store import Log
    from armillary.studies.fit import check_savable, save_atomically
    from armillary.studies.layers import fit_layers as run
    from armillary.surrogates.layers import DEFAULT
    from armillary.surrogates.layers.dataset import layer_dataset

    check_savable(out)
    place = Log(log)
    name = template or place.only_space_of_layers()
    chosen = subject_of(name, None).template()
    rows = layer_dataset(place, chosen.space, fidelity=fidelity, networks=networks)
    kind = surrogate or DEFAULT
    with progress_bars() as on_progress:
        model = run(
            rows,
            chosen.space,
            name,
            kind=kind,
            metric=metric or "delay_cycles",
            analytical_log=None if analytical_log is None else Log(analytical_log),
            seed=seed,
            on_progress=on_progress,
        )
    save_atomically(model, out)
    content = {"model": str(out), "surrogate": kind, "metric": model.metric, "rows": len(rows), **model.facts()}
    print_result(content, as_json, lambda: print_table([content]))

"""Commands that search, learn and design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.collecting import fit_layers, refuse_given
from armillary.cli.designing import proof_of
from armillary.cli.fronts import front_rows, show_front
from armillary.cli.shared import (
    Area,
    Bounds,
    Device,
    DryRun,
    ExecutorName,
    FidelityName,
    HowRun,
    Json,
    LayoutOptions,
    LogPath,
    Maximize,
    MemoryLimit,
    Minimize,
    Options,
    Power,
    Prefer,
    ProblemPath,
    RayAddress,
    Seed,
    SurrogateName,
    TemplateOrProblem,
    TimeLimit,
    Verify,
    WorkloadNames,
    app,
    bounds_of,
    command_line,
    evaluating,
    fidelity_of,
    limits_of,
    networks_of,
    objectives_of,
    options_of,
    preferences_of,
    resumable,
    runs_networks,
    show_foreseen,
    subject_of,
    subject_of_rows,
    verified_by,
    warned,
    write_report,
)
from armillary.console import print_result, print_table, print_warning, progress_bars, tell
from armillary.metrics import derived
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.problems.problem import Problem
    from armillary.spaces.space import Space
    from armillary.studies.propose import Limit
    from armillary.surrogates import Savable
    from armillary.types import Evaluation


@app.command(cls=Choosing)
def fit(
    log: LogPath,
    out: Annotated[Path, typer.Option(help="File of the fitted model.")],
    bound: Bounds = None,
    area: Area = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    surrogate: SurrogateName = None,
    workload: Annotated[list[str] | None, typer.Option(help="Only rows of this workload. Repeatable.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What to predict, e.g. runtime_s or edp_pj_cycles; default: the goal.")
    ] = None,
    power: Power = None,
    energy: Annotated[float | None, typer.Option(help="Learn from designs up to this energy, in pJ.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="How PRIME and ppa train: {schedules}; default: full, of ppa brief.",
            autocompletion=completing("schedules"),
        ),
    ] = None,
    options: LayoutOptions = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="With --surrogate ppa-transfer: a log of layouts of other algorithms, platforms or technologies to "
            "learn from beforehand. Repeatable."
        ),
    ] = None,
    unseen_architectures: Annotated[
        bool,
        typer.Option(
            "--unseen-architectures",
            help="Other architectures than the log's will be asked: a surrogate of layouts then weighs its members and "
            "measures its intervals on architectures left out whole.",
        ),
    ] = False,
    by_evaluator: Annotated[
        bool, typer.Option("--by-evaluator", help="Learn from rows of several evaluators, which becomes a column.")
    ] = False,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Learn from the layer runs of a log, one row per mapped layer.")
    ] = False,
    fidelity: Annotated[
        str | None,
        typer.Option(
            "--fidelity",
            help="With --per-layer, of a log of several: which layer runs to learn from, e.g. rtl.",
            autocompletion=completing("fidelities"),
        ),
    ] = None,
    analytical_log: Annotated[
        str | None,
        typer.Option(
            help="With --per-layer --surrogate starlight-paper: the log whose analytical layer runs it learns "
            "beforehand; by default 65,536 are sampled."
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Fit a surrogate to a log and save it."""
    if per_layer:
        asked = {"--bound": bound, "--area": area, "--power": power, "--energy": energy, "--problem": problem,
                 "--schedule": schedule, "--set": options, "--source": source,
                 "--by-evaluator": by_evaluator or None,
                 "--unseen-architectures": unseen_architectures or None}  # fmt: skip
        refuse_given(asked, "goes with models of whole designs; leave out --per-layer")
        fit_layers(log, out, template, surrogate, workload or (), metric, fidelity, analytical_log, seed, as_json)
        return
    refuse_given({"--fidelity": fidelity, "--analytical-log": analytical_log}, "goes with --per-layer")
    from armillary.log.store import Log
    from armillary.studies.asking import asked_bounds, asked_objectives, direction_of
    from armillary.studies.bounds import check_bounds
    from armillary.studies.fit import (
        check_kind,
        check_savable,
        check_technology,
        fit_surrogate,
        rows_of,
        save_atomically,
        schedule_of,
        sources_of,
    )

    subject = subject_of_rows(template, problem, options)
    kind = surrogate or subject.surrogate
    check_kind(kind, device, source or ())
    trained = schedule_of(kind, schedule, "full")
    sources = sources_of(source or ())
    check_savable(out)
    given = bounds_of(bound, area_mm2=area, power_mw=power, energy_pj=energy)
    chosen = subject.template(networks_of(subject, workload or ()))
    objectives = asked_objectives(chosen, () if metric is None else (direction_of(chosen, metric),))
    # a template's budgets are for proposals; what a user's problem bounds is part of what is learned
    asked = chosen.asked(objectives, given if problem is None else asked_bounds(chosen, given))
    check_bounds(asked)
    rows = rows_of(Log(log), chosen.space, workload or [])
    check_technology(rows, options_of(options), str(log))
    with progress_bars() as on_progress:
        model = fit_surrogate(
            rows,
            asked,
            kind=kind,
            schedule=trained,
            seed=seed,
            device=device,
            by_evaluator=by_evaluator,
            sources=sources,
            unseen_architectures=unseen_architectures,
            on_progress=on_progress,
        )
    save_atomically(model, out)
    for warning in _below_the_log(model, asked):
        print_warning(warning)
    content = {"model": str(out), "surrogate": kind, "rows": len(rows), **model.facts()}
    print_result({**content, "remarks": _remarks(model)}, as_json, lambda: _show_fit(content, _remarks(model)))


def _remarks(model: Savable) -> list[str]:
    from armillary.surrogates import TellsRemarks

    return list(model.remarks) if isinstance(model, TellsRemarks) else []


def _show_fit(content: Mapping[str, Any], remarks: Sequence[str]) -> None:
    if not remarks:
        print_table([content])
        return
    for name, value in content.items():  # too many for a row
        tell(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    tell("\n" + "\n".join(remarks))


@app.command(cls=Choosing)
@runs_networks
def propose(
    model: Annotated[Path, typer.Option(help="A model file of `armillary fit`.")],
    workload: WorkloadNames = None,
    log: Annotated[str | None, typer.Option(help="A log whose designs are not proposed again.")] = None,
    bound: Bounds = None,
    area: Area = None,
    power: Power = None,
    evaluator: Annotated[
        str | None, typer.Option(help="Whose answers to predict, where the model learned from several evaluators.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=VALUE: leave out designs that another model expects to exceed a value. Repeatable."),
    ] = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    options: LayoutOptions = None,
    top: Annotated[int, typer.Option(help="Designs to propose.", min=1)] = 256,
    *,
    running: HowRun,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print the designs that a fitted surrogate ranks best, without evaluating any."""
    from armillary import surrogates
    from armillary.log.store import Log
    from armillary.studies.asking import asked_bounds
    from armillary.studies.fit import rows_of
    from armillary.studies.propose import propose as run
    from armillary.surrogates.several import as_seen_by
    from armillary.workloads.context import context_of

    subject, place = subject_of_rows(template, problem, options), None if log is None else Log(log)
    networks = warned(subject.workloads(workload or [], running, place))
    chosen, open_ = subject.template(networks, whole=True), subject.template(networks)
    fitted = surrogates.read(model, chosen.space)
    limits = [_limit(text, chosen.space) for text in limit or ()]
    contexts = [as_seen_by(context_of(network), evaluator, fitted.feature_names) for network in networks]
    bounds = asked_bounds(chosen, bounds_of(bound, area_mm2=area, power_mw=power))
    asked = _to_propose(fitted, chosen.asked(fitted.problem.objectives, bounds, networks))
    for warning in [*_below_the_log(fitted, asked), *filter(None, map(fitted.unlike, contexts))]:
        print_warning(warning)
    known = None if place is None else rows_of(place, chosen.space, [network.name for network in networks])
    with progress_bars() as on_progress:
        on_progress("optimising the surrogate", 0, 1)
        keep = None if open_.space == chosen.space else partial(chosen.space.inside, open_.space)
        found = run(fitted, asked, contexts, top=top, seed=seed, limits=limits, known=known, keep=keep)
        on_progress("optimising the surrogate", 1, 1)
    predicted = f"predicted_{fitted.problem.metric}"
    rows = [
        {**d.as_dict(), **known, predicted: float(p), "p_feasible": float(f)}
        for d, known, p, f in zip(
            chosen.space.designs(found.codes),
            _by_law(chosen, found.codes),
            found.predicted,
            found.p_feasible,
            strict=True,
        )
    ]
    print_result(rows, as_json, lambda: print_table(rows))


def _to_propose(model: Savable, asked: Problem) -> Problem:
    """Return what is asked of proposals; refuses bounds that nothing tells, or that no design keeps."""
    from armillary.studies.bounds import check_bounds

    learned = {held.metric for held in model.problem.bounds}
    unknown = [held.metric for held in asked.bounds if held.metric not in {*asked.laws, *learned}]
    if unknown:
        raise ArmillaryError(
            f"--bound {unknown[0]}: no law tells it without evaluating, only {list(asked.laws)}; fit a model of it "
            "and give --limit MODEL=NUMBER"
        )
    check_bounds(asked)
    return asked


def _below_the_log(model: Savable, problem: Problem) -> list[str]:
    """Return a warning for each bound that lies below every design that a model learned from."""
    return [w for name, most in problem.upper_bounds.items() if (w := model.below_the_log(name, most)) is not None]


def _by_law(template: Any, codes: Any) -> list[dict[str, float]]:
    """Return what laws tell of each design."""
    columns = {name: law(codes).tolist() for name, law in template.laws.items()}
    return [{name: column[i] for name, column in columns.items()} for i in range(len(codes))]


def _limit(text: str, space: Space) -> Limit:
    from armillary import surrogates
    from armillary.studies.propose import Limit

    path, _, value = text.rpartition("=")
    try:
        bound = float(value)
    except ValueError:
        bound = float("nan")
    if not path or not 0 < bound < float("inf"):
        raise ArmillaryError(f"--limit {text!r} is not allowed; write a model file and a positive number: power.pt=400")
    return Limit(surrogates.read(path, space), bound)


@app.command(cls=Choosing)
@runs_networks
def search(
    optimizer: Annotated[str, typer.Option(help="One of {optimizers}.", autocompletion=completing("optimizers"))],
    budget: Annotated[int, typer.Option(help="Evaluations, infeasible ones included.", min=1)],
    study: Annotated[Path, typer.Option(help="Folder of the study.")],
    bound: Bounds = None,
    area: Area = None,
    power: Power = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    verify: Verify = None,
    workload: Annotated[
        str | None, typer.Option(help="A name of the zoo, an ONNX file, or one of the problem.")
    ] = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    fidelity: FidelityName = "analytical",
    options: Options = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    executor: ExecutorName = "local",
    ray_address: RayAddress = None,
    asynchronous: Annotated[
        bool,
        typer.Option(
            "--asynchronous",
            help="Ask for the next design as soon as a worker is free, instead of batch by batch; the same seed may "
            "then find another design.",
        ),
    ] = False,
    prefer: Prefer = None,
    *,
    running: HowRun,
    dry_run: DryRun = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Search a template's space on the evaluator itself; resumes where it was interrupted, ends with a report."""
    from armillary.studies.asking import asked_bounds, asked_objectives
    from armillary.studies.search import SearchRequest, foresee_search, load_search, run_search
    from armillary.studies.study_folder import StudyFolder

    limits = limits_of(time_limit, memory_limit, executor, ray_address)
    bounds = bounds_of(bound, area_mm2=area, power_mw=power)
    subject = subject_of(template, problem, fidelity, options)
    (network,) = warned(subject.workloads([workload] if workload else [], running))
    chosen, folder = subject.template([network]), StudyFolder(study)
    objectives = asked_objectives(chosen, objectives_of(minimize, maximize))
    request = SearchRequest(
        source=workload or network.name,
        digest=subject.digest(network),
        template=subject.name,
        optimizer=optimizer,
        budget=budget,
        bounds=asked_bounds(chosen, bounds),
        fidelity="external" if problem else str(fidelity_of(fidelity)),
        options=options_of(options),
        seed=seed,
        objectives=objectives,
        verify=verified_by(verify, subject.name, fidelity),
        problem=subject.problem_path,
        prefer=preferences_of(prefer, objectives),
        running=running.as_dict() or None,
    )
    if verify is not None and len(objectives) > 1:
        raise ArmillaryError(f"--verify {verify!r} proves the best design of one goal; name one, or leave it out")
    simulator = subject.simulator([o.metric for o in objectives], seed=seed)
    evaluating(simulator, subject)
    if dry_run:
        show_foreseen(foresee_search(request, chosen, network, folder, simulator=simulator), as_json)
        return
    with progress_bars(resumable(folder.path)) as on_progress:
        found = run_search(
            request,
            chosen,
            network,
            folder,
            command=command_line(),
            simulator=simulator,
            limits=limits,
            asynchronous=asynchronous,
            on_progress=on_progress,
        )
        results = None if found.best is None else load_search(folder, chosen, network)
        if results is not None:
            write_report(results, folder, on_progress)
    content = {
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "design": None if found.best is None else found.best.design.as_dict(),
        "metrics": None if found.best is None else dict(found.best.metrics),
        "proven": None if results is None else proof_of(results),
        "front": None if found.front is None else front_rows(found.front),
        "hypervolume": None if found.front is None else float(found.front.hypervolume[-1]),
        "files": [str(path) for path in found.files],
        "report": None if results is None else str(folder.report),
    }

    def show() -> None:
        tell(f"{found.evaluated:,} evaluations, {found.feasible:,} of them feasible and within bounds")
        if found.best is None:
            tell("no design was feasible and within bounds; raise --budget or the bounds")
        else:
            if found.front is not None:
                show_front(found.front)
                tell("\nthe preferred design")
            _show_best(found.best, objectives[0].metric)
            tell("\n" + "\n".join(f"{path.stem:10} {path}" for path in (*found.files, folder.report)))

    print_result(content, as_json, show)


def _show_best(best: Evaluation, metric: str) -> None:
    """Show a design of any number of parameters, and the metric that was minimised."""
    from armillary.reports.units import head_of
    from armillary.reports.wording import Scale

    value: float = derived(best.metrics, metric)  # type: ignore[assignment]  # the best has what was minimised
    tell(f"{head_of(metric)} {Scale.of_metric(metric, [value]).text(value)}\n")
    print_table([{"parameter": name, "value": value} for name, value in best.design.as_dict().items()])


@app.command(cls=Choosing)
def report(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the report of a finished study again."""
    from armillary.studies.loading import load_study
    from armillary.studies.study_folder import StudyFolder

    if not study.is_dir():
        raise ArmillaryError(f"{study}: no such folder; give the folder of a study")
    folder = StudyFolder(study)
    with progress_bars() as on_progress:
        write_report(load_study(folder), folder, on_progress)
    print_result({"report": str(folder.report)}, as_json, lambda: tell(str(folder.report)))

"""Commands that search, learn and design."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.shared import (
    Area,
    Bounds,
    Device,
    Dim,
    FidelityName,
    Json,
    LogPath,
    MemoryLimit,
    Options,
    Power,
    SamplerName,
    Seed,
    TemplateName,
    TimeLimit,
    Verify,
    app,
    bounds_of,
    command_line,
    digest_of,
    fidelity_of,
    limits_of,
    one_metric,
    options_of,
    resumable,
    template_of,
    verified_by,
    workload_of,
)
from armillary.console import print_result, print_table, print_warning, progress_bars
from armillary.metrics import derived
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.problems.problem import Problem
    from armillary.reports.wording import Scale
    from armillary.spaces.space import Space
    from armillary.studies.progress import OnProgress
    from armillary.studies.propose import Limit
    from armillary.studies.results import Contender, StudyResults
    from armillary.studies.study_folder import StudyFolder
    from armillary.surrogates import Savable
    from armillary.types import Evaluation

Minimize = Annotated[
    list[str] | None,
    typer.Option("--minimize", "--metric", help="The metric to minimise, e.g. edp_pj_cycles; default: runtime_s."),
]
SurrogateName = Annotated[
    str | None,
    typer.Option("--surrogate", help="One of {surrogates}; default: hurdle.", autocompletion=completing("surrogates")),
]


@app.command(cls=Choosing)
def design(
    model: Annotated[str, typer.Argument(help="An ONNX file, or the name of a workload of the zoo.")],
    template: TemplateName = "edge_tpu",
    bound: Bounds = None,
    area: Area = None,
    power: Power = None,
    minimize: Minimize = None,
    verify: Verify = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; default: the model's name + .study")] = None,
    log: Annotated[str | None, typer.Option(help="A log to reuse and extend; default: one in the folder.")] = None,
    samples: Annotated[int, typer.Option(help="Designs to evaluate for the log.", min=1)] = 16_384,
    sampler: SamplerName = "sobol",
    top: Annotated[int, typer.Option(help="Candidates to verify.", min=1)] = 256,
    surrogate: SurrogateName = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="How PRIME trains: {schedules}; default: quick.", autocompletion=completing("schedules")),
    ] = None,
    fidelity: FidelityName = "analytical",
    options: Options = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Design an accelerator for a network: log, learn, propose, verify, report."""
    from armillary.hardware import templates
    from armillary.studies.design import DesignRequest, run_design
    from armillary.studies.fit import schedule_of
    from armillary.studies.study_folder import StudyFolder
    from armillary.surrogates import DEFAULT

    kind = surrogate or DEFAULT
    limits, bounds = limits_of(time_limit, memory_limit), bounds_of(bound, area_mm2=area, power_mw=power)
    workload = workload_of(model, dim)
    chosen = templates.load(template, workload)
    folder = StudyFolder(out or Path(f"{Path(model).stem}.study"))
    request = DesignRequest(
        source=model,
        digest=digest_of(workload),
        template=template,
        bounds={**chosen.budgets, **bounds},
        samples=samples,
        sampler=sampler,
        top=top,
        schedule=schedule_of(kind, schedule, "quick"),
        seed=seed,
        log=log,
        metric=one_metric(minimize, "runtime_s"),
        surrogate=kind,
        fidelity=str(fidelity_of(fidelity)),
        options=options_of(options),
        verify=verified_by(verify, template, fidelity),
    )
    with progress_bars(resumable(folder.path)) as on_progress:
        study = run_design(
            request, chosen, workload, folder, command=command_line(), limits=limits, on_progress=on_progress
        )
        _write_report(study, folder, on_progress)
    answer = {
        "design": study.winner.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "best_of_log": dict(study.best_of_log.metrics),
        "baseline": None if study.baseline is None else dict(study.baseline.metrics),
        "proven": _proof_of(study),
        "stage_seconds": dict(study.stage_seconds),
        "report": str(folder.report),
        "design_file": str(folder.design),
    }
    print_result(answer, as_json, lambda: _show_study(study, folder.report, folder.design))


def _proof_of(study: StudyResults) -> dict[str, dict[str, float]] | None:
    """Return what a truer evaluator measured of the winner, by fidelity."""
    rows = [] if study.proof is None else study.proof.evaluations.to_list()
    found = {str(row.fidelity): dict(row.metrics) for row in rows if row.design == study.winner.design}
    return found or None


def _show_study(study: StudyResults, report: Path, design_file: Path) -> None:
    from armillary.reports.summary import split_sentence
    from armillary.reports.units import scale_of

    contenders = [c for c in (study.winner, study.best_of_log, study.baseline) if c is not None]
    metric = study.problem.metric
    names = _shown(metric, study.problem.upper_bounds, contenders)
    shown = {name: scale_of(name, contenders) for name in names}
    print_table([{"": c.name, **_headline(c, shown)} for c in contenders])
    ours, logged = study.winner.metrics[metric], study.best_of_log.metrics[metric]
    ratio = f"{logged / ours:.2f}x" if ours > 0 else f"{logged:.4g} to {ours:.4g}"
    better = f"{ratio} as fast as" if metric == "runtime_s" else f"{ratio} better in {metric} than"
    print(f"\nThe winner ({study.winner.note}) is {better} the best of the log.")
    if split := split_sentence(study):
        print(split)
    for fidelity, metrics in (_proof_of(study) or {}).items():
        print(
            f"{fidelity}  {shown[metric].text(metrics[metric])}" if metric in metrics else f"{fidelity}  not feasible"
        )
    print(f"report  {report}\ndesign  {design_file}")


_ALWAYS = ("runtime_s", "energy_pj", "area_mm2")
"""Metrics that a table of designs shows where they are known, whatever was asked for."""


def _shown(metric: str, bounds: Iterable[str], contenders: Sequence[Contender]) -> list[str]:
    """Return the metrics of a table of contenders: what was asked for, and what is most often asked, where known."""
    order = [*([] if metric in _ALWAYS else [metric]), *_ALWAYS, *bounds]
    return [name for name in dict.fromkeys(order) if any(name in c.metrics for c in contenders)]


def _headline(contender: Contender, shown: Mapping[str, Scale]) -> dict[str, str]:
    from armillary.reports.units import head_of

    cells = {}
    for name, scale in shown.items():
        known = name in contender.metrics and contender.failure is None
        cells[head_of(name)] = scale.text(contender.metrics[name]) if known else "-"
    if contender.failure is not None:
        cells[next(iter(cells))] = f"infeasible: {contender.failure}"
    return {**cells, "design": " ".join(f"{value}" for value in contender.design.as_dict().values())}


@app.command(cls=Choosing)
def collect(
    workload: Annotated[list[str], typer.Option(help="A name of the zoo or an ONNX file. Repeatable.")],
    log: LogPath,
    template: TemplateName = "edge_tpu",
    samples: Annotated[int, typer.Option(help="Designs per workload.", min=1)] = 16_384,
    sampler: SamplerName = "sobol",
    fidelity: FidelityName = "analytical",
    options: Options = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate samples of a template's space and log them; resumes where it was interrupted."""
    from dataclasses import asdict

    from armillary import evaluators
    from armillary.execution.local import LocalExecutor
    from armillary.hardware import templates as registry
    from armillary.log.store import Log
    from armillary.studies.collect import collect as run

    spec = evaluators.spec_of(template, fidelity_of(fidelity), options_of(options), seed=seed)
    executor = LocalExecutor(Log(log), limits=limits_of(time_limit, memory_limit))
    networks = [workload_of(name, dim) for name in workload]
    with progress_bars(resumable(log)) as on_progress:
        rows = [
            asdict(
                run(
                    registry.load(template, network),
                    network,
                    executor,
                    spec,
                    samples=samples,
                    sampler=sampler,
                    seed=seed,
                    on_progress=on_progress,
                )
            )
            for network in networks
        ]
    print_result(rows, as_json, lambda: print_table(rows))


@app.command(cls=Choosing)
def fit(
    log: LogPath,
    out: Annotated[Path, typer.Option(help="File of the fitted model.")],
    bound: Bounds = None,
    area: Area = None,
    template: TemplateName = "edge_tpu",
    surrogate: SurrogateName = None,
    workload: Annotated[list[str] | None, typer.Option(help="Only rows of this workload. Repeatable.")] = None,
    metric: Annotated[str, typer.Option(help="What to predict, e.g. runtime_s or edp_pj_cycles.")] = "runtime_s",
    power: Power = None,
    energy: Annotated[float | None, typer.Option(help="Learn from designs up to this energy, in pJ.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="How PRIME trains: {schedules}; default: full.", autocompletion=completing("schedules")),
    ] = None,
    by_evaluator: Annotated[
        bool, typer.Option("--by-evaluator", help="Learn from rows of several evaluators, which becomes a column.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Fit a surrogate to a log and save it."""
    from armillary.log.store import Log
    from armillary.studies.fit import check_kind, check_savable, fit_surrogate, rows_of, save_atomically, schedule_of
    from armillary.surrogates import DEFAULT

    kind = surrogate or DEFAULT
    check_kind(kind, device)
    trained = schedule_of(kind, schedule, "full")
    check_savable(out)
    chosen = template_of(template, workload or ())
    rows = rows_of(Log(log), chosen.space, workload or [])
    problem = chosen.problem(metric, bounds_of(bound, area_mm2=area, power_mw=power, energy_pj=energy))
    with progress_bars() as on_progress:
        model = fit_surrogate(
            rows,
            problem,
            kind=kind,
            schedule=trained,
            seed=seed,
            device=device,
            by_evaluator=by_evaluator,
            on_progress=on_progress,
        )
    save_atomically(model, out)
    for warning in _below_the_log(model, problem):
        print_warning(warning)
    content = {"model": str(out), "surrogate": kind, "rows": len(rows), **model.facts()}
    print_result(content, as_json, lambda: print_table([content]))


@app.command(cls=Choosing)
def propose(
    model: Annotated[Path, typer.Option(help="A model file of `armillary fit`.")],
    workload: Annotated[
        list[str],
        typer.Option(help="A name of the zoo or an ONNX file; trained on or not. Repeatable: then their mean."),
    ],
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
    template: TemplateName = "edge_tpu",
    top: Annotated[int, typer.Option(help="Designs to propose.", min=1)] = 256,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print the designs that a fitted surrogate ranks best, without evaluating any."""
    from armillary import surrogates
    from armillary.studies.propose import propose as run
    from armillary.surrogates.several import as_seen_by
    from armillary.workloads.context import context_of

    networks = [workload_of(name, dim) for name in workload]
    chosen = template_of(template, workload, dim)
    fitted = surrogates.read(model, chosen.space)
    limits = [_limit(text, chosen.space) for text in limit or ()]
    contexts = [as_seen_by(context_of(network), evaluator, fitted.feature_names) for network in networks]
    problem = chosen.problem(
        fitted.problem.metric, {**chosen.budgets, **bounds_of(bound, area_mm2=area, power_mw=power)}
    )
    unknown = [name for name in problem.upper_bounds if name not in problem.laws]
    if unknown:
        raise ArmillaryError(
            f"--bound {unknown[0]}: no law tells it without evaluating, only {list(problem.laws)}; fit a model of it "
            "and give --limit MODEL=NUMBER"
        )
    for warning in [*_below_the_log(fitted, problem), *filter(None, map(fitted.unlike, contexts))]:
        print_warning(warning)
    with progress_bars() as on_progress:
        on_progress("optimising the surrogate", 0, 1)
        found = run(fitted, problem, contexts, top=top, seed=seed, limits=limits)
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
def search(
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    optimizer: Annotated[str, typer.Option(help="One of {optimizers}.", autocompletion=completing("optimizers"))],
    budget: Annotated[int, typer.Option(help="Evaluations, infeasible ones included.", min=1)],
    study: Annotated[Path, typer.Option(help="Folder of the study.")],
    bound: Bounds = None,
    area: Area = None,
    power: Power = None,
    minimize: Minimize = None,
    verify: Verify = None,
    template: TemplateName = "edge_tpu",
    fidelity: FidelityName = "analytical",
    options: Options = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Search a template's space on the evaluator itself; resumes where it was interrupted, ends with a report."""
    from armillary.hardware import templates as registry
    from armillary.studies.search import SearchRequest, load_search, run_search
    from armillary.studies.study_folder import StudyFolder

    limits, bounds = limits_of(time_limit, memory_limit), bounds_of(bound, area_mm2=area, power_mw=power)
    network = workload_of(workload, dim)
    chosen, folder = registry.load(template, network), StudyFolder(study)
    metric = one_metric(minimize, "runtime_s")
    request = SearchRequest(
        source=workload,
        digest=digest_of(network),
        template=template,
        optimizer=optimizer,
        budget=budget,
        bounds={**chosen.budgets, **bounds},
        fidelity=str(fidelity_of(fidelity)),
        options=options_of(options),
        seed=seed,
        metric=metric,
        verify=verified_by(verify, template, fidelity),
    )
    with progress_bars(resumable(folder.path)) as on_progress:
        found = run_search(
            request, chosen, network, folder, command=command_line(), limits=limits, on_progress=on_progress
        )
        results = None if found.best is None else load_search(folder, chosen, network)
        if results is not None:
            _write_report(results, folder, on_progress)
    content = {
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "design": None if found.best is None else found.best.design.as_dict(),
        "metrics": None if found.best is None else dict(found.best.metrics),
        "proven": None if results is None else _proof_of(results),
        "files": [str(path) for path in found.files],
        "report": None if results is None else str(folder.report),
    }

    def show() -> None:
        print(f"{found.evaluated:,} evaluations, {found.feasible:,} of them feasible and within bounds")
        if found.best is None:
            print("no design was feasible and within bounds; raise --budget or the bounds")
        else:
            _show_best(found.best, metric)
            print("\n" + "\n".join(f"{path.stem:10} {path}" for path in (*found.files, folder.report)))

    print_result(content, as_json, show)


def _show_best(best: Evaluation, metric: str) -> None:
    """Show a design of any number of parameters, and the metric that was minimised."""
    from armillary.reports.units import head_of
    from armillary.reports.wording import Scale

    value: float = derived(best.metrics, metric)  # type: ignore[assignment]  # the best has what was minimised
    print(f"{head_of(metric)} {Scale.of_metric(metric, [value]).text(value)}\n")
    print_table([{"parameter": name, "value": value} for name, value in best.design.as_dict().items()])


@app.command(cls=Choosing)
def report(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the report of a finished study again."""
    from armillary.studies.design import load_design
    from armillary.studies.search import load_search
    from armillary.studies.study_folder import StudyFolder

    if not study.is_dir():
        raise ArmillaryError(f"{study}: no such folder; give the folder of a study")
    folder = StudyFolder(study)
    asked = folder.request()
    network = workload_of(asked["source"], None)
    template = template_of(asked["template"], [asked["source"]])
    load = load_design if asked["kind"] == "design" else load_search
    with progress_bars() as on_progress:
        _write_report(load(folder, template, network), folder, on_progress)
    print_result({"report": str(folder.report)}, as_json, lambda: print(folder.report))


def _write_report(study: StudyResults, folder: StudyFolder, on_progress: OnProgress) -> None:
    from armillary.reports.page import write_report

    on_progress("writing the report", 0, 1)
    write_report(study, folder.report)
    on_progress("writing the report", 1, 1)

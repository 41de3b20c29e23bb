"""Commands that search, learn and design."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.shared import (
    Area,
    Device,
    Dim,
    Json,
    LogPath,
    Seed,
    TemplateName,
    app,
    command_line,
    digest_of,
    fidelity_of,
    template_of,
    workload_of,
)
from armillary.console import print_result, print_table, print_warning, progress_bars
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.spaces.space import Space
    from armillary.studies.propose import Limit

SurrogateName = Annotated[
    str | None,
    typer.Option("--surrogate", help="hurdle (default), deep-ensemble, ram-listnet, prime, or an ablation of PRIME."),
]


@app.command()
def design(
    model: Annotated[str, typer.Argument(help="An ONNX file, or the name of a workload of the zoo.")],
    area: Area,
    template: TemplateName = "edge_tpu",
    out: Annotated[Path | None, typer.Option(help="Folder of the study; default: the model's name + .study")] = None,
    log: Annotated[str | None, typer.Option(help="A log to reuse and extend; default: one in the folder.")] = None,
    samples: Annotated[int, typer.Option(help="Designs to evaluate for the log.", min=1)] = 16_384,
    sampler: Annotated[str, typer.Option(help="random, lhs, sobol or halton.")] = "sobol",
    top: Annotated[int, typer.Option(help="Candidates to verify.", min=1)] = 256,
    surrogate: SurrogateName = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="How long PRIME trains: brief, quick, full or paper; default: quick."),
    ] = None,
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
    workload = workload_of(model, dim)
    chosen = templates.load(template, workload)
    folder = StudyFolder(out or Path(f"{Path(model).stem}.study"))
    request = DesignRequest(
        source=model,
        digest=digest_of(workload),
        template=template,
        area_mm2=area,
        samples=samples,
        sampler=sampler,
        top=top,
        schedule=schedule_of(kind, schedule, "quick"),
        seed=seed,
        log=log,
        surrogate=kind,
    )
    with progress_bars() as on_progress:
        study = run_design(request, chosen, workload, folder, command=command_line(), on_progress=on_progress)
        on_progress("writing the report", 0, 1)
        _write_report(study, chosen, folder)
        on_progress("writing the report", 1, 1)
    answer = {
        "design": study.winner.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "best_of_log": dict(study.best_of_log.metrics),
        "baseline": dict(study.baseline.metrics),
        "stage_seconds": dict(study.stage_seconds),
        "report": str(folder.report),
        "design_file": str(folder.design),
    }
    print_result(answer, as_json, lambda: _show_study(study, folder.report, folder.design))


def _show_study(study: Any, report: Path, design_file: Path) -> None:
    contenders = [study.winner, study.best_of_log, study.baseline]
    rows = [{"": c.name, **_headline(c)} for c in contenders]
    print_table(rows)
    speedup = study.best_of_log.metrics["runtime_s"] / study.winner.metrics["runtime_s"]
    print(f"\nThe winner ({study.winner.note}) is {speedup:.2f}x as fast as the best of the log.")
    print(f"report  {report}\ndesign  {design_file}")


def _headline(contender: Any) -> dict[str, Any]:
    metrics = contender.metrics
    if contender.failure is not None:
        return {"runtime": f"infeasible: {contender.failure}"}
    return {
        "runtime": f"{metrics['runtime_s'] * 1e3:.4g} ms",
        "energy": f"{metrics['energy_pj'] * 1e-9:.4g} mJ",
        "area": f"{metrics['area_mm2']:.4g} mm2",
        "design": " ".join(f"{value}" for value in contender.design.as_dict().values()),
    }


@app.command()
def collect(
    workload: Annotated[list[str], typer.Option(help="A name of the zoo or an ONNX file. Repeatable.")],
    log: LogPath,
    template: TemplateName = "edge_tpu",
    samples: Annotated[int, typer.Option(help="Designs per workload.", min=1)] = 16_384,
    sampler: Annotated[str, typer.Option(help="random, lhs, sobol or halton.")] = "sobol",
    fidelity: Annotated[str, typer.Option(help="analytical, rtl or physical.")] = "analytical",
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate samples of a template's space and log them; resumes where it was interrupted."""
    from dataclasses import asdict

    from armillary.hardware import templates as registry
    from armillary.log.store import Log
    from armillary.studies.collect import collect as run

    level = fidelity_of(fidelity)
    networks = [workload_of(name, dim) for name in workload]
    with progress_bars() as on_progress:
        rows = [
            asdict(
                run(
                    registry.load(template, network),
                    network,
                    Log(log),
                    samples=samples,
                    sampler=sampler,
                    seed=seed,
                    fidelity=level,
                    on_progress=on_progress,
                )
            )
            for network in networks
        ]
    print_result(rows, as_json, lambda: print_table(rows))


@app.command()
def fit(
    log: LogPath,
    out: Annotated[Path, typer.Option(help="File of the fitted model.")],
    area: Annotated[
        float | None,
        typer.Option(help="Bound that proposals will keep to, in mm2; larger designs are learned from, too."),
    ] = None,
    template: TemplateName = "edge_tpu",
    surrogate: SurrogateName = None,
    workload: Annotated[list[str] | None, typer.Option(help="Only rows of this workload. Repeatable.")] = None,
    metric: Annotated[str, typer.Option(help="What to predict, e.g. runtime_s or edp_pj_cycles.")] = "runtime_s",
    power: Annotated[float | None, typer.Option(help="Learn from designs up to this power, in mW.")] = None,
    energy: Annotated[float | None, typer.Option(help="Learn from designs up to this energy, in pJ.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="How long PRIME trains: brief, quick, full or paper; default: full."),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Fit a surrogate to a log and save it."""
    from armillary.log.store import Log
    from armillary.studies.fit import check_kind, check_savable, fit_surrogate, rows_of, save_atomically, schedule_of
    from armillary.surrogates import DEFAULT
    from armillary.types import Objective

    kind = surrogate or DEFAULT
    check_kind(kind, device)
    trained = schedule_of(kind, schedule, "full")
    check_savable(out)
    chosen = template_of(template, workload or ())
    rows = rows_of(Log(log), chosen.space, workload or [])
    bounds = {"area_mm2": area, "power_mw": power, "energy_pj": energy}
    objective = Objective(metric, {name: bound for name, bound in bounds.items() if bound is not None})
    with progress_bars() as on_progress:
        model = fit_surrogate(
            rows,
            chosen.space,
            objective,
            kind=kind,
            schedule=trained,
            seed=seed,
            device=device,
            on_progress=on_progress,
        )
    save_atomically(model, out)
    if area is not None and (warning := model.below_the_log(area)):
        print_warning(warning)
    content = {"model": str(out), "surrogate": kind, "rows": len(rows), **model.facts()}
    print_result(content, as_json, lambda: print_table([content]))


@app.command()
def propose(
    model: Annotated[Path, typer.Option(help="A model file of `armillary fit`.")],
    workload: Annotated[
        list[str],
        typer.Option(help="A name of the zoo or an ONNX file; trained on or not. Repeatable: then their mean."),
    ],
    area: Area,
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
    from armillary.workloads.context import context_of

    networks = [workload_of(name, dim) for name in workload]
    chosen = template_of(template, workload, dim)
    fitted = surrogates.read(model, chosen.space)
    limits = [_limit(text, chosen.space) for text in limit or ()]
    contexts = [context_of(network) for network in networks]
    for warning in filter(None, [fitted.below_the_log(area), *(fitted.unlike(context) for context in contexts)]):
        print_warning(warning)
    with progress_bars() as on_progress:
        on_progress("optimising the surrogate", 0, 1)
        found = run(fitted, chosen, contexts, area_mm2=area, top=top, seed=seed, limits=limits)
        on_progress("optimising the surrogate", 1, 1)
    predicted = f"predicted_{fitted.objective.metric}"
    rows = [
        {**d.as_dict(), "area_mm2": float(a), predicted: float(p), "p_feasible": float(f)}
        for d, a, p, f in zip(
            chosen.space.designs(found.codes),
            chosen.area_mm2(found.codes),
            found.predicted,
            found.p_feasible,
            strict=True,
        )
    ]
    print_result(rows, as_json, lambda: print_table(rows))


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


@app.command()
def search(
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    optimizer: Annotated[str, typer.Option(help="Which optimizer, e.g. firefly or prime-online.")],
    budget: Annotated[int, typer.Option(help="Evaluations, infeasible ones included.", min=1)],
    study: Annotated[Path, typer.Option(help="Folder of the study.")],
    area: Annotated[
        float | None, typer.Option(help="Upper bound of the chip area, in mm2.", show_default="the template's budget")
    ] = None,
    power: Annotated[float | None, typer.Option(help="Upper bound of the mean power, in mW.")] = None,
    metric: Annotated[str, typer.Option(help="What to minimise, e.g. runtime_s or edp_pj_cycles.")] = "runtime_s",
    template: TemplateName = "edge_tpu",
    fidelity: Annotated[str, typer.Option(help="analytical, rtl or physical.")] = "analytical",
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Search a template's space on the evaluator itself; resumes where it was interrupted."""
    from armillary.hardware import templates as registry
    from armillary.studies.search import SearchRequest, run_search
    from armillary.studies.study_folder import StudyFolder

    network = workload_of(workload, dim)
    chosen = registry.load(template, network)
    request = SearchRequest(
        source=workload,
        digest=digest_of(network),
        template=template,
        optimizer=optimizer,
        area_mm2=chosen.area_budget_mm2 if area is None else area,
        budget=budget,
        fidelity=str(fidelity_of(fidelity)),
        seed=seed,
        metric=metric,
        power_mw=power,
    )
    with progress_bars() as on_progress:
        found = run_search(request, chosen, network, StudyFolder(study), on_progress=on_progress)
    content = {
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "design": None if found.best is None else found.best.design.as_dict(),
        "metrics": None if found.best is None else dict(found.best.metrics),
        "files": [str(path) for path in found.files],
    }

    def show() -> None:
        print(f"{found.evaluated:,} evaluations, {found.feasible:,} of them legal")
        if found.best is None:
            print("no legal design was met; raise --budget or the bounds")
        else:
            print_table([{**found.best.design.as_dict(), metric: found.best.metrics[metric]}])
            print("\n" + "\n".join(f"{path.stem:10} {path}" for path in found.files))

    print_result(content, as_json, show)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="Folder of a finished design study.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the report of a finished study again."""
    from armillary.studies.design import load_study
    from armillary.studies.study_folder import StudyFolder

    if not study.is_dir():
        raise ArmillaryError(f"{study}: no such folder; give the folder of a study")
    folder = StudyFolder(study)
    asked = folder.request()
    template = template_of(asked["template"], [asked["source"]])
    _write_report(load_study(folder, template), template, folder)
    print_result({"report": str(folder.report)}, as_json, lambda: print(folder.report))


def _write_report(study: Any, template: Any, folder: Any) -> None:
    from armillary.reports.page import write_report
    from armillary.reports.study import results_of

    write_report(results_of(study, template, str(folder.path)), folder.report)

"""The command `design`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.collecting import refuse_given
from armillary.cli.fronts import front_rows, show_front
from armillary.cli.laying_out import design_by_layouts, is_searched, one_network, request_of, subject_of_layouts
from armillary.cli.shared import (
    Area,
    Bounds,
    DryRun,
    ExecutorName,
    FidelityName,
    HowRun,
    Json,
    Maximize,
    MemoryLimit,
    Minimize,
    Options,
    Power,
    Prefer,
    ProblemPath,
    RayAddress,
    SamplerName,
    Seed,
    SurrogateName,
    TemplateOrProblem,
    TimeLimit,
    Verify,
    app,
    bounds_of,
    command_line,
    fidelity_of,
    limits_of,
    objectives_of,
    options_of,
    preferences_of,
    resumable,
    runs_networks,
    show_foreseen,
    subject_of,
    verified_by,
    warned,
    write_report,
)
from armillary.cli.simulating import design_by_simulation
from armillary.console import print_result, print_table, print_warning, progress_bars, tell
from armillary.types import ArmillaryError, Cost

if TYPE_CHECKING:
    from armillary.hardware.template import Template
    from armillary.reports.wording import Scale
    from armillary.studies.results import Contender, StudyResults
    from armillary.studies.running import Running
    from armillary.studies.search import SearchRequest
    from armillary.studies.study_folder import StudyFolder
    from armillary.studies.subject import Subject
    from armillary.types import Metric
    from armillary.workloads.layer import Workload

_SAMPLES, _TOP, _SLOW_TOP, _SAMPLES_PER_PARAMETER = 16_384, 256, 16, 10


@app.command(cls=Choosing)
@runs_networks
def design(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="ONNX files or names of the zoo; of several, their mean counts."),
    ] = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    workload: Annotated[
        list[str] | None, typer.Option(help="A workload of the problem file or of its log. Repeatable.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="How much each of several workloads counts: numbers with commas between.")
    ] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="Of several workloads the worst counts, each beside its best in the log.")
    ] = False,
    bound: Bounds = None,
    area: Area = None,
    power: Power = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    prefer: Prefer = None,
    verify: Verify = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="With --verify rtl, simulations of the network: the study ends with design, mappings and "
            "SystemVerilog of the best. With --verify physical, where only layouts tell the area (axiline, genesys, "
            "tabla, vta), layouts; default: 40. The study then ends with pictures of layouts and SystemVerilog.",
            min=1,
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="With --budget, what chooses: one of {optimizers}. Default: polaris, which learns from each "
            "simulation what to simulate next; of layouts ppa-motpe, surrogates that MOTPE searches. ppa-ladder first "
            "looks at layouts that stop early; the budget is then the seconds of so many whole ones.",
            autocompletion=completing("optimizers"),
        ),
    ] = None,
    conservative: Annotated[
        bool,
        typer.Option("--conservative", help="Of layouts, trust predictions by the worse end of their 90% interval."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; default: the model's name + .study")] = None,
    log: Annotated[str | None, typer.Option(help="A log to reuse and extend; default: one in the folder.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help=f"Designs to evaluate for the log; default: {_SAMPLES} of an evaluator that is fast in batches, else "
            f"{_SAMPLES_PER_PARAMETER} per parameter.",
            min=0,
        ),
    ] = None,
    sampler: SamplerName = "sobol",
    top: Annotated[
        int | None,
        typer.Option(
            help=f"Candidates; default: {_TOP} of an evaluator that is fast in batches, else {_SLOW_TOP}.", min=1
        ),
    ] = None,
    surrogate: SurrogateName = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="How PRIME and ppa train: {schedules}; default: quick, of ppa brief.",
            autocompletion=completing("schedules"),
        ),
    ] = None,
    fidelity: FidelityName = "analytical",
    options: Options = None,
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
    """Design an accelerator for networks, or from a log of your own: log, learn, propose, verify, report."""
    from armillary.log.store import Log
    from armillary.studies.asking import asked_bounds, asked_objectives
    from armillary.studies.fit import schedule_of
    from armillary.studies.study_folder import StudyFolder

    limits = limits_of(time_limit, memory_limit, executor, ray_address)
    bounds = bounds_of(bound, area_mm2=area, power_mw=power)
    subject = subject_of(template, problem, fidelity, options)
    truer = () if problem is not None else verified_by(verify, subject.name, fidelity)
    by_layouts = bool(truer) and is_searched(truer, subject.name)
    if by_layouts:
        subject = subject_of_layouts(subject.name, truer, options_of(options))
    names = [*(models or ()), *(workload or ())]
    networks = warned(subject.workloads(names, running, None if log is None else Log(log)))
    chosen = subject.template(networks)
    kind = surrogate or subject.surrogate
    folder = StudyFolder(out or Path(f"{subject.name if problem else Path(names[0]).stem}.study"))
    asked: dict[str, Any] = {
        "template": subject.name,
        "objectives": asked_objectives(chosen, objectives_of(minimize, maximize)),
        "bounds": asked_bounds(chosen, bounds),
        "sampler": sampler,
        "surrogate": kind,
        "schedule": schedule_of(kind, schedule, "quick"),
        "seed": seed,
        "log": log,
        "options": options_of(options),
        "running": running.as_dict() or None,
    }
    several = len(asked["objectives"]) > 1
    if several and (weights is not None or worst):
        raise ArmillaryError(
            "--weights and --worst are for one goal; of several goals the mean of the workloads counts"
        )
    preferences = preferences_of(prefer, asked["objectives"])
    if by_layouts:
        wide = {
            "--schedule": schedule,
            "--weights": weights,
            "--worst": worst or None,
            **_of_language_models(running),
        }
        refuse_given(wide, "is for studies without layouts; leave it out")
        network = one_network(networks)
        shared = {name: asked[name] for name in ("objectives", "bounds", "seed", "log")}
        own = {"samples": samples, "picks": top, "optimizer": optimizer, "surrogate": surrogate}
        wanted = {**shared, **own, "source": names[0], "prefer": preferences}
        request = request_of(subject, network, wanted, budget, conservative=conservative)
        design_by_layouts(request, subject, network, folder, limits, dry_run, as_json)
        return
    refuse_given({"--conservative": conservative or None}, "is for studies of layouts; leave it out")
    if budget is None:
        refuse_given({"--optimizer": optimizer}, "says what chooses simulations; give their number with --budget")
    else:
        given: dict[str, Any] = {"--samples": samples, "--top": top, "--surrogate": surrogate, "--schedule": schedule}
        given |= {"--log": log, **_of_language_models(running)}
        refuse_given(given, "goes with designs that a surrogate proposes; leave it out, or --budget")
        to_simulate = _to_simulate(subject, networks, asked, names, budget, verify, fidelity)
        simulated = to_simulate if optimizer is None else replace(to_simulate, optimizer=optimizer)
        design_by_simulation(simulated, chosen, networks[0], folder, limits, dry_run, as_json)
        return
    if problem is None and len(networks) == 1 and not several:
        if weights is not None or worst:
            raise ArmillaryError("--weights and --worst are for several workloads; there is one")
        if samples == 0:
            raise ArmillaryError("--samples=0 is not allowed for one network of a template; its log needs some")
        asked |= _sizes(subject, chosen, samples, top) | {"fidelity": str(fidelity_of(fidelity))}
        asked |= {"verify": verified_by(verify, subject.name, fidelity), "source": names[0]}
        run, foresee = _single(subject, networks[0], asked)
    else:
        if verify is not None:
            raise ArmillaryError(
                f"--verify {verify!r} proves designs of a template for one network and one goal; leave it out"
            )
        asked |= {"weights": _weights_of(weights), "worst": worst, "sources": tuple(names), "prefer": preferences}
        asked |= {"fidelity": fidelity if problem is None else "external"}
        run, foresee = _joint(subject, networks, asked | _sizes(subject, chosen, samples, top))
    if dry_run:
        show_foreseen(foresee(chosen, folder), as_json)
        return
    with progress_bars(resumable(folder.path)) as on_progress:
        study = run(chosen, folder, command=command_line(), limits=limits, on_progress=on_progress)
        write_report(study, folder, on_progress)
    for warning in study.warnings:
        print_warning(warning)
    print_result(_answer(study, folder), as_json, lambda: _show_study(study, folder))


def _of_language_models(running: Running) -> dict[str, Any]:
    """Return what studies of other kinds know nothing of, by option; None where it is not given."""
    return {"--phase": running.phase, "--bits": running.bits or None}


def _to_simulate(
    subject: Subject,
    networks: Sequence[Workload],
    asked: Mapping[str, Any],
    names: Sequence[str],
    budget: int,
    verify: str | None,
    fidelity: str,
) -> SearchRequest:
    """Return the search on simulations that `--budget` asks for."""
    from armillary.studies.search import SearchRequest
    from armillary.studies.simulated_design import OPTIMIZER

    truer = verified_by(verify, subject.name, fidelity) if subject.problem_path is None else ()
    if not truer or len(networks) != 1 or len(asked["objectives"]) > 1:
        raise ArmillaryError(
            f"--budget {budget} counts simulations of one network for one goal; give one network, one goal and "
            "--verify rtl, or leave it out"
        )
    return SearchRequest(
        source=names[0],
        digest=subject.digest(networks[0]),
        optimizer=OPTIMIZER,
        budget=budget,
        fidelity=truer[0],
        verify=truer[1:],
        **{name: asked[name] for name in ("template", "objectives", "bounds", "options", "seed")},
    )


def _single(subject: Subject, network: Workload, asked: Mapping[str, Any]) -> Any:
    """Return what runs the study of a template and one network, and what foresees it."""
    from armillary.studies.design import DesignRequest, foresee_design, run_design

    request = DesignRequest(digest=subject.digest(network), **asked)

    def run(chosen: Any, folder: StudyFolder, **told: Any) -> StudyResults:
        return run_design(request, chosen, network, folder, **told)

    return run, lambda chosen, folder: foresee_design(request, chosen, network, folder)


def _joint(subject: Subject, networks: Sequence[Workload], asked: Mapping[str, Any]) -> Any:
    """Return what runs the study of several networks, or of a user's problem, and what foresees it."""
    from armillary.studies.joint_design import foresee_joint_design, run_joint_design
    from armillary.studies.joint_recipe import JointRequest

    request = JointRequest(
        workloads=tuple(network.name for network in networks),
        digests=tuple(map(subject.digest, networks)),
        problem=subject.problem_path,
        **asked,
    )
    simulator = subject.simulator([o.metric for o in request.objectives], seed=request.seed)
    if simulator.make is None and request.log is None:
        raise ArmillaryError(
            f"{subject.problem_path}: names no evaluator, so the study learns from a log; give it with --log"
        )

    def run(chosen: Any, folder: StudyFolder, **told: Any) -> StudyResults:
        return run_joint_design(request, chosen, networks, simulator, folder, **told)

    return run, lambda chosen, folder: foresee_joint_design(request, chosen, networks, simulator, folder)


def _sizes(subject: Subject, chosen: Template, samples: int | None, top: int | None) -> dict[str, int]:
    """Return how many designs are evaluated for the log and proposed: few where an evaluation takes seconds or more."""
    simulator = subject.simulator()
    if simulator.make is None:
        return {"samples": 0, "top": top or _SLOW_TOP}
    fast = simulator.spec.cost is Cost.BATCH
    first = _SAMPLES if fast else _SAMPLES_PER_PARAMETER * len(chosen.space.parameters)
    return {"samples": first if samples is None else samples, "top": top or (_TOP if fast else _SLOW_TOP)}


def _weights_of(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArmillaryError(f"--weights {text!r} is not allowed; write numbers with commas between: 3,1,1") from None


def _answer(study: StudyResults, folder: StudyFolder) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "design": study.winner.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "best_of_log": dict(study.best_of_log.metrics),
        "baseline": None if study.baseline is None else dict(study.baseline.metrics),
        "proven": proof_of(study),
        "stage_seconds": dict(study.stage_seconds),
        "report": str(folder.report),
        "design_file": str(folder.design),
    }
    if study.front is not None:
        answer |= {"front": front_rows(study.front), "hypervolume": float(study.front.hypervolume[-1])}
    if study.proposals is not None:
        answer |= {
            "proposals": [dict(row) for row in study.proposals.rows],
            "proposals_file": str(folder.path / "proposals.csv"),
            "surrogate": dict(study.facts),
            "warnings": list(study.warnings),
        }
    return answer


def proof_of(study: StudyResults) -> dict[str, dict[str, float]] | None:
    """Return what a truer evaluator measured of the winner, by fidelity."""
    rows = [] if study.proof is None else study.proof.evaluations.to_list()
    found = {str(row.fidelity): dict(row.metrics) for row in rows if row.design == study.winner.design}
    return found or None


def _show_study(study: StudyResults, folder: StudyFolder) -> None:
    from armillary.reports.summary import split_sentence
    from armillary.reports.units import scale_of

    contenders = [c for c in (study.winner, study.best_of_log, study.baseline) if c is not None]
    metric = study.problem.metric
    names = _shown(metric, [bound.metric for bound in study.problem.bounds], contenders)
    shown = {name: scale_of(name, contenders, study.problem.metrics) for name in names}
    if study.combination:
        tell(f"{study.workload}: {study.combination}\n")
    print_table([{"": c.name, **_headline(c, shown, study.problem.metrics)} for c in contenders])
    if study.front is not None:
        show_front(study.front)
    elif study.candidates is not None:
        tell("\n" + _verdict(study))
    if split := split_sentence(study):
        tell(split)
    for fidelity, metrics in (proof_of(study) or {}).items():
        tell(f"{fidelity}  {shown[metric].text(metrics[metric])}" if metric in metrics else f"{fidelity}  not feasible")
    told = [", ".join(f"{name} {_told(value)}" for name, value in study.facts.items())] if study.facts else []
    if study.remarks or told:
        tell("\n" + "\n".join(study.remarks or told))
    if study.proposals is not None and study.candidates is None:
        _show_proposals(study, folder)
    tell(f"report  {folder.report}\ndesign  {folder.design}")


def _verdict(study: StudyResults) -> str:
    metric = study.problem.metric
    if study.winner_is_from_log and study.winner.note.startswith("proposed"):  # the log held none to compare with
        return f"The winner ({study.winner.note}); no logged design is feasible and within bounds on {study.workload}."
    ours, logged = study.winner.metrics[metric], study.best_of_log.metrics[metric]
    maximised = study.problem.objective.direction == "maximize"
    above, below = (ours, logged) if maximised else (logged, ours)
    ratio = f"{above / below:.2f}x" if below > 0 else f"{logged:.4g} to {ours:.4g}"
    better = f"{ratio} as fast as" if metric == "runtime_s" else f"{ratio} better in {metric} than"
    return f"The winner ({study.winner.note}) is {better} the best of the log."


def _told(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_FIRST = 8


def _show_proposals(study: StudyResults, folder: StudyFolder) -> None:
    rows = study.proposals.rows if study.proposals is not None else ()
    tell(
        f"\n{len(rows)} designs to evaluate next, the best first" + (f" ({_FIRST} shown)" if len(rows) > _FIRST else "")
    )
    print_table([{name: _told(value) for name, value in row.items()} for row in rows[:_FIRST]])
    tell(
        f"\nRun them on your simulator and bring the results back:\n"
        f"proposals  {folder.path / 'proposals.csv'}\n"
        f"next       armillary log import RESULTS.csv --problem ... --log ..., then this command again"
    )


_MOST_VALUES = 20  # that anybody would read in a line; the design's file has them all
_ALWAYS = ("runtime_s", "energy_pj", "area_mm2")
"""Metrics that a table of designs shows where they are known, whatever was asked for."""


def _shown(metric: str, bounds: Iterable[str], contenders: Sequence[Contender]) -> list[str]:
    """Return the metrics of a table of contenders: what was asked for, and what is most often asked, where known."""
    order = [*([] if metric in _ALWAYS else [metric]), *_ALWAYS, *bounds]
    return [name for name in dict.fromkeys(order) if any(name in c.metrics for c in contenders)]


def _headline(contender: Contender, shown: Mapping[str, Scale], metrics: Mapping[str, Metric]) -> dict[str, str]:
    from armillary.reports.units import head_of

    cells = {}
    for name, scale in shown.items():
        known = name in contender.metrics and contender.failure is None
        cells[head_of(name, metrics)] = scale.text(contender.metrics[name]) if known else "-"
    if contender.failure is not None:
        cells[next(iter(cells))] = f"infeasible: {contender.failure}"
    values = contender.design.as_dict().values()
    return {**cells, "design": " ".join(map(str, values))} if len(values) <= _MOST_VALUES else cells

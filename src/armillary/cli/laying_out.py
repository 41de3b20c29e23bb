"""Design by layouts: what `design --verify physical` runs where only layouts tell area and power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armillary.cli.fronts import front_rows, show_front
from armillary.cli.shared import command_line, resumable, show_foreseen, write_report
from armillary.console import print_result, print_table, progress_bars, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.studies.layout_recipe import LayoutRequest
    from armillary.studies.results import LaidOut, StudyResults
    from armillary.studies.study_folder import StudyFolder
    from armillary.studies.subject import Shipped
    from armillary.workloads.layer import Workload


def is_searched(verify: Sequence[str], template: str) -> bool:
    """Return whether a request verifies by layouts, and these are what its template is searched by."""
    from armillary import evaluators
    from armillary.hardware import templates
    from armillary.studies.layout_design import searches_layouts
    from armillary.types import Fidelity

    physical = str(Fidelity.PHYSICAL)
    if physical not in verify or physical not in evaluators.fidelities(template):
        return False
    return not templates.depends_on_workload(template) and searches_layouts(templates.load(template))


def subject_of_layouts(template: str, verify: Sequence[str], options: Mapping[str, str]) -> Shipped:
    """Return the template with its knobs; with `rtl` among the fidelities, cycles are those of a simulation."""
    from armillary.studies.subject import Shipped
    from armillary.types import Fidelity

    counted = {"cycles": "rtl"} if str(Fidelity.RTL) in verify else {}
    return Shipped(template, Fidelity.PHYSICAL, {**counted, **options})


def request_of(
    subject: Shipped, network: Workload, asked: Mapping[str, Any], budget: int | None, *, conservative: bool
) -> LayoutRequest:
    """Return the request of a budget of layouts, half of which are made before anything is learned."""
    from armillary.studies.layout_recipe import BUDGET, CAUTIOUS, LayoutRequest

    layouts = BUDGET if budget is None else budget
    chosen = {"samples": max(layouts // 2, 1), **{name: value for name, value in asked.items() if value is not None}}
    return LayoutRequest(
        digest=subject.digest(network),
        template=subject.name,
        budget=layouts,
        options=dict(subject.options),
        caution=CAUTIOUS if conservative else 0.0,
        **chosen,
    )


def design_by_layouts(
    request: LayoutRequest,
    subject: Shipped,
    network: Workload,
    folder: StudyFolder,
    limits: Any,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the study of a request and show what it found."""
    from armillary.studies.layout_design import foresee_layout_design, run_layout_design

    chosen, spec = subject.template([network]), subject.simulator(seed=request.seed).spec
    if dry_run:
        show_foreseen(foresee_layout_design(request, chosen, network, folder, spec=spec), as_json)
        return
    with progress_bars(resumable(folder.path)) as on_progress:
        study = run_layout_design(
            *(request, chosen, network, folder),
            spec=spec,
            command=command_line(),
            limits=limits,
            on_progress=on_progress,
        )
        write_report(study, folder, on_progress)
    print_result(_answer(study, folder), as_json, lambda: _show(study, folder))


def one_network(networks: Sequence[Workload]) -> Workload:
    """Return the only network; refuses several."""
    if len(networks) > 1:
        raise ArmillaryError("--verify physical lays out designs for one network; name one")
    return networks[0]


def layout_rows(layouts: Sequence[LaidOut]) -> list[dict[str, Any]]:
    """Return layouts at the end of a study: what was predicted, what became of them, and by which share it was off."""
    return [
        {
            "name": one.name,
            "design": one.design.as_dict(),
            "predicted": dict(one.predicted),
            "measured": dict(one.measured),
            "error": {name: one.error(name) for name in one.predicted} if one.failure is None else {},
            "failure": None if one.failure is None else str(one.failure),
        }
        for one in layouts
    ]


def _answer(study: StudyResults, folder: StudyFolder) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "design": study.winner.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "layouts": layout_rows(study.layouts),
        "evaluated": len(study.log),
        "feasible": int(study.log.feasible.sum()),
        "surrogates": dict(study.facts),
        "stage_seconds": dict(study.stage_seconds),
        "files": [str(path) for path in _places(folder).values()],
        "report": str(folder.report),
        "design_file": str(folder.design),
    }
    if study.front is not None:
        answer |= {"front": front_rows(study.front), "hypervolume": float(study.front.hypervolume[-1])}
    return answer


def _places(folder: StudyFolder) -> dict[str, Path]:
    """Return where hardware and pictures are, those of them that there are."""
    from armillary.studies.laying_out import LAYOUTS, RTL

    named = {"hardware": folder.path / RTL, "layouts": folder.path / LAYOUTS}
    return {name: path for name, path in named.items() if path.exists()}


def _show(study: StudyResults, folder: StudyFolder) -> None:
    feasible = int(study.log.feasible.sum())
    tell(f"{len(study.log)} layouts for {study.workload}, {feasible} of them feasible")
    if study.front is not None:
        show_front(study.front)
    goals = [o.metric for o in study.front.objectives] if study.front is not None else [study.problem.metric]
    rows = []
    for one in study.layouts:
        names = list(one.predicted) or [name for name in goals if name in one.measured]
        for name in names:
            error, measured = one.error(name), one.measured.get(name)
            rows.append(
                {
                    "layout": one.name,
                    "metric": name,
                    "predicted": f"{one.predicted[name]:.4g}" if name in one.predicted else "",
                    "laid out": str(one.failure) if one.failure else f"{measured:.4g}",
                    "error": f"{100 * error:+.1f}%" if not math.isnan(error) else "",
                }
            )
    tell()
    print_table(rows)
    tell(f"\nthe winner, {study.winner.note}:")
    tell("  ".join(f"{name}={value}" for name, value in study.winner.design.as_dict().items()))
    tell(f"report    {folder.report}\ndesign    {folder.design}")
    for name, path in _places(folder).items():
        tell(f"{name:<9} {path}")

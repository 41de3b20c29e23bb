"""`armillary design --budget`: designs chosen by simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armillary.cli.shared import command_line, resumable, show_foreseen, write_report
from armillary.console import print_result, print_table, progress_bars, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.hardware.template import Template
    from armillary.studies.results import StudyResults
    from armillary.studies.search import SearchRequest
    from armillary.studies.study_folder import StudyFolder
    from armillary.workloads.layer import Workload

_SHOWN = ("runtime_s", "delay_cycles", "energy_pj", "edp_pj_cycles", "area_mm2")


def design_by_simulation(
    request: SearchRequest,
    chosen: Template,
    network: Workload,
    folder: StudyFolder,
    limits: Any,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the study of a request and show what it found; refuses a template without hardware.

    Raises:
        ArmillaryError: if no design is feasible and within bounds, or see `run_simulated_design`.
    """
    from armillary.studies.search import foresee_search, load_search
    from armillary.studies.simulated_design import run_simulated_design

    if dry_run:
        show_foreseen(foresee_search(request, chosen, network, folder), as_json)
        return
    with progress_bars(resumable(folder.path)) as on_progress:
        found = run_simulated_design(
            request, chosen, network, folder, command=command_line(), limits=limits, on_progress=on_progress
        )
        if found.best is None:
            raise ArmillaryError(
                f"{folder.path}: none of {found.evaluated} designs was feasible and within bounds; loosen the bounds"
            )
        study = load_search(folder, chosen, network)
        write_report(study, folder, on_progress)
    answer = {
        "design": found.best.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "baseline": None if study.baseline is None else dict(study.baseline.metrics),
        "simulations": request.budget,
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "stage_seconds": dict(study.stage_seconds),
        "files": [str(path) for path in found.files],
        "report": str(folder.report),
    }
    print_result(answer, as_json, lambda: _show(request.budget, study, folder))


def _show(simulations: int, study: StudyResults, folder: StudyFolder) -> None:
    from armillary.studies.search import MAPPINGS
    from armillary.studies.simulated_design import rtl_folder

    tell(f"{simulations} simulations of {study.workload}\n")
    contenders = [study.winner] if study.baseline is None else [study.winner, study.baseline]
    names = [name for name in _SHOWN if name in study.winner.metrics]
    print_table([{"": c.name, **{n: f"{c.metrics[n]:.4g}" for n in names if n in c.metrics}} for c in contenders])
    tell("  ".join(f"{name}={value}" for name, value in study.winner.design.as_dict().items()))
    tell("\nthe energy is the cost model's; the cycles are the hardware's, layer after layer")
    tell(f"design    {folder.design}\nmappings  {folder.path / MAPPINGS}")
    tell(f"hardware  {rtl_folder(folder)}\nreport    {folder.report}")

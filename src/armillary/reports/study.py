"""From a finished study to what its report shows."""

from __future__ import annotations

import numpy as np

from armillary.hardware.template import Template
from armillary.reports.content import (
    Candidates,
    ChipRates,
    Contender,
    Importances,
    LayerResult,
    Reliability,
    Selection,
    StudyResults,
    Trial,
)
from armillary.studies import contender as studied
from armillary.studies.design import DesignStudy


def results_of(study: DesignStudy, template: Template, folder: str) -> StudyResults:
    """Return the content of a design study's report."""
    return StudyResults(
        title=f"{study.workload} on {template.name}",
        workload=study.workload,
        space=template.space,
        objective=study.request.objective,
        command=study.command,
        versions=study.versions,
        created=study.created,
        seed=study.request.seed,
        stage_seconds=study.stage_seconds,
        log=study.logged,
        winner=_contender(study.winner),
        best_of_log=_contender(study.best_of_log),
        baseline=_contender(study.baseline),
        candidates=Candidates(study.verified, np.array(study.predicted)),
        importances=Importances(study.importances, study.importance_method)
        if any(study.importances.values())
        else None,
        selection=Selection(
            tuple(Trial(t["alpha"], t["beta"], int(t["checkpoint"]), t["kendall"]) for t in study.trials),
            study.chosen_trial,
        )
        if study.trials
        else None,
        reliability=None if study.brier is None else Reliability(study.brier, study.reliability),
        not_mapped=study.not_mapped,
        report_command=f"armillary report {folder}",
    )


def _contender(studied_one: studied.Contender) -> Contender:
    parts = studied_one.explanation
    if parts is None:
        return Contender(
            studied_one.name,
            studied_one.design,
            studied_one.metrics,
            failure=studied_one.failure,
            note=studied_one.note,
        )
    return Contender(
        studied_one.name,
        studied_one.design,
        studied_one.metrics,
        layers=tuple(
            LayerResult(
                name=cost.layer,
                kind=cost.kind,
                count=cost.count,
                macs=cost.count * cost.macs,
                delay_cycles=cost.count * cost.delay_cycles,
                compute_cycles=cost.count * cost.compute_cycles,
                dram_cycles=cost.count * cost.dram_cycles,
                energy_pj=cost.count * cost.energy_pj,
                dram_bytes=cost.count * cost.dram_bytes,
                utilization=cost.utilization,
                bound=cost.bound,
            )
            for cost in parts.layers
        ),
        rates=ChipRates(parts.clock_hz, parts.peak_macs_per_s, parts.peak_dram_bytes_per_s),
        area_parts_mm2=parts.area_parts_mm2,
        energy_parts_pj=parts.energy_parts_pj,
        overhead_s=parts.overhead_s,
        note=studied_one.note,
    )

"""What a study leaves of layouts: pictures, RTL, and the layout of a winner that cheaper evaluators found."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from armillary.evaluators.kind import LaysOut
from armillary.execution.local import LocalExecutor
from armillary.metrics import derived
from armillary.spaces.space import Space
from armillary.studies.results import LaidOut, Proof
from armillary.studies.stages import Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import Candidate, Design, Evaluation, EvaluatorSpec, Failure

LAYOUTS, RTL, WINNER = "layouts", "rtl", "winner"
_PICTURES = {"layout.png": "cells by block", "congestion.png": "congestion", "slack.png": "slack"}
LAID_OUT, _LAYOUT = "laid_out", "layout.json"
_COMPARED = ("runtime_s", "energy_pj", "area_mm2", "power_mw", "delay_cycles")
"""What a layout tells that cheaper evaluators may have told before."""


def keep_pictures(evaluator: LaysOut, design: Design, folder: StudyFolder, name: str) -> None:
    """Leave the pictures of a design's layout in a study's folder, and of its winner the RTL.

    Raises:
        ArmillaryError: if a tool is missing.
        AccidentError: if a tool is killed.
    """
    made = evaluator.layout_folder(design)
    _copy(made, folder.path / LAYOUTS / name, [file for file in _PICTURES if (made / file).exists()])
    if name == WINNER:
        _copy(made / RTL, folder.path / RTL, sorted(path.name for path in (made / RTL).iterdir()))


def pictures_of(folder: StudyFolder, name: str) -> dict[str, bytes]:
    """Return the pictures that a study left of a layout, by their titles; none where it could draw none."""
    place = folder.path / LAYOUTS / name
    return {title: (place / file).read_bytes() for file, title in _PICTURES.items() if (place / file).exists()}


def lay_out_winner(
    setting: Setting, winner: Evaluation, proof: Proof | None, spec: EvaluatorSpec, executor: LocalExecutor
) -> None:
    """Lay out the winner of a study, and leave what became of it beside what cheaper evaluators told.

    Args:
        setting: of the study.
        winner: as the study's evaluator measured it.
        proof: by evaluators between that one and the layout; what they tell counts for more.
        spec: of the evaluator that makes layouts.
        executor: which makes them.

    Raises:
        ArmillaryError: if a tool is missing.
    """
    setting.on_progress("laying out the winner", 0, 1)
    (row,) = executor.run(spec, [Candidate(winner.design)], setting.workload)
    evaluator = executor.evaluator(spec)
    if row.feasible and isinstance(evaluator, LaysOut):
        keep_pictures(evaluator, row.design, setting.folder, WINNER)
    between = [] if proof is None else [e for e in proof.evaluations.to_list() if e.design == winner.design]
    told = {**winner.metrics, **(between[0].metrics if between and between[0].feasible else {})}
    names = dict.fromkeys([*_COMPARED, *setting.problem.metric_names, *(b.metric for b in setting.problem.bounds)])
    content = {
        "design": row.design.as_dict(),
        "predicted": _known(told, names, setting),
        "measured": {**row.metrics, **_known(row.metrics, names, setting)},
        "failure": None if row.failure is None else asdict(row.failure),
    }
    setting.folder.write(_LAYOUT, content)
    setting.on_progress("laying out the winner", 1, 1)


def winner_laid_out(folder: StudyFolder, space: Space) -> tuple[LaidOut, ...]:
    """Return the layout that `lay_out_winner` left; none if it left none."""
    if not folder.has(_LAYOUT):
        return ()
    content = folder.read(_LAYOUT)
    failure = content["failure"]
    return (
        LaidOut(
            name="Winner",
            design=space.design_from(content["design"], "winner"),
            predicted=content["predicted"],
            measured=content["measured"],
            failure=None if failure is None else Failure(**failure),
            pictures=pictures_of(folder, WINNER),
        ),
    )


def _known(metrics: Mapping[str, float], names: Iterable[str], setting: Setting) -> dict[str, float]:
    found = {name: derived(metrics, name, setting.problem.metrics) for name in names}
    return {name: float(value) for name, value in found.items() if value is not None}


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)

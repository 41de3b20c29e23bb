"""Proving: the best designs of a study, measured again on a truer evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from armillary import evaluators
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.metrics import derived
from armillary.problems.problem import Problem
from armillary.studies.goals import options_for
from armillary.studies.results import Proof
from armillary.studies.stages import Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import Candidate, Evaluations, EvaluatorSpec, Fidelity

PROOF = "proof.json"
_LOG, MOST_PROVEN = "proven", 8


def truer_specs(
    template: str, names: Sequence[str], metrics: Sequence[str], options: Mapping[str, Any], *, seed: int
) -> list[EvaluatorSpec]:
    """Return the evaluators of truer fidelities, with those of a study's options that they share, and its goal.

    Raises:
        ArmillaryError: if there is no such evaluator, or an option is not allowed.
    """
    specs = []
    for fidelity in map(Fidelity, names):
        known = evaluators.kind_of(template, fidelity).options.model_fields
        shared = {name: value for name, value in options.items() if name in known}
        chosen = options_for(template, fidelity, metrics, shared)
        specs.append(evaluators.spec_of(template, fidelity, chosen, seed=seed))
    return specs


def best_rows(rows: Evaluations, problem: Problem, most: int) -> Evaluations:
    """Return the best rows that are feasible and within the bounds, the very best first; at most so many."""
    values = problem.values(rows)
    order = np.argsort(values, kind="stable")[:most]
    return rows.select(order[np.isfinite(values[order])])


def proven(
    setting: Setting, rows: Evaluations, specs: Sequence[EvaluatorSpec], limits: Limits | None, most: int = MOST_PROVEN
) -> Proof | None:
    """Measure the best designs of a study again on truer evaluators, and return what the last of them found.

    Args:
        setting: of the study.
        rows: what the study's own evaluator found.
        specs: the truer evaluators, the truest last.
        limits: of each evaluation.
        most: designs that are measured.

    Returns:
        The proof, which stays in the folder; None where there is no evaluator or no design that keeps to the bounds.

    Raises:
        ArmillaryError: if a tool that an evaluator needs is missing.
    """
    best = best_rows(rows, setting.problem, most) if specs else None
    if best is None or not len(best):
        return None
    candidates = [Candidate(evaluation.design) for evaluation in best.to_list()]
    executor = LocalExecutor(Log(setting.folder.path / _LOG), limits=limits)
    for spec in specs:
        stage, found = f"proving by {spec.fidelity}", []
        setting.on_progress(stage, 0, len(candidates))
        for evaluation in executor.run(spec, candidates, setting.workload):
            found.append(evaluation)
            setting.on_progress(stage, len(found), len(candidates))
    problem = setting.problem
    cheaper = np.asarray(derived(best.metrics, problem.metric, problem.metrics), dtype=float)
    proof = Proof(Evaluations.from_list(found), cheaper)
    setting.folder.write(
        PROOF,
        {
            "designs": [evaluation.design.as_dict() for evaluation in found],
            "cheaper": proof.cheaper.tolist(),
            "evaluator": [specs[-1].name, specs[-1].version, dict(specs[-1].options)],
        },
    )
    return proof


def place_of_winner(proof: Proof, problem: Problem) -> int:
    """Return which of the designs that were measured again is best by the truer evaluator, else the first."""
    values = problem.values(proof.evaluations)
    return int(values.argmin()) if np.isfinite(values).any() else 0


def proof_note(proof: Proof | None, problem: Problem) -> str:
    """Return what a report says of the winner's proof, to be added to where it comes from."""
    if proof is None:
        return ""
    values, fidelity = problem.values(proof.evaluations), proof.evaluations.fidelity[0]
    if not np.isfinite(values).any():
        return f"; none of the {len(values)} best designs was confirmed by {fidelity}"
    return f", best of {len(values)} by {fidelity}"


def read_proof(folder: StudyFolder, space: str) -> Proof | None:
    """Return the proof that a study left; None if it left none."""
    if not folder.has(PROOF):
        return None
    content = folder.read(PROOF)
    name, version, options = content["evaluator"]
    of_design = {
        tuple(evaluation.design.as_dict().values()): evaluation
        for evaluation in Log(folder.path / _LOG).evaluations(space).to_list()
        if (evaluation.evaluator, evaluation.version, evaluation.options) == (name, version, options)
    }
    rows = [of_design[tuple(design.values())] for design in content["designs"]]
    return Proof(Evaluations.from_list(rows), np.array(content["cheaper"]))

"""The section on designs that were measured again on a truer evaluator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # whose parts load when they are used, statistics slowly
from numpy.typing import NDArray

from armillary.reports.summary import evaluators_of
from armillary.reports.units import look_of, text_of
from armillary.reports.wording import MISSING, TIMES, listed, number, signed, within
from armillary.studies.results import Proof, StudyResults
from armillary.types import Evaluation, Evaluations


@dataclass(frozen=True)
class ProofRow:
    """A design: its rank and objective by the study's evaluator, the objective measured again, and their ratio."""

    rank: int
    design: str
    predicted: str
    measured: str
    ratio: str
    feasible: str
    is_winner: bool


@dataclass(frozen=True)
class ProofTable:
    """The designs that were measured again, the best by the study's evaluator first."""

    metric: str
    cheaper: str
    truer: str
    sentence: str
    shared: str
    rows: tuple[ProofRow, ...]


def proof_table(results: StudyResults) -> ProofTable | None:
    """Return what a truer evaluator measured; None if nothing was measured again."""
    proof = results.proof
    if proof is None:
        return None
    cheaper, truer = (listed(evaluators_of([rows])) for rows in (results.log, proof.evaluations))
    measured = results.measured(proof.evaluations)
    legal = results.legal(proof.evaluations)
    differing, shared = _told_apart(proof.evaluations)
    evaluations = proof.evaluations.to_list()
    return ProofTable(
        metric=look_of(results).title,
        cheaper=cheaper,
        truer=truer,
        sentence=_sentence(results, proof, measured, legal, cheaper, truer),
        shared=shared,
        rows=tuple(
            _row(
                results,
                place,
                evaluations[place],
                differing,
                float(proof.cheaper[place]),
                float(measured[place]),
                legal,
            )
            for place in range(len(evaluations))
        ),
    )


def _row(
    results: StudyResults,
    place: int,
    evaluation: Evaluation,
    differing: list[str],
    predicted: float,
    measured: float,
    legal: NDArray[np.bool_],
) -> ProofRow:
    metric = results.problem.metric
    feasible = "yes" if legal[place] else "out of bounds" if evaluation.feasible else str(evaluation.failure)
    return ProofRow(
        rank=place + 1,
        design=_written(evaluation, differing),
        predicted=text_of(results, metric, predicted),
        measured=text_of(results, metric, measured),
        ratio=f"{number(measured / predicted)}{TIMES}" if np.isfinite(measured) and predicted else MISSING,
        feasible=feasible,
        is_winner=evaluation.design == results.winner.design,
    )


def _told_apart(rows: Evaluations) -> tuple[list[str], str]:
    """Return the parameters in which the designs differ, and what they share as text."""
    differing = [name for name, column in rows.design.items() if len(set(column.tolist())) > 1]
    same = [name for name in rows.design if name not in differing]
    return differing or list(rows.design), _written(rows.row(0), same) if differing else ""


def _written(evaluation: Evaluation, names: list[str]) -> str:
    values = evaluation.design.as_dict()
    return ", ".join(f"{name}={values[name]}" for name in names)


def _sentence(
    results: StudyResults, proof: Proof, measured: NDArray[np.float64], legal: NDArray[np.bool_], by: str, truer: str
) -> str:
    """Return the proof in one sentence."""
    count, metric = len(measured), look_of(results).title.lower()
    begin = f"The {count:,} best designs by {by} were measured again by {truer}: " if count > 1 else (
        f"The best design by {by} was measured again by {truer}: "
    )  # fmt: skip
    if not legal.any():
        return f"{begin}none of them is {within(results.bounds)}."
    known = np.isfinite(measured)
    ratios = measured[known] / proof.cheaper[known]
    low, high = number(float(ratios.min())), number(float(ratios.max()))
    spread = f"{low}{TIMES}" if low == high else f"{low}{TIMES} to {high}{TIMES}"
    kept = f"{int(legal.sum()):,} of {count:,} are {within(results.bounds)}"
    told = f"{begin}{kept}, and their {metric} is {spread} what was predicted"
    pairs = measured[known], proof.cheaper[known]
    if any(len(np.unique(column)) < 2 for column in pairs):
        return f"{told}."
    tau = float(scipy.stats.kendalltau(*pairs).statistic)
    return f"{told}; the rank correlation of prediction and measurement is {signed(tau)} (Kendall's τ)."

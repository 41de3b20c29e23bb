"""Rungs: cheaper answers to the same question, and how rows of a log say that they are no more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.types import Evaluations, EvaluatorSpec, options_from

UNTIL = "until"
"""The option of an evaluator that says where it stops; whole evaluations do not record it."""


@dataclass(frozen=True)
class Rung:
    """A cheaper answer to what an evaluator is asked, by the first part of its work: a rung of a ladder of fidelities.

    Attributes:
        name: of the rung.
        spec: of the evaluator that gives the answer; its option `until` says that it stops.
        blind: parameters that the answer does not depend on.
    """

    name: str
    spec: EvaluatorSpec
    blind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """What answers of a rung took, each of shape [designs].

    Attributes:
        all_s: seconds of all that an answer takes, what was kept from the rungs below with it.
        kept_s: of these, seconds of what the rungs above do not do again.
    """

    all_s: NDArray[np.float64]
    kept_s: NDArray[np.float64]


def are_whole(rows: Evaluations) -> NDArray[np.bool_]:
    """Return which rows are of evaluations that did not stop early, shape [rows]."""
    return np.array([UNTIL not in options_from(str(text)) for text in rows.options], dtype=bool)

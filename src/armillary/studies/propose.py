"""Propose: the best designs by a surrogate, within the bounds that are known without evaluating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.surrogate_search import keys, top_designs
from armillary.problems.problem import Keep, Problem
from armillary.types import ArmillaryError, Evaluations, Prediction, PredictsForEach, Surrogate
from armillary.workloads.context import Context

_APART = 3
_BRED = 256  # designs that the search keeps and breeds at least: of few it ends in the first valley


Combine = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From values of each workload, shape [workloads, designs], to one per design, shape [designs]."""


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=0))


@dataclass(frozen=True)
class Proposals:
    """Coded designs, shape [designs, parameters], the best first, and what the surrogate expects of them.

    Of several workloads `predicted` is the mean, `p_feasible` the product.
    """

    codes: NDArray[np.int64]
    predicted: NDArray[np.float64]
    p_feasible: NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """A bound on another metric, such as power, that a second surrogate predicts."""

    surrogate: Surrogate
    at_most: float


def propose(
    surrogate: Surrogate,
    problem: Problem,
    contexts: Context | Sequence[Context],
    *,
    top: int = 256,
    seed: int = 0,
    known: Evaluations | None = None,
    limits: Sequence[Limit] = (),
    keep: Keep | None = None,
    effort: Mapping[str, int] | None = None,
    combine: Combine = _mean,
) -> Proposals:
    """Return the designs within the bounds that laws tell which the surrogate ranks best, half of them no close copies.

    Of that half any two differ in three parameters at least, as far as there are such designs: what is verified should
    not all be spent on parameters that hardly matter. PRIME Section 4 wants its fireflies good and diverse for the
    same reason. The other half are the best of the rest.

    Args:
        surrogate: a fitted surrogate.
        problem: whose space, laws and bounds to use; a bound need not be the one that the surrogate was trained with
            (PRIME Appendix A.3).
        contexts: the workload, or several, whose mean is minimised; they need not be those that the
            surrogate was trained on.
        top: how many designs; 256 in PRIME Section 3.
        seed: same seed, same proposals.
        known: designs already evaluated; they are not proposed again.
        keep: designs to consider, as a mask over codes; all, if not given.
        limits: designs that another surrogate expects to exceed its bound, on any workload, are left out.
        combine: from what is expected of each workload, shape [workloads, designs], to what is to be as good as can be,
            shape [designs]; the mean, if not given.
        effort: `swarms`, `steps`, `generations` and `refine_rounds` of `top_designs`, where its own take too long.

    Raises:
        ArmillaryError: if there is no context, or no design meets the bounds.
    """
    every = list(contexts) if isinstance(contexts, Sequence) else [contexts]
    if not every:
        raise ArmillaryError("no workload to propose designs for; name at least one")

    def score(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return combine(np.array([p.mean for p in _expected(surrogate, codes, every)]))

    allowed = _allowed(problem, every, known, limits, keep)
    search = {"bred": _BRED, "apart": _APART, **(effort or {})}
    codes = top_designs(score, problem.space, n=top, seed=seed, keep=allowed, **search)
    predictions = _expected(surrogate, codes, every)
    return Proposals(
        codes=codes,
        predicted=combine(np.array([p.mean for p in predictions])),
        p_feasible=np.asarray(np.prod([p.p_feasible for p in predictions], axis=0)),
    )


def _allowed(
    problem: Problem,
    contexts: Sequence[Context],
    known: Evaluations | None,
    limits: Sequence[Limit],
    keep: Keep | None,
) -> Keep:
    """Return the mask over codes that every proposal has to pass; the surrogates of limits are asked last."""
    met = keys(problem.space.encode_columns(known.design)) if known is not None else None

    def allowed(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = np.ones(len(codes), dtype=bool) if problem.keep is None else problem.keep(codes)
        if keep is not None:
            inside &= keep(codes)
        if met is not None:
            inside &= ~np.isin(keys(codes), met)
        for limit in limits:
            left = np.flatnonzero(inside)
            if len(left):
                most = np.max([p.mean for p in _expected(limit.surrogate, codes[left], contexts)], axis=0)
                inside[left] = most <= limit.at_most
        return inside

    return allowed


def _expected(model: Surrogate, codes: NDArray[np.int64], contexts: Sequence[Context]) -> list[Prediction]:
    if isinstance(model, PredictsForEach):
        return model.predict_each(codes, contexts)
    return [model.predict(codes, context) for context in contexts]

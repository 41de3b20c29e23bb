"""Propose: the best designs by a surrogate, within the bounds that are known without evaluating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.surrogate_search import Score, distinct, keys, spread_out, top_designs
from armillary.problems.problem import Keep, Problem
from armillary.surrogates import GatesProposals, HoldsOpinions, PredictsHopefully
from armillary.types import ArmillaryError, Evaluations, Prediction, PredictsForEach, Surrogate
from armillary.workloads.context import Context

_APART = 3
_BRED = 256  # designs that the search keeps and breeds at least: of few it ends in the first valley
_BOLD_SHARE = 3 / 16  # more find more where a log lacks the best, and fail more often
_CHOICE = 8  # designs that members choose among, per design wanted
_LAST = np.finfo(np.float64).max / 4
_RANKED_DIGITS = 4  # of predictions and chances: what differs by less is ranked by its code
_BRIEF = {"swarms": 8, "steps": 30, "generations": 20, "refine_rounds": 5, "bred": 128}
"""How thoroughly a blend of members is searched, which takes tenths of a millisecond per design: twenty seconds."""


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

    A surrogate whose chance to be feasible is calibrated (`GatesProposals`) proposes from the designs that are likely
    feasible, as far as there are such; if it `PredictsHopefully`, three in sixteen are from those that it may hope
    for. Of a surrogate of several members (`HoldsOpinions`) it is their choices that spread: half of the likely designs
    are the best of all members together, the other half the best of each in turn.

    Args:
        surrogate: a fitted surrogate.
        problem: whose space, candidates, laws and bounds to use, and whose objective is minimised or maximised; a bound
            need not be the one that the surrogate was trained with (PRIME Appendix A.3). Candidates are all scored;
            where the problem lists none, its space is searched.
        contexts: the workload, or several, which `combine` makes one; they need not be those that the surrogate was
            trained on.
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
    ranking = _Ranking(surrogate, problem, every, combine)
    passing = allowed(problem, known, every, limits, keep)
    found: _Finds = _Listed(problem, passing)
    if problem.candidates is None:
        brief = _BRIEF if isinstance(surrogate, HoldsOpinions) else {}
        found = _Searched(problem, passing, seed, {"bred": _BRED, "apart": _APART, **brief, **(effort or {})})
    codes = _chosen(ranking, found, top)
    predictions = predictions_of(surrogate, codes, every)
    return Proposals(
        codes=codes,
        predicted=combine(np.array([p.mean for p in predictions])),
        p_feasible=_chance(predictions),
    )


class _Finds(Protocol):
    """Where designs are found."""

    def best(self, score: Score, n: int) -> NDArray[np.int64]:
        """Return n designs of the least score, as spread out as proposals shall be, the best first."""
        ...


@dataclass(frozen=True)
class _Searched:
    """The designs of a space."""

    problem: Problem
    allowed: Keep
    seed: int
    effort: Mapping[str, int]

    def best(self, score: Score, n: int) -> NDArray[np.int64]:
        return top_designs(score, self.problem.space, n=n, seed=self.seed, keep=self.allowed, **self.effort)


@dataclass(frozen=True)
class _Listed:
    """The candidates of a problem: all are scored."""

    problem: Problem
    allowed: Keep

    def best(self, score: Score, n: int) -> NDArray[np.int64]:
        assert self.problem.candidates is not None
        codes = distinct(self.problem.candidates)
        codes = codes[self.allowed(codes)]
        if not len(codes):
            raise ArmillaryError(
                f"none of the {len(self.problem.candidates):,} candidates is new and passes the constraint; "
                "loosen the bound, or list more candidates"
            )
        codes = codes[np.argsort(score(codes), kind="stable")]
        return codes[spread_out(codes[: _CHOICE * n], n, _APART, (n + 1) // 2)]


@dataclass(frozen=True)
class _Ranking:
    """How designs are ranked: every score is the less the better."""

    surrogate: Surrogate
    problem: Problem
    contexts: Sequence[Context]
    combine: Combine

    def score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the score of designs, shape [designs]."""
        return self._score(self._expected(codes))

    def opinions(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the scores of each member, shape [members, designs]; the one score if there are no members."""
        if not isinstance(self.surrogate, HoldsOpinions):
            return self.score(codes)[None]
        told = np.array([self.surrogate.opinions(codes, context) for context in self.contexts])
        return np.stack([self._to_minimise(told[:, member]) for member in range(told.shape[1])])

    def likely(self, codes: NDArray[np.int64], gate: GatesProposals) -> NDArray[np.float64]:
        """Return the score of designs; those of too small a chance come after all others."""
        predictions = self._expected(codes)
        return _behind(self._score(predictions), _short(gate.least_chance, predictions))

    def likely_to_each(self, codes: NDArray[np.int64], gate: GatesProposals) -> NDArray[np.float64]:
        """Return the same of each member, shape [members, designs]."""
        return _behind(self.opinions(codes), _short(gate.least_chance, self._expected(codes)))

    def hoped_for(self, codes: NDArray[np.int64], hope: PredictsHopefully) -> NDArray[np.float64]:
        """Return the score of designs by hopeful predictions; those of too little hope come after all others."""
        predictions = [hope.hopeful(codes, context) for context in self.contexts]
        return _behind(self._score(predictions), _short(hope.least_hope, predictions))

    def _expected(self, codes: NDArray[np.int64]) -> list[Prediction]:
        return predictions_of(self.surrogate, codes, self.contexts)

    def _score(self, predictions: Sequence[Prediction]) -> NDArray[np.float64]:
        return self._to_minimise(np.array([p.mean for p in predictions]))

    def _to_minimise(self, each: NDArray[np.float64]) -> NDArray[np.float64]:
        value = rounded(self.combine(each))
        return np.asarray(value if self.problem.objective.direction == "minimize" else -value)


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return predictions as designs are ranked by them: to four significant digits, same shape.

    Networks trained with other instructions of a processor predict otherwise in the last digits. What is equal after
    rounding is ranked by its code, so that processors propose the same designs wherever these differ in truth.
    """
    finite = np.isfinite(values) & (values != 0)
    size = np.floor(np.log10(np.abs(np.where(finite, values, 1.0))))
    step = 10.0 ** (size - (_RANKED_DIGITS - 1))
    return np.asarray(np.where(finite, np.round(values / step) * step, values))


def _chance(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Return the chance of designs to be feasible on all workloads, shape [designs]."""
    return np.asarray(np.prod([p.p_feasible for p in predictions], axis=0))


def _short(least: float, predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Return how much the chance of designs falls short of the least, both rounded, shape [designs]."""
    return np.asarray(np.round(least, _RANKED_DIGITS) - np.round(_chance(predictions), _RANKED_DIGITS))


def _behind(value: NDArray[np.float64], short: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores in which designs whose chance falls short come after all others, those that do least first."""
    return np.where(short > 0, _LAST * (1 + short), value)


def _chosen(ranking: _Ranking, found: _Finds, top: int) -> NDArray[np.int64]:
    """Return the proposals, the best first."""
    gate = hope = ranking.surrogate
    if not isinstance(gate, GatesProposals):
        return found.best(ranking.score, top)
    likely = partial(ranking.likely, gate=gate)
    bold = round(_BOLD_SHARE * top) if isinstance(hope, PredictsHopefully) else 0
    pool = found.best(likely, _CHOICE * top)
    first = pool[np.argsort(likely(pool), kind="stable")[: (top - bold + 1) // 2]]
    chosen = _in_turn(first, pool, ranking.likely_to_each(pool, gate), top - bold)
    if isinstance(hope, PredictsHopefully):
        hoped_for = partial(ranking.hoped_for, hope=hope)
        daring = found.best(hoped_for, 2 * top)
        chosen = _in_turn(chosen, daring, hoped_for(daring)[None], top)
    return chosen[np.argsort(likely(chosen), kind="stable")]


def _in_turn(
    chosen: NDArray[np.int64], pool: NDArray[np.int64], scores: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Return the chosen designs and more of a pool until there are n: the best of each score [scores, pool] in turn."""
    orders = [iter(order) for order in np.argsort(scores, axis=1, kind="stable")]
    taken = set(keys(chosen).tolist())
    names = keys(pool).tolist()
    more: list[int] = []
    while orders and len(chosen) + len(more) < n:
        place = next((k for k in orders[0] if names[k] not in taken), None)
        turn = orders.pop(0)
        if place is not None:
            taken.add(names[place])
            more.append(int(place))
            orders.append(turn)
    return np.concatenate([chosen, pool[np.array(more, dtype=np.intp)]])


def allowed(
    problem: Problem,
    known: Evaluations | None,
    contexts: Sequence[Context] = (),
    limits: Sequence[Limit] = (),
    keep: Keep | None = None,
) -> Keep:
    """Return the mask over codes that every proposal has to pass; the surrogates of limits are asked last.

    Args:
        problem: whose space, candidates, laws and bounds to use.
        known: designs already evaluated, which do not pass.
        contexts: the workloads for which limits hold.
        limits: see `propose`.
        keep: designs to consider, as a mask over codes; all, if not given.
    """
    met = keys(problem.space.encode_columns(known.design)) if known is not None else None

    def passing(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = np.ones(len(codes), dtype=bool) if problem.keep is None else problem.keep(codes)
        if keep is not None:
            inside &= keep(codes)
        if met is not None:
            inside &= ~np.isin(keys(codes), met)
        for limit in limits:
            left = np.flatnonzero(inside)
            if len(left):
                most = np.max([p.mean for p in predictions_of(limit.surrogate, codes[left], contexts)], axis=0)
                inside[left] = most <= limit.at_most
        return inside

    return passing


def predictions_of(model: Surrogate, codes: NDArray[np.int64], contexts: Sequence[Context]) -> list[Prediction]:
    """Return what a surrogate expects of coded designs on each of several workloads, in one pass where it can."""
    if isinstance(model, PredictsForEach):
        return model.predict_each(codes, contexts)
    return [model.predict(codes, context) for context in contexts]

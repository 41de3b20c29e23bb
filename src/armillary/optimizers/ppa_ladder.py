"""A front of layouts by a ladder of fidelities: at each turn the step that promises most hypervolume a second.

A design starts on the first rung, such as synthesis. What it says there is known from then on, and how far whole
evaluations are from that is learned, so that what is expected of the design gets surer. Then it goes on to a further
rung or to a whole evaluation, or is left there. Of all designs and their next steps, those are taken whose expected
gain over expected seconds is greatest: of a whole evaluation the hypervolume that it is expected to add, times its
chance to keep to the bounds; of a rung the best that can be had by going on from there where what it says promises
enough, and by leaving the design where it does not. A design that was on no rung yet has to add to what those promise
that wait on one.

Surrogates learn again after a batch, and MOTPE searches them for designs, as in
`armillary.optimizers.ppa_motpe`.

Source: a research project in stages that may be given up, and the reward rate that is its index: Weitzman, Econometrica
    1979; Gittins, Journal of the Royal Statistical Society B 1979. Here it looks one rung ahead: after it, a design is
    evaluated whole or left. Expected hypervolume improvement: Emmerich et al., CEC 2011.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from armillary.optimizers.coded import keys
from armillary.optimizers.ladder_models import Belief, Climbed, Clock, Codes, Figures, Floats, climbed_each
from armillary.optimizers.ppa_motpe import (
    INITIAL,
    PpaMotpe,
    fitted_each,
    legal_and_feasible,
    reference_of,
    settled_rows,
)
from armillary.optimizers.several import boxes, expected_gain
from armillary.optimizers.surrogate_front import FEWEST_LEARNED, TRIALS, Expected, motpe_on, nearest_to_bounds
from armillary.optimizers.surrogate_search import distinct
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import front
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung, Work
from armillary.types import Evaluations, Prediction
from armillary.workloads.context import Context

_LOOKED_AT = 64  # designs, the most promising, of which the worth of a rung is found out
_DRAWS = 16  # of what a rung may say, and their opposites
_ANSWERS = 2  # times the batch, after which surrogates learn again
_JOINED = 16  # whole evaluations that are sent to the rungs after the first, to learn from
_LIKELY = 0.5
_LEAST_STD = 1e-9


class PpaLadder(PpaMotpe):
    """The ladder; where nobody asks for rungs, and of evaluators that have none, it is `PpaMotpe`.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: designs that are evaluated whole, and sent to every rung, before the first surrogates.
        surrogate: which learns what the first rung says of each metric, as registered.
        trials: of MOTPE on the surrogates, each time.
        caution: standard deviations by which goals are taken for worse than their means.
        batch: surrogates learn again when as much was spent as so many whole evaluations take, and after twice as many
            answers; at most as many designs are asked at once.
        rungs: below whole evaluations, the cheapest first.

    Attributes:
        rungs: likewise.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = INITIAL,
        surrogate: str = "ppa",
        trials: int = TRIALS,
        caution: float = 0.0,
        batch: int = 6,
        rungs: Sequence[Rung] = (),
    ) -> None:
        super().__init__(
            problem, seed=seed, initial=initial, surrogate=surrogate, trials=trials, caution=caution, batch=batch
        )
        self.rungs = tuple(rungs)
        self._figures = [Figures(rung, problem.space) for rung in self.rungs]
        self._clock = Clock(problem.space, len(self.rungs))
        self._broken: set[bytes] = set()
        self._round: _Round | None = None

    def ask_rung(self, left_s: float = np.inf) -> tuple[Codes, int]:
        """Return designs, shape [designs, parameters], and the number of the rung that they go to.

        Rungs are numbered from 0; whole evaluations have the number after the last.

        Args:
            left_s: seconds that are left; no more designs are asked than fit, but one.
        """
        whole = len(self.rungs)
        for number in range(whole):
            behind = self._behind(number)
            if len(behind):
                return behind, number
        if not whole or not self._ready():
            return self.ask_codes(self.asks_after(len(self._rows))), whole
        if self._round is None or self._is_over(self._round):
            self._round = self._begun()
        codes, number = self._step(self._round, left_s)
        if number == whole:
            self._met.update(keys(codes))
        return codes, number

    def tell_rung(self, codes: Codes, number: int, outcomes: Outcomes, work: Work) -> None:
        """Take what became of designs, shape [designs, parameters], on a rung, and what it took."""
        if self._round is not None:
            self._round.answers += len(codes)
            self._round.spent_s += float(self._clock.seconds(highest(self._figures, codes), number, codes).sum())
        self._clock.tell(number, codes, work)
        if number == len(self.rungs):
            self.tell_codes(codes, outcomes)
            return
        rows = settled_rows(self.problem, codes, outcomes)
        self._figures[number].add(codes[list(rows)], list(rows.values()))
        broken = [place for place in range(len(codes)) if place not in rows]
        self._broken.update(keys(codes[broken]))

    def _behind(self, number: int) -> Codes:
        """Return designs that were evaluated whole, and are to be sent to a rung, to learn what it says of them."""
        known = self._figures[number].known(self._codes)
        left = self._codes[~known & ~self._is_broken(self._codes)]
        return left if number == 0 else left[: max(_JOINED - int(known.sum()), 0)]

    def _ready(self) -> bool:
        return len(self._rows) >= self._initial and self._learnable() >= FEWEST_LEARNED

    def _is_over(self, round_: _Round) -> bool:
        """Return whether models are to learn again: what they expected of many designs may have been too much."""
        much = self.batch * self._clock.mean_s(len(self.rungs))
        return round_.spent_s >= much or round_.answers >= _ANSWERS * self.batch

    def _is_broken(self, codes: Codes) -> NDArray[np.bool_]:
        return np.array([key in self._broken for key in keys(codes)], dtype=bool)

    def _begun(self) -> _Round:
        """Return a round: models of all that is known, and the designs that MOTPE met on them."""
        figures, space = self._figures, self.space
        first = fitted_each(Evaluations.from_list(figures[0].rows), self.problem, self._surrogate, self._seed)
        models = climbed_each(first, space, self._codes, self._rows, figures)
        self._clock.fit()
        expected = Expected(models, self.problem, caution=self._caution)
        matrix = self.problem.matrix(Evaluations.from_list(self._rows))
        visited = motpe_on(
            expected,
            self.problem,
            trials=self._trials,
            seed=self._seed + len(self._rows),
            start=self._codes[front(matrix)],
        )
        if not np.isfinite(matrix).any():
            visited = visited.select(nearest_to_bounds(visited, self.problem))
        codes = distinct(np.concatenate([visited.codes, figures[0].codes]))
        said = {name: model.first.predict(codes, Context()) for name, model in models.items()}
        return _Round(models, codes, said)

    def _step(self, round_: _Round, left_s: float) -> tuple[Codes, int]:
        """Return the designs whose next step is worth most a second, and the number of their rung."""
        whole = len(self.rungs)
        known = Evaluations.from_list(self._rows)
        matrix = self.problem.matrix(known)
        open_ = np.flatnonzero(self._unmet(round_.codes) & ~self._is_broken(round_.codes))
        if not len(open_):
            return self._drawn(1), whole
        if not np.isfinite(matrix).any():  # no front to add to yet
            return round_.codes[open_[: self.batch]], whole
        pool = round_.pool(open_, self._figures)
        gains = _Gains.of(self.problem, pool.models, known, self._caution)
        rungs = [self._worth_of_rung(pool, number, gains, left_s) for number in range(whole)]
        best = np.max([worth.max(initial=0.0) for worth in rungs], initial=0.0)
        chosen = self._whole(pool, gains, best, left_s)
        if len(chosen):
            return pool.codes[chosen], whole
        if not best > 0:  # nothing that is known promises anything
            return self._drawn(1), whole
        number = int(np.argmax([worth.max(initial=0.0) for worth in rungs]))
        order = np.argsort(-rungs[number], kind="stable")
        return self._apart(pool.codes[order[rungs[number][order] > 0]], number)[: self.batch], number

    def _apart(self, codes: Codes, number: int) -> Codes:
        """Return the first of designs that share their figures on a rung."""
        first: dict[bytes, int] = {}
        for place, key in enumerate(self._figures[number].keys(codes)):
            first.setdefault(key, place)
        return codes[list(first.values())]

    def _whole(self, pool: _Pool, gains: _Gains, least: float, left_s: float) -> NDArray[np.intp]:
        """Return designs that are worth more a second, whole, than any rung, as if those before came out as expected.

        Only designs that were on the first rung are evaluated whole, which costs them little more.
        """
        seconds = np.where(pool.at < 0, np.inf, self._clock.seconds(pool.at, len(self.rungs), pool.codes))
        chosen: list[int] = []
        while len(chosen) < self.batch:
            worth = gains.expected(pool.codes, pool.believed, pool.chance) / seconds
            worth[chosen] = -np.inf
            best = int(worth.argmax())
            left_s -= seconds[best]
            if not worth[best] > least or (chosen and left_s < 0):
                break
            chosen.append(best)
            gains = gains.with_expected(pool.codes[[best]], {n: b.select([best]) for n, b in pool.believed.items()})
        return np.array(chosen, dtype=np.intp)

    def _worth_of_rung(self, pool: _Pool, number: int, gains: _Gains, left_s: float) -> Floats:
        """Return what sending designs to a rung is worth a second, shape [designs]; 0 where they cannot go."""
        worth = np.zeros(len(pool.codes))
        plain = gains.expected(pool.codes, pool.believed, pool.chance)
        # from a rung to any further one, but onto the ladder only by its first
        can = np.flatnonzero((pool.at < number) & ((pool.at >= 0) | (number == 0)))
        can = can[np.argsort(-plain[can], kind="stable")][:_LOOKED_AT]
        if len(can):
            if number == 0:
                gains = self._over_what_is_known(pool, gains)
            some = pool.select(can)
            there = self._clock.seconds(some.at, number, some.codes)
            rest = self._clock.seconds(np.full(len(can), number), len(self.rungs), some.codes)
            found = rate(self._gains_after(some, number, gains), there, rest)
            worth[can] = np.where(there + rest <= left_s, found, 0.0)
        return worth

    def _over_what_is_known(self, pool: _Pool, gains: _Gains) -> _Gains:
        """Return the gains over designs that wait on rungs, too, as if they had come out as expected.

        What they promise can be had without looking at any other design.
        """
        chance = pool.chance * gains.within(pool.codes, pool.believed)
        waiting = np.flatnonzero((pool.at >= 0) & (chance >= _LIKELY))
        some = pool.select(waiting)
        return gains.with_expected(some.codes, some.believed) if len(waiting) else gains

    def _gains_after(self, pool: _Pool, number: int, gains: _Gains) -> Floats:
        """Return the gain that whole evaluations promise after draws of what a rung says, shape [draws, designs]."""
        rng = np.random.default_rng(self._seed)
        shifts = {}
        for name, belief in pool.believed.items():
            left = np.minimum(pool.models[name].doubt_after(number, pool.codes), belief.std)
            drawn = rng.standard_normal(_DRAWS)
            spread = np.sqrt(belief.std**2 - left**2)
            shifts[name] = (np.concatenate([drawn, -drawn])[:, None] * spread, left)
        return np.stack(
            [
                gains.expected(
                    pool.codes,
                    {n: Belief(pool.believed[n].mean + shift[draw], left) for n, (shift, left) in shifts.items()},
                    pool.chance,
                )
                for draw in range(2 * _DRAWS)
            ]
        )


def highest(figures: Sequence[Figures], codes: Codes) -> NDArray[np.int64]:
    """Return the number of the highest rung that each design was on, -1 for none, shape [designs]."""
    found = np.full(len(codes), -1)
    for number, each in enumerate(figures):
        found[each.known(codes)] = number
    return found


def rate(gains: Floats, there_s: Floats, rest_s: Floats) -> Floats:
    """Return the greatest expected gain over expected seconds of designs that go on only where it pays.

    Args:
        gains: of going on, by what may be found out first, all as likely, shape [draws, designs].
        there_s: seconds until it is found out, shape [designs].
        rest_s: seconds of going on, shape [designs].

    Returns:
        The rate, shape [designs]: of all sets of draws in which a design goes on, the best. That is one of those that
        hold the greatest gains.
    """
    draws = len(gains)
    best_first = -np.sort(-gains, axis=0)
    going_on = np.arange(1, draws + 1)[:, None]
    return np.asarray((np.cumsum(best_first, axis=0) / (draws * there_s + going_on * rest_s)).max(axis=0))


@dataclass
class _Round:
    """What was learned, and the designs that are looked at, until surrogates learn again.

    Attributes:
        models: by metric.
        codes: designs, shape [designs, parameters].
        said: what the first rung is expected to say of them, by metric.
        spent_s: seconds since it began.
        answers: told since then.
    """

    models: Mapping[str, Climbed]
    codes: Codes
    said: Mapping[str, Prediction]
    spent_s: float = 0.0
    answers: int = 0

    def pool(self, places: NDArray[np.intp], figures: Sequence[Figures]) -> _Pool:
        """Return designs of the round, given by their places, with what is expected of them by now."""
        codes = self.codes[places]
        said = {
            name: Prediction(one.mean[places], one.std[places], one.p_feasible[places])
            for name, one in self.said.items()
        }
        believed = {name: model.believed(codes, said[name]) for name, model in self.models.items()}
        chance = np.min([model.chance(codes, said[name]) for name, model in self.models.items()], axis=0)
        return _Pool(self.models, codes, believed, chance, highest(figures, codes))


@dataclass(frozen=True)
class _Pool:
    """Designs among which the next step is chosen.

    Attributes:
        models: by metric.
        codes: shape [designs, parameters].
        believed: what is expected of them, by metric.
        chance: that they are feasible, shape [designs].
        at: the number of the highest rung that each was on, -1 for none.
    """

    models: Mapping[str, Climbed]
    codes: Codes
    believed: Mapping[str, Belief]
    chance: Floats
    at: NDArray[np.int64]

    def select(self, rows: NDArray[np.intp]) -> _Pool:
        """Return some of them."""
        believed = {name: belief.select(rows) for name, belief in self.believed.items()}
        return _Pool(self.models, self.codes[rows], believed, self.chance[rows], self.at[rows])


@dataclass(frozen=True)
class _Gains:
    """The hypervolume that designs are expected to add, times their chance to be feasible and within the bounds.

    Attributes:
        problem: of the objectives and bounds.
        models: by metric; they say which are seen as logarithms.
        caution: see `PpaLadder`.
        best: what there is, seen, to be minimised, shape [rows, objectives].
        logs: which objectives are seen as logarithms.
        reference: up to which volume counts, shape [objectives].
        cells: what `best` leaves undominated, see `boxes`.
    """

    problem: Problem
    models: Mapping[str, Climbed]
    caution: float
    best: Floats
    logs: NDArray[np.bool_]
    reference: Floats
    cells: Floats

    @staticmethod
    def of(problem: Problem, models: Mapping[str, Climbed], known: Evaluations, caution: float) -> _Gains:
        """Return the gains over rows of whole evaluations."""
        legal, feasible = legal_and_feasible(problem, known)
        logs = np.array([
            models[objective.metric].logs if objective.metric in models else bool((feasible[:, place] > 0).all())
            for place, objective in enumerate(problem.objectives)
        ])  # fmt: skip
        best, seen = (np.where(logs, np.log(np.where(logs, v, 1.0)), v) for v in (legal, feasible))
        reference = reference_of(seen)
        return _Gains(problem, models, caution, best, logs, reference, boxes(best, reference))

    def expected(self, codes: Codes, believed: Mapping[str, Belief], chance: Floats) -> Floats:
        """Return the gain of designs, shape [designs]."""
        mean, std = self._seen(codes, believed)
        return expected_gain(mean, std, self.cells) * chance * self.within(codes, believed)

    def with_expected(self, codes: Codes, believed: Mapping[str, Belief]) -> _Gains:
        """Return the gains when designs have come out as expected."""
        best = np.concatenate([self.best, self._seen(codes, believed)[0]])
        return replace(self, best=best, cells=boxes(best, self.reference))

    def _seen(self, codes: Codes, believed: Mapping[str, Belief]) -> tuple[Floats, Floats]:
        """Return what is to be minimised as it is seen, and its deviation, each of shape [designs, objectives]."""
        means, deviations = [], []
        for objective, logs in zip(self.problem.objectives, self.logs, strict=True):
            if objective.metric in believed:
                belief = believed[objective.metric]
                side = 1.0 if objective.direction == "minimize" else -1.0
                means.append(side * belief.mean + self.caution * belief.std)
                deviations.append(np.zeros(len(codes)) if self.caution > 0 else belief.std)
            else:
                value = objective.to_minimise(self.problem.laws[objective.metric](codes))
                means.append(np.log(value) if logs else value)
                deviations.append(np.zeros(len(codes)))
        return np.stack(means, axis=1), np.stack(deviations, axis=1)

    def within(self, codes: Codes, believed: Mapping[str, Belief]) -> Floats:
        """Return the probability that designs keep to the bounds, shape [designs]; metrics are independent."""
        found = np.ones(len(codes))
        for bound in self.problem.bounds:
            if bound.metric not in believed:
                found = found * bound.met_by(self.problem.laws[bound.metric](codes))
                continue
            belief, model = believed[bound.metric], self.models[bound.metric]
            sides = [-np.inf if bound.at_least is None else float(model.seen(np.array(bound.at_least))),
                     np.inf if bound.at_most is None else float(model.seen(np.array(bound.at_most)))]  # fmt: skip
            below, above = (ndtr((side - belief.mean) / np.maximum(belief.std, _LEAST_STD)) for side in sides)
            found = found * (above - below)
        return found

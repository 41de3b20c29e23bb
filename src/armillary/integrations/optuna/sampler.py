"""A sampler of Optuna's studies that learns with our default surrogate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from armillary import optimizers
from armillary.integrations.optuna.grid import Grid
from armillary.integrations.optuna.search import SurrogateSearch
from armillary.optimizers.coded import CodedOptimizer
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import MOST_OBJECTIVES
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Metric

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_SEEDS = 2**31


class AutoSampler(BaseSampler):
    """Samples where Armillary's default surrogate, `auto`, expects improvement.

    A study of one objective is searched with the surrogate; one of two to four objectives by expected hypervolume
    improvement (our optimizer `pareto`). Trials that failed or were pruned are infeasible designs, and a trial whose
    constraints (`trial.set_constraint`) are above zero is out of bounds: both are learned from, too.

    Until `n_startup_trials` trials are complete, and at least 10 of them within the constraints, all parameters are
    drawn at random, as Optuna's `RandomSampler` does. So are, always, parameters that not every complete trial has or
    that change their range. A fit takes seconds, which suits objectives that take longer.

    Args:
        n_startup_trials: complete trials before the first model; at least 10.
        refit: growth of the number of trials after which the surrogate is fitted anew.
        seed: same seed and trials, same samples.

    Raises:
        ArmillaryError: if n_startup_trials or refit is too small.
    """

    def __init__(self, *, n_startup_trials: int = 20, refit: float = 0.2, seed: int | None = None) -> None:
        if n_startup_trials < 10:
            raise ArmillaryError(f"n_startup_trials={n_startup_trials} is not allowed; it must be at least 10")
        if not refit >= 0:
            raise ArmillaryError(f"refit={refit} is not allowed; it must be at least 0")
        self._startup, self._refit = n_startup_trials, refit
        self._random = RandomSampler(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._searching: _Searching | None = None

    def reseed_rng(self) -> None:
        """Draw other numbers from here on, as each of several processes has to."""
        self._random.reseed_rng()
        self._rng = np.random.default_rng()
        self._searching = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the parameters that every complete trial has; none before there are enough trials.

        Raises:
            ArmillaryError: if the study has more than four objectives.
        """
        if len(study.directions) > MOST_OBJECTIVES:
            raise ArmillaryError(
                f"study {study.study_name!r} has {len(study.directions)} objectives; the sampler takes at most "
                f"{MOST_OBJECTIVES}"
            )
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(trials) < self._startup:
            return {}
        return {name: own for name, own in intersection_search_space(trials).items() if not own.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the most promising values of these parameters that no trial has."""
        if not search_space:
            return {}
        trials = study.get_trials(deepcopy=False)
        names = _constraint_names(trials)
        key = (study.study_name, tuple(search_space.items()), names)
        if self._searching is None or self._searching.key != key:
            grid = Grid.of(search_space)
            self._searching = _Searching(key, grid, names, self._optimizer(study, grid, names))
        searching = self._searching
        searching.hear(study, [one for one in trials if one.number != trial.number])
        return searching.grid.params(searching.optimizer.ask_codes(1)[0])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of a parameter that the search does not know."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _optimizer(self, study: Study, grid: Grid, constraints: Sequence[str]) -> CodedOptimizer:
        bounds = tuple(Bound(_metric(name), at_most=0.0) for name in constraints)
        metrics = {name: Metric("1") for name in (*_objective_names(study), *(bound.metric for bound in bounds))}
        seed = int(self._rng.integers(_SEEDS))
        several = len(study.directions) > 1
        goals = tuple(
            Objective(name, "maximize" if direction == StudyDirection.MAXIMIZE and not several else "minimize")
            for name, direction in zip(_objective_names(study), study.directions, strict=True)
        )
        problem = Problem(grid.space, goals, bounds, metrics=metrics)
        if several:
            make: Callable[..., CodedOptimizer] = optimizers.load("pareto")
            return make(problem, seed=seed, initial=self._startup)
        return SurrogateSearch(problem, seed=seed, initial=self._startup, refit=self._refit)


@dataclass
class _Searching:
    """A search, and which trials it was told.

    Attributes:
        key: of what; another study, other parameters or other constraints need another search.
        grid: its space.
        constraints: their names.
        optimizer: what searches.
        told: the numbers of the trials that it knows.
    """

    key: tuple[Any, ...]
    grid: Grid
    constraints: tuple[str, ...]
    optimizer: CodedOptimizer
    told: set[int] = field(default_factory=set)

    def hear(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        """Tell the optimizer of trials that have finished since, and keep it from those that run."""
        new = [one for one in trials if one.number not in self.told and one.state in _FINISHED]
        self.told |= {one.number for one in new}
        designs = [(one, codes) for one in new if (codes := self.grid.codes(one)) is not None]
        running = [self.grid.codes(one) for one in trials if one.state == TrialState.RUNNING]
        for codes in running:
            if codes is not None:
                self.optimizer.avoid(codes[None])
        if not designs:
            return
        codes = np.array([codes for _, codes in designs])
        values = np.array([self._values(study, one) for one, _ in designs])
        limits = np.array([[one.constraints.get(name, np.nan) for name in self.constraints] for one, _ in designs])
        limits = limits.reshape(len(designs), len(self.constraints))
        feasible = np.array([one.state == TrialState.COMPLETE for one, _ in designs]) & np.isfinite(values).all(axis=1)
        metrics = dict(zip(_objective_names(study), values.T, strict=True))
        metrics |= dict(zip(map(_metric, self.constraints), limits.T, strict=True))
        self.optimizer.tell_codes(codes, Outcomes(metrics, feasible))

    def _values(self, study: Study, trial: FrozenTrial) -> NDArray[np.float64]:
        """Return a trial's values, NaN if it has none; of several objectives negated where more is better."""
        if trial.state != TrialState.COMPLETE:
            return np.full(len(study.directions), np.nan)
        values = np.array(trial.values, dtype=float)
        if len(values) == 1:
            return values
        more = np.array([direction == StudyDirection.MAXIMIZE for direction in study.directions])
        return np.where(more, -values, values)


def _objective_names(study: Study) -> tuple[str, ...]:
    return tuple(f"value {place}" for place in range(len(study.directions)))


def _constraint_names(trials: Sequence[FrozenTrial]) -> tuple[str, ...]:
    """Return the constraints that every complete trial has, sorted."""
    complete = [set(one.constraints) for one in trials if one.state == TrialState.COMPLETE]
    shared = set.intersection(*complete) if complete else set()
    return tuple(sorted(shared))


def _metric(constraint: str) -> str:
    """Return the metric that a constraint is to us."""
    return f"constraint {constraint}"

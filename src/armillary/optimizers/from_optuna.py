"""NSGA-II and MOTPE, as Optuna has them, on coded spaces and under our bounds.

The samplers are Optuna's. Ours is only what they know nothing of: no design is asked twice, none that the bounds
exclude without evaluating it, and what they are told of infeasible designs. Ordered parameters are whole numbers to
them, others categories; values of positive metrics are told as logarithms, as our own methods see them.

Sources: NSGA-II: Deb et al., IEEE Transactions on Evolutionary Computation 2002, with constrained domination. MOTPE:
    Ozaki et al., GECCO 2020. Both as in Optuna 5 (Akiba et al., KDD 2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import Trial, TrialState

from armillary.metrics import OURS, derived
from armillary.optimizers.coded import CodedOptimizer, keys
from armillary.problems.criteria import Bound
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Failure

_FAILED = 1.0
"""By how much a failed design breaks its constraint at least; what it lacked is added, where that is known."""


class FromOptuna(CodedOptimizer):
    """An optimizer that asks a sampler of Optuna's.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        sampler: which samples.
    """

    takes_several = True

    def __init__(self, problem: Problem, sampler: BaseSampler, *, seed: int = 0) -> None:
        super().__init__(problem, seed=seed)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=["minimize"] * len(problem.objectives), sampler=sampler)
        self._distributions = distributions_of(problem.space)
        self._open: dict[bytes, Trial] = {}
        self._proposed: dict[int, Trial] = {}

    def _propose(self, n: int) -> NDArray[np.int64]:
        self._drop_proposed()
        self._proposed = {slot: self._study.ask(self._distributions) for slot in range(n)}
        rows = [[trial.params[name] for name in self.space.names] for trial in self._proposed.values()]
        return np.array(rows, dtype=np.int64)

    def _adopted(self, slots: NDArray[np.intp], codes: NDArray[np.int64]) -> None:
        for key, slot in zip(keys(codes), slots, strict=True):
            self._open[key] = self._proposed.pop(int(slot))

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Tell of proposals that the constraint excludes how far beyond it they are, which costs no evaluation."""
        beyond = np.zeros(len(codes))
        for bound in self.problem.bounds:
            if bound.metric in self.problem.laws:
                beyond += _beyond(bound, self.problem.laws[bound.metric](codes))
        nothing = np.full((len(codes), len(self.problem.objectives)), np.inf)
        self._tell(codes, nothing, np.where(beyond > 0, beyond, _FAILED))

    def _drop_proposed(self) -> None:
        """End the trials of proposals that only repeat old ones."""
        for trial in self._proposed.values():
            self._study.tell(trial, state=TrialState.FAIL)
        self._proposed = {}

    def ask_codes(self, n: int) -> NDArray[np.int64]:
        """Return n designs as value indices, shape [n, parameters]; see `CodedOptimizer`."""
        found = super().ask_codes(n)
        self._drop_proposed()
        return found

    def tell_codes(self, codes: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Take what became of designs given as value indices, shape [designs, parameters]."""
        self._met.update(keys(codes))
        self._tell(codes, self.problem.matrix(outcomes), violations(self.problem, outcomes))

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        matrix = values.reshape(len(values), -1)
        self._tell(codes, matrix, np.where(np.isfinite(matrix).all(axis=1), 0.0, _FAILED))

    def _tell(self, codes: NDArray[np.int64], matrix: NDArray[np.float64], beyond: NDArray[np.float64]) -> None:
        scaled = np.where(np.isfinite(matrix), matrix, 1.0)
        for place, objective in enumerate(self.problem.objectives):
            if objective.metric in OURS or objective.direction == "maximize":  # amounts
                scaled[:, place] = np.log(np.maximum(scaled[:, place], np.finfo(float).tiny))
        for row, key in enumerate(keys(codes)):
            trial = self._open.pop(key) if key in self._open else self._unasked(codes[row])
            trial.set_constraint("beyond", float(beyond[row]))
            self._study.tell(trial, scaled[row].tolist())

    def _unasked(self, codes: NDArray[np.int64]) -> Trial:
        """Return a trial of a design that the sampler did not propose."""
        self._study.enqueue_trial({name: int(code) for name, code in zip(self.space.names, codes, strict=True)})
        return self._study.ask(self._distributions)


class Nsga2(FromOptuna):
    """NSGA-II.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        population: designs of a generation.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, population: int = 50) -> None:
        if population < 2:
            raise ArmillaryError(f"population={population} must be at least 2")
        self.batch = population  # a generation learns nothing of itself
        super().__init__(problem, NSGAIISampler(population_size=population, seed=seed), seed=seed)


class Motpe(FromOptuna):
    """MOTPE, one design at a time, all parameters drawn together (Optuna's `multivariate`).

    One after the other, which is Optuna's default, they take tens of times as long.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
    """

    batch = 1

    def __init__(self, problem: Problem, *, seed: int = 0, initial: int = 10) -> None:
        if initial < 1:
            raise ArmillaryError(f"initial={initial} must be at least 1")
        super().__init__(problem, TPESampler(n_startup_trials=initial, multivariate=True, seed=seed), seed=seed)


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the codes of each parameter as Optuna's distributions: whole numbers where values have an order."""
    found: dict[str, BaseDistribution] = {}
    for parameter, n in zip(space.parameters, space.cardinalities, strict=True):
        categorical = parameter.kind == "categorical"
        found[parameter.name] = CategoricalDistribution(range(n)) if categorical else IntDistribution(0, n - 1)
    return found


def violations(problem: Problem, outcomes: Outcomes) -> NDArray[np.float64]:
    """Return by how much designs break their constraints, shape [designs]; 0 if feasible and within every bound.

    What is beyond an upper bound, and what a failed design lacked of a resource, counts by the logarithm of the ratio
    where there is one; so a method knows which of two infeasible designs is nearer to a feasible one.
    """
    failures: Mapping[int, Failure | None] = dict(enumerate(outcomes.failures))
    lacking = np.array([_FAILED + _lacked(failures.get(row)) for row in range(len(outcomes))], dtype=float)
    beyond = np.where(outcomes.feasible, 0.0, lacking)
    for bound in problem.bounds:
        column = derived(outcomes.metrics, bound.metric, problem.metrics)
        beyond += 0.0 if column is None else _beyond(bound, column)
    unknown = ~np.isfinite(problem.matrix(outcomes)).all(axis=1)
    return np.where(unknown & (beyond == 0), _FAILED, beyond)


def _beyond(bound: Bound, column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much values break a bound, shape [designs]; 0 where they keep to it or are not known."""
    over = _log_ratio(column, bound.at_most) + _log_ratio(bound.at_least, column)
    broken = ~bound.met_by(column) & ~np.isnan(column)
    return np.where(broken, np.where(over > 0, over, _FAILED), 0.0)


def _lacked(failure: Failure | None) -> float:
    if failure is None:
        return 0.0
    return float(_log_ratio(np.array(failure.needed), failure.available))


def _log_ratio(
    above: NDArray[np.float64] | float | None, below: NDArray[np.float64] | float | None
) -> NDArray[np.float64]:
    """Return the logarithm of a ratio, 0 where it has none or is less than one."""
    if above is None or below is None:
        return np.zeros(())
    with np.errstate(all="ignore"):
        ratio = np.log(np.asarray(above, dtype=float) / np.asarray(below, dtype=float))
    return np.where(np.isfinite(ratio), np.maximum(ratio, 0.0), 0.0)

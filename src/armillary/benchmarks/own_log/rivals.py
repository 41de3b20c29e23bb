"""What `auto` is measured beside: a model of one kind, a sampler, or chance, each fitted to feasible designs alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import optuna
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from armillary.log.store import InMemoryLog
from armillary.optimizers.from_optuna import distributions_of
from armillary.problems.problem import Problem
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import examples_of
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.auto.ridge import Ridge
from armillary.surrogates.auto.trees import boosted
from armillary.types import Evaluations

_TREES = 300


@dataclass(frozen=True)
class Learned:
    """What all rivals learn from: designs within all bounds, their standard values, the less the better.

    Attributes:
        encoding: of points.
        points: the designs.
        targets: their values, shape [points].
        features: of each workload, by name.
    """

    encoding: Encoding
    points: Points
    targets: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]]

    @staticmethod
    def of(log: Evaluations, problem: Problem) -> Learned:
        """Return the feasible designs of a log that keep to every bound, repeated measurements averaged."""
        good = log.select(problem.satisfied(log))
        told = examples_of(InMemoryLog(good), problem)
        encoding = Encoding.of(problem.space, told.feature_names, told.named, told.points)
        features = dict(zip(told.workloads, told.contexts, strict=True))
        return Learned(encoding, told.objective.lesson.points, told.objective.lesson.targets, features)


Rank = Callable[[NDArray[np.int64], str, int], NDArray[np.intp]]
"""From candidates, shape [designs, parameters], a workload and a number to the places of the best so many, in order."""
Rival = Callable[[Learned, int], Rank]
"""Fits: from what is learned and a seed to what ranks."""
Values = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From columns, shape [points, columns], to values, shape [points]."""


def lightgbm(learned: Learned, seed: int) -> Rank:
    """Rank by boosted trees."""
    booster = boosted(learned.encoding.columns(learned.points), learned.targets, seed, rounds=_TREES)
    return _by(learned, lambda columns: np.asarray(booster.predict(columns, num_threads=1)))


def ridge(learned: Learned, seed: int) -> Rank:
    """Rank by a ridge regression on parameters and their pairs."""
    lesson = Lesson(learned.points, learned.targets, np.zeros(len(learned.targets)), learned.points[:0])
    fitted = Ridge.learned(learned.encoding, lesson, seed)
    return _by_points(learned, lambda points: fitted.predict(points)[0])


def forest(learned: Learned, seed: int) -> Rank:
    """Rank by a random forest."""
    model = RandomForestRegressor(_TREES, random_state=seed, n_jobs=1)
    model.fit(learned.encoding.columns(learned.points), learned.targets)
    return _by(learned, lambda columns: np.asarray(model.predict(columns)))


def botorch(learned: Learned, seed: int) -> Rank:
    """Rank by the mean of BoTorch's Gaussian process for one value, fitted as it is by default."""
    torch.manual_seed(seed)
    columns = torch.from_numpy(learned.encoding.columns(learned.points))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scaling and of optimisers that stop early
        model = SingleTaskGP(columns, torch.from_numpy(learned.targets)[:, None])
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

    def values(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            return np.asarray(model.posterior(torch.from_numpy(columns)).mean[:, 0].numpy())

    return _by(learned, values)


def tpe(learned: Learned, seed: int) -> Rank:
    """Ask Optuna's TPE, which was told the designs of the workload; of what it asks the nearest candidates count."""

    def rank(codes: NDArray[np.int64], workload: str, n: int) -> NDArray[np.intp]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        names = learned.encoding.space.names
        spread = distributions_of(learned.encoding.space)
        own = np.flatnonzero((learned.points.features == learned.features[workload]).all(axis=1))
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True))
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(zip(names, learned.points.codes[row].tolist(), strict=True)),
                    distributions=spread,
                    value=float(learned.targets[row]),
                )
                for row in own
            ]
        )
        free = np.ones(len(codes), dtype=bool)
        chosen: list[int] = []
        while len(chosen) < min(n, len(codes)):
            asked = study.ask(spread).params
            apart = (codes != [asked[name] for name in names]).sum(axis=1)
            chosen.append(int(np.where(free, apart, apart.max() + 1).argmin()))
            free[chosen[-1]] = False
        return np.array(chosen, dtype=np.intp)

    return rank


def by_chance(learned: Learned, seed: int) -> Rank:  # noqa: ARG001
    """Draw designs by chance."""
    return lambda codes, _, n: np.random.default_rng([seed, 9]).permutation(len(codes))[:n]


RIVALS: Mapping[str, Rival] = {
    "LightGBM": lightgbm,
    "ridge with pairs": ridge,
    "BoTorch GP": botorch,
    "random forest": forest,
    "TPE": tpe,
    "random": by_chance,
}


def _by(learned: Learned, values: Values) -> Rank:
    return _by_points(learned, lambda points: values(learned.encoding.columns(points)))


def _by_points(learned: Learned, values: Callable[[Points], NDArray[np.float64]]) -> Rank:
    def rank(codes: NDArray[np.int64], workload: str, n: int) -> NDArray[np.intp]:
        return np.argsort(values(Points.of(codes, learned.features[workload])), kind="stable")[:n]

    return rank

"""The chance that a design is feasible, by three kinds of models that each err in another way.

Rules of hardware are thresholds of single parameters, of products and of ratios. Boosted trees find the first; trees
that also see sums and differences of logarithms the others; a Gaussian process of the labels is unsure where no row is
near. Each is calibrated on rows that it was not trained on. Whoever searches for the best finds where one model errs,
so the chance is the least of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Parts
from armillary.surrogates.auto.process import WholeProcess
from armillary.surrogates.auto.trees import boosted, told
from armillary.surrogates.deep_ensemble import reliability_of

LEAST_CHANCE = 1e-3
_FOLDS = 5
_ROUNDS = 120
_FORESTS = 3
_DECAY = 0.1  # of the calibration's slope towards one
_ODDS_OF_PROCESS = 6.0  # log-odds between the labels 0 and 1, before calibration
_MOST_PAIRED = 12  # parameters; their pairs are 132 columns


@dataclass(frozen=True)
class _Judges:
    """The three kinds, fitted: trees, trees that see products of the parameters at `paired`, and a process."""

    encoding: Encoding
    plain: list[lightgbm.Booster]
    paired: tuple[int, ...]
    pairs: list[lightgbm.Booster]
    process: WholeProcess

    @staticmethod
    def learned(
        encoding: Encoding, points: Points, label: NDArray[np.float64], like: _Judges | None, seed: int
    ) -> _Judges:
        """Return the judges of labelled points; the process has the kernel of those they are to be like."""
        columns = encoding.columns(points)
        plain = _boosters(columns, label, seed)
        paired = _telling(encoding, plain) if like is None else like.paired
        pairs = _boosters(np.hstack([columns, encoding.products(points, paired)]), label, seed)
        lesson = Lesson(points, label, np.zeros(len(label)), points[:0])
        process = (
            WholeProcess.learned(encoding, lesson, seed) if like is None else like.process.conditioned(lesson, seed)
        )
        return _Judges(encoding, plain, paired, pairs, process)

    def odds(self, points: Points) -> NDArray[np.float64]:
        """Return what each holds the log-odds for, not calibrated, shape [judges, points]."""
        columns = self.encoding.columns(points)
        with_pairs = np.hstack([columns, self.encoding.products(points, self.paired)])
        label = self.process.mean(points)
        return np.stack([_odds(self.plain, columns), _odds(self.pairs, with_pairs), _ODDS_OF_PROCESS * (label - 0.5)])


@dataclass(frozen=True)
class Feasibility:
    """The chance to be feasible.

    Attributes:
        judges: fitted; none if all designs or none were feasible.
        lines: slope and intercept of each judge's log-odds; one line, of slope 0, without judges.
        brier: mean squared error of the chance of designs that were left out; NaN without judges.
        reliability: of the same chances, see `TellsReliability`.
    """

    judges: _Judges | None
    lines: tuple[tuple[float, float], ...]
    brier: float
    reliability: tuple[tuple[float, float, int], ...]

    @staticmethod
    def learned(
        encoding: Encoding,
        points: Points,
        feasible: NDArray[np.float64],
        seed: int,
        like: Feasibility | None = None,
    ) -> Feasibility:
        """Return the chance learned of points with the share of their rows that were feasible, shape [points].

        One that is learned of nearly the same points as another takes the kernel of its process from it (`like`).
        """
        label = (feasible >= 0.5).astype(float)
        share = (label.sum() + 1) / (len(label) + 2)  # Laplace's rule: no chance is certain
        if min(label.sum(), len(label) - label.sum()) < 2:
            return Feasibility(None, ((0.0, float(logit(share))),), float("nan"), ())
        judges = _Judges.learned(encoding, points, label, like.judges if like else None, seed)
        odds = _left_out_odds(judges, points, label, seed)
        lines = tuple(_calibrated(own, label) for own in odds)
        chance = expit(_on_lines(lines, odds).min(axis=0))
        brier = float(np.mean((chance - label) ** 2))
        return Feasibility(judges, lines, brier, reliability_of(chance, label))

    def __call__(self, points: Points) -> NDArray[np.float64]:
        """Return the chance of points, the least that a judge gives, shape [points]."""
        return np.asarray(expit(self._calibrated_odds(points).min(axis=0)))

    def odds(self, points: Points) -> NDArray[np.float64]:
        """Return the mean of the judges' log-odds, shape [points]."""
        return np.asarray(self._calibrated_odds(points).mean(axis=0))

    def _calibrated_odds(self, points: Points) -> NDArray[np.float64]:
        odds = np.zeros((1, len(points))) if self.judges is None else self.judges.odds(points)
        return _on_lines(self.lines, odds)

    def parts(self) -> Parts:
        """Return what `read` makes it of again."""
        own = {"lines": self.lines, "brier": self.brier, "reliability": self.reliability}
        if self.judges is None:
            return {**own, "forests": None}, {}
        forests = [[booster.model_to_string() for booster in f] for f in (self.judges.plain, self.judges.pairs)]
        return {**own, "forests": forests, "paired": self.judges.paired}, self.judges.process.mean_parts()

    @staticmethod
    def read(encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Feasibility:
        """Return what `parts` described."""
        judges = None
        if content["forests"] is not None:
            plain, pairs = ([lightgbm.Booster(model_str=text) for text in forest] for forest in content["forests"])
            judges = _Judges(encoding, plain, tuple(content["paired"]), pairs, WholeProcess.of(encoding, {}, tensors))
        lines = tuple((slope, offset) for slope, offset in content["lines"])
        bins = tuple((mean, share, rows) for mean, share, rows in content["reliability"])
        return Feasibility(judges, lines, content["brier"], bins)


def _left_out_odds(judges: _Judges, points: Points, label: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the log-odds of points by judges that were not trained on them, shape [judges, points]."""
    fold = np.random.default_rng([seed, 4]).permutation(len(label)) % min(_FOLDS, len(label))
    odds = np.empty((3, len(label)))
    for k in range(fold.max() + 1):
        left_out = fold == k
        tried = _Judges.learned(judges.encoding, points[~left_out], label[~left_out], judges, seed)
        odds[:, left_out] = tried.odds(points[left_out])
    return odds


def _telling(encoding: Encoding, forest: list[lightgbm.Booster]) -> tuple[int, ...]:
    """Return which amounts to pair, of many those by which trees part designs best, as places in a design."""
    gain = np.sum([booster.feature_importance("gain") for booster in forest], axis=0)
    order = sorted(encoding.amounts, key=lambda place: -gain[encoding.amounts[place]])
    return tuple(sorted(order[:_MOST_PAIRED]))


def _boosters(columns: NDArray[np.float64], label: NDArray[np.float64], seed: int) -> list[lightgbm.Booster]:
    return [boosted(columns, label, seed + k, objective="binary", rounds=_ROUNDS) for k in range(_FORESTS)]


def _odds(boosters: list[lightgbm.Booster], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-odds of the mean chance, shape [rows]."""
    chance = np.mean([told(booster, columns) for booster in boosters], axis=0)
    return np.asarray(logit(np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)))


def _on_lines(lines: tuple[tuple[float, float], ...], odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return calibrated log-odds, shape [judges, points]."""
    slope, offset = np.array(lines).T
    return np.asarray(slope[:, None] * odds + offset[:, None])


def _calibrated(odds: NDArray[np.float64], label: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope, never negative, and intercept under which left-out designs are most likely (Platt 1999)."""

    def surprise(line: NDArray[np.float64]) -> float:
        chance = np.clip(expit(line[0] * odds + line[1]), 1e-9, 1 - 1e-9)
        likely = label * np.log(chance) + (1 - label) * np.log(1 - chance)
        return float(-likely.sum() + _DECAY * ((line[0] - 1) ** 2 + line[1] ** 2))

    slope, offset = minimize(surprise, [1.0, 0.0], bounds=[(0.0, 5.0), (-5.0, 5.0)]).x
    return float(slope), float(offset)

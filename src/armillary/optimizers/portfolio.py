"""A portfolio of searches that share their results: an ensemble of networks, a Gaussian process and a firefly swarm.

PRIME's paper closes with the idea of running its surrogate in the inner loop of a search (Section 7). This search grew
from that idea; PRIME's own network and loss are not part of it. Every batch of results is appended to what is known,
and networks continue from their last weights: values from feasible designs, feasibility from all, as
`armillary.surrogates.deep_ensemble` has them. Of every eight designs of a batch, one is what a single network finds
best (Thompson sampling), near the best that are known at first, anywhere later; six have the greatest expected
improvement by a Gaussian process, which needs fewer results than networks do, and one is a move of a firefly swarm, so
that no error of a model is final. While next to nothing is known, one of the six is the neighbour of the best designs
that the networks find most promising. All of them learn from all results.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from armillary.optimizers.bayesian import Bayesian
from armillary.optimizers.firefly import Firefly
from armillary.optimizers.model_based import ModelBased, log_expected_improvement
from armillary.optimizers.surrogate_search import neighbours, top_designs
from armillary.problems.problem import Problem
from armillary.surrogates.deep_ensemble import Networks, Setting
from armillary.surrogates.inputs import encoded

_SETTING = Setting(members=5, hidden=128, steps=400, more_steps=120, batch=64, learning_rate=3e-3)
_EFFORT: dict[str, Any] = {"swarms": 8, "steps": 30, "generations": 60, "refine_rounds": 5}
"""Of a search for what one network ranks first: comes to its end in ten parameters, takes seconds in a hundred."""
_AROUND = 10
_KNOWN = 64  # results after which models know more than that neighbours of the best are good
_TRUSTED = 25  # results per parameter after which a network is worth searching far from what is known
_LEAST_SPREAD = 1e-3
_FAR = 4.0  # standard units above the median; all that is worse is equally bad


class Portfolio(ModelBased):
    """Networks, a Gaussian process and a firefly swarm that each choose a part of every batch.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        initial: random designs before the first training; a log that is told before counts.
        refit: growth of the number of rows after which the networks train on.
        setting: of the networks.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = 32,
        refit: float = 0.05,
        setting: Setting = _SETTING,
    ) -> None:
        super().__init__(problem, seed=seed, initial=initial, refit=refit)
        self._setting, self._seed = setting, seed
        self._networks: Networks | None = None
        self._firefly = Firefly(problem, seed=seed)
        self._process = Bayesian(problem, seed=seed, initial=initial)
        self._location, self._spread = 0.0, 1.0

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        super()._learn(codes, values)
        self._firefly.tell_values(codes, values)
        self._process.tell_values(codes, values)

    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        legal = np.isfinite(values)
        targets = np.log(values[legal])
        # the scale follows the better half: what is far worse need not be told apart
        location, spread = float(np.median(targets)), float(max(np.median(targets) - targets.min(), 1e-6))
        x = encoded(self.space, codes)
        standard = np.clip((targets - location) / spread, -np.inf, _FAR)
        steps = self._setting.more_steps
        if self._networks is None:
            self._networks = Networks(x.shape[1], self._setting, "squares", self._seed)
            steps = self._setting.steps
        self._location, self._spread = location, spread
        self._networks.train(x[legal], torch.from_numpy(standard).float(), x[~legal], steps)

    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        value, deviation, chance = self._predicted(codes)
        best = (np.log(self.best_value) - self._location) / self._spread
        expected = log_expected_improvement((best - value) / deviation)
        return np.asarray(expected + np.log(deviation) + np.log(chance))

    def _predicted(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return value, disagreement and chance of being legal, each of shape [designs]."""
        value, odds = self._outputs(codes)
        chance = expit(odds).mean(axis=0)
        return value.mean(axis=0), np.maximum(value.std(axis=0), _LEAST_SPREAD), np.maximum(chance, 1e-6)

    def _outputs(
        self, codes: NDArray[np.int64], members: slice = slice(None)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and log-odds of members, each of shape [members, designs]."""
        assert self._networks is not None
        with torch.inference_mode():
            value, odds = self._networks.outputs(encoded(self.space, codes), members)
        return value.double().numpy(), odds.double().numpy()

    def _batch(self, n: int) -> NDArray[np.int64]:
        around = n // 8 if len(self._values) < _KNOWN else 0
        parts = [self._around(around)]
        if n >= 8:
            parts += [self._firefly.ask_codes(n // 8), self._process.ask_codes(6 * n // 8 - around)]
        parts.append(self._imagined(n - sum(map(len, parts))))
        return np.concatenate(parts)

    def _imagined(self, n: int) -> NDArray[np.int64]:
        """Return what single members find best, each a share, so that they need not agree (Thompson sampling)."""
        members = self._rng.permutation(self._setting.members)
        shares = [len(part) for part in np.array_split(np.arange(n), len(members))]
        found = [self._best_of(member)[:share] for member, share in zip(members, shares, strict=True) if share]
        return np.concatenate([*found, self._drawn(n - sum(map(len, found)))])

    def _best_of(self, member: int) -> NDArray[np.int64]:
        """Return unmet designs that one member finds best, the best first.

        Near the best that are known, at first. Later the search goes to the end: a member ranks others before what
        lies near, and is wrong once about each, as all hear the result.
        """
        alone = partial(self._alone, member=member)
        if len(self._values) < _TRUSTED * len(self.space.parameters):
            return self._promising(alone)
        found = top_designs(
            lambda codes: -alone(codes),
            self.space,
            seed=int(self._rng.integers(np.iinfo(np.int32).max)),
            keep=self.within,
            **_EFFORT,
        )
        return found[self._unmet(found)]

    def _alone(self, codes: NDArray[np.int64], member: int) -> NDArray[np.float64]:
        """Return how promising one member finds designs."""
        value, odds = self._outputs(codes, slice(member, member + 1))
        return np.asarray(np.log(np.maximum(expit(odds[0]), 1e-6)) - value[0])

    def _around(self, n: int) -> NDArray[np.int64]:
        """Return the most promising neighbours of the best designs."""
        best = self._codes[np.argsort(self._values, kind="stable")[:_AROUND]]
        near = neighbours(self.space, best)
        near = near[self._unmet(near)]
        if not len(near) or not n:
            return near[:0]
        return near[np.argsort(-self._score(near), kind="stable")[:n]]

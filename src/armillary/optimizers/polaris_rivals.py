"""What Polaris is compared with on its own space, and what may be better than it; all on its loops.

    polaris-offline    Starlight learns from random designs, then its mean is optimised and it learns no more
    polaris-spotlight  daBO's model in the place of Starlight: a GP on the features of Table 4.2, from scratch
    polaris-paced      as many designs are judged before a simulation as bring more in a second than that

Source: the dissertation, Section 6.2. What differs. Starlight's trees have no gradient, so that its mean is optimised
by sampling, as Polaris optimises the bound. Spotlight's loops are those of Polaris, and it is told the energy, which
the cost model tells everybody; one model learns all layers, each beside its multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from armillary.hardware.mapping import Mapping
from armillary.mapping.spotlight.dabo import DomainModel
from armillary.optimizers.acquisitions import acquisition_of
from armillary.optimizers.polaris import POINTS_NEAR, SCOUTED, Polaris, PolarisRandom
from armillary.optimizers.polaris_layers import Choices, Expected, LayerModel, LayerSource
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.surrogates.starlight.spotlight import features_of
from armillary.types import Candidate, LayerRun, MappedLayer

TRAINING = 12
"""Random candidates that `polaris-offline` learns from, a quarter of the dissertation's 48 simulations."""
_LEAST_ROWS = 8
_MAPPING_S, _CYCLE_S = 4e-4, 4e-7
"""What judging a mapping by the closed form takes, and simulating a cycle; fixed, so that a search repeats."""
_MOST_ROUNDS = 12


class PolarisOffline(Polaris):
    """Starlight's mean, optimised without learning on the way.

    Args:
        problem: see `Polaris`.
        layers: likewise.
        seed: likewise.
        training: random candidates that it learns from.
        more: likewise.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        layers: LayerSource | None = None,
        seed: int = 0,
        training: int = TRAINING,
        **more: Any,
    ) -> None:
        super().__init__(problem, layers=layers, seed=seed, acquisition="mean", **more)
        self._random = PolarisRandom(problem, layers=layers, seed=seed, software=1)
        self._training, self._asked, self._told = training, 0, 0

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates: first random ones, then by the mean."""
        first = max(0, min(n, self._training - self._asked))
        self._asked += n
        found = self._random.ask(first) if first else []
        return [*found, *(super().ask(n - first) if n > first else [])]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates; learn while these are random."""
        super().tell(candidates, outcomes)
        self._told += len(candidates)

    def _learns(self) -> bool:
        return self._told < self._training


class DaboModel(LayerModel):
    """daBO's model of delays: a GP with a linear kernel on the features of Table 4.2 of mapped layers."""

    _domain: DomainModel | None = None

    @property
    def informed(self) -> bool:
        """Whether anything is known."""
        return self._domain is not None

    def tell(self, runs: Sequence[LayerRun]) -> None:
        """Take runs of mapped layers."""
        self._runs += [run for run in runs if run.mapping and run.failure is None]
        self.refit()

    def refit(self) -> None:
        """Fit the model to all runs, if there are enough."""
        if len(self._runs) < _LEAST_ROWS:
            return
        mapped = [MappedLayer(run.design, run.layer, run.mapping) for run in self._runs]
        self._domain = DomainModel("linear")
        delays = np.array([run.metrics["delay_cycles"] for run in self._runs])
        self._domain.add(self._features(mapped), delays, _macs(mapped))

    def expected(self, choices: Choices, level: float) -> Expected:
        """Return what is expected of mappings; see `LayerModel`."""
        if self._domain is None:
            return super().expected(choices, level)
        assert choices.prior is not None, "there are no choices"
        mean, std = self._domain.logarithms(self._features(choices.mapped), _macs(choices.mapped))
        spread = std * float(norm.ppf((1 + level) / 2))
        return Expected(np.exp(mean), spread, choices.prior.metrics["energy_pj"])

    def _features(self, mapped: Sequence[MappedLayer]) -> NDArray[np.float64]:
        designs = self._space.columns(self._space.encode([one.design for one in mapped]))
        return features_of(designs, [Mapping.parse(one.mapping) for one in mapped])


def _macs(mapped: Sequence[MappedLayer]) -> NDArray[np.float64]:
    return np.array([one.layer.macs for one in mapped], dtype=float)


class PolarisSpotlight(Polaris):
    """Polaris's loops with Spotlight's surrogate; `learn` warms it up."""

    transfer = False

    def _modelled(self, layers: LayerSource, seed: int) -> LayerModel:
        return DaboModel(self.space, layers, seed=seed, transfer=False)


class PolarisPaced(Polaris):
    """Polaris that judges designs by the closed form as long as that brings more in a second than a simulation.

    A round judges designs around the best. What it brings is by how much the logarithm of what the best is worth falls;
    what a simulation brings is the improvement that is expected of the best design. The seconds of both are counted by
    fixed rates, not measured.
    """

    def _look_around(self, designs: NDArray[np.int64]) -> float:
        last = super()._look_around(designs)
        seconds = POINTS_NEAR * len(self._uses) * SCOUTED * _MAPPING_S
        for _ in range(_MOST_ROUNDS):
            new = super()._look_around(designs)
            gained, last = last - new, new
            if gained / seconds <= self._rate_of_simulation(designs):
                break
        return last

    def _rate_of_simulation(self, designs: NDArray[np.int64]) -> float:
        """Return how much a second of simulating the best design is expected to save, as a share of the cost."""
        pool = self._near_points(designs)
        each = np.array([self._network_on(code) for code in pool])
        mean, spread = each[each[:, 0].argmin()]
        least = float(np.log(self.best_value)) if np.isfinite(self.best_value) else mean + spread
        (saved,) = acquisition_of("ei").worth(np.array([mean]), np.array([spread]), least, self._rng)
        cycles = (
            sum(use.count * use.layer.macs for use in self._uses) / float(max(self.space.columns(pool)["dim"])) ** 2
        )
        return -float(saved) / (self._software * float(cycles) * _CYCLE_S)

"""How fireflies move (PRIME Equation 5), for many swarms at once.

The moves stand here and not among the optimizers because PRIME mines its negatives with them
while it trains, and a surrogate may not import an optimizer.

Discrete parameters are relaxed: value k of n sits at k / (n - 1) in [0, 1], a firefly keeps its real
position between moves, and the design it stands for is the nearest value of each parameter. Small
moves so add up instead of being rounded away. Categorical parameters have no order: a firefly
copies the better one's value with the probability that is the attraction of an ordered parameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Space

_PAPER_PARAMETERS = 10  # among more, distances grow and fireflies would no longer see each other


def population_size(parameters: int) -> int:
    """Return how many fireflies search a space of so many parameters.

    Source: PRIME, Appendix B.1: 10 + [(C^1.2 + C) * 0.5] is 23 for C=10 only with rounding to the
        nearest integer (12.92 becomes 13), which the brackets of the paper mean.
    """
    return 10 + round(float(parameters**1.2 + parameters) * 0.5)


@dataclass(frozen=True)
class Moves:
    """The relaxed space and the strength of the moves in it.

    Attributes:
        space: the space that the fireflies search.
        gamma: how fast attraction falls with the squared distance; 1 in the paper.
        beta0: attraction at distance zero; 1 in the paper.
        noise: standard deviation of the Gaussian noise, in steps from one value of an ordered
            parameter to the next (the paper does not state it).
    """

    space: Space
    gamma: float = 1.0
    beta0: float = 1.0
    noise: float = 0.5

    @cached_property
    def intervals(self) -> NDArray[np.float64]:
        """Steps from the first to the last value of each parameter, at least one."""
        return np.asarray(np.maximum(np.array(self.space.cardinalities, dtype=float) - 1, 1))

    @cached_property
    def categorical(self) -> NDArray[np.bool_]:
        """Whether each parameter's values have no order."""
        return np.array([p.kind == "categorical" for p in self.space.parameters])

    @property
    def nearness(self) -> float:
        """Factor on squared distances."""
        return min(1.0, _PAPER_PARAMETERS / len(self.space.parameters))

    def often(self, scale: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return how often a categorical value is drawn anew: as noise takes an ordered one more than half a step."""
        steps = np.maximum(self.noise * np.asarray(scale, dtype=float), 1e-12)
        return np.asarray(np.vectorize(math.erfc)(0.5 / (steps * math.sqrt(2))))

    def scatter(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return random positions, shape [*shape, parameters]; every design is equally likely."""
        cardinalities = self.space.cardinalities
        return self.positions(rng.integers(0, cardinalities, size=(*shape, len(cardinalities))))

    def positions(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where designs sit, same shape as the codes."""
        return codes / self.intervals

    def codes(self, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the designs that positions stand for, same shape."""
        return np.rint(positions * self.intervals).astype(np.int64).clip(0, np.array(self.space.cardinalities) - 1)

    def step(
        self,
        positions: NDArray[np.float64],
        values: NDArray[np.float64],
        rng: np.random.Generator,
        scale: NDArray[np.float64] | float = 1.0,
    ) -> NDArray[np.float64]:
        """Move every firefly towards a better one of its swarm, chosen at random; the best only wander.

        Args:
            positions: shape [swarms, fireflies, parameters].
            values: the objective, smaller is better, infinite for infeasible, [swarms, fireflies].
            rng: source of partners and noise.
            scale: factor on the noise, broadcast to [swarms, fireflies].

        Returns:
            The new positions.

        Source: PRIME Equation 5. As printed, x_i + beta (x_i - x_j) leads away from the better
            firefly; Yang 2009, which it cites, has x_j - x_i, and so do we.
        """
        brighter = values[:, None, :] < values[:, :, None]
        partner = np.argmax(rng.random(brighter.shape) * brighter, axis=2)
        toward = np.take_along_axis(positions, partner[:, :, None], axis=1) - positions
        squared = (toward**2).sum(axis=2) * self.nearness
        attraction = self.beta0 * np.exp(-self.gamma * squared) * brighter.any(axis=2)  # eq. 5
        spread = np.broadcast_to(np.asarray(scale, dtype=float), values.shape)
        noise = rng.standard_normal(positions.shape) * (self.noise * spread)[:, :, None] / self.intervals
        moved = positions + attraction[:, :, None] * toward + noise  # eq. 5
        moved = np.clip(np.where(moved > 1, 2 - moved, np.abs(moved)), 0, 1)  # reflected at the walls
        if self.categorical.any():
            choice = self._copied(positions, positions + toward, attraction, spread, rng)
            moved = np.where(self.categorical, choice, moved)
        return np.asarray(moved)

    def _copied(
        self,
        positions: NDArray[np.float64],
        better: NDArray[np.float64],
        attraction: NDArray[np.float64],
        spread: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Return moves without order: copy the better value, or now and then draw any value."""
        copied = np.where(rng.random(positions.shape) < attraction[:, :, None], better, positions)
        drawn = self.scatter(positions.shape[:2], rng)
        return np.where(rng.random(positions.shape) < self.often(spread)[:, :, None], drawn, copied)

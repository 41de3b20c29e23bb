"""What a member of the surrogate `auto` is: a model of one kind, which learns one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points

Opinion = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A value and how unsure the member is of it, a standard deviation, each of shape [points]."""
Parts = tuple[dict[str, Any], dict[str, Tensor]]
"""A description as JSON can hold it, and tensors by name."""


@dataclass(frozen=True)
class Lesson:
    """What a member learns from.

    Attributes:
        points: designs whose value is known.
        targets: their values, near standard units, shape [points].
        noise: variance of each target as far as repeated measurements tell it, else 0, shape [points].
        infeasible: designs that have no value.
    """

    points: Points
    targets: NDArray[np.float64]
    noise: NDArray[np.float64]
    infeasible: Points

    def part(self, rows: NDArray[Any]) -> Lesson:
        """Return the lesson of some of the points, and of all that are infeasible."""
        return Lesson(self.points[rows], self.targets[rows], self.noise[rows], self.infeasible)

    def at_most(self, rows: int, seed: int) -> Lesson:
        """Return the lesson of so many of the points, drawn by chance; itself if there are no more."""
        if len(self.targets) <= rows:
            return self
        return self.part(np.random.default_rng([seed, rows]).permutation(len(self.targets))[:rows])


class Member(Protocol):
    """A fitted member."""

    name: ClassVar[str]

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int) -> Self:
        """Return the member that learned a lesson; the same seed, the same member."""
        ...

    def again(self, lesson: Lesson, seed: int) -> Self:
        """Return the member that learned another lesson of much the same points."""
        ...

    def predict(self, points: Points) -> Opinion:
        """Return what it expects of points, and how unsure it is."""
        ...

    def parts(self) -> Parts:
        """Return what `of` makes the member of again."""
        ...

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return the member that `parts` described."""
        ...

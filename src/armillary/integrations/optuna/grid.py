"""Optuna's distributions as a space of ours: what each code stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

_MOST_STEPS = 1000
_SPREAD = 33


@dataclass(frozen=True)
class Grid:
    """A space and what its codes stand for.

    Attributes:
        space: whose values are those of Optuna where these are numbers, else names of their places.
        distributions: of the parameters, by name.
        values: of each parameter what Optuna is to be told, in the order of the codes.
    """

    space: Space
    distributions: Mapping[str, BaseDistribution]
    values: tuple[tuple[Any, ...], ...]

    @staticmethod
    def of(distributions: Mapping[str, BaseDistribution]) -> Grid:
        """Return the grid of distributions.

        A float without a step, and a whole number of more than a thousand values, get 33 values, even in their scale.

        Raises:
            ArmillaryError: if a distribution is none of Optuna's own kinds.
        """
        values = tuple(values_of(name, distribution) for name, distribution in distributions.items())
        parameters = tuple(
            _parameter(name, distribution, own)
            for (name, distribution), own in zip(distributions.items(), values, strict=True)
        )
        return Grid(Space("optuna", parameters), dict(distributions), values)

    def codes(self, trial: FrozenTrial) -> NDArray[np.int64] | None:
        """Return a trial's design, shape [parameters], numbers as the nearest of the grid.

        None if the trial lacks a parameter or drew it from another distribution.
        """
        if any(trial.distributions.get(name) != own for name, own in self.distributions.items()):
            return None
        places = [
            _place(distribution, own, trial.params[name])
            for (name, distribution), own in zip(self.distributions.items(), self.values, strict=True)
        ]
        return np.array(places, dtype=np.int64)

    def params(self, codes: NDArray[np.int64]) -> dict[str, Any]:
        """Return a design, shape [parameters], as Optuna takes it."""
        return {name: own[int(c)] for name, own, c in zip(self.distributions, self.values, codes, strict=True)}


def values_of(name: str, distribution: BaseDistribution) -> tuple[Any, ...]:
    """Return the values of a distribution, or 33 of them where they are too many; see `Grid.of`.

    Raises:
        ArmillaryError: if it is none of Optuna's own kinds.
    """
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        if (high - low) // distribution.step < _MOST_STEPS:
            return tuple(range(low, high + 1, distribution.step))
        steps = _spread(low, high, distribution.log)
        whole = low + np.round((steps - low) / distribution.step).astype(int) * distribution.step
        return tuple(np.unique(whole.clip(low, high)).tolist())
    if isinstance(distribution, FloatDistribution):
        first, last, step = distribution.low, distribution.high, distribution.step
        if step is not None and (last - first) / step < _MOST_STEPS:
            return tuple(float(f"{first + i * step:.12g}") for i in range(round((last - first) / step) + 1))
        return tuple(np.unique(_spread(first, last, distribution.log)).tolist())
    raise ArmillaryError(
        f"parameter {name!r}: {distribution!r} is not allowed; its values are categories, whole numbers or floats"
    )


def _spread(low: float, high: float, log: bool) -> NDArray[np.float64]:
    steps = np.geomspace(low, high, _SPREAD) if log else np.linspace(low, high, _SPREAD)
    return steps.clip(low, high)


def _parameter(name: str, distribution: BaseDistribution, values: tuple[Any, ...]) -> Parameter:
    if isinstance(distribution, CategoricalDistribution):
        return Parameter(name, tuple(map(str, range(len(values)))), "categorical")
    log = isinstance(distribution, IntDistribution | FloatDistribution) and distribution.log
    return Parameter(name, values, "cardinal" if log else "ordinal")


def _place(distribution: BaseDistribution, values: tuple[Any, ...], value: Any) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    scale = np.log if isinstance(distribution, IntDistribution | FloatDistribution) and distribution.log else np.array
    return int(np.abs(scale(np.array(values, dtype=float)) - scale(float(value))).argmin())

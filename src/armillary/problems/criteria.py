"""What makes one design better than another, and what it has to keep to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

Direction = Literal["minimize", "maximize"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True)
class Objective:
    """A metric and which way is better.

    Raises:
        ArmillaryError: if the direction is none.
    """

    metric: str
    direction: Direction = "minimize"

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ArmillaryError(
                f"direction={self.direction!r} of {self.metric} is not allowed; choose one of {list(DIRECTIONS)}"
            )

    def to_minimise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what to minimise, same shape: the values, or their reciprocals where more is better.

        The reciprocal keeps the order of positive numbers, and the logarithm that models learn only changes its sign.

        Raises:
            ArmillaryError: if a value to maximise is not positive.
        """
        if self.direction == "minimize":
            return values
        wrong = values[values <= 0]
        if wrong.size:
            raise ArmillaryError(f"{self.metric}={wrong[0]:g} cannot be maximised; its values must be positive numbers")
        return 1.0 / values


@dataclass(frozen=True)
class Bound:
    """What a metric may be; a bound that is met exactly is kept.

    Raises:
        ArmillaryError: if both sides are missing, one is not a number, or no value lies between them.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        given = [side for side in (self.at_least, self.at_most) if side is not None]
        if not given or not all(math.isfinite(side) for side in given):
            raise ArmillaryError(f"bound {self} is not allowed; it needs a finite number")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ArmillaryError(f"bound {self} is not allowed; no value lies between its sides")

    def __str__(self) -> str:
        least = "" if self.at_least is None else f"{self.at_least:g} <= "
        most = "" if self.at_most is None else f" <= {self.at_most:g}"
        return f"{least}{self.metric}{most}"

    def within(self, limit: float) -> Bound:
        """Return the bound with its upper side lowered to a limit, which may be infinite."""
        most = min(math.inf if self.at_most is None else self.at_most, limit)
        return replace(self, at_most=None if math.isinf(most) else most)

    def met_by(self, values: Any) -> NDArray[np.bool_]:
        """Return which values keep to the bound, same shape; an unknown one (NaN) does not."""
        values = np.asarray(values, dtype=float)
        met = ~np.isnan(values)
        if self.at_most is not None:
            met &= values <= self.at_most
        if self.at_least is not None:
            met &= values >= self.at_least
        return np.asarray(met)


def upper_bounds(most: Mapping[str, float]) -> tuple[Bound, ...]:
    """Return the bounds that hold each metric to at most a value.

    Raises:
        ArmillaryError: if a value is no finite number.
    """
    return tuple(Bound(name, at_most=value) for name, value in most.items())

"""What the bounds of a problem leave of its designs, as far as laws tell without evaluating anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.problems.problem import Law, Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError

_STARTS, _ENUMERABLE = 4, 200_000
_ROUNDING = 1e-9


def check_bounds(problem: Problem) -> None:
    """Check that some design keeps to every upper bound on a metric with a law.

    Raises:
        ArmillaryError: if none does; says what the least is.
    """
    for bound in problem.bounds:
        if bound.metric not in problem.laws or bound.at_most is None:
            continue
        least = least_of(problem.laws[bound.metric], problem.space)
        if least > bound.at_most:
            raise ArmillaryError(
                f"{bound.metric}={bound.at_most:g} cannot be met: the least of any design of {problem.space.name} is "
                f"{least:.4g} {problem.metrics[bound.metric].unit}"
            )


def telling(problem: Problem) -> dict[str, float]:
    """Return the upper bounds by metric without those that, as far as laws tell, every design keeps to.

    A template's limit may be what its largest design has.
    """
    bounds = problem.upper_bounds
    return {metric: most for metric, most in bounds.items() if _leaves_out(problem, metric, most)}


def _leaves_out(problem: Problem, metric: str, most: float) -> bool:
    law = problem.laws.get(metric)
    return law is None or -least_of(lambda codes: -law(codes), problem.space) > most * (1 + _ROUNDING)


def least_of(law: Law, space: Space) -> float:
    """Return the least value of a law over a space: of all designs where these are few, else by coordinate descent.

    The descent starts from the first and the last values of all parameters and from random designs. It is right where
    the law rises or falls with each parameter whatever the others are, as the area of all our templates does.
    """
    if space.size <= _ENUMERABLE:
        return float(law(space.at(np.arange(space.size))).min())
    rng = np.random.default_rng(0)
    last = np.array(space.cardinalities) - 1
    starts = [np.zeros_like(last), last, *rng.integers(0, last + 1, size=(_STARTS, len(last)))]
    return min(_descended(law, space, start) for start in starts)


def _descended(law: Law, space: Space, code: NDArray[np.int64]) -> float:
    """Return the least value that changes of one parameter at a time lead to."""
    least = float(law(code[None])[0])
    while True:
        before = least
        for column, values in enumerate(space.cardinalities):
            others = np.repeat(code[None], values, axis=0)
            others[:, column] = np.arange(values)
            found = law(others)
            if found.min() < least:
                code, least = others[int(found.argmin())], float(found.min())
        if least == before:
            return least

"""What several objectives call better: the front, how much it dominates, and one point of it.

Values are always to be minimised, shape [rows, objectives], see `Problem.matrix`; a row that is infinite in any column
is infeasible, and belongs to no front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

MOST_OBJECTIVES = 4
"""Objectives up to which the hypervolume is exact within seconds."""


def front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows no other row dominates, shape [rows]; of equal rows all or none.

    A row dominates another if it is at most as large in every objective, and smaller in one.
    """
    left = np.flatnonzero(np.isfinite(values).all(axis=1))
    left = left[np.argsort(values[left].sum(axis=1), kind="stable")]  # what dominates most, first
    place = 0
    while place < len(left):
        point = values[left[place]]
        stays = (values[left] < point).any(axis=1) | (values[left] == point).all(axis=1)
        place = int(stays[: place + 1].sum())
        left = left[stays]
    mask = np.zeros(len(values), dtype=bool)
    mask[left] = True
    return mask


def depth(values: NDArray[np.float64], most: int = 8) -> NDArray[np.int64]:
    """Return how many fronts go before the one that a row is on, shape [rows]; infeasible rows and deeper ones: `most`.

    Source: non-dominated sorting, Deb et al. 2002.
    """
    found = np.full(len(values), most)
    left = np.arange(len(values))
    for level in range(most):
        on_front = front(values[left])
        found[left[on_front]] = level
        left = left[~on_front]
    return found


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far apart a row's neighbours are, summed over the objectives, shape [rows]; infinite at the ends.

    Source: crowding distance, Deb et al. 2002.
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1:]] - column[order[:1]]
        distance[order[[0, -1]] if len(order) else order] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / np.where(span > 0, span, 1.0)
    return distance


def logarithms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values, same shape, columns whose finite values are all positive as natural logarithms.

    So half the energy is worth the same at every energy, and no unit outweighs another.
    """
    known = np.isfinite(values)
    positive = ((values > 0) | ~known).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(positive, np.log(np.where(positive, values, 1.0)), values)


def reference_point(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the worst finite value of each objective, shape [objectives]: what dominates no row.

    Raises:
        ArmillaryError: if every row is infeasible.
    """
    known = values[np.isfinite(values).all(axis=1)]
    if not len(known):
        raise ArmillaryError("no row is feasible and within the bounds, so that there is no reference point")
    return np.asarray(known.max(axis=0))


def hypervolume(values: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume that rows dominate and the reference point bounds, in the units of the values.

    Raises:
        ArmillaryError: if there are more than four objectives, or the reference has another number of them.

    Source: BoTorch's, after Fonseca, Paquete and Lopez-Ibanez, CEC 2006; exact.
    """
    _check_objectives(values, reference)
    inside = values[np.isfinite(values).all(axis=1) & (values < reference).all(axis=1)]
    points = np.unique(inside[front(inside)], axis=0)
    return _volume(points, reference) if len(points) else 0.0


def hypervolume_over(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hypervolume after each row, shape [rows].

    A row adds its box up to the reference, but for what the front before it dominates of that box.

    Raises:
        ArmillaryError: see `hypervolume`.

    Source: exclusive hypervolume, While, Bradstreet and Barone, IEEE Transactions on Evolutionary Computation 2012.
    """
    _check_objectives(values, reference)
    kept = np.empty((0, len(reference)))
    volume, found = 0.0, np.zeros(len(values))
    for number, row in enumerate(values):
        adds = np.isfinite(row).all() and (row < reference).all() and not (kept <= row).all(axis=1).any()
        if adds:
            clipped = np.maximum(kept, row)
            added = float(np.prod(reference - row)) - _swept(clipped[front(clipped)], reference)
            volume += max(added, 0.0)  # which rounding alone could make negative
            kept = np.concatenate([kept[(kept < row).any(axis=1)], row[None]])
        found[number] = volume
    return found


def preferred(values: NDArray[np.float64], weights: Sequence[float] | NDArray[np.float64]) -> int:
    """Return the position of the row of the front that is nearest to the ideal point, the first of equal ones.

    The ideal point has the least value of every objective, the nadir the greatest on the front. Both are 0 and 1 of the
    scale of an objective, which is logarithmic where its values are positive. The distance is Euclidean, each
    objective's times its weight.

    Args:
        values: shape [rows, objectives].
        weights: one per objective, at least 0, one of them positive.

    Raises:
        ArmillaryError: if the weights are others, or every row is infeasible.

    Source: compromise programming, Zeleny 1973; the logarithm is ours.
    """
    weight = np.asarray(weights, dtype=float)
    if weight.shape != values.shape[1:] or not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ArmillaryError(
            f"weights={weight.tolist()} are not allowed; they must be {values.shape[1]} numbers, at least 0, not all 0"
        )
    rows = np.flatnonzero(front(values))
    if not len(rows):
        raise ArmillaryError("no row is feasible and within the bounds, so that none can be preferred")
    points = logarithms(values[rows])
    ideal, nadir = points.min(axis=0), points.max(axis=0)
    distance = (points - ideal) / np.where(nadir > ideal, nadir - ideal, 1.0) * weight
    return int(rows[(distance**2).sum(axis=1).argmin()])


def _volume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume that points dominate, none of which dominates another."""
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    return float(Hypervolume(torch.from_numpy(-reference)).compute(torch.from_numpy(-points)))  # which maximises


def _swept(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume that points within the reference dominate: slice by slice along the last objective."""
    if not len(points):
        return 0.0
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    heights = np.diff(ordered[:, -1], append=reference[-1])
    if len(reference) == 1:
        return float(reference[0] - ordered[0, 0])
    if len(reference) == 2:
        return float(heights @ (reference[0] - np.minimum.accumulate(ordered[:, 0])))
    rest = ordered[:, :-1]
    return float(sum(heights[n] * _swept(rest[: n + 1], reference[:-1]) for n in np.flatnonzero(heights > 0)))


def _check_objectives(values: NDArray[np.float64], reference: NDArray[np.float64]) -> None:
    if values.ndim != 2 or reference.shape != values.shape[1:] or not 1 <= len(reference) <= MOST_OBJECTIVES:
        raise ArmillaryError(
            f"the hypervolume of values of shape {list(values.shape)} up to a reference of shape "
            f"{list(reference.shape)} is not defined here; both need the same 1 to {MOST_OBJECTIVES} objectives"
        )

"""A ridge regression on parameters, their curvature and their pairs; where values multiply, its logarithms add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Group, Points
from armillary.surrogates.auto.member import Lesson, Opinion, Parts

_STRENGTHS = 10.0 ** np.arange(-4, 2.1, 0.5)
_MOST_ROWS = 2000  # its time grows with their cube
_AT_ONCE = 4096  # points: pairs of many parameters are thousands of columns


class Ridge:
    """The regression; how strongly it shrinks is chosen by leaving one row out.

    Args:
        encoding: of points.
        location: of the terms, and of the target in the last place, shape [terms + 1].
        weights: of the terms, shape [terms].
        spread: root of the mean squared error, each row left out.
    """

    name: ClassVar[str] = "ridge with pairs"

    def __init__(
        self, encoding: Encoding, location: NDArray[np.float64], weights: NDArray[np.float64], spread: float
    ) -> None:
        self._encoding, self._location, self._weights, self._spread = encoding, location, weights, spread

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int) -> Ridge:
        """Return the regression of a lesson, of its rows at most 2,000."""
        lesson = lesson.at_most(_MOST_ROWS, seed)
        terms = _terms(encoding.columns(lesson.points), encoding.groups)
        centre, scale = terms.mean(axis=0), terms.std(axis=0) + 1e-9
        terms = (terms - centre) / scale
        mean = lesson.targets.mean()
        away = lesson.targets - mean
        values, vectors = np.linalg.eigh(terms @ terms.T / max(1, terms.shape[1]))
        values = np.maximum(values, 0)
        errors = [_left_out_error(values, vectors, away, strength) for strength in _STRENGTHS]
        strength = _STRENGTHS[int(np.argmin(errors))]
        dual = vectors @ ((vectors.T @ away) / (values + strength))
        weights = terms.T @ dual / max(1, terms.shape[1]) / scale
        return cls(encoding, np.append(centre, mean), weights, float(np.sqrt(min(errors))))

    def predict(self, points: Points) -> Opinion:
        """Return what it expects; it is as unsure of all designs."""
        value = np.empty(len(points))
        for first in range(0, len(points), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            terms = _terms(self._encoding.columns(points[part]), self._encoding.groups)
            # summed term by term in one order: a design is predicted alike alone and among others
            value[part] = self._location[-1] + ((terms - self._location[:-1]) * self._weights).sum(axis=1)
        return value, np.full(len(points), self._spread)

    def parts(self) -> Parts:
        """Return what `of` makes the regression of again."""
        tensors = {"location": torch.from_numpy(self._location), "weights": torch.from_numpy(self._weights)}
        return {"spread": self._spread}, tensors

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Ridge:
        """Return the regression that `parts` described."""
        return cls(encoding, tensors["location"].numpy(), tensors["weights"].numpy(), content["spread"])


def _left_out_error(
    values: NDArray[np.float64], vectors: NDArray[np.float64], away: NDArray[np.float64], strength: float
) -> float:
    """Return the mean squared error of rows, each left out once."""
    kept = values / (values + strength)
    fit = vectors @ (kept * (vectors.T @ away))
    leverage = (vectors**2) @ kept
    return float(np.mean(((away - fit) / np.maximum(1 - leverage, 1e-3)) ** 2))


def _terms(columns: NDArray[np.float64], groups: tuple[Group, ...]) -> NDArray[np.float64]:
    """Return the terms: each group's own, and the products of any two groups', shape [points, terms]."""
    own = [_own_terms(columns[:, group.start : group.stop], group) for group in groups]
    pairs = [
        (one[:, :, None] * other[:, None, :]).reshape(len(columns), -1)
        for k, one in enumerate(own)
        for other in own[:k]
    ]
    return np.concatenate([np.zeros((len(columns), 0)), *own, *pairs], axis=1)


def _own_terms(columns: NDArray[np.float64], group: Group) -> NDArray[np.float64]:
    if group.by_name:
        return np.asarray(columns - 1 / columns.shape[1])
    away = 2 * columns - 1
    return np.concatenate([away, away**2 - 1 / 3], axis=1) if group.curved else np.asarray(away)

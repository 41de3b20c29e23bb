"""A Gaussian process whose kernel adds single parameters, pairs of them, and all of them together.

Source: Duvenaud, Nickisch, Rasmussen, "Additive Gaussian processes", NeurIPS 2011: orders one, two and all, each with a
weight of its own; pairs by Newton's identity. Amounts have a Matern 5/2 kernel, names one that knows the same from
another. What lies beyond the log is then told by each parameter's own trend, as far as the log bears it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cores import one_thread
from armillary.surrogates.auto.encoding import Encoding, Group, Points
from armillary.surrogates.auto.member import Lesson, Opinion, Parts

_MOST_ROWS = 1500  # its time grows with their cube
_TUNING_ROWS = 400  # on which the kernel's numbers are learned
_STEPS, _MORE_STEPS = 50, 15
_RATE = 0.1
_PRIOR_SPREAD = 1.5  # of the logarithm of each of the kernel's numbers around its start
_JITTER = 1e-5
_NOISE = -3.0  # its logarithm, to begin with
_NONE = -800.0  # the logarithm of a weight of exactly 0
_AT_ONCE = 1024


class Process:
    """The process, conditioned on its rows.

    Args:
        encoding: of points.
        tensors: `theta`, the logarithms of the kernel's numbers; `columns` of the rows; `factor`, the Cholesky factor
            of their covariance; `dual`, its inverse times the targets; `scale`, mean and spread of the targets.
    """

    name: ClassVar[str] = "Gaussian process"
    # logarithms from which the weights are learned of single parameters, of pairs, and of all together
    _orders: ClassVar[tuple[float, float, float]] = (0.0, -1.0, -1.0)

    def __init__(self, encoding: Encoding, tensors: Mapping[str, Tensor]) -> None:
        self._encoding, self._tensors = encoding, dict(tensors)

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int) -> Self:
        """Return the process that knows the rows of a lesson, at most 1,500 of them."""
        prior = _prior(len(encoding.groups), cls._orders)
        return cls._of_rows(encoding, _Rows.of(encoding, lesson, seed), prior, _STEPS, seed)

    def again(self, lesson: Lesson, seed: int) -> Self:
        """Return the process of another lesson, whose kernel is tuned on from what it is."""
        rows = _Rows.of(self._encoding, lesson, seed)
        return self._of_rows(self._encoding, rows, self._tensors["theta"], _MORE_STEPS, seed)

    @classmethod
    def _of_rows(cls, encoding: Encoding, rows: _Rows, start: Tensor, steps: int, seed: int) -> Self:
        few = torch.from_numpy(np.random.default_rng([seed, 3]).permutation(len(rows.targets))[:_TUNING_ROWS])
        with one_thread():
            distances = _distances(rows.columns[few], rows.columns[few], encoding)
            prior = _prior(len(encoding.groups), cls._orders)
            theta = _tuned(distances, rows.targets[few], rows.noise[few], prior, start, steps)
            return cls(encoding, rows.conditioning(theta, encoding))

    def conditioned(self, lesson: Lesson, seed: int) -> Self:
        """Return the process with the same kernel that knows other rows."""
        with one_thread():
            rows = _Rows.of(self._encoding, lesson, seed)
            return type(self)(self._encoding, rows.conditioning(self._tensors["theta"], self._encoding))

    def predict(self, points: Points) -> Opinion:
        """Return mean and standard deviation of the process."""
        value, spread = np.empty(len(points)), np.empty(len(points))
        mean, scale = self._tensors["scale"].tolist()
        theta, factor = self._tensors["theta"], self._tensors["factor"]
        most = float(_kernel(theta, torch.zeros(len(self._encoding.groups), 1, 1, dtype=torch.float64)))
        for part, across in self._across(points):
            value[part] = self._told(across)
            with torch.inference_mode(), one_thread():
                seen = torch.linalg.solve_triangular(factor, across.T, upper=False)
                spread[part] = (most - (seen**2).sum(dim=0)).clamp_min(1e-12).sqrt().numpy()
        return mean + scale * value, scale * spread

    def mean(self, points: Points) -> NDArray[np.float64]:
        """Return the mean alone, which takes a fraction of the time, shape [points]."""
        value = np.empty(len(points))
        mean, scale = self._tensors["scale"].tolist()
        for part, across in self._across(points):
            value[part] = self._told(across)
        return np.asarray(mean + scale * value)

    def _across(self, points: Points) -> Iterator[tuple[slice, Tensor]]:
        """Yield parts of the points, and their covariance with the rows that the process knows, shape [part, rows]."""
        theta, columns = self._tensors["theta"], self._tensors["columns"]
        for first in range(0, len(points), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            asked = self._encoding.columns(points[part])
            with torch.inference_mode(), one_thread():
                yield part, _kernel_by_values(theta, asked, columns, self._encoding)

    def _told(self, across: Tensor) -> NDArray[np.float64]:
        # summed row by row: a design is predicted alike alone and among others
        with torch.inference_mode(), one_thread():
            return np.asarray((across * self._tensors["dual"]).sum(dim=1).numpy())

    def parts(self) -> Parts:
        """Return what `of` makes the process of again."""
        return {}, self._tensors

    def mean_parts(self) -> dict[str, Tensor]:
        """Return the tensors of which `of` makes a process that tells its mean alone: a fraction of the bytes."""
        return {name: tensor for name, tensor in self._tensors.items() if name != "factor"}

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:  # noqa: ARG003
        """Return the process that `parts` described."""
        return cls(encoding, tensors)


class WholeProcess(Process):
    """The process of all parameters together alone, as Gaussian processes of designs mostly are.

    It expects less of what lies beyond the log, and knows single jumps better.
    """

    name: ClassVar[str] = "Gaussian process of whole designs"
    _orders: ClassVar[tuple[float, float, float]] = (_NONE, _NONE, 0.0)


@dataclass(frozen=True)
class _Rows:
    """Rows as a process takes them: `columns`, standard `targets`, the variance of each, mean and spread before."""

    columns: Tensor
    targets: Tensor
    noise: Tensor
    scale: Tensor

    @staticmethod
    def of(encoding: Encoding, lesson: Lesson, seed: int) -> _Rows:
        lesson = lesson.at_most(_MOST_ROWS, seed)
        mean, spread = float(lesson.targets.mean()), float(lesson.targets.std()) + 1e-9
        return _Rows(
            torch.from_numpy(encoding.columns(lesson.points)),
            torch.from_numpy((lesson.targets - mean) / spread),
            torch.from_numpy(lesson.noise / spread**2),
            torch.tensor([mean, spread], dtype=torch.float64),
        )

    def conditioning(self, theta: Tensor, encoding: Encoding) -> dict[str, Tensor]:
        """Return the tensors of the process that knows the rows, under a kernel."""
        distances = _distances(self.columns, self.columns, encoding)
        factor = torch.linalg.cholesky(_covariance(theta, distances, self.noise)).contiguous()  # as a file keeps it
        dual = torch.cholesky_solve(self.targets[:, None], factor)[:, 0]
        return {"theta": theta, "columns": self.columns, "factor": factor, "dual": dual, "scale": self.scale}


def _distances(one: Tensor, other: Tensor, encoding: Encoding) -> Tensor:
    """Return how far points lie apart in each group, shape [groups, one, other]; two names are 1 apart."""
    columns = [slice(group.start, group.stop) for group in encoding.groups]
    return torch.stack([_apart(one[:, c], other[:, c], g) for c, g in zip(columns, encoding.groups, strict=True)])


def _apart(one: Tensor, other: Tensor, group: Group) -> Tensor:
    return 1 - one @ other.T if group.by_name else (one - other.T).abs()


def _matern(distance: Tensor) -> Tensor:
    far = math.sqrt(5) * distance
    return (1 + far + far**2 / 3) * torch.exp(-far)


def _kernel(theta: Tensor, distances: Tensor) -> Tensor:
    """Return the prior covariance of points that lie so far apart, shape of a group's distances."""
    groups = len(distances)
    apart, weights, together = torch.exp(theta[: 3 * groups]).reshape(3, groups)
    single, pairs, all_of_them = torch.exp(theta[3 * groups : 3 * groups + 3])
    covariance: Tensor = all_of_them * _matern((((distances / together[:, None, None]) ** 2).sum(dim=0) + 1e-12).sqrt())
    if _is_additive(theta):
        own = weights[:, None, None] * _matern(distances / apart[:, None, None])
        first = own.sum(dim=0)
        second = (first**2 - (own**2).sum(dim=0)) / 2  # Newton's identity
        covariance = covariance + single * first + pairs * second
    return covariance


def _is_additive(theta: Tensor) -> bool:
    """Return whether single parameters and pairs of them have a weight."""
    return bool(theta[-4] > _NONE / 2)


def _kernel_by_values(theta: Tensor, asked: NDArray[np.float64], columns: Tensor, encoding: Encoding) -> Tensor:
    """Return `_kernel` of points and rows, shape [points, rows]: a parameter's part once for each of its values."""
    groups, shape = len(encoding.groups), (len(asked), len(columns))
    apart, weights, together = torch.exp(theta[: 3 * groups]).reshape(3, groups)
    single, pairs, all_of_them = torch.exp(theta[3 * groups : 3 * groups + 3])
    additive = _is_additive(theta)
    first, squares, far = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    for k, group in enumerate(encoding.groups):
        values, places = np.unique(asked[:, group.start : group.stop], axis=0, return_inverse=True)
        distance = _apart(torch.from_numpy(values), columns[:, group.start : group.stop], group)
        place = torch.from_numpy(places.reshape(-1))
        if additive:
            own = weights[k] * _matern(distance / apart[k])
            first += own[place]
            squares += (own**2)[place]
        far += (together[k] ** -2 * distance**2)[place]
    second = (first**2 - squares) / 2
    covariance: Tensor = single * first + pairs * second + all_of_them * _matern((far + 1e-12).sqrt())
    return covariance


def _covariance(theta: Tensor, distances: Tensor, noise: Tensor) -> Tensor:
    """Return the covariance of measured rows: the kernel, and the noise of all and of each."""
    return _kernel(theta, distances) + torch.diag(torch.exp(theta[-1]) + _JITTER + noise)


def _prior(groups: int, orders: tuple[float, float, float]) -> Tensor:
    """Return the logarithms of the kernel's numbers that are expected before any row is seen."""
    return torch.cat(
        [
            torch.zeros(groups, dtype=torch.float64),
            torch.full((groups,), -math.log(max(1, groups)), dtype=torch.float64),
            torch.full((groups,), 0.5, dtype=torch.float64),
            torch.tensor([*orders, _NOISE], dtype=torch.float64),
        ]
    )


def _tuned(distances: Tensor, targets: Tensor, noise: Tensor, prior: Tensor, start: Tensor, steps: int) -> Tensor:
    """Return the logarithms of the kernel's numbers under which the targets are most likely, near the prior."""
    theta = start.clone().requires_grad_()
    adam = torch.optim.Adam([theta], lr=_RATE)
    for _ in range(steps):
        adam.zero_grad()
        factor = torch.linalg.cholesky(_covariance(theta, distances, noise))
        dual = torch.cholesky_solve(targets[:, None], factor)[:, 0]
        surprise = targets @ dual / 2 + factor.diagonal().log().sum()
        (surprise + (((theta - prior) / _PRIOR_SPREAD) ** 2).sum() / 2).backward()
        adam.step()
    return theta.detach()

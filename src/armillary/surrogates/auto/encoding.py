"""Designs and the workloads that they run as numbers, one encoding for every member of the surrogate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Parameter, Space


@dataclass(frozen=True)
class Points:
    """Designs with the features of the workload that each runs.

    Attributes:
        codes: value indices, shape [points, parameters].
        features: of the workloads, shape [points, features]; no feature where there is one workload.
    """

    codes: NDArray[np.int64]
    features: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Points:
        return Points(self.codes[rows], self.features[rows])

    @staticmethod
    def of(codes: NDArray[np.int64], features: NDArray[np.float64]) -> Points:
        """Return designs that all run one workload, of features [features]."""
        return Points(codes, np.broadcast_to(features, (len(codes), len(features))))

    @staticmethod
    def joined(parts: Sequence[Points]) -> Points:
        """Return the points of all parts."""
        return Points(np.concatenate([p.codes for p in parts]), np.concatenate([p.features for p in parts]))


@dataclass(frozen=True)
class Group:
    """The columns of one parameter, or of what is known of the workload.

    Attributes:
        name: of the parameter.
        start: its first column.
        stop: the column after its last.
        by_name: whether the columns are one per name, one of them 1, the others 0; else they are amounts.
        curved: whether an amount has more than two values.
    """

    name: str
    start: int
    stop: int
    by_name: bool
    curved: bool


@dataclass(frozen=True)
class Encoding:
    """From points to columns: amounts and ranks from 0 to 1, one column per name, what the space derives.

    Amounts count by their logarithm. So do the features of workloads, which may lie orders of magnitude apart.

    Attributes:
        space: of the designs.
        feature_names: of the workloads' features.
        named: whether the features only name the workload, 1 for its own, 0 for the others.
        low: the least of each feature, as `magnitude` has it, over the workloads that were learned from.
        high: the greatest of each.
        location: mean of each quantity that the space derives, over the rows learned from; empty if it derives none.
        spread: standard deviation of each.
    """

    space: Space
    feature_names: tuple[str, ...]
    named: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    location: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    @staticmethod
    def of(space: Space, feature_names: tuple[str, ...], named: bool, points: Points) -> Encoding:
        """Return the encoding for members that learn from these points."""
        seen = magnitude(points.features)
        plain = Encoding(space, feature_names, named, _numbers(seen.min(axis=0)), _numbers(seen.max(axis=0)))
        if space.derived is None:
            return plain
        told = plain._derived(points)
        spread = told.std(axis=0)
        return replace(plain, location=_numbers(told.mean(axis=0)), spread=_numbers(np.where(spread > 0, spread, 1.0)))

    def as_dict(self) -> dict[str, Any]:
        """Return all but the space, JSON-ready."""
        return {name: value for name, value in vars(self).items() if name in _KEPT}

    @staticmethod
    def from_dict(space: Space, fields: Mapping[str, Any]) -> Encoding:
        """Return the encoding that `as_dict` described."""
        listed = {name: tuple(value) for name, value in fields.items() if name != "named"}
        return Encoding(space, named=fields["named"], **listed)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups of columns: parameters, then what the space derives, then the workload."""
        widths = [(p.name, len(p.values) if _by_name(p) else 1, _by_name(p), len(p.values) > 2) for p in self._varied]
        widths += [(f"derived {k}", 1, False, True) for k in range(len(self.location))]
        if self.named:
            widths += [("workload", len(self.feature_names), True, False)]
        else:
            widths += [(self.feature_names[k], 1, False, False) for k in self._telling]
        stops = np.cumsum([width for _, width, _, _ in widths]).tolist()
        return tuple(
            Group(name, stop - width, stop, by_name, curved)
            for (name, width, by_name, curved), stop in zip(widths, stops, strict=True)
        )

    def columns(self, points: Points) -> NDArray[np.float64]:
        """Return the columns of points, shape [points, columns], as `groups` tells."""
        parts = [_values_of(p)[points.codes[:, k]] for k, p in self._places]
        if self.location:
            parts.append((self._derived(points) - self.location) / self.spread)
        if self._telling:
            told = list(self._telling)
            low, high = np.array(self.low)[told], np.array(self.high)[told]
            parts.append((magnitude(points.features[:, told]) - low) / (high - low))
        return np.concatenate([np.zeros((len(points), 0)), *parts], axis=1)

    @cached_property
    def amounts(self) -> Mapping[int, int]:
        """The columns of the amounts of more than two values, by the parameter's place in a design."""
        return {
            place: group.start
            for (place, parameter), group in zip(self._places, self.groups, strict=False)
            if parameter.kind == "cardinal" and group.curved
        }

    def products(self, points: Points, places: Sequence[int]) -> NDArray[np.float64]:
        """Return logarithms of the product and the ratio of any two amounts, shape [points, 2 pairs].

        Args:
            points: the points.
            places: of the amounts in a design.
        """
        sizes = [_sizes(self.space.parameters[k])[points.codes[:, k]] for k in places]
        pairs = [both for k, one in enumerate(sizes) for other in sizes[:k] for both in (one + other, one - other)]
        return np.stack(pairs, axis=1) if pairs else np.zeros((len(points), 0))

    def one_hot(self, points: Points) -> NDArray[np.float32]:
        """Return the columns, and before them one per value of each parameter, for networks, shape [points, width]."""
        columns = self.columns(points)
        return np.concatenate([self.space.one_hot(points.codes), columns], axis=1).astype(np.float32)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.groups[-1].stop if self.groups else 0

    @property
    def one_hot_width(self) -> int:
        """Number of columns of `one_hot`."""
        return self.space.one_hot_width + self.width

    @cached_property
    def _places(self) -> tuple[tuple[int, Parameter], ...]:
        """The parameters that have a choice, with their places in a design."""
        return tuple((k, p) for k, p in enumerate(self.space.parameters) if len(p.values) > 1)

    @cached_property
    def _telling(self) -> tuple[int, ...]:
        """The features in which workloads that were learned from differ; the others teach nothing."""
        return tuple(k for k, (low, high) in enumerate(zip(self.low, self.high, strict=True)) if high > low)

    @property
    def _varied(self) -> tuple[Parameter, ...]:
        return tuple(p for _, p in self._places)

    def _derived(self, points: Points) -> NDArray[np.float64]:
        assert self.space.derived is not None
        told = {} if self.named else dict(zip(self.feature_names, points.features.T, strict=True))
        return self.space.derived(points.codes, told)


_KEPT = ("feature_names", "named", "low", "high", "location", "spread")


def magnitude(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how large amounts of either sign are, same shape: the logarithm of one and the amount, with its sign."""
    return np.asarray(np.sign(values) * np.log2(1 + np.abs(values)))


def _numbers(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _by_name(parameter: Parameter) -> bool:
    return parameter.kind == "categorical" and len(parameter.values) > 2


def _values_of(parameter: Parameter) -> NDArray[np.float64]:
    """Return the columns of each value of a parameter, shape [values, columns]."""
    if _by_name(parameter):
        return np.eye(len(parameter.values))
    size = np.arange(len(parameter.values), dtype=float) if parameter.kind != "cardinal" else _sizes(parameter)
    size = size - size.min()
    return np.asarray((size / size.max())[:, None])


def _sizes(parameter: Parameter) -> NDArray[np.float64]:
    """Return the logarithms of an amount's values, shape [values]."""
    amounts = np.array(parameter.values, dtype=float)
    return np.log2(amounts) if amounts.min() > 0 else magnitude(amounts)

"""Parameters and their product: which choices exist, independent of what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armillary.notebook import html_table
from armillary.types import ArmillaryError, Design, Value


@dataclass(frozen=True)
class Parameter:
    """One discrete knob: `cardinal` values are amounts, `ordinal` ones are ranks, `categorical` ones names."""

    name: str
    values: tuple[Value, ...]
    kind: Literal["cardinal", "ordinal", "categorical"] = "cardinal"
    unit: str = "1"

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"parameter {self.name} has no values")
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"parameter {self.name} lists a value twice: {list(self.values)}")
        if len({type(v) for v in self.values}) != 1:
            raise ValueError(f"parameter {self.name} mixes types: {list(self.values)}")

    def code(self, value: Value) -> int:
        """Return the index of a value.

        Raises:
            ArmillaryError: if the value is not among the allowed ones.
        """
        try:
            if isinstance(value, bool) and not isinstance(self.values[0], bool):  # which Python takes for 0 and 1
                raise ValueError
            return self.values.index(value)
        except ValueError:
            shown = value.item() if isinstance(value, np.generic) else value
            raise ArmillaryError(f"{self.name}={shown!r} is not allowed; choose one of {list(self.values)}") from None


Derive = Callable[[NDArray[np.int64], Mapping[str, NDArray[np.float64]]], NDArray[np.float64]]
"""From coded designs, shape [designs, parameters], and the features of a workload, each a number or one per design, to
quantities, shape [designs, quantities]. A feature that is not told counts as one."""


@dataclass(frozen=True)
class Space:
    """A product of parameters. A design is coded as one value index per parameter.

    `derived` is what an expert derives of a design and a workload before anything is evaluated, such as the peak of an
    array; who learns from designs may be told.
    """

    name: str
    parameters: tuple[Parameter, ...]
    derived: Derive | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"space {self.name} names a parameter twice: {list(self.names)}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(p.name for p in self.parameters)

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(p.values) for p in self.parameters)

    @property
    def size(self) -> int:
        """Number of designs."""
        return math.prod(self.cardinalities)

    @property
    def one_hot_width(self) -> int:
        """Length of the concatenated one-hot encoding."""
        return sum(self.cardinalities)

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of a name, which there is."""
        return self.parameters[self.names.index(name)]

    def _repr_html_(self) -> str:
        rows = [(p.name, p.kind, p.unit, _shown(p.values)) for p in self.parameters]
        return html_table(f"{self.name}: {self.size:,} designs", ("parameter", "kind", "unit", "values"), rows)

    def design(self, codes: Sequence[int] | NDArray[np.int64]) -> Design:
        """Return the design that the value indices (one per parameter) stand for."""
        return Design(self.name, tuple((p.name, p.values[int(c)]) for p, c in zip(self.parameters, codes, strict=True)))

    def designs(self, codes: NDArray[np.int64]) -> list[Design]:
        """Return the designs of codes of shape [designs, parameters]."""
        return [self.design(row) for row in codes]

    def design_from(self, values: Mapping[str, Any], source: str) -> Design:
        """Return the design with these values, read from `source` (a file or an option).

        Raises:
            ArmillaryError: names every missing, unknown and illegal value of the source.
        """
        faults = [f"{name} is missing" for name in self.names if name not in values]
        faults += [f"{name} is no parameter of {self.name}" for name in values if name not in self.names]
        codes = []
        for parameter in self.parameters:
            if parameter.name in values:
                try:
                    codes.append(parameter.code(values[parameter.name]))
                except ArmillaryError as fault:
                    faults.append(str(fault))
        if faults:
            raise ArmillaryError(f"{source}: " + "; ".join(faults))
        return self.design(codes)

    def encode(self, designs: Sequence[Design]) -> NDArray[np.int64]:
        """Return the value indices, shape [designs, parameters].

        Raises:
            ArmillaryError: if a design belongs to another space, lacks a parameter or has an illegal value.
        """
        codes = np.empty((len(designs), len(self.parameters)), dtype=np.int64)
        for i, design in enumerate(designs):
            if design.space != self.name:
                raise ArmillaryError(f"design of space {design.space!r} is no design of {self.name!r}")
            values = design.as_dict()
            missing = [name for name in self.names if name not in values]
            if missing:
                raise ArmillaryError(f"design {i} of {self.name}: {missing[0]} is missing")
            codes[i] = [p.code(values[p.name]) for p in self.parameters]
        return codes

    def columns(self, codes: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the values of coded designs, one array of shape [designs] per parameter."""
        return {p.name: np.array(p.values)[codes[:, i]] for i, p in enumerate(self.parameters)}

    def encode_columns(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Return the value indices of designs given as one array per parameter.

        Raises:
            ArmillaryError: if a parameter is missing or a value is not allowed; names the first row.
        """
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ArmillaryError(f"space {self.name}: column {missing[0]!r} is missing; expected {list(self.names)}")
        return np.stack([_codes(p, np.asarray(columns[p.name])) for p in self.parameters], axis=1)

    def inside(self, narrower: Space, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which coded designs a space of the same parameters with fewer values holds, shape [designs]."""
        columns = self.columns(codes)
        return np.asarray(np.all([np.isin(columns[p.name], p.values) for p in narrower.parameters], axis=0))

    def index(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position of each coded design in the enumeration of the space, shape [designs]."""
        return np.asarray(np.ravel_multi_index(tuple(codes.T), self.cardinalities), dtype=np.int64)

    def at(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the codes of the designs at these positions, shape [designs, parameters]."""
        return np.stack(np.unravel_index(index, self.cardinalities), axis=1).astype(np.int64)

    def one_hot(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the concatenated one-hot encoding, shape [designs, one_hot_width]."""
        offsets = np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])
        encoded = np.zeros((len(codes), self.one_hot_width), dtype=np.float32)
        np.put_along_axis(encoded, codes + offsets, 1.0, axis=1)
        return encoded


_NUMBERS = "biuf"
_MOST_SHOWN = 12


def _shown(values: Sequence[Value]) -> str:
    """Return values in words, of many only the first and the last."""
    few = len(values) <= _MOST_SHOWN
    return ", ".join(map(str, values)) if few else f"{values[0]} to {values[-1]}, {len(values)} values"


def _codes(parameter: Parameter, column: NDArray[Any]) -> NDArray[np.int64]:
    values = np.array(parameter.values)
    order = np.argsort(values)
    if (values.dtype.kind in _NUMBERS) == (column.dtype.kind in _NUMBERS):
        codes = order[np.searchsorted(values[order], column).clip(0, len(values) - 1)]
        wrong = np.flatnonzero(values[codes] != column)
    else:  # numbers where names belong, or the reverse
        codes = np.zeros(len(column), dtype=np.int64)
        wrong = np.arange(len(column))
    if wrong.size:
        raise ArmillaryError(
            f"row {int(wrong[0])}: {parameter.name}={column[wrong[0]]!r} is not allowed; "
            f"choose one of {list(parameter.values)}"
        )
    return np.asarray(codes, dtype=np.int64)

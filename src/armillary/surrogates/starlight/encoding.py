"""What Starlight knows of a layer's mapping onto an accelerator: 40 numbers.

Table 5.1 lists the array's size, the accumulator, the scratchpad, the loop order and the tiling factors; Section 5.2.3
gives the first layer 40 inputs. That the 40 are these is our reading:

    3   dim, accumulator_kib, scratchpad_kib
    7   the places of the seven loops in the outermost level, 0 (the innermost) to 6
    28  the tiling factors of the seven dimensions at each of the four levels, the innermost level first
    2   how far the array's rows and columns are used

The layer itself shows in its factors alone, which multiply to its bounds; strides show nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cost_model.batch import MappingBatch
from armillary.hardware import mapping as mappings_of_layers
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.types import ArmillaryError

Values = NDArray[np.float64]
Columns = Mapping[str, Any]
"""Values of designs by parameter, each of shape [rows] or one for all: `Space.columns`, or the fields of one."""
Mappings = MappingBatch | Sequence[mappings_of_layers.Mapping] | Sequence[str]

HARDWARE = ("dim", "accumulator_kib", "scratchpad_kib")
LOOPS = "NKCPQRS"
LEVELS = ("registers", "accumulator", "scratchpad", "dram")
ROWS, COLUMNS = LEVELS.index("accumulator"), LEVELS.index("scratchpad")
"""The levels whose spatial loops lie along the array's rows and columns."""

NAMES = (
    *HARDWARE,
    *(f"{loop}_place" for loop in LOOPS),
    *(f"{loop}_{level}" for level in LEVELS for loop in LOOPS),
    "rows_used",
    "columns_used",
)
AMOUNTS = np.array([not name.endswith("_place") for name in NAMES])
"""Which inputs are amounts, whose logarithms count; the others are places."""
_CONVOLUTION = [DIMENSIONS.index(loop) for loop in LOOPS]
_BATCH, _GROUPS = DIMENSIONS.index("N"), DIMENSIONS.index("G")


def inputs_of(columns: Columns, mappings: Mappings) -> Values:
    """Return the inputs of mappings of layers onto accelerators as they are, shape [rows, 40]; see `NAMES`.

    Groups are runs side by side, as samples of a batch are, so that their loop counts as one over N.

    Args:
        columns: of the accelerators, `HARDWARE` at least.
        mappings: of one layer each, onto the four levels of the `gemmini` template.

    Raises:
        ArmillaryError: if a column is missing, the numbers of rows differ, or a mapping is of another hierarchy.
    """
    batch = batch_of(mappings)
    temporal = _with_groups(batch.temporal.numpy())
    rows = len(batch)
    parts = [
        *(checked_column(columns, name, rows)[None] for name in HARDWARE),
        _places(batch),
        temporal.reshape(-1, temporal.shape[-1]),
        *(batch.spatial[level].prod(dim=0).numpy()[None] for level in (ROWS, COLUMNS)),
    ]
    return np.concatenate([np.broadcast_to(part, (len(part), rows)) for part in parts]).T.astype(np.float64)


def batch_of(mappings: Mappings) -> MappingBatch:
    """Return mappings, or their texts, as a batch.

    Raises:
        ArmillaryError: if there is none, a text is no mapping, or one is not onto the `gemmini` template's levels.
    """
    if not len(mappings):
        raise ArmillaryError("no mapping to encode")
    if not isinstance(mappings, MappingBatch):
        parsed = [mappings_of_layers.Mapping.parse(m) if isinstance(m, str) else m for m in mappings]
        mappings = MappingBatch.of(parsed)
    if len(mappings.temporal) != len(LEVELS):
        raise ArmillaryError(
            f"the mappings have {len(mappings.temporal)} levels; Starlight knows the {len(LEVELS)} of gemmini: "
            f"{list(LEVELS)}"
        )
    across = (mappings.spatial > 1).any(dim=-1).any(dim=-1).tolist()
    wrong = [name for number, name in enumerate(LEVELS) if across[number] and number not in (ROWS, COLUMNS)]
    if wrong:
        raise ArmillaryError(
            f"a mapping unrolls a loop at level {wrong[0]}; on gemmini only accumulator and scratchpad have instances"
        )
    return mappings


def checked_column(columns: Columns, name: str, rows: int) -> Values:
    """Return a parameter of every row, shape [rows]."""
    if name not in columns:
        raise ArmillaryError(f"column {name!r} of the accelerators is missing; {sorted(columns)} are given")
    values = np.asarray(columns[name], dtype=np.float64)
    if values.ndim and len(values) != rows:
        raise ArmillaryError(f"column {name!r} has {len(values)} rows, the mappings have {rows}; give one for each")
    return np.broadcast_to(values, (rows,))


def _with_groups(temporal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors of the seven loops, shape [levels, loops, rows]."""
    factors = temporal[:, _CONVOLUTION].copy()
    factors[:, LOOPS.index("N")] *= temporal[:, _GROUPS]
    return factors


def _places(batch: MappingBatch) -> NDArray[np.int64]:
    """Return where the seven loops stand in DRAM's level, 0 the innermost, shape [loops, rows].

    Loops that do not turn stand outside those that do, in the order of `LOOPS`: a mapping has one encoding, whatever
    places its batch gives them.
    """
    outermost, shape = LEVELS.index("dram"), (len(DIMENSIONS), len(batch))
    place = np.broadcast_to(batch.place[outermost].numpy(), shape).copy()
    turns = np.broadcast_to(batch.temporal[outermost].numpy() > 1, shape).copy()
    # the loop over groups stands for that over N, where only it turns
    place[_BATCH] = np.where(turns[_GROUPS] & ~turns[_BATCH], place[_GROUPS], place[_BATCH])
    turns[_BATCH] |= turns[_GROUPS]
    beyond = len(DIMENSIONS) + np.arange(len(LOOPS))[:, None]
    order = np.where(turns[_CONVOLUTION], place[_CONVOLUTION], beyond)
    return order.argsort(axis=0).argsort(axis=0)


@dataclass(frozen=True)
class UnitCube:
    """A min-max scaler to the unit cube.

    Attributes:
        least: of each input over the training rows, shape [40].
        most: likewise.
        logged: take logarithms of all inputs but the places before. The dissertation mentions none; without them most
            factors lie in the lowest hundredth of their range.
    """

    least: Tensor
    most: Tensor
    logged: bool = False

    @staticmethod
    def of(inputs: Values, *, logged: bool = False) -> UnitCube:
        """Return the scaler of training rows, shape [rows, 40].

        Raises:
            ArmillaryError: see `__call__`.
        """
        seen = _seen(inputs, logged)
        return UnitCube(seen.min(dim=0).values, seen.max(dim=0).values, logged)

    def __call__(self, inputs: Values) -> Tensor:
        """Return inputs of shape [rows, 40] scaled: training rows lie in 0 to 1, others may lie beyond.

        An input that had one value in training is 0 there, and beyond as far off as it is.

        Raises:
            ArmillaryError: if the shape is another, an input is not finite, or is to be logged and not positive.
        """
        span = self.most - self.least
        return (_seen(inputs, self.logged) - self.least) / torch.where(span > 0, span, 1.0)


def _seen(inputs: Values, logged: bool) -> Tensor:
    checked(inputs)
    if not logged:
        return torch.from_numpy(inputs)
    wrong = np.argwhere((inputs <= 0) & AMOUNTS)
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ArmillaryError(f"input {NAMES[column]} of row {row} is {inputs[row, column]}; it must be positive")
    return torch.from_numpy(logarithms_of(inputs))


def logarithms_of(inputs: Values) -> Values:
    """Return inputs with the logarithms of amounts, to base 2, and places as they are, shape [rows, 40]."""
    return np.where(AMOUNTS, np.log2(np.where(AMOUNTS, inputs, 1.0)), inputs)


def checked(inputs: Values) -> None:
    """Check the shape of inputs, [rows, 40], and that they are finite.

    Raises:
        ArmillaryError: if they are not.
    """
    if inputs.ndim != 2 or inputs.shape[1] != len(NAMES):
        raise ArmillaryError(f"inputs have shape {list(inputs.shape)}; it must be [rows, {len(NAMES)}]")
    wrong = np.argwhere(~np.isfinite(inputs))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ArmillaryError(f"input {NAMES[column]} of row {row} is {inputs[row, column]}; it must be finite")


def checked_rows(inputs: Values, values: Values) -> None:
    """Check training rows: inputs [rows, 40] and a finite value of each [rows], two rows at least.

    Raises:
        ArmillaryError: if they are not such.
    """
    checked(inputs)
    if values.shape != (len(inputs),):
        raise ArmillaryError(f"values have shape {list(values.shape)}; it must be [{len(inputs)}], one for each input")
    if len(values) < 2:
        raise ArmillaryError(f"{len(values)} training rows are too few; give at least 2")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ArmillaryError(
            f"value of row {wrong[0]} is {values[wrong[0]]}; it must be finite, the logarithm of a positive metric"
        )

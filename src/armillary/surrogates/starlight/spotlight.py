"""Spotlight's surrogate on designs of the `gemmini` template: what Section 5.1.1 finds inaccurate.

It is daBO's model, of the linear or the Matern kernel, on the features of Table 4.2. That table is of another
accelerator; on this one, which is our reading, its register file is the registers, its scratchpad's loops are those of
accumulator and scratchpad, its on-chip memory is both of these, its lanes are one, and its bandwidth is the bus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.mapping.spotlight.dabo import DomainModel, Kernel
from armillary.mapping.spotlight.features import TABLE_4_2, TABLE_4_2_HW, union
from armillary.surrogates.starlight.encoding import (
    COLUMNS,
    HARDWARE,
    ROWS,
    Mappings,
    Values,
    batch_of,
    checked_column,
)
from armillary.surrogates.starlight.encoding import Columns as OfDesigns

FEATURES = union(TABLE_4_2_HW, TABLE_4_2)
_LEVELS = ([0], [1, 2], [3])
"""The levels of gemmini whose loops are those of the register file, the scratchpad and DRAM."""


@dataclass(frozen=True)
class _Chips:
    """Accelerators as features see them, each of shape [rows]."""

    rows: Values
    columns: Values
    pes: Values
    bandwidth: Values
    register_file_kib: Values
    scratchpad_kib: Values
    simd_lanes: float = 1.0


@dataclass(frozen=True)
class _View:
    """Mappings as features see them; answers as `features.MapView`."""

    batch: MappingBatch

    def loops(self, dimension: str, level: int) -> Values:
        return np.asarray(self.batch.temporal[_LEVELS[level], DIMENSIONS.index(dimension)].prod(dim=0).numpy())

    def unrolled(self, axis: str) -> Values:
        return np.asarray(self._across(axis).prod(axis=0))

    def repeated(self, axis: str) -> Values:
        turning = self.batch.temporal[_LEVELS[1]].prod(dim=0).numpy()
        return np.asarray(np.where(self._across(axis) > 1, turning, 1).prod(axis=0))

    def _across(self, axis: str) -> NDArray[np.float64]:
        """Return how far each dimension is unrolled along `rows` or `columns`, shape [dimensions, rows]."""
        return np.asarray(self.batch.spatial[{"rows": ROWS, "columns": COLUMNS}[axis]].numpy())


def features_of(designs: OfDesigns, mappings: Mappings) -> Values:
    """Return the features of Table 4.2, `FEATURES`, of mappings of layers onto accelerators, shape [rows, 11].

    Args:
        designs: values of the accelerators, `HARDWARE` and `bus_bytes` at least.
        mappings: of one layer each, onto the four levels of the `gemmini` template.

    Raises:
        ArmillaryError: see `encoding.inputs_of`.
    """
    batch = batch_of(mappings)
    rows = len(batch)
    dim, accumulator, scratchpad, bus = (checked_column(designs, name, rows) for name in (*HARDWARE, "bus_bytes"))
    chips = _Chips(dim, dim, dim**2, bus, accumulator, scratchpad)
    found = [feature(chips, _View(batch), None) for feature in FEATURES.features.values()]
    return np.stack([np.broadcast_to(np.asarray(values, float), rows) for values in found], axis=1)


def predicted(kernel: Kernel, features: Values, log_values: Values, asked: Values) -> Values:
    """Return what Spotlight's surrogate expects of the logarithm of the metric, standardised, shape [asked].

    Its time grows with the cube of the rows if the kernel is `matern`.

    Args:
        kernel: `linear` or `matern`.
        features: of the training rows, shape [rows, 11].
        log_values: natural logarithms of the metric, shape [rows].
        asked: features of other rows, shape [asked, 11].

    Raises:
        ArmillaryError: if the kernel is unknown.
    """
    model = DomainModel(kernel)
    model.add(features, np.exp(log_values))
    return model.predict(asked)

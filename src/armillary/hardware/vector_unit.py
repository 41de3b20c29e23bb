"""A vector unit: what computes beside the array, or behind it, and how fast and at what energy.

A template states one from its own parameters. What operators need of it is `armillary.workloads.vector_work`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.workloads.vector_work import VectorWork, WorkKind

Number = float | NDArray[np.float64]
"""A number, or one for each design, shape [designs]."""

PASSES: Mapping[WorkKind, int] = {"softmax": 3, "normalization": 3}
"""How often values go through the memory on the chip; once where nothing is said.

A softmax takes its maximum, its total and its shares one after the other (Milakov and Gimelshein 2018, algorithm 2), a
normalisation its mean, its variance and its values.
"""


@dataclass(frozen=True)
class VectorEnergy:
    """Energies in pJ: of an addition, a multiplication, and of a value read or written on the chip and in DRAM."""

    add_pj: Number
    multiply_pj: Number
    buffer_pj: Number
    dram_pj: Number


@dataclass(frozen=True)
class VectorUnit:
    """What a template has beside its array. All rates are per cycle of the array's clock.

    Attributes:
        lanes: additions, comparisons or multiplications.
        function_adds: additions that a value of a function takes.
        function_multiplies: multiplications that it takes.
        behind: work that is done on what a layer puts out at the layer's own rate, or, `stride`, on what it reads.
        buffer_values: values read and written in the memory on the chip.
        move_values: values that change places on the chip.
        resident_values: tensors of an operator that have no more values together stay on the chip.
        dram_reads: values read from DRAM.
        dram_writes: values written to DRAM.
        dram_values: values read and written together.
        setup_cycles: before an operator that is not done behind a layer.
        value_bytes: of a value in DRAM.
        energy: None where a template has no energies.
        overlaps: whether an operator computes while its values come and go; if not, computing waits for both.
    """

    lanes: Number
    function_adds: int
    function_multiplies: int
    behind: frozenset[WorkKind]
    buffer_values: Number
    move_values: Number
    resident_values: Number
    dram_reads: Number
    dram_writes: Number
    dram_values: Number
    setup_cycles: Number
    value_bytes: float
    energy: VectorEnergy | None = None
    overlaps: bool = True

    def does_behind(self, work: VectorWork) -> bool:
        """Return whether work is done behind a layer: the layer alone feeds it, and the hardware can."""
        can = work.kind in self.behind and (not work.functions or "function" in self.behind)
        return work.passed > 0 and can

    def operations(self, work: VectorWork) -> tuple[int, int]:
        """Return the additions and multiplications of work, those of its functions included."""
        return (
            work.adds + self.function_adds * work.functions,
            work.multiplies + self.function_multiplies * work.functions,
        )

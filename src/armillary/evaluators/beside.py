"""What operators beside the array cost on a vector unit, and how that adds to what the layers cost.

Operators run one after the other, between the layers, as the layers do: nothing overlaps but, where the hardware
can, an operator's own computing and transfers, the slowest of which sets its delay. What the hardware does behind a
layer costs no time but that of the values it reads besides, such as the other half of a residual sum. The model is
ours, the constants are the template's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.explanation import BesideCost
from armillary.hardware.vector_unit import PASSES, Number, VectorUnit
from armillary.workloads.vector_work import WORK_KINDS, VectorUse, VectorWork

BESIDE = "operators beside the array"
"""What explanations call their time and their energy."""


@dataclass(frozen=True)
class VectorCost:
    """Of one use or of several together: numbers, or arrays of shape [designs]; no energy where a unit states none."""

    cycles: Number = 0.0
    dram_bytes: Number = 0.0
    energy_pj: Number | None = 0.0

    def __add__(self, other: VectorCost) -> VectorCost:
        known = self.energy_pj is not None and other.energy_pj is not None
        energy = self.energy_pj + other.energy_pj if known else None  # type: ignore[operator]
        return VectorCost(self.cycles + other.cycles, self.dram_bytes + other.dram_bytes, energy)

    def times(self, count: int) -> VectorCost:
        """Return the cost of so many runs."""
        energy = None if self.energy_pj is None else self.energy_pj * count
        return VectorCost(self.cycles * count, self.dram_bytes * count, energy)

    def metrics(self) -> dict[str, Number]:
        """Return the cost as metrics of the operators beside the array."""
        found = {"beside_cycles": self.cycles, "beside_dram_bytes": self.dram_bytes}
        return found if self.energy_pj is None else {**found, "beside_energy_pj": self.energy_pj}


def cost_of(unit: VectorUnit, work: VectorWork) -> VectorCost:
    """Return what one run costs."""
    if work.kind == "unknown":
        return VectorCost(energy_pj=None if unit.energy is None else 0.0)
    if unit.does_behind(work):
        return _behind(unit, work)
    values = work.reads + work.writes
    streams = values > np.asarray(unit.resident_values)
    reads, writes = np.where(streams, work.reads, 0.0), np.where(streams, work.writes, 0.0)
    on_chip = PASSES.get(work.kind, 1) * values
    rate = unit.move_values if work.kind in ("move", "stride") else unit.buffer_values
    computing = _largest(sum(unit.operations(work)) / unit.lanes, on_chip / rate)
    moving = _dram_cycles(unit, reads, writes)
    spent = _largest(computing, moving) if unit.overlaps else computing + moving
    return _cost(unit, work, unit.setup_cycles + spent, reads + writes, on_chip)


def cost_on_chip(unit: VectorUnit, work: VectorWork, staying: int) -> VectorCost:
    """Return what one run costs while so many of its values stay on the chip, with its result, between two layers.

    What it reads besides, as the other factor of a gate, comes from where that lies.
    """
    besides = float(max(0, work.reads - staying))
    inside = replace(unit, resident_values=np.inf)
    if work.kind == "unknown" or unit.does_behind(work) or besides <= np.asarray(unit.resident_values):
        return cost_of(inside, work)
    reads, nothing = np.asarray(besides), np.zeros(())
    own, moving = cost_of(inside, work), _dram_cycles(unit, reads, nothing)
    cycles = _largest(own.cycles, unit.setup_cycles + moving) if unit.overlaps else own.cycles + moving
    energy = None if own.energy_pj is None or unit.energy is None else own.energy_pj + besides * unit.energy.dram_pj
    return VectorCost(cycles, besides * unit.value_bytes, energy)


def _behind(unit: VectorUnit, work: VectorWork) -> VectorCost:
    """Return what work behind a layer costs: what it reads besides comes from where that lies."""
    besides = work.reads - work.passed
    reads = np.where(besides > np.asarray(unit.resident_values), besides, 0.0)
    return _cost(unit, work, _dram_cycles(unit, reads, np.zeros_like(reads)), reads, besides)


def _dram_cycles(unit: VectorUnit, reads: NDArray[np.float64], writes: NDArray[np.float64]) -> Number:
    return _largest(reads / unit.dram_reads, writes / unit.dram_writes, (reads + writes) / unit.dram_values)


def _largest(*numbers: Number) -> Number:
    return np.asarray(reduce(np.maximum, numbers))


def _cost(unit: VectorUnit, work: VectorWork, cycles: Number, dram_values: Number, on_chip: int) -> VectorCost:
    energy = None
    if unit.energy is not None:
        adds, multiplies = unit.operations(work)
        computed = adds * unit.energy.add_pj + multiplies * unit.energy.multiply_pj
        energy = computed + on_chip * unit.energy.buffer_pj + dram_values * unit.energy.dram_pj
    return VectorCost(cycles, dram_values * unit.value_bytes, energy)


def total(unit: VectorUnit, uses: Sequence[VectorUse]) -> VectorCost:
    """Return what all operators of an inference cost."""
    start = VectorCost(energy_pj=None if unit.energy is None else 0.0)
    return sum((cost_of(unit, use.work).times(use.count) for use in uses), start)


def with_beside(sums: Mapping[str, Number], unit: VectorUnit, uses: Sequence[VectorUse]) -> dict[str, Number]:
    """Return a network's sums over its layers with what the operators beside the array add; as they are without any.

    Args:
        sums: `delay_cycles`, and `energy_pj` and `dram_bytes` where they are known; numbers, or arrays of shape
            [designs].
        unit: that runs the operators.
        uses: the operators.

    Returns:
        The sums, and what is the operators' share of them: `beside_cycles`, `beside_energy_pj`, `beside_dram_bytes`.
    """
    if not uses:
        return dict(sums)
    return with_cost(sums, total(unit, uses))


_OWN = {"delay_cycles": "beside_cycles", "energy_pj": "beside_energy_pj", "dram_bytes": "beside_dram_bytes"}


def with_cost(sums: Mapping[str, Number], cost: VectorCost) -> dict[str, Number]:
    """Return a network's sums with what some operators beside the array cost, in them and in their share."""
    own = cost.metrics()
    grown = {name: value + own.get(_OWN.get(name, ""), 0.0) for name, value in sums.items()}
    return {**grown, **{name: value + sums.get(name, 0.0) for name, value in own.items()}}


def scalars(metrics: Mapping[str, Number]) -> dict[str, float]:
    """Return the metrics of one design as plain numbers."""
    return {name: _plain(value) for name, value in metrics.items()}


def _plain(value: Number) -> float:
    return float(np.asarray(value).item())


@dataclass(frozen=True)
class Beside:
    """The operators beside the array as an explanation shows them.

    Attributes:
        costs: of each kind, in the order of `WORK_KINDS`.
        clock_hz: of the array.
    """

    costs: tuple[BesideCost, ...]
    clock_hz: float

    @staticmethod
    def of(unit: VectorUnit, uses: Sequence[VectorUse], clock_hz: float) -> Beside:
        """Return what operators cost on one design."""
        own = {kind: [use for use in uses if use.work.kind == kind] for kind in WORK_KINDS}
        return Beside(tuple(_kind_cost(unit, kind, some) for kind, some in own.items() if some), clock_hz)

    def with_fused(self, cost: VectorCost, count: int) -> Beside:
        """Return them with what so many runs of operators between fused layers cost, in a row of its own."""
        if not np.any(cost.cycles):
            return self
        energy = None if cost.energy_pj is None else _plain(cost.energy_pj)
        row = BesideCost("fused", count, _plain(cost.cycles), energy, _plain(cost.dram_bytes))
        return replace(self, costs=(*self.costs, row))

    @property
    def overhead_s(self) -> dict[str, float]:
        """Their time; nothing where they take none."""
        seconds = sum(cost.delay_cycles for cost in self.costs) / self.clock_hz
        return {BESIDE: seconds} if seconds else {}

    @property
    def energy_parts_pj(self) -> dict[str, float]:
        """Their energy, that of DRAM included; nothing where they have none."""
        energy = sum(cost.energy_pj or 0.0 for cost in self.costs)
        return {BESIDE: energy} if energy else {}


def _kind_cost(unit: VectorUnit, kind: str, uses: Sequence[VectorUse]) -> BesideCost:
    cost = total(unit, uses)
    count = sum(use.count for use in uses)
    energy = None if cost.energy_pj is None else _plain(cost.energy_pj)
    return BesideCost(kind, count, _plain(cost.cycles), energy, _plain(cost.dram_bytes))

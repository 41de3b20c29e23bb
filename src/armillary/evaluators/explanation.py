"""One design in detail: what every layer costs, what bounds it, and where energy and area go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from armillary.types import Design
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class LayerCost:
    """One layer on one design; amounts are per use of the layer, of which an inference has `count`."""

    layer: str
    kind: str
    count: int
    macs: int
    mapping: str
    delay_cycles: float
    compute_cycles: float
    dram_cycles: float
    onchip_cycles: float
    dram_bytes: float
    onchip_bytes: float
    energy_pj: float
    utilization: float
    bound: Literal["compute", "dram", "on-chip", "overhead"]


@dataclass(frozen=True)
class Explanation:
    """A feasible design on a workload: its layers and the parts of its delay, energy and area."""

    layers: tuple[LayerCost, ...]
    clock_hz: float
    overhead_s: Mapping[str, float]
    energy_parts_pj: Mapping[str, float]
    area_parts_mm2: Mapping[str, float]
    peak_macs_per_s: float
    peak_dram_bytes_per_s: float


@runtime_checkable
class ExplainsDesigns(Protocol):
    """The capability of an evaluator to take one design apart."""

    def explain(self, design: Design, workload: Workload) -> Explanation:
        """Return the parts of a feasible design's metrics."""
        ...

"""One design in detail: what every layer costs, what bounds it, and where energy and area go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args, runtime_checkable

from armillary.hardware.hierarchy import Hierarchy
from armillary.types import Design, Evaluation, LayerRun
from armillary.workloads.layer import Workload

Bound = Literal["compute", "dram", "on-chip", "overhead"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
_WAITS: Mapping[str, Bound] = {
    "busy_cycles": "compute",
    "dram_stall_cycles": "dram",
    "scratchpad_bank_stall_cycles": "on-chip",
    "accumulator_stall_cycles": "on-chip",
    "dependency_stall_cycles": "overhead",
    "command_stall_cycles": "overhead",
}
"""What simulated cycles are spent on."""


@dataclass(frozen=True)
class LayerCost:
    """One layer on one design. Every amount is the total over the `count` runs of an inference.

    `compute_cycles` and `dram_cycles` are what the array alone and the DRAM alone would need;
    `delay_cycles` is what the layer takes, and `bound` names what sets it.
    """

    name: str
    kind: str
    count: int
    macs: float
    delay_cycles: float
    compute_cycles: float
    dram_cycles: float
    energy_pj: float
    dram_bytes: float
    utilization: float
    bound: Bound
    mapping: str = ""

    def __post_init__(self) -> None:
        if self.bound not in BOUNDS:
            raise ValueError(f"layer {self.name}: bound={self.bound!r} is not allowed; choose one of {list(BOUNDS)}")

    @property
    def macs_per_dram_byte(self) -> float:
        """Operational intensity; infinite for a layer that never touches DRAM."""
        return self.macs / self.dram_bytes if self.dram_bytes > 0 else float("inf")

    @staticmethod
    def of(run: LayerRun, macs: int) -> LayerCost:
        """Return what a layer's runs cost together.

        Args:
            run: of the layer, which did not fail.
            macs: multiply-accumulates of one run.
        """
        amounts = run.metrics
        busy = amounts.get("compute_cycles", amounts.get("busy_cycles", 0.0))
        waited = amounts.get("dram_cycles", amounts.get("dram_stall_cycles", 0.0))
        return LayerCost(
            name=run.layer.name,
            kind=run.layer.kind,
            count=run.runs,
            macs=run.runs * macs,
            delay_cycles=run.runs * amounts["delay_cycles"],
            compute_cycles=run.runs * busy,
            dram_cycles=run.runs * waited,
            energy_pj=run.runs * amounts["energy_pj"],
            dram_bytes=run.runs * amounts["dram_bytes"],
            utilization=amounts["utilization"],
            bound=bound_of(amounts),
            mapping=run.mapping,
        )


def bound_of(amounts: Mapping[str, float]) -> Bound:
    """Return what sets the delay of a layer's run: of a simulation, what most cycles were spent on.

    Of a model, the largest of what compute, DRAM and the chip's memories need, or what comes on top of it if that is
    more.
    """
    if "busy_cycles" in amounts:
        spent = dict.fromkeys(BOUNDS, 0.0)
        for name, bound in _WAITS.items():
            spent[bound] += amounts[name]
        return max(spent, key=lambda bound: spent[bound])
    needs: dict[Bound, float] = {
        "compute": amounts["compute_cycles"],
        "dram": amounts["dram_cycles"],
        "on-chip": amounts["onchip_cycles"],
    }
    overhead = amounts["delay_cycles"] - max(needs.values())
    return max({"overhead": overhead, **needs}.items(), key=lambda need: need[1])[0]


@dataclass(frozen=True)
class ChipRates:
    """Peak rates of one design: the roofs of the roofline."""

    clock_hz: float
    macs_per_s: float
    dram_bytes_per_s: float

    def __post_init__(self) -> None:
        for name in ("clock_hz", "macs_per_s", "dram_bytes_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} is not allowed; it must be positive")


@dataclass(frozen=True)
class BesideCost:
    """The operators of one kind beside the array on one design, all their runs of an inference together.

    Kinds are those of `armillary.workloads.vector_work`, or `fused` for all that lie between fused layers. The energy
    is None where the template has none.
    """

    kind: str
    count: int
    delay_cycles: float
    energy_pj: float | None
    dram_bytes: float


@dataclass(frozen=True)
class FusedCost:
    """Two layers whose intermediate stays on the chip, and what that saves over all their runs of an inference.

    Attributes:
        producer: name of the first.
        consumer: name of the second.
        count: how often they are fused per inference.
        tiling: shared loops with their numbers of tiles, by the producer's dimensions, the outermost first.
        saved_delay_cycles: beside the two layers one after the other, with the operators between them.
        saved_energy_pj: likewise.
        saved_dram_bytes: likewise.
    """

    producer: str
    consumer: str
    count: int
    tiling: str
    saved_delay_cycles: float
    saved_energy_pj: float
    saved_dram_bytes: float


@dataclass(frozen=True)
class Explanation:
    """A feasible design on a workload.

    The parts map a component to its share of the area and of the energy of an inference; `overhead_s` is what an
    inference takes beside its layers (starting it, say), by cause, and `fixed` names the causes that take the same time
    on every design. `remarks` says of a metric, by name, what its number alone does not tell. `beside` are the
    operators beside the array, whose time is one of the causes in `overhead_s`. `fused` are the pairs of layers whose
    intermediate stays on the chip.
    """

    layers: tuple[LayerCost, ...]
    rates: ChipRates
    area_parts_mm2: Mapping[str, float] = field(default_factory=dict)
    energy_parts_pj: Mapping[str, float] = field(default_factory=dict)
    overhead_s: Mapping[str, float] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[BesideCost, ...] = ()
    fused: tuple[FusedCost, ...] = ()

    def __post_init__(self) -> None:
        unknown = [cause for cause in self.fixed if cause not in self.overhead_s]
        if unknown:
            raise ValueError(f"fixed={unknown[0]!r} is not allowed; choose among {list(self.overhead_s)}")


@runtime_checkable
class Hierarchical(Protocol):
    """The capability of an evaluator whose layers all run on one memory hierarchy to tell it."""

    def hierarchy(self, design: Design) -> Hierarchy:
        """Return the hierarchy of a design."""
        ...


@runtime_checkable
class ExplainsDesigns(Protocol):
    """The capability of an evaluator to take one of its evaluations apart."""

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Return the parts of a feasible evaluation's metrics."""
        ...

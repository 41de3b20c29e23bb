"""Templates with an array of its own for every layer: two parameters per layer, a fixed dataflow.

Each convolution of a network, and of a network without convolutions each distinct matrix product, has its own array
of processing elements (PEs) beside a shared buffer. Two parameters size it: how many PEs it has, and how
many filters a PE's buffer holds; each takes one of 12 values. ResNet-50 has 53 convolutions, hence 106 parameters
and 12^106 = 2.5e114 designs, the largest space of PRIME Section 6. Its classifier is left to the host.

Which loops are unrolled, and what stays in a PE, is the dataflow's and fixed. What a PE's buffer must
hold follows from the layer: the weights of its filters over all taps, one input window, one output per filter.

Assumptions that no source states: 8-bit values at 45 nm, 64 bytes per cycle from the shared buffer to an array and
back, 16 from DRAM. The shared buffer is as large as a layer needs, costs as much energy per access as 1 MiB, and is no
part of the area, as no parameter sets it.

Sources: PRIME Section 6 and Appendix C; Kao, Jeong and Krishna, "ConfuciuX", MICRO 2020, whose
    release lists the 12 values of both parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import Compute, Hierarchy, Level
from armillary.hardware.mapping import Loop, Mapping, loop_bounds
from armillary.hardware.technology import access_energy, area_mm2
from armillary.hardware.template import Template
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, Workload

PES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
FILTERS = tuple(range(1, 13))
CLOCK_GHZ = 1.0
_ARRAY_BYTES_PER_CYCLE = 64.0
_DRAM_BYTES_PER_CYCLE = 16.0
_MIB = 1 << 20
_BASELINE = (32, 4)
_BUDGET_MM2 = 29.0  # PRIME's bound

Spread = Callable[[Layer, int, int], Mapping]
"""A dataflow: a layer, PEs and filters per PE to the mapping."""


@dataclass(frozen=True)
class Slot:
    """An array of its own: the layer that it runs, and how often per inference."""

    layer: Layer
    runs: int


@dataclass(frozen=True)
class Layerwise:
    """A dataflow as a family of templates, one per workload.

    Attributes:
        name: of the dataflow.
        spread: how it maps a layer onto an array.
    """

    name: str
    spread: Spread

    def of(self, workload: Workload) -> Template:
        """Return the template of a workload: its space has two parameters per array.

        Raises:
            ArmillaryError: if the workload has no layer.
        """
        if not workload.layers:
            raise ArmillaryError(f"workload {workload.name} has no layer; template {self.name!r} has an array for each")
        return _template(self, workload.name, slots(workload))

    def hierarchy(self, layer: Layer, pes: int, filters: int) -> Hierarchy:
        """Return one array between its PE buffers and DRAM."""
        mapping = self.spread(layer, pes, filters)
        across = mapping.inner_first[1].unrolled("X")
        return _hierarchy(self.name, (across, pes // across), buffer_bytes(layer, filters))

    def area_mm2(self, layer: Layer, pes: int, filters: int) -> float:
        """Return the area of one array: its PEs with their buffers."""
        return pes * area_mm2(_hierarchy(self.name, (1, 1), buffer_bytes(layer, filters)))


def slots(workload: Workload) -> tuple[Slot, ...]:
    """Return the arrays of a workload: one per convolution; without any, one per distinct matrix product."""
    return tuple(_slots(workload))


def _slots(workload: Workload) -> Iterator[Slot]:
    convolutions = [use for use in workload.layers if use.layer.kind != "gemm"]
    for use in convolutions:
        for number in range(use.weight_sets):
            yield Slot(use.layer, use.count // use.weight_sets + (number < use.count % use.weight_sets))
    if not convolutions:
        yield from (Slot(use.layer, use.count) for use in workload.layers)


def buffer_bytes(layer: Layer, filters: int) -> int:
    """Return what a PE holds: the weights of its filters, an input window and an output per filter.

    Depthwise filters read one window each.
    """
    taps = layer.R * layer.S
    windows = filters if _depthwise(layer) else 1
    return filters * (taps + 1) + windows * taps


def filter_dimension(layer: Layer) -> str:
    """Return the loop that filters are counted along: groups in a depthwise convolution, else K."""
    return "G" if _depthwise(layer) else "K"


def split(dimension: str, bound: int, tile: int, instances: int) -> tuple[list[Loop], list[Loop], list[Loop]]:
    """Return the loops over one dimension: rounds, instances side by side (X), and the tile of each.

    The last round and the last tile may be smaller. A loop that does not turn is left out.
    """
    tiles = -(-bound // tile)
    rounds = -(-tiles // instances)
    side = min(instances, tiles)

    def loop(factor: int, last: int, axis: str = "") -> list[Loop]:
        return [Loop(dimension, factor, axis, last % factor)] if factor > 1 else []  # type: ignore[arg-type]

    return (
        loop(rounds, rounds),
        loop(side, tiles - (rounds - 1) * side, "X"),
        loop(min(tile, bound), bound - (tiles - 1) * tile),
    )


def _depthwise(layer: Layer) -> bool:
    bounds = loop_bounds(layer)
    return bounds["G"] > 1 and bounds["K"] == bounds["C"] == 1


@lru_cache(maxsize=4096)
def _hierarchy(name: str, fanout: tuple[int, int], pe_bytes: int) -> Hierarchy:
    buffer = Level(name="shared_buffer", capacity_words=_MIB)
    priced = access_energy(Hierarchy(name=name, levels=(Level(name="dram", kind="dram"), buffer)), buffer)
    return Hierarchy(
        name=name,
        levels=(
            Level(name="dram", kind="dram", shared_bandwidth=_DRAM_BYTES_PER_CYCLE),
            Level(
                name="shared_buffer",
                read_bandwidth=_ARRAY_BYTES_PER_CYCLE,
                write_bandwidth=_ARRAY_BYTES_PER_CYCLE,
                fanout=fanout,
                energy=priced,
                area_mm2=0.0,
            ),
            Level(name="pe_buffer", kind="sram", capacity_words=pe_bytes),
        ),
        compute=Compute(),
        clock_ghz=CLOCK_GHZ,
    )


@dataclass(frozen=True)
class _Areas:
    """Area of every choice of every array, in mm2."""

    family: Layerwise
    arrays: tuple[Slot, ...]

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Areas, shape [arrays, PEs, filters]."""
        known: dict[Layer, NDArray[np.float64]] = {}
        for slot in self.arrays:
            if slot.layer not in known:
                one = [[self.family.area_mm2(slot.layer, pes, filters) for filters in FILTERS] for pes in PES]
                known[slot.layer] = np.array(one)
        return np.stack([known[slot.layer] for slot in self.arrays])

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        pairs = codes.reshape(len(codes), -1, 2)
        return np.asarray(self.table[np.arange(len(self.arrays)), pairs[..., 0], pairs[..., 1]].sum(axis=1))


@lru_cache(maxsize=32)
def _template(family: Layerwise, workload: str, arrays: tuple[Slot, ...]) -> Template:
    parameters = []
    for number in range(len(arrays)):
        parameters.append(Parameter(f"array_{number}_pes", PES))
        parameters.append(Parameter(f"array_{number}_filters", FILTERS))
    space = Space(f"{family.name}_{workload}", tuple(parameters))
    areas = _Areas(family, arrays)
    return Template(
        name=family.name,
        space=space,
        laws={"area_mm2": areas},
        limits={"area_mm2": float(areas.table.max(axis=(1, 2)).sum())},
        budgets={"area_mm2": _BUDGET_MM2},
        baseline=space.design_from(
            {p.name: _BASELINE[i % 2] for i, p in enumerate(parameters)}, f"the uniform {family.name} design"
        ),
        baseline_name="Uniform design",
        baseline_note="every array alike",
    )

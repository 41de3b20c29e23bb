"""The roofline of a network on a chip: the least delay that any of its mappings can have, and about its energy.

Two limits hold whatever the order of loops and the sizes of memories. Unrolled factors divide a layer's bounds, so an
array has a most number of lanes that a layer can keep busy; and each word of weights, inputs and outputs crosses the
ports of DRAM and scratchpad at least once.

The energy is that of the accesses there must be: to register files for each multiply-accumulate, to scratchpad and DRAM
for each word once. Mappings that share operands among lanes need fewer of the former, others more of the latter.

Source: Williams, Waterman and Patterson, "Roofline", CACM 2009; the unrolled factors are the map-space's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import loop_bounds, tile_words
from armillary.hardware.template import Template
from armillary.hardware.templates.spotlight import Chip, chip_of, mac_pj
from armillary.mapping.spotlight.mapspace import largest_divisors
from armillary.workloads.layer import Layer, LayerUse, Workload, merge

_REGISTER_ACCESSES = 4  # a weight, an input, a partial sum read and written
_SCRATCHPAD_ACCESSES = 2  # filled and read
_ROUNDING = 1e-12

Integers = NDArray[np.int64]
_PLACES = np.arange(len(DIMENSIONS))
_ROW, _COLUMN, _LANE = np.meshgrid(_PLACES, _PLACES, _PLACES, indexing="ij")


class Roofline:
    """The least delays of layers on chips; what it works out for an array serves every chip with that array.

    Args:
        layers: run one after another.
        runs: how often each; once, if not given.
    """

    def __init__(self, layers: Sequence[Layer], runs: Sequence[int] | None = None) -> None:
        self._bounds = np.array([list(loop_bounds(layer).values()) for layer in layers], dtype=np.int64).T
        self._words = np.array([_least_words(layer) for layer in layers])
        self._runs = np.array(runs or [1] * len(layers), dtype=float)
        self._macs = self._bounds.prod(axis=0, dtype=float)
        self._shared: dict[tuple[int, int], Integers] = {}
        self._computed: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    @staticmethod
    def of(layers: Sequence[LayerUse]) -> Roofline:
        """Return that of a network's layers, equal ones taken together."""
        uses = merge(layers)
        return Roofline([use.layer for use in uses], [use.count for use in uses])

    def delays(self, chip: Chip) -> NDArray[np.float64]:
        """Return a lower bound of the delay of one run of each layer, in whole cycles, shape [layers]."""
        array = chip.rows, chip.columns, chip.simd_lanes
        if array not in self._computed:
            self._computed[array] = self._macs / self._most_lanes(*array)
        moved = self._words / min(chip.dram_bandwidth, chip.bandwidth)
        return np.asarray(np.ceil(np.maximum(self._computed[array], moved) * (1 - _ROUNDING)))

    def least_cycles(self, chip: Chip) -> float:
        """Return a lower bound of the delay of all layers on a chip."""
        return float(self._runs @ self.delays(chip))

    def usual_energy_pj(self, chip: Chip) -> float:
        """Return about the energy of all layers on a chip; an estimate, no bound."""
        registers, scratchpad, dram = chip.read_pj
        computing = float(self._runs @ self._macs) * (mac_pj() + _REGISTER_ACCESSES * registers)
        return computing + float(self._runs @ self._words) * (dram + _SCRATCHPAD_ACCESSES * scratchpad)

    def _most_lanes(self, rows: int, columns: int, lanes: int) -> Integers:
        """Return how many lanes each layer can keep busy at once, shape [layers].

        One dimension is unrolled over the rows, another one over the columns and any one over the lanes; where two of
        them are the same, the product of both factors divides its bound.
        """
        down, across, inside = (self._shares(most, 1) for most in (rows, columns, lanes))
        down_inside, across_inside = (self._shares(most, lanes) for most in (rows, columns))
        own = down[_ROW] * across[_COLUMN] * inside[_LANE]
        own[_LANE == _ROW] = (down_inside[:, None] * across).reshape(-1, own.shape[-1])
        own[_LANE == _COLUMN] = (down[:, None] * across_inside).reshape(-1, own.shape[-1])
        own[_ROW == _COLUMN] = 1
        return np.asarray(own.max(axis=(0, 1, 2)))

    def _shares(self, most: int, lanes: int) -> Integers:
        """Return the most instances of each bound over `most` places with so many lanes each, [dimensions, layers]."""
        if (most, lanes) not in self._shared:
            best = np.ones_like(self._bounds)
            for share in range(1, lanes + 1):
                divides = self._bounds % share == 0
                rest = largest_divisors(self._bounds[divides] // share, np.full(int(divides.sum()), most))
                best[divides] = np.maximum(best[divides], share * rest)
            self._shared[most, lanes] = best
        return self._shared[most, lanes]


def least_of_all(template: Template, workload: Workload) -> float:
    """Return a lower bound of the delay that any design of a template within its area budget can have.

    Of every array it takes the smallest memories and the widest bandwidth that there is area for, as neither a
    smaller memory nor a wider bandwidth raises the roofline.
    """
    space, roofline = template.space, Roofline.of(workload.layers)
    lanes, bandwidth, arrays = (space.names.index(name) for name in ("simd_lanes", "bandwidth", "pe_array"))
    codes = np.zeros((space.cardinalities[lanes] * space.cardinalities[arrays], len(space.names)), dtype=np.int64)
    codes[:, lanes], codes[:, arrays] = np.divmod(np.arange(len(codes)), space.cardinalities[arrays])
    codes = codes[template.area_mm2(codes) <= template.budgets["area_mm2"]]
    for width in range(1, space.cardinalities[bandwidth]):
        wider = codes.copy()
        wider[:, bandwidth] = width
        codes = np.where(template.area_mm2(wider)[:, None] <= template.budgets["area_mm2"], wider, codes)
    return min(roofline.least_cycles(chip_of(design)) for design in space.designs(codes))


def _least_words(layer: Layer) -> float:
    """Return the words of weights, inputs and outputs of a layer; inputs that a stride leaves out need not come."""
    extent = loop_bounds(layer)
    weights, _, outputs = tile_words(layer, extent)
    rows = _touched(extent["P"], layer.stride_h, extent["R"], layer.dilation_h)
    columns = _touched(extent["Q"], layer.stride_w, extent["S"], layer.dilation_w)
    return float(weights + outputs + extent["N"] * extent["C"] * extent["G"] * rows * columns)


def _touched(outputs: int, stride: int, window: int, dilation: int) -> int:
    """Return how many rows, or columns, of the input some window covers."""
    return len(np.unique(np.arange(outputs)[:, None] * stride + np.arange(window) * dilation))

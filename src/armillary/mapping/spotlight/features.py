"""Feature spaces: what an expert knows of designs, mappings and layers, as named functions to a number.

A feature is any function of a design, its mapping and the layer. daBO draws candidates in the parameter space and
judges them in the feature space, where a trend is easier to see. One line adds one:

    MORE = SPOTLIGHT_SW.with_features(weights_per_pe=lambda chip, maps, layer: maps.tile("K", 0) * maps.tile("C", 0))

Source: the Spotlight chapter, Section 4.1.3 and Table 4.2. Its index 0 is the DRAM level, 1 the scratchpad, 2 the
register file; our X is Q and Y is P, the output's columns and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS, TENSORS
from armillary.hardware.mapping import RELEVANT, tile_words
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.spotlight.mapspace import (
    ARRAY,
    DRAM,
    LANES,
    REGISTERS,
    SCRATCHPAD,
    Maps,
    UnrolledSpace,
)

Values = NDArray[np.float64]
_LEVELS = (REGISTERS, SCRATCHPAD, DRAM)
"""Places of the temporal loops, by level: 0 the register file, 1 the scratchpad, 2 DRAM."""


@dataclass(frozen=True)
class MapView:
    """Mappings as features see them; every answer has shape [n].

    Attributes:
        maps: the mappings.
        space: of which they are.
    """

    maps: Maps
    space: UnrolledSpace

    def loops(self, dimension: str, level: int) -> Values:
        """Return the iterations of a dimension's loop at a level."""
        return np.asarray(self.maps.factors[:, DIMENSIONS.index(dimension), _LEVELS[level]], dtype=float)

    def tile(self, dimension: str, level: int) -> Values:
        """Return the extent of a dimension in the tile of a level."""
        return self.maps.tile(level)[:, DIMENSIONS.index(dimension)].astype(float)

    def unrolled(self, axis: str) -> Values:
        """Return how far `rows`, `columns` or `lanes` are used."""
        return self._along(axis, LANES if axis == "lanes" else ARRAY)

    def repeated(self, axis: str) -> Values:
        """Return how often the loop unrolled over `rows` or `columns` still turns in the scratchpad."""
        return self._along(axis, SCRATCHPAD)

    def held_words(self, level: int) -> Values:
        """Return the words that the tiles of all three tensors take in a register file (level 0) or the scratchpad."""
        return np.asarray(np.sum(self._tile_words[level], axis=0), dtype=float)

    @cached_property
    def _tile_words(self) -> list[tuple[NDArray[np.int64], ...]]:
        """The words of each tensor's tile in the register file and in the scratchpad, for all features that ask."""
        extents = (dict(zip(DIMENSIONS, self.maps.tile(level).T, strict=True)) for level in (0, 1))
        return [tile_words(self.space.layer, extent) for extent in extents]

    def moved_words(self, level: int) -> Values:
        """Return the words that one register file (level 0) or the scratchpad (1) takes in, over all rounds.

        A tensor's tile comes anew whenever a loop above turns that indexes it, or one outside such a loop; while only
        loops inside turn, it rests.
        """
        orders, above = self.space.orders, (SCRATCHPAD, DRAM)[level:]
        factors = np.concatenate([self.maps.factors[:, :, place] for place in above], axis=1).astype(float)
        places = np.concatenate(
            [orders[self.maps.orders[:, place - SCRATCHPAD]] + place * len(DIMENSIONS) for place in above], axis=1
        )
        words = np.zeros(len(self.maps))
        for tensor, tile in zip(TENSORS, self._tile_words[level], strict=True):
            indexes = np.tile([d in RELEVANT[tensor] for d in DIMENSIONS], len(above))
            innermost = np.where(indexes & (factors > 1), places, np.inf).min(axis=1)
            words += tile * np.where(places >= innermost[:, None], factors, 1).prod(axis=1)
        return words

    def _along(self, axis: str, place: int) -> Values:
        dims = getattr(self.maps, axis)
        padded = np.concatenate([self.maps.factors[:, :, place], np.ones((len(self.maps), 1), dtype=np.int64)], axis=1)
        return np.asarray(padded[np.arange(len(dims)), dims], dtype=float)


Feature = Callable[[Any, Any, Any], Any]
"""A function of a `Chip`, a `MapView` and a `Layer`; features of the hardware alone get None for the last two."""


@dataclass(frozen=True)
class FeatureSpace:
    """Named features."""

    features: Mapping[str, Feature]

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names in order."""
        return tuple(self.features)

    def with_features(self, **more: Feature) -> FeatureSpace:
        """Return the space with features added or replaced."""
        return FeatureSpace({**self.features, **more})

    def without(self, *names: str) -> FeatureSpace:
        """Return the space without some features.

        Raises:
            KeyError: if there is no feature of a name.
        """
        left = dict(self.features)
        for name in names:
            del left[name]
        return FeatureSpace(left)

    def __call__(self, space: UnrolledSpace, maps: Maps) -> Values:
        """Return the features of mappings of a space, shape [n, features]."""
        chip, view, layer = space.chip, MapView(maps, space), space.layer
        columns = [np.broadcast_to(np.asarray(f(chip, view, layer), float), len(maps)) for f in self.features.values()]
        return np.stack(columns, axis=1)

    def of_chips(self, chips: Sequence[Chip]) -> Values:
        """Return features that depend on the hardware alone, shape [chips, features]."""
        return np.array([[float(f(chip, None, None)) for f in self.features.values()] for chip in chips])


TABLE_4_2 = FeatureSpace(
    {
        "kernel_parallelism": lambda _, m, __: m.loops("R", 2) * m.loops("S", 2),
        "spatial_unrolling": lambda _, m, __: m.unrolled("rows") * m.unrolled("columns"),
        "pe_utilization": lambda c, m, _: m.unrolled("rows") / c.rows * (m.unrolled("columns") / c.columns),
        "loop_iterations": lambda c, m, _: (
            np.ceil(m.unrolled("rows") * m.repeated("rows") / c.rows)
            * np.ceil(m.unrolled("columns") * m.repeated("columns") / c.columns)
        ),
        "dram_transfers": lambda c, m, _: (
            m.loops("Q", 2) / m.loops("Q", 0) * (m.loops("P", 2) / m.loops("P", 0)) * (c.rows + c.columns)
        ),
        "unrolled_dimensions": lambda _, m, __: (
            2 * m.loops("Q", 2) + 3 * m.loops("P", 2) + 5 * m.loops("K", 2) + 7 * m.loops("K", 1) + 11 * m.loops("K", 0)
        ),
    }
)
"""Table 4.2, what depends on the mapping."""

FURTHER = FeatureSpace(
    {
        "lane_utilization": lambda c, m, _: m.unrolled("lanes") / c.simd_lanes,
        "register_file_use": lambda c, m, _: m.held_words(0) / c.register_file_bytes,
        "scratchpad_use": lambda c, m, _: m.held_words(1) / (c.scratchpad_kib * 1024),
        "reuse_volume": lambda _, m, la: (
            la.macs / (m.held_words(1) * np.prod([m.loops(d, 2) for d in DIMENSIONS], axis=0))
        ),
        "array_perimeter": lambda c, m, _: m.unrolled("rows") + m.unrolled("columns") + 0 * c.rows,
        "scratchpad_iterations": lambda _, m, __: np.prod([m.loops(d, 1) for d in DIMENSIONS], axis=0),
        "dram_iterations": lambda _, m, __: np.prod([m.loops(d, 2) for d in DIMENSIONS], axis=0),
        "register_iterations": lambda _, m, __: np.prod([m.loops(d, 0) for d in DIMENSIONS], axis=0),
        "scratchpad_words": lambda _, m, __: m.moved_words(0),
        "dram_words": lambda _, m, __: m.moved_words(1),
        "weights_per_pe": lambda _, m, __: m.tile("K", 0) * m.tile("C", 0) * m.tile("R", 0) * m.tile("S", 0),
    }
)
"""Further ones, as of the fifteen that the chapter started from: it names buffer use, reuse volume and perimeter."""

_CHOSEN = (
    "lane_utilization",
    "scratchpad_use",
    "reuse_volume",
    "dram_iterations",
    "scratchpad_words",
    "dram_words",
)

SPOTLIGHT_SW = FeatureSpace({**TABLE_4_2.features, **{name: FURTHER.features[name] for name in _CHOSEN}})
"""What daBO_SW judges mappings by: Table 4.2, and what else correlates on our cost model (Section 4.1.3.2).

The chapter's evaluator shares lanes out by itself and has no DRAM; ours counts both.
"""


def _loops(dimension: str, level: int) -> Feature:
    return lambda _, m, __: m.loops(dimension, level)


RAW_SW = FeatureSpace(
    {
        **{f"{dimension}{2 - level}": _loops(dimension, level) for dimension in DIMENSIONS for level in (0, 1, 2)},
        "rows_dimension": lambda _, m, __: m.maps.rows.astype(float),
        "columns_dimension": lambda _, m, __: m.maps.columns.astype(float),
    }
)
"""The parameters themselves, as Spotlight-V takes them: tile factors, and the unrolled dimensions as numbers."""

TABLE_4_2_HW = FeatureSpace(
    {
        "simd_lanes": lambda c, _, __: c.simd_lanes,
        "bandwidth": lambda c, _, __: c.bandwidth,
        "pes": lambda c, _, __: c.pes,
        "array_width": lambda c, _, __: c.columns,
        "on_chip_sram": lambda c, _, __: c.register_file_kib + c.scratchpad_kib,
    }
)
"""Table 4.2, what depends on the hardware alone."""


def _power_of_two(value: float) -> float:
    return float(2.0 ** np.floor(np.log2(value)))


SPOTLIGHT_HW = TABLE_4_2_HW.with_features(
    all_lanes=lambda c, _, __: c.pes * c.simd_lanes,
    array_height=lambda c, _, __: c.rows,
    scratchpad_kib=lambda c, _, __: c.scratchpad_kib,
    register_file_per_pe=lambda c, _, __: c.register_file_kib / c.pes,
    power_of_two_lanes=lambda c, _, __: _power_of_two(c.rows) * _power_of_two(c.columns) * _power_of_two(c.simd_lanes),
)
"""What daBO_HW judges chips by: Table 4.2, the lanes in all and in powers of two, and each memory by itself.

On our cost model the lanes correlate most with delay and EDP: as unrolled loops are exact, numbers of channels, which
are multiples of powers of two, leave the rest of an array idle. The register file per PE sets the energy of an access,
which the chapter's feature, the sum of both memories, hides.
"""

RAW_HW = FeatureSpace(
    {
        "simd_lanes": lambda c, _, __: c.simd_lanes,
        "bandwidth": lambda c, _, __: c.bandwidth,
        "pes": lambda c, _, __: c.pes,
        "array_height": lambda c, _, __: c.rows,
        "scratchpad_kib": lambda c, _, __: c.scratchpad_kib,
        "register_file_kib": lambda c, _, __: c.register_file_kib,
    }
)
"""The hardware's parameters themselves."""


def union(*spaces: FeatureSpace) -> FeatureSpace:
    """Return the features of all spaces."""
    return FeatureSpace({name: f for space in spaces for name, f in space.features.items()})

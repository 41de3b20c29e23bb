"""Global routing: Steiner trees on a grid of gcells with layer capacities, and which layers wires take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical import kernel
from armillary.evaluators.physical.floorplan import UNITS_PER_UM, Floorplan
from armillary.evaluators.physical.library import Layer, Library
from armillary.evaluators.physical.netlist import Netlist, PinName
from armillary.evaluators.physical.placement import Placement, Shapes

GCELL_ROWS = 2  # of cells in a gcell, both ways
_ROUNDS, _PATIENCE, _MARGIN = 150, 40, 4
_FILLED = 0.7  # of a layer's usable tracks, before wires go to the next one up
BLOCKED_BY_MACROS = 3  # layers, from the lowest, that macros use themselves

Ints = NDArray[np.int64]
Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class Trees:
    """The trees of all nets, in one row after another.

    Attributes:
        nets: their names.
        pins: of each net, the driver first: the tree's first nodes.
        node_starts: where each net's nodes begin, shape [nets + 1].
        x: of the nodes, in units.
        y: likewise.
        edge_starts: where each net's edges begin, shape [nets + 1].
        ends: the two nodes of each edge, counted within the net, shape [edges, 2].
    """

    nets: tuple[str, ...]
    pins: tuple[tuple[PinName, ...], ...]
    node_starts: Ints
    x: Ints
    y: Ints
    edge_starts: Ints
    ends: Ints

    def lengths(self) -> Ints:
        """Return horizontal and vertical length of each edge, in units, shape [edges, 2]."""
        first, second = self.nodes_of_edges()
        return np.stack([np.abs(self.x[first] - self.x[second]), np.abs(self.y[first] - self.y[second])], axis=1)

    def nodes_of_edges(self) -> tuple[Ints, Ints]:
        """Return the two ends of each edge as numbers of nodes of all nets."""
        base = np.repeat(self.node_starts[:-1], np.diff(self.edge_starts))
        return self.ends[:, 0] + base, self.ends[:, 1] + base


@dataclass(frozen=True)
class Routed:
    """Trees with their wires.

    Attributes:
        trees: whose edges they are.
        lengths: horizontal and vertical length of each edge in units, detours included, shape [edges, 2].
        layers: number of the layer of each edge's horizontal and vertical part, shape [edges, 2].
        use: how full the borders between gcells are.
        wire_mm: of all wires.
        layer_mm: of each layer.
    """

    trees: Trees
    lengths: Ints
    layers: Ints
    use: Use
    wire_mm: float
    layer_mm: Mapping[str, float]


def trees_of(netlist: Netlist, shapes: Shapes, placement: Placement) -> Trees:
    """Return the Steiner trees of all nets."""
    nets = tuple(netlist.nets)
    pins = tuple(netlist.nets.values())
    places = [shapes.at(pin, netlist, placement) for each in pins for pin in each]
    starts = np.cumsum([0, *(len(each) for each in pins)]).astype(np.int64)
    xs = np.array([x for x, _ in places], np.int64)
    ys = np.array([y for _, y in places], np.int64)
    node_starts, x, y, edge_starts, first, second = kernel.trees(starts, xs, ys)
    return Trees(nets, pins, node_starts, x, y, edge_starts, np.stack([first, second], axis=1))


def unrouted(trees: Trees, library: Library, plan: Floorplan) -> Routed:
    """Return trees as if every edge had room on its shortest way: what is known before routing."""
    none = np.zeros((0, 0))
    return _with_layers(trees, trees.lengths(), Use(none, none, 0.0), library, plan)


@dataclass(frozen=True)
class Grid:
    """Cells of the grid that wires are routed on (gcells), and how many wires fit across the borders between them.

    Attributes:
        size: of a gcell both ways, in units.
        across_room: wires that fit across each border between horizontal neighbours, shape [wide - 1, high].
        up_room: likewise vertical neighbours, shape [wide, high - 1].
    """

    size: int
    across_room: NDArray[np.float64]
    up_room: NDArray[np.float64]

    def at(self, x: Ints, y: Ints) -> tuple[Ints, Ints]:
        """Return the gcells of places in units."""
        wide, high = self.up_room.shape[0], self.across_room.shape[1]
        return np.clip(x // self.size, 0, wide - 1), np.clip(y // self.size, 0, high - 1)

    def use(
        self, trees: Trees, *, rounds: int = _ROUNDS, patience: int = _PATIENCE, part: float = 1.0
    ) -> tuple[Ints, Ints, Use]:
        """Return the gcells of each edge's ends, the borders it crosses, and the use of all borders.

        Args:
            trees: to route.
            rounds: of routing again what crosses full borders.
            patience: rounds that may pass without a tenth fewer wires beyond the room.
            part: of the room that wires may take.
        """
        first, second = trees.nodes_of_edges()
        gx, gy = self.at(trees.x, trees.y)
        ends = np.stack([gx[first], gy[first], gx[second], gy[second]], axis=1).astype(np.int64)
        across_room, up_room = part * self.across_room, part * self.up_room
        crossed, across, up = kernel.routes(ends, across_room, up_room, rounds, _MARGIN, patience)
        over = float(np.maximum(0, across - across_room).sum() + np.maximum(0, up - up_room).sum())
        none = 1e-9
        return ends, crossed, Use(across / np.maximum(across_room, none), up / np.maximum(up_room, none), over)


@dataclass(frozen=True)
class Use:
    """How full borders are.

    Attributes:
        across: part of the room taken at each border between horizontal neighbours, shape [wide - 1, high].
        up: likewise vertical neighbours, shape [wide, high - 1].
        overflow: wires beyond the room, summed over borders.
    """

    across: NDArray[np.float64]
    up: NDArray[np.float64]
    overflow: float

    @property
    def fullest(self) -> NDArray[np.float64]:
        """Of each gcell, the part taken at the fullest of its borders, shape [wide, high]."""
        found = np.zeros((self.up.shape[0], self.across.shape[1]))
        for side in (found[:-1], found[1:]):
            np.maximum(side, self.across, out=side)
        for side in (found[:, :-1], found[:, 1:]):
            np.maximum(side, self.up, out=side)
        return found


def grid_of(library: Library, plan: Floorplan, macros: Collection[Corners]) -> Grid:
    """Return the grid of a core with macros, each given by its left, bottom, right and top in units."""
    size = GCELL_ROWS * plan.row
    wide, high = -(-plan.width // size), -(-plan.height // size)
    return Grid(size, *_rooms(library, macros, size, wide, high))


def routed(trees: Trees, library: Library, plan: Floorplan, grid: Grid) -> Routed:
    """Return the wires of trees.

    Args:
        trees: to route.
        library: with its layers.
        plan: the core.
        grid: of it.
    """
    ends, crossed, use = grid.use(trees)
    straight = np.abs(ends[:, :2] - ends[:, 2:])
    lengths = trees.lengths() + np.maximum(0, crossed - straight) * grid.size
    return _with_layers(trees, lengths, use, library, plan)


def _rooms(
    library: Library, macros: Collection[Corners], size: int, wide: int, high: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many wires fit across each border: fewer over macros, which leave only the upper layers."""
    covered = np.zeros((wide, high))
    for left, bottom, right, top in macros:
        for x in range(left // size, min(wide, -(-right // size))):
            for y in range(bottom // size, min(high, -(-top // size))):
                inside_x = min(right, (x + 1) * size) - max(left, x * size)
                inside_y = min(top, (y + 1) * size) - max(bottom, y * size)
                covered[x, y] += inside_x * inside_y / size**2
    free, over = [], []
    for horizontal in (True, False):
        tracks = [(number, layer.tracks_per_um * size / UNITS_PER_UM) for number, layer in enumerate(library.layers)
                  if layer.horizontal == horizontal]  # fmt: skip
        free.append(sum(count for _, count in tracks))
        over.append(sum(count for number, count in tracks if number >= BLOCKED_BY_MACROS))
    across = free[0] - (free[0] - over[0]) * np.maximum(covered[:-1], covered[1:])
    up = free[1] - (free[1] - over[1]) * np.maximum(covered[:, :-1], covered[:, 1:])
    return across, up


def _with_layers(trees: Trees, lengths: Ints, use: Use, library: Library, plan: Floorplan) -> Routed:
    """Return wires on layers: short edges on the lowest, longer ones further up as each layer fills."""
    layers = np.zeros(lengths.shape, np.int64)
    total = dict.fromkeys((layer.name for layer in library.layers), 0.0)
    order = np.argsort(lengths.sum(axis=1), kind="stable")
    for side, horizontal in enumerate((True, False)):
        stack = [number for number, layer in enumerate(library.layers) if layer.horizontal == horizontal]
        room = [_FILLED * _track_units(library.layers[number], plan) for number in stack]
        taken = np.cumsum(lengths[order, side])
        limits = np.cumsum(room)
        level = np.minimum(np.searchsorted(limits, taken), len(stack) - 1)
        layers[order, side] = np.array(stack)[level]
        for number in stack:
            total[library.layers[number].name] = (
                float(lengths[layers[:, side] == number, side].sum()) / UNITS_PER_UM / 1000
            )
    return Routed(trees, lengths, layers, use, float(lengths.sum()) / UNITS_PER_UM / 1000, total)


def _track_units(layer: Layer, plan: Floorplan) -> float:
    """Return the length of all tracks of a layer that signals may take, in units."""
    return layer.tracks_per_um * plan.width * plan.height / UNITS_PER_UM

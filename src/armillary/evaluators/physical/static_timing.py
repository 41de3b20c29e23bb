"""Timing of our own, for sizes and for placement: quick, and near to OpenSTA's, which judges what comes of it.

Slews and loads go through the library's tables as in OpenSTA. Simpler here: a driver sees all of its wires'
capacitance (no effective capacitance), wires have Elmore delays, clocks are ideal, and paths in loops count for
nothing. `tests/evaluators/physical/test_static_timing.py` holds both side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical import timing_kernel
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.macros import CLOCK, OUTPUT_SLEW_NS, MacroCell
from armillary.evaluators.physical.netlist import PORT, Netlist, PinName
from armillary.evaluators.physical.parasitics import edge_values
from armillary.evaluators.physical.routing import Routed
from armillary.evaluators.physical.timing import Clocking
from armillary.evaluators.physical.timing_tables import FALL, RISE, Key, TimingTables

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slacks:
    """Slacks in ns.

    Attributes:
        worst_ns: of all paths, ports' included; infinite if there are none.
        of: of output pins; those on no path are missing.
    """

    worst_ns: float
    of: Mapping[PinName, float]


class StaticTimer:
    """Times netlists that differ in sizes alone, under the same wires.

    Args:
        netlist: one of them, its clock still one net.
        wires: of it.
        library: of its cells.
        tables: of the library.
        macros: memories by module.
        clocking: the constraints.
    """

    def __init__(
        self,
        netlist: Netlist,
        wires: Routed,
        library: Library,
        tables: TimingTables,
        macros: Mapping[str, MacroCell],
        clocking: Clocking,
    ) -> None:
        self._trees, self._tables = wires.trees, tables
        self._cells = [name for name, kind in netlist.cells.items() if kind in library.cells]
        self._kinds = _Kinds(library, tables)
        self._ohm, self._ff = edge_values(wires, library)
        trees = wires.trees
        self._rooted = timing_kernel.rooted(trees.node_starts, trees.edge_starts, trees.ends)
        self._pins = np.array([len(pins) for pins in trees.pins], np.int64)
        self._place_pins(netlist, macros, clocking)
        self._join(netlist)
        net_of_node = np.repeat(np.arange(len(trees.nets)), np.diff(trees.node_starts))
        self._order = timing_kernel.levels(self._arc_starts, self._arc_from, net_of_node, len(trees.nets))

    def _place_pins(self, netlist: Netlist, macros: Mapping[str, MacroCell], clocking: Clocking) -> None:
        """Find of each node its cell and pin, and where paths begin and end."""
        trees, number = self._trees, {name: k for k, name in enumerate(self._cells)}
        nodes = int(trees.node_starts[-1])
        self._cell, self._slot = np.full(nodes, -1, np.int64), np.zeros(nodes, np.int64)
        self._fixed_ff, self._end_ns = np.zeros(nodes), np.full(nodes, np.inf)
        self._end_slot = np.full((nodes, 2), -1, np.int64)
        self._start_ns, self._start_slew = np.full(len(trees.nets), np.nan), np.zeros(len(trees.nets))
        self._node: dict[PinName, int] = {}
        outside = clocking.port_part * clocking.period_ns
        for net, pins in enumerate(trees.pins):
            if trees.nets[net] == netlist.clock_net:
                continue
            for node, (instance, pin) in enumerate(pins, int(trees.node_starts[net])):
                drives = node == trees.node_starts[net]
                self._node[instance, pin] = node
                macro = macros.get(netlist.cells.get(instance, ""))
                if instance == PORT and drives:
                    self._start_ns[net] = outside - clocking.latency_ns
                elif instance == PORT:
                    self._end_ns[node] = clocking.period_ns - outside - clocking.latency_ns
                elif macro is not None and drives:
                    self._start_ns[net], self._start_slew[net] = macro.access_ns, OUTPUT_SLEW_NS
                elif macro is not None:
                    self._fixed_ff[node] = macro.cap_ff(pin)
                    self._end_ns[node] = np.inf if pin == CLOCK else clocking.period_ns - macro.setup_ns
                else:
                    kind = netlist.cells[instance]
                    self._cell[node], self._slot[node] = number[instance], self._kinds.pin(kind, pin)
                    for edge in (RISE, FALL):
                        slot = self._kinds.setup(kind, (pin, "", edge, edge))
                        if slot >= 0 and not drives:
                            self._end_slot[node, edge], self._end_ns[node] = slot, clocking.period_ns

    def _join(self, netlist: Netlist) -> None:
        """Find the arcs to each net's driver."""
        starts, source, edges, cells, slots = [0], [], [], [], []
        number = {name: k for k, name in enumerate(self._cells)}
        for net, pins in enumerate(self._trees.pins):
            instance, pin = pins[0]
            if instance in number and self._trees.nets[net] != netlist.clock_net:
                for slot, key, clocked in self._kinds.arcs(netlist.cells[instance], pin):
                    node = self._node.get((instance, key[0]), -1)
                    if clocked or node >= 0:  # else the input is a constant
                        source.append(-1 if clocked else node)
                        edges.append(key[2:])
                        cells.append(number[instance])
                        slots.append(slot)
            starts.append(len(source))
        self._arc_starts, self._arc_from = np.array(starts, np.int64), np.array(source, np.int64)
        self._arc_edges = np.array(edges, np.int64).reshape(-1, 2)
        self._arc_cell, self._arc_slot = np.array(cells, np.int64), np.array(slots, np.int64)

    def slacks(self, netlist: Netlist) -> Slacks:
        """Return the slacks of a netlist."""
        trees, tables, known = self._trees, self._tables, self._kinds
        # one more at the end: what nodes without a cell of the library, of number -1, read
        kind = np.array([*(known.number[netlist.cells[name]] for name in self._cells), 0], np.int64)
        pin_ff = np.where(self._cell >= 0, known.caps[kind[self._cell], self._slot], self._fixed_ff)
        load, late = timing_kernel.wires(*self._rooted, self._ohm, self._ff, pin_ff)
        arc_table = known.tables[kind[self._arc_cell], self._arc_slot]
        end_table = np.where(self._end_slot >= 0, known.setups[kind[self._cell][:, None], self._end_slot], -1)
        circuit = (self._order, trees.node_starts, self._pins, self._arc_starts, self._arc_from, self._arc_edges,
                   arc_table)  # fmt: skip
        arrival, slew, taken = timing_kernel.arrivals(
            *circuit, self._start_ns, self._start_slew, load, late, tables.slews, tables.loads, tables.sizes,
            tables.delay, tables.slew,
        )  # fmt: skip
        required = timing_kernel.required_times(
            *circuit, arrival, slew, taken, late, self._end_ns, end_table, tables.slews, tables.sizes, tables.delay
        )
        slack = required - arrival
        of_drivers = slack[trees.node_starts[:-1]].min(axis=1)
        of = {pins[0]: value for pins, value in zip(trees.pins, of_drivers.tolist(), strict=True)
              if pins[0][0] != PORT and value < np.inf}  # fmt: skip
        return Slacks(float(slack.min(initial=np.inf)), of)


class _Kinds:
    """Cells of a library by number: their pins' capacitances, and tables of arcs and setups by the family's slots."""

    def __init__(self, library: Library, tables: TimingTables) -> None:
        self.number = {name: k for k, name in enumerate(library.cells)}
        members = {name: [cell.name for cell in library.sizes[cell.family]] if cell.family else [name]
                   for name, cell in library.cells.items()}  # fmt: skip
        self._arcs = {
            name: sorted({key for each in names for key in tables.arcs[each]}) for name, names in members.items()
        }
        self._setups = {
            name: sorted({key for each in names for key in tables.setups[each]}) for name, names in members.items()
        }
        self._clocked = {
            name: {key for each in names for key in tables.clocked[each]} for name, names in members.items()
        }
        self._pins = {name: {pin: k for k, pin in enumerate(sorted(cell.pins))} for name, cell in library.cells.items()}
        self.tables = _matrix([[tables.arcs[name].get(key, -1) for key in keys] for name, keys in self._arcs.items()])
        self.setups = _matrix(
            [[tables.setups[name].get(key, -1) for key in keys] for name, keys in self._setups.items()]
        )
        self.caps = np.zeros((len(members), max(map(len, self._pins.values()))))
        for name, cell in library.cells.items():
            for pin, slot in self._pins[name].items():
                # an output's own capacitance is in its tables
                self.caps[self.number[name], slot] = cell.pins[pin].cap_ff if cell.pins[pin].direction == "input" else 0

    def pin(self, kind: str, pin: str) -> int:
        """Return the slot of a pin's capacitance."""
        return self._pins[kind][pin]

    def setup(self, kind: str, key: Key) -> int:
        """Return the slot of a setup; -1 if there is none."""
        return self._setups[kind].index(key) if key in self._setups[kind] else -1

    def arcs(self, kind: str, output: str) -> list[tuple[int, Key, bool]]:
        """Return the slots of the arcs to an output, and whether each comes from a clock."""
        return [
            (slot, key, key in self._clocked[kind]) for slot, key in enumerate(self._arcs[kind]) if key[1] == output
        ]


def _matrix(rows: list[list[int]]) -> Ints:
    """Return rows of different lengths as a matrix, -1 beyond their ends."""
    found = np.full((len(rows), max(1, *map(len, rows))), -1, np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found

"""Wires as resistors and capacitors, and SPEF (IEEE 1481)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.floorplan import UNITS_PER_UM
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.netlist import PORT, Netlist, net_names
from armillary.evaluators.physical.routing import Routed

_LEAST_OHM = 0.01
_HEADER = (
    '*SPEF "IEEE 1481-1998"', '*DESIGN "{top}"', '*DATE ""', '*VENDOR "Armillary"', '*PROGRAM "Armillary"',
    '*VERSION "1"', '*DESIGN_FLOW ""', "*DIVIDER /", "*DELIMITER :", "*BUS_DELIMITER []", "*T_UNIT 1 NS",
    "*C_UNIT 1 FF", "*R_UNIT 1 OHM", "*L_UNIT 1 HENRY", "",
)  # fmt: skip


def edge_values(routed: Routed, library: Library) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the resistance in ohm and the capacitance in fF of each edge."""
    ohm = np.array([layer.wire.ohm_per_um for layer in library.layers])
    ff = np.array([layer.wire.ff_per_um for layer in library.layers])
    um = routed.lengths / UNITS_PER_UM
    return (um * ohm[routed.layers]).sum(axis=1), (um * ff[routed.layers]).sum(axis=1)


def net_caps(routed: Routed, library: Library) -> dict[str, float]:
    """Return the wire capacitance of each net in fF."""
    _, caps = edge_values(routed, library)
    sums = np.concatenate([[0.0], np.cumsum(caps)])
    starts = routed.trees.edge_starts
    return dict(zip(routed.trees.nets, (sums[starts[1:]] - sums[starts[:-1]]).tolist(), strict=True))


def spef(netlist: Netlist, routed: Routed, library: Library, outputs: Mapping[str, frozenset[str]]) -> str:
    """Return the wires as SPEF: each edge of a tree as a resistor with half its capacitance at either end.

    Args:
        netlist: whose nets they are.
        routed: the wires.
        library: of the layers.
        outputs: output pins by cell and macro.
    """
    return "\n".join(
        [*(line.format(top=netlist.top) for line in _HEADER), *_nets(netlist, routed, library, outputs), ""]
    )


def _nets(netlist: Netlist, routed: Routed, library: Library, outputs: Mapping[str, frozenset[str]]) -> Iterator[str]:
    ohms, caps = edge_values(routed, library)
    trees, names = routed.trees, net_names(netlist)
    for number, (net, pins) in enumerate(zip(trees.nets, trees.pins, strict=True)):
        edges = slice(trees.edge_starts[number], trees.edge_starts[number + 1])
        ends, own_ohm, own_ff = trees.ends[edges].tolist(), ohms[edges].tolist(), caps[edges].tolist()
        if not ends:
            continue
        nodes = [port if instance == PORT else f"{instance}:{port}" for instance, port in pins]
        count = int(trees.node_starts[number + 1] - trees.node_starts[number])
        nodes += [f"{names[net]}:{k + 1}" for k in range(len(pins), count)]
        at = [0.0] * count
        for (a, b), cap in zip(ends, own_ff, strict=True):
            at[a] += cap / 2
            at[b] += cap / 2
        yield f"*D_NET {names[net]} {sum(own_ff):.5f}"
        yield "*CONN"
        for instance, pin in pins:
            if instance == PORT:
                yield f"*P {pin} {'I' if netlist.ports[pin] == 'input' else 'O'}"
            else:
                yield f"*I {instance}:{pin} {'O' if pin in outputs[netlist.cells[instance]] else 'I'}"
        yield "*CAP"
        yield from (f"{k + 1} {node} {cap:.5f}" for k, (node, cap) in enumerate(zip(nodes, at, strict=True)))
        yield "*RES"
        for k, ((a, b), ohm) in enumerate(zip(ends, own_ohm, strict=True)):
            yield f"{k + 1} {nodes[a]} {nodes[b]} {max(ohm, _LEAST_OHM):.4f}"
        yield "*END"
        yield ""

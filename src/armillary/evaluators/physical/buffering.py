"""Buffers: on nets that are more than their driver can take, and between critical paths and what else hangs on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from armillary.evaluators.physical.clusters import Located, centre, clusters, span
from armillary.evaluators.physical.floorplan import UNITS_PER_UM
from armillary.evaluators.physical.library import Cell, Library
from armillary.evaluators.physical.netlist import PORT, Netlist, PinName, through
from armillary.evaluators.physical.placement import Placement, Shapes

Added = tuple[str, str, str, str, Sequence[PinName]]
_LOAD_OF_DRIVE = 0.4  # part of the most that a buffer may drive that it is given
_LEAST_GAIN_NS = 0.003
_TOLERANCE = 1.5  # delays of a buffer that what moves behind one has to spare
_FEWEST = 3  # pins of a net worth a buffer


def with_port_buffers(netlist: Netlist, library: Library, buffer: str) -> Netlist:
    """Return the design with a buffer behind each input but the clock's, and before each output.

    So what stands outside sees the same pin whatever is inside, and drives no wires of the block, as OpenROAD's
    `buffer_ports` sees to by default. A port that has a buffer already gets none.
    """
    added: list[Added] = []
    for net, pins in netlist.nets.items():
        outputs = [pin for pin in pins[1:] if pin[0] == PORT]
        if net == netlist.clock_net or len(pins) < 2:
            continue
        if pins[0][0] == PORT:
            added.append((f"input_{net}", buffer, net, f"{net}_in", pins[1:]))
        elif outputs and netlist.cells[pins[0][0]] != buffer:
            added.append((f"output_{net}", buffer, net, f"{net}_out", outputs))
    return netlist.with_buffers(added, {buffer: through(library, buffer)})


def without_overload(
    netlist: Netlist, placement: Placement, shapes: Shapes, library: Library, buffer: Cell, ff_per_um: float
) -> tuple[Netlist, Placement]:
    """Return the design with trees of buffers in nets of more load than the driver's strongest replacement takes.

    Args:
        netlist: with its clock still one net, which stays as it is.
        placement: of it; buffers lie in the middle of what they drive, not yet legally.
        shapes: of its cells.
        library: likewise.
        buffer: what is put in.
        ff_per_um: of wires that are not laid yet.
    """
    most = _LOAD_OF_DRIVE * buffer.pins[buffer.output].max_cap_ff
    added: list[Added] = []
    places = dict(placement.places)

    def load(pins: Sequence[Located]) -> float:
        return sum(pin_ff(netlist, shapes, pin) for pin, _, _ in pins) + span(pins) / UNITS_PER_UM * ff_per_um

    for net, pins in netlist.nets.items():
        if net == netlist.clock_net or len(pins) < _FEWEST:
            continue
        level: list[Located] = [(pin, *shapes.at(pin, netlist, placement)) for pin in pins[1:]]
        limit = _limit(netlist, library, pins[0], most)
        depth = 0
        layers: list[list[tuple[str, list[Located]]]] = []
        while load(level) > limit and len(level) > 1:
            groups = clusters(level, lambda some: load(some) <= most)
            if len(groups) == len(level):
                break
            layers.append([(f"buffer_{net}_{depth}_{k}", group) for k, group in enumerate(groups)])
            level = [((name, through(library, buffer.name)[0]), *centre(group)) for name, group in layers[-1]]
            depth += 1
        added += _from_the_root(net, layers, buffer.name)
        places |= {name: (*centre(group), "N") for layer in layers for name, group in layer}
    return _with(netlist, placement, added, places, library, buffer)


def _limit(netlist: Netlist, library: Library, driver: PinName, most: float) -> float:
    """Return what the strongest cell of a driver's family may drive; a port drives what a buffer does."""
    cell = library.cells.get(netlist.cells.get(driver[0], ""))
    if cell is None or not cell.family:
        return most
    strongest = library.sizes[cell.family][-1]
    return min(most, 2 * _LOAD_OF_DRIVE * strongest.pins[driver[1]].max_cap_ff)


def _from_the_root(net: str, layers: Sequence[Sequence[tuple[str, list[Located]]]], cell: str) -> Iterator[Added]:
    """Yield the buffers of a tree, those next to the driver first."""
    above: dict[PinName, str] = {}
    for layer in reversed(layers):
        for name, group in layer:
            hangs_on = next((above[pin] for pin in [(name, "")] if pin in above), net)
            yield (
                name,
                cell,
                hangs_on,
                f"{name}_net",
                [pin for pin, _, _ in group if not pin[0].startswith(f"buffer_{net}_")],
            )
            above |= {(pin[0], ""): f"{name}_net" for pin, _, _ in group if pin[0].startswith(f"buffer_{net}_")}


def isolated(
    netlist: Netlist,
    placement: Placement,
    shapes: Shapes,
    library: Library,
    buffer: Cell,
    slacks: Mapping[PinName, float],
    period_ns: float,
) -> tuple[Netlist, Placement]:
    """Return the design with buffers before sinks that can wait, where their driver is late for another sink.

    Args:
        netlist: to improve.
        placement: of it; buffers lie in the middle of what they drive, not yet legally.
        shapes: of its cells.
        library: likewise.
        buffer: what is put in.
        slacks: in ns of output pins.
        period_ns: slack of what no path with a constraint goes through.
    """
    added: list[Added] = []
    places = dict(placement.places)
    out = {instance: slacks.get(pins[0], period_ns) for pins in netlist.nets.values() for instance in [pins[0][0]]}
    spare = _TOLERANCE * (buffer.fixed_ns * 2)
    for net, pins in netlist.nets.items():
        slack = slacks.get(pins[0], period_ns)
        if net == netlist.clock_net or slack >= 0 or len(pins) < 1 + _FEWEST:
            continue
        can_wait = [
            pin
            for pin in pins[1:]
            if pin[0] != PORT and _is_plain(netlist, library, pin) and out.get(pin[0], slack) > slack + spare
        ]
        if not can_wait or len(can_wait) == len(pins) - 1:
            continue
        driver = library.cells.get(netlist.cells.get(pins[0][0], ""))
        moved = (
            sum(pin_ff(netlist, shapes, pin) for pin in can_wait) - buffer.pins[through(library, buffer.name)[0]].cap_ff
        )
        if driver is None or driver.kohm * moved / 1000 < _LEAST_GAIN_NS:
            continue
        name = f"isolate_{net}"
        added.append((name, buffer.name, net, f"{name}_net", can_wait))
        located: list[Located] = [(pin, *shapes.at(pin, netlist, placement)) for pin in can_wait]
        places[name] = (*centre(located), "N")
    return _with(netlist, placement, added, places, library, buffer)


def _is_plain(netlist: Netlist, library: Library, pin: PinName) -> bool:
    """Return whether what a pin does is seen at its cell's output: not so at registers and memories."""
    cell = library.cells.get(netlist.cells[pin[0]])
    return cell is not None and not cell.sequential


def _with(
    netlist: Netlist,
    placement: Placement,
    added: Sequence[Added],
    places: Mapping[str, tuple[int, int, str]],
    library: Library,
    buffer: Cell,
) -> tuple[Netlist, Placement]:
    pins = {buffer.name: through(library, buffer.name)}
    return netlist.with_buffers(added, pins), replace(placement, places=places)


def pin_ff(netlist: Netlist, shapes: Shapes, pin: PinName) -> float:
    """Return the capacitance of a pin; that of a port is what stands outside, nothing."""
    instance, name = pin
    if instance == PORT or instance not in netlist.cells:
        return 0.0
    kind = netlist.cells[instance]
    return shapes.macros[kind].cap_ff(name) if kind in shapes.macros else shapes.library.cells[kind].pins[name].cap_ff

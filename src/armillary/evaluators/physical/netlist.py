"""A flat netlist of library cells, and its Verilog."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from armillary.evaluators.physical.library import Library
from armillary.types import ArmillaryError

PORT = ""
"""The instance of pins that are bits of the design's ports."""
PinName = tuple[str, str]
_BIT = re.compile(r"(.*)\[(\d+)\]")


@dataclass(frozen=True)
class Netlist:
    """A design of one module.

    Attributes:
        top: its name.
        cells: the library's cell, or the macro, by instance.
        nets: the pins (instance, pin) of each net, the driver first; bits of ports are pins of the instance `PORT`.
        ports: `input` or `output` by bit, `name` or `name[3]`.
        rails: pins and output ports that are constants, with their value.
        clock: the port of the clock; empty if nothing is clocked.
        names: what nets are called in the RTL, where they are.
    """

    top: str
    cells: Mapping[str, str]
    nets: Mapping[str, tuple[PinName, ...]]
    ports: Mapping[str, str]
    rails: Mapping[PinName, int]
    clock: str
    names: Mapping[str, str]

    @cached_property
    def net_of(self) -> dict[PinName, str]:
        """The net of every pin that is on one."""
        return {pin: net for net, pins in self.nets.items() for pin in pins}

    @cached_property
    def pins_of(self) -> dict[str, dict[str, str]]:
        """The net of each pin of each instance."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for net, pins in self.nets.items():
            for instance, pin in pins:
                found[instance][pin] = net
        return found

    @property
    def clock_net(self) -> str | None:
        """The net of the clock's port; None if nothing is clocked."""
        return self.net_of.get((PORT, self.clock)) if self.clock else None

    def resized(self, changes: Mapping[str, str]) -> Netlist:
        """Return the netlist with other cells for some instances."""
        return replace(self, cells={**self.cells, **changes})

    def with_buffers(
        self, added: Sequence[tuple[str, str, str, str, Sequence[PinName]]], pins: Mapping[str, PinName]
    ) -> Netlist:
        """Return the netlist with buffers put into nets.

        Args:
            added: instance, cell, the net it hangs on, the new net it drives, and the sinks that move there.
            pins: input and output pin by cell.
        """
        nets = {net: list(each) for net, each in self.nets.items()}
        cells = dict(self.cells)
        for instance, cell, net, driven, sinks in added:
            moved = set(sinks)
            entry, leave = pins[cell]
            nets[net] = [pin for pin in nets[net] if pin not in moved] + [(instance, entry)]
            nets[driven] = [(instance, leave), *sinks]
            cells[instance] = cell
        return replace(self, cells=cells, nets={net: tuple(each) for net, each in nets.items()})

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {
            "top": self.top, "cells": dict(self.cells), "nets": self.nets, "ports": dict(self.ports),
            "rails": [[*pin, value] for pin, value in self.rails.items()], "clock": self.clock,
            "names": dict(self.names),
        }  # fmt: skip

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Netlist:
        """Return the netlist that `as_json` described."""
        nets = {net: tuple((instance, pin) for instance, pin in pins) for net, pins in content["nets"].items()}
        rails = {(instance, pin): value for instance, pin, value in content["rails"]}
        return Netlist(
            content["top"], content["cells"], nets, content["ports"], rails, content["clock"], content["names"]
        )

    def verilog(self) -> str:
        """Return the design as Verilog."""
        return "\n".join([*_verilog(self), ""])


def from_yosys(
    content: Mapping[str, Any],
    top: str,
    library: Library,
    outputs_of: Mapping[str, frozenset[str]],
    buffer: str,
    clock: str,
) -> Netlist:
    """Return the netlist that Yosys wrote as JSON.

    Nets that several output ports share, or an input and an output, get a buffer for each further port, as ports are
    pins of their own in a layout.

    Args:
        content: Yosys' JSON.
        top: the top module.
        library: of the cells.
        outputs_of: the output pins of macros, by module; their bits are `pin[3]`.
        buffer: cell for ports that share a net.
        clock: name of the clock's port.

    Raises:
        ArmillaryError: if a cell is not of the library, a net has not one driver, or there are registers and no clock.
    """
    module = content["modules"][top]
    names = _names(module)
    sinks: dict[str, list[PinName]] = defaultdict(list)
    drivers: dict[str, list[PinName]] = defaultdict(list)
    cells: dict[str, str] = {}
    rails: dict[PinName, int] = {}
    for number, (_, cell) in enumerate(sorted(module["cells"].items())):
        kind, instance = cell["type"], f"u{number}"
        if kind not in library.cells and kind not in outputs_of:
            raise ArmillaryError(f"{top}: {kind} is no cell of the library; a latch or a tristate, or a missing module")
        cells[instance] = kind
        for pin, bits in cell["connections"].items():
            out = pin in outputs_of[kind] if kind in outputs_of else library.cells[kind].pins[pin].direction == "output"
            wide = kind in outputs_of and module_width(content, kind, pin) > 1
            for place, bit in enumerate(bits):
                _join((instance, f"{pin}[{place}]" if wide else pin), bit, drivers if out else sinks, rails)
    ports = {}
    for port, described in module["ports"].items():
        out = described["direction"] == "output"
        for place, bit in enumerate(described["bits"]):
            name = f"{port}[{place + described.get('offset', 0)}]" if len(described["bits"]) > 1 else port
            ports[name] = "output" if out else "input"
            _join((PORT, name), bit, sinks if out else drivers, rails)
    found = Netlist(top, cells, dict(_nets(drivers, sinks, top)), ports, rails, clock if clock in ports else "", names)
    if not found.clock and any(library.cells[kind].sequential for kind in cells.values() if kind in library.cells):
        raise ArmillaryError(f"{top}: has registers and no input {clock!r} of one bit; name its clock's port")
    return _ports_apart(found, library, buffer)


def module_width(content: Mapping[str, Any], module: str, pin: str) -> int:
    """Return how many bits a port of a module has."""
    return len(content["modules"][module]["ports"][pin]["bits"])


def _join(pin: PinName, bit: int | str, ends: Mapping[str, list[PinName]], rails: dict[PinName, int]) -> None:
    if isinstance(bit, str):
        rails[pin] = int(bit == "1")
    else:
        ends[f"n{bit}"].append(pin)


def _nets(
    drivers: Mapping[str, list[PinName]], sinks: Mapping[str, list[PinName]], top: str
) -> Iterator[tuple[str, tuple[PinName, ...]]]:
    for net in sorted({*drivers, *sinks}, key=lambda name: int(name[1:])):
        by = drivers.get(net, [])
        if len(by) != 1:
            raise ArmillaryError(f"{top}: a net has {len(by)} drivers; it ends at {sinks.get(net, by)[:3]}")
        if sinks.get(net) or by[0][0] == PORT:
            yield net, (by[0], *sinks.get(net, []))


def _names(module: Mapping[str, Any]) -> dict[str, str]:
    """Return the shortest of the RTL's names of each net."""
    found: dict[str, str] = {}
    for name, net in module["netnames"].items():
        if net.get("hide_name"):
            continue
        for place, bit in enumerate(net["bits"]):
            if isinstance(bit, int):
                text = f"{name}[{place + net.get('offset', 0)}]" if len(net["bits"]) > 1 else name
                key = f"n{bit}"
                found[key] = min(found.get(key, text), text, key=lambda each: (len(each), each))
    return found


def _ports_apart(netlist: Netlist, library: Library, buffer: str) -> Netlist:
    added = []
    for net, pins in netlist.nets.items():
        ports = [pin for pin in pins if pin[0] == PORT]
        for number, port in enumerate(ports[1:] if len(ports) > 1 else []):
            added.append((f"port_{net}_{number}", buffer, net, f"{net}_port{number}", [port]))
    return netlist.with_buffers(added, {buffer: through(library, buffer)})


def through(library: Library, cell: str) -> PinName:
    """Return the input and the output of a buffer.

    Raises:
        ArmillaryError: if the cell has not one of each.
    """
    pins = library.cells[cell].pins
    inputs = [name for name, pin in pins.items() if pin.direction == "input"]
    outputs = [name for name, pin in pins.items() if pin.direction == "output"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArmillaryError(f"{cell} is no buffer: it has inputs {inputs} and outputs {outputs}")
    return inputs[0], outputs[0]


def _verilog(netlist: Netlist) -> Iterator[str]:
    buses: dict[str, list[int]] = defaultdict(list)
    for bit in netlist.ports:
        match = _BIT.fullmatch(bit)
        buses[match[1] if match else bit] += [int(match[2])] if match else []
    yield f"module {netlist.top} ({', '.join(buses)});"
    for bus, bits in buses.items():
        first = f"{bus}[{bits[0]}]" if bits else bus
        yield f"  {netlist.ports[first]} {f'[{max(bits)}:{min(bits)}] ' if bits else ''}{bus};"
    names = net_names(netlist)
    for net in netlist.nets:
        if names[net] == net:
            yield f"  wire {net};"
    for (instance, pin), value in netlist.rails.items():
        if instance == PORT:
            yield f"  assign {pin} = 1'b{value};"
    constants: dict[str, dict[str, str]] = defaultdict(dict)
    for (instance, pin), value in netlist.rails.items():
        constants[instance][pin] = f"1'b{value}"
    for instance, cell in netlist.cells.items():
        found = {pin: names[net] for pin, net in netlist.pins_of.get(instance, {}).items()}
        found |= constants.get(instance, {})
        yield f"  {cell} {instance} ({', '.join(_connections(instance, found))});"
    yield "endmodule"


def _connections(instance: str, joined: Mapping[str, str]) -> Iterator[str]:
    buses: dict[str, dict[int, str]] = defaultdict(dict)
    for pin, text in joined.items():
        match = _BIT.fullmatch(pin) if pin.endswith("]") else None
        if match:
            buses[match[1]][int(match[2])] = text
        else:
            yield f".{pin}({text})"
    for bus, bits in buses.items():
        # bits that nothing reads get a wire of their own, which Verilog declares by its use
        each = (bits.get(place, f"open_{instance}_{bus}_{place}") for place in range(max(bits), -1, -1))
        yield f".{bus}({{{', '.join(each)}}})"


def net_names(netlist: Netlist) -> dict[str, str]:
    """Return what each net is called in files: the port's name where one is on it."""
    named = {netlist.net_of[PORT, port]: port for port in netlist.ports if (PORT, port) in netlist.net_of}
    return {net: named.get(net, net) for net in netlist.nets}

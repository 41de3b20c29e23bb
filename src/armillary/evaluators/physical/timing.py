"""Timing and power of a layout by OpenSTA."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.energies import edge_times_counted, liberty_for_power
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.macros import MacroCell, liberty_of
from armillary.evaluators.physical.netlist import Netlist, PinName
from armillary.tools.opensta import run_script

NETLIST, PARASITICS, CONSTRAINTS, MACROS = "netlist.v", "wires.spef", "constraints.sdc", "macros.lib"
_SCRIPT, _SLACKS, _ENDS, _ACTIVITY = "timing.tcl", "slacks.txt", "ends.txt", "activity.tcl"
_GROUPS = re.compile(r"^(Sequential|Combinational|Macro|Pad)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", re.MULTILINE)
_INSTANCE = re.compile(r"^ *(\S+) +(\S+) +(\S+) +(\S+) (\S+)$", re.MULTILINE)
_WORST = re.compile(r"^worst (\S+) (\S+)$", re.MULTILINE)
_END = re.compile(r"^\S+ \([^)]*\)\s+\S+\s+\S+\s+(-?\d+\.\d+)", re.MULTILINE)
_OF_CLOCK, _OF_MACROS = "of the clock", "of the memories"
_UNCONSTRAINED = 1e20
_VIRTUAL = "armillary_ports"  # the clock of designs that have none


class TimingError(Exception):
    """A design's timing cannot be analysed."""


@dataclass(frozen=True)
class Timing:
    """How a layout keeps its period.

    Attributes:
        slack_ns: the worst, negative if a path is late; with the ports' delays.
        total_negative_slack_ns: the sum over ends of paths that are late.
        register_slack_ns: the worst of paths from registers and memories to such; None if there are none.
        slacks: of output pins; those on no path are missing.
    """

    slack_ns: float
    total_negative_slack_ns: float
    register_slack_ns: float | None
    slacks: Mapping[PinName, float]


@dataclass(frozen=True)
class Power:
    """What a layout takes, in mW.

    Attributes:
        internal: inside cells and macros as they switch.
        switching: in the capacitance of wires and pins.
        leakage: whatever happens.
        clock: of the above, the part of the clock's buffers and of the wires they drive.
        macros: of the above, the part of the memories.
    """

    internal: float
    switching: float
    leakage: float
    clock: float
    macros: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.internal + self.switching + self.leakage


@dataclass(frozen=True)
class Clocking:
    """The constraints.

    Attributes:
        period_ns: of the clock.
        port_part: part of it that is gone outside, before inputs and after outputs.
        propagated: whether the clock's tree is there.
        latency_ns: if it is not, how late the clock will come to registers: by so much later outputs leave and inputs
            are read, as seen from the ports.
    """

    period_ns: float
    port_part: float
    propagated: bool
    latency_ns: float = 0.0


def sdc(netlist: Netlist, clocking: Clocking) -> str:
    """Return the constraints."""
    clock = netlist.clock
    outside = clocking.port_part * clocking.period_ns
    at = f"[get_ports {{{clock}}}]" if clock else ""
    name = clock or _VIRTUAL
    inputs = [port for port, direction in netlist.ports.items() if direction == "input" and port != clock]
    outputs = [port for port, direction in netlist.ports.items() if direction == "output"]
    lines = [f"create_clock -name {name} -period {clocking.period_ns:g} {at}"]
    lines += [f"set_propagated_clock [get_clocks {name}]"] if clock and clocking.propagated else []
    before, after = outside - clocking.latency_ns, outside + clocking.latency_ns
    lines += [f"set_input_delay {before:g} -clock {name} [get_ports {{{' '.join(inputs)}}}]"] if inputs else []
    lines += [f"set_output_delay {after:g} -clock {name} [get_ports {{{' '.join(outputs)}}}]"] if outputs else []
    return "\n".join([*lines, ""])


def write_design(
    folder: Path, netlist: Netlist, spef: str | None, clocking: Clocking, macros: Mapping[str, MacroCell]
) -> tuple[str, ...]:
    """Write what OpenSTA reads into a folder; return the files' names.

    Without `spef` wires are those of the library's table by fan-out (`default_wire_load`), of another library none.
    """
    (folder / NETLIST).write_text(netlist.verilog(), encoding="utf-8")
    if spef is not None:
        (folder / PARASITICS).write_text(spef, encoding="utf-8")
    (folder / CONSTRAINTS).write_text(sdc(netlist, clocking), encoding="utf-8")
    if macros:
        (folder / MACROS).write_text(liberty_of(tuple(macros.values()), edge_times_counted()), encoding="utf-8")
    return _files(folder)


def timed(folder: Path, netlist: Netlist, library: Library, enablement: Enablement, *, with_slacks: bool) -> Timing:
    """Return the timing of the design that a folder holds.

    Args:
        folder: with the files of `write_design`.
        netlist: of the design.
        library: of its cells.
        enablement: of the library.
        with_slacks: of every output pin, too.

    Raises:
        TimingError: if no path has a constraint.
        ArmillaryError: if OpenSTA is missing or refuses.
    """
    inputs = _files(folder)
    pins = sorted(_outputs(netlist, library)) if with_slacks else []
    lines = [
        *_reading(inputs, netlist, enablement.liberty),
        "group_path -name ports -from [all_inputs]",
        "group_path -name ports_too -to [all_outputs]",
        'puts "worst [worst_slack] [total_negative_slack]"',
        f"report_checks -path_delay max -format end -path_group {netlist.clock or _VIRTUAL} -digits 5 > {_ENDS}",
        *(_slack_lines(pins) if pins else []),
    ]
    text = _run(folder, lines, inputs)
    found = _WORST.search(text)
    if found is None or abs(float(found[1])) > _UNCONSTRAINED:
        raise TimingError(f"{netlist.top}: no path has a constraint")
    ends = [float(slack) for slack in _END.findall((folder / _ENDS).read_text(encoding="utf-8"))]
    slacks = dict(_slacks(folder / _SLACKS, pins)) if pins else {}
    return Timing(float(found[1]), float(found[2]), min(ends) if netlist.clock and ends else None, slacks)


def powered(
    folder: Path,
    netlist: Netlist,
    enablement: Enablement,
    clock_cells: Sequence[str],
    macro_names: Collection[str],
    activity: float | Mapping[PinName, float],
) -> Power:
    """Return the power of the design that a folder holds.

    Args:
        folder: with the files of `write_design`.
        netlist: of the design.
        enablement: of the library.
        clock_cells: instances of the clock's buffers.
        macro_names: modules that are memories; OpenSTA takes them for registers.
        activity: changes of every net but the clock's per period, or of each pin.

    Raises:
        ArmillaryError: if OpenSTA is missing or refuses.
    """
    inputs = _files(folder)
    lines = [*_reading(inputs, netlist, liberty_for_power(enablement.liberty, enablement.digest()))]
    if isinstance(activity, float):
        lines.append(f"set_power_activity -global -activity {activity:g} -duty 0.5")
    else:
        (folder / _ACTIVITY).write_text("\n".join([*_activity_lines(activity, netlist), ""]), encoding="utf-8")
        inputs = (*inputs, _ACTIVITY)
        lines.append(f"source {_ACTIVITY}")
    lines.append("report_power -digits 8")
    macros = [instance for instance, kind in netlist.cells.items() if kind in macro_names]
    for title, instances in ((_OF_CLOCK, clock_cells), (_OF_MACROS, macros)):
        each = f"report_power -instances [get_cells {{{' '.join(instances)}}}] -digits 8"
        lines += [f'puts "{title}"', *([each] if instances else [])]
    text, _, rest = _run(folder, lines, inputs).partition(_OF_CLOCK)
    of_clock, _, of_macros = rest.partition(_OF_MACROS)
    groups = {match[1]: [1000 * float(match[k]) for k in (2, 3, 4, 5)] for match in _GROUPS.finditer(text)}
    if not groups:
        raise TimingError(f"{netlist.top}: OpenSTA reports no power")
    clock, memories = (
        sum(1000 * float(match[4]) for match in _INSTANCE.finditer(part)) for part in (of_clock, of_macros)
    )
    internal, switching, leakage = (sum(group[k] for group in groups.values()) for k in range(3))
    return Power(internal, switching, leakage, clock, memories)


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in (NETLIST, PARASITICS, CONSTRAINTS, MACROS) if (folder / name).exists())


def _run(folder: Path, lines: Sequence[str], inputs: Sequence[str]) -> str:
    (folder / _SCRIPT).write_text("\n".join([*lines, "exit", ""]), encoding="utf-8")
    return run_script(folder, _SCRIPT, inputs)


def _reading(inputs: Sequence[str], netlist: Netlist, liberty: Path) -> Iterator[str]:
    yield f"read_liberty {{{liberty}}}"
    if MACROS in inputs:
        yield f"read_liberty {MACROS}"
    yield f"read_verilog {NETLIST}"
    yield f"link_design {netlist.top}"
    yield f"read_sdc {CONSTRAINTS}"
    if PARASITICS in inputs:
        yield f"read_spef -quiet {PARASITICS}"


def _outputs(netlist: Netlist, library: Library) -> Iterator[PinName]:
    for pins in netlist.nets.values():
        instance, pin = pins[0]
        if instance and netlist.cells[instance] in library.cells:
            yield instance, pin


def _slack_lines(pins: Sequence[PinName]) -> Iterator[str]:
    yield f"set out [open {_SLACKS} w]"
    yield "foreach name {"
    yield from (f"{instance}/{pin}" for instance, pin in pins)
    yield "} {"
    yield "  set pin [get_pins $name]"
    yield '  puts $out "[get_property $pin max_rise_slack] [get_property $pin max_fall_slack]"'
    yield "}"
    yield "close $out"


def _slacks(path: Path, pins: Sequence[PinName]) -> Iterator[tuple[PinName, float]]:
    for pin, line in zip(pins, path.read_text(encoding="utf-8").splitlines(), strict=True):
        slack = min(_number(word) for word in line.split())
        if abs(slack) < _UNCONSTRAINED:
            yield pin, slack


def _number(word: str) -> float:
    return float("inf") if word in ("INF", "NA") else float(word)


def _activity_lines(activity: Mapping[PinName, float], netlist: Netlist) -> Iterator[str]:
    """Yield commands of OpenSTA's that set single pins; its `set_power_activity -pins` is broken in 2.0.17."""
    clock = netlist.clock_net
    for net, pins in netlist.nets.items():
        if net == clock:
            continue
        for instance, pin in pins:
            of = activity.get((instance, pin))
            if of is not None and instance:
                yield f"sta::set_power_pin_activity [get_pins {{{instance}/{pin}}}] {of:g} 0.5"
            elif of is not None and netlist.ports[pin] == "input":
                yield f"sta::set_power_input_port_activity [get_ports {{{pin}}}] {of:g} 0.5"

"""OpenSTA: how late signals come to the registers, memories and ports of a netlist, before layout and without wires."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.kept import keep
from armillary.tools.nangate45 import liberty, liberty_digest
from armillary.tools.process import run
from armillary.types import ArmillaryError
from armillary.user_cache import is_stored, store

CLOCK = "clk"
_NETLIST, _LIBRARY, _SCRIPT, _ENDS = "netlist.v", "macros.lib", "timing.tcl", "ends.txt"
_SLEWS = (("lower", 20), ("upper", 80))
_MOST_ENDS = 10_000_000
_REFUSED = re.compile(r"^Error.*|^.*[Cc]reating black box.*", re.MULTILINE)
_END = re.compile(r"^(\S+) \([^)]*\)\s+\S+\s+\S+\s+(-?\d+\.\d+)", re.MULTILINE)


@dataclass(frozen=True)
class TimedMacro:
    """A memory's times at its pins.

    Attributes:
        ports: direction and bits by name; the clock is `clk`.
        access_ns: from the clock's edge to every output.
        setup_ns: of every input before the clock's edge.
    """

    ports: Mapping[str, tuple[Literal["input", "output"], int]]
    access_ns: float
    setup_ns: float


@functools.cache
def version() -> str:
    """Return the version of OpenSTA.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    if shutil.which("sta") is None:
        raise ArmillaryError("OpenSTA not found: apt install opensta")
    return run(Command(("sta", "-version"))).text.strip()


def end_slacks(
    netlist: str, top: str, *, macros: Mapping[str, TimedMacro], cache: Path, clock_ns: float = 1.0
) -> dict[str, float]:
    """Return the slack in ns at every pin where a path ends, by the pin's name with `/` between instances.

    Signals come to the design's ports with the clock's edge and are wanted there at the next. The clock is ideal, and
    wires have neither resistance nor capacitance.

    Args:
        netlist: Verilog of all modules, in cells of NanGate45 and macros.
        top: the top module, with a port `clk`.
        macros: by module name.
        cache: folder of what was timed before.
        clock_ns: the period.

    Raises:
        ArmillaryError: if OpenSTA is missing or refuses; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    library = _liberty_of(macros)
    parts = (version(), liberty_digest(), netlist, top, library, _script(top, clock_ns, bool(macros)))
    kept = cache / f"timing-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.json"
    if not is_stored(kept):
        with temporary_folder("timing") as folder:
            (folder / _NETLIST).write_text(netlist, encoding="utf-8")
            (folder / _LIBRARY).write_text(library, encoding="utf-8")
            (folder / _SCRIPT).write_text(_script(top, clock_ns, bool(macros)), encoding="utf-8")
            (folder / "found.json").write_text(json.dumps(_timed(folder)), encoding="utf-8")
            store(folder / "found.json", kept)
    found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _timed(folder: Path) -> dict[str, float]:
    run_script(folder, _SCRIPT, (_NETLIST, _LIBRARY))
    worst: dict[str, float] = {}
    for pin, slack in _END.findall((folder / _ENDS).read_text(encoding="utf-8")):
        worst[pin] = min(float(slack), worst.get(pin, float("inf")))
    return worst


def run_script(folder: Path, script: str, inputs: Sequence[str]) -> str:
    """Run a script in a folder, and return what OpenSTA wrote.

    Args:
        folder: where.
        script: file with its commands.
        inputs: other files of the folder that it reads.

    Raises:
        ArmillaryError: if OpenSTA is missing or refuses; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    version()
    command = Command(("sta", "-no_splash", "-exit", script), folder=folder, inputs=tuple(map(Path, (*inputs, script))))
    ended = run(command)
    # It ends with status 0 whatever it met, and takes a module that it could not read for an empty one.
    refused = _REFUSED.search(ended.text + ended.error_text)
    why = ended.failure or (refused.group().strip() if refused else "")
    if why:
        raise ArmillaryError(f"OpenSTA: {why}; run it again by hand: {keep(command, why) / 'run.sh'}")
    return ended.text


def _script(top: str, clock_ns: float, has_macros: bool) -> str:
    lines = [
        f"read_liberty {{{liberty()}}}",
        *([f"read_liberty {_LIBRARY}"] if has_macros else []),
        f"read_verilog {_NETLIST}",
        f"link_design {top}",
        f"create_clock -name {CLOCK} -period {clock_ns:g} [get_ports {CLOCK}]",
        f"set_input_delay 0 -clock {CLOCK} [all_inputs]",
        f"set_output_delay 0 -clock {CLOCK} [all_outputs]",
        f"report_checks -path_delay max -format end -group_count {_MOST_ENDS} -digits 4 > {_ENDS}",
    ]
    return "\n".join([*lines, ""])


def _liberty_of(macros: Mapping[str, TimedMacro]) -> str:
    lines = [
        "library (macros) {",
        '  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; capacitive_load_unit (1, ff);',
        "  delay_model : table_lookup; nom_voltage : 1.1; default_input_pin_cap : 5; default_output_pin_cap : 0;",
        *(f"  {kind}put_threshold_pct_{edge} : 50;" for kind in ("in", "out") for edge in ("rise", "fall")),
        *(f"  slew_{end}_threshold_pct_{edge} : {at};" for end, at in _SLEWS for edge in ("rise", "fall")),
    ]
    widths = sorted({bits for macro in macros.values() for _, bits in macro.ports.values() if bits > 1})
    for bits in widths:
        lines.append(f"  type (bits{bits}) {{ base_type : array; data_type : bit; bit_width : {bits};")
        lines.append(f"    bit_from : {bits - 1}; bit_to : 0; downto : true; }}")
    for name, macro in macros.items():
        lines += [f"  cell ({name}) {{", *_pins(macro), "  }"]
    return "\n".join([*lines, "}", ""])


def _pins(macro: TimedMacro) -> Iterator[str]:
    for port, (direction, bits) in macro.ports.items():
        kind = f"bus ({port}) {{ bus_type : bits{bits};" if bits > 1 else f"pin ({port}) {{"
        if port == CLOCK:
            yield f"    {kind} direction : input; clock : true; capacitance : 25; }}"
        elif direction == "input":
            value = f'(scalar) {{ values ("{macro.setup_ns:g}"); }}'
            yield f"    {kind} direction : input; capacitance : 5; timing () {{ related_pin : {CLOCK};"
            yield f"      timing_type : setup_rising; rise_constraint {value} fall_constraint {value} }} }}"
        else:
            value = f'(scalar) {{ values ("{macro.access_ns:g}"); }}'
            slew = '(scalar) { values ("0.05"); }'
            yield f"    {kind} direction : output; timing () {{ related_pin : {CLOCK}; timing_type : rising_edge;"
            yield f"      cell_rise {value} cell_fall {value} rise_transition {slew} fall_transition {slew} }} }}"

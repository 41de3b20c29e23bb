"""Liberty files as OpenSTA should get them, so that energies inside cells count once.

A library tells the energy of an output's rise and of its fall, for each input that may cause it. A change of an output
is one edge, by one cause. OpenSTA 2.0.17 adds both edges up, and for some cells several causes. How a version counts is
measured on every cell of the library, and the energies of outputs in the file that it reads are divided by that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from armillary.evaluators.physical.liberty import Arc, LibertyCell, cells_of, read_liberty
from armillary.evaluators.physical.macros import MacroCell, liberty_of
from armillary.temporary import temporary_folder
from armillary.tools import opensta
from armillary.user_cache import cache_folder, is_stored, store

_ENERGY = re.compile(r"\binternal_power\s*\(")
_PIN = re.compile(r"\b(?:pin|bus)\s*\(")
_CELL = re.compile(r"\bcell\s*\(\s*\"?(\w+)")
_OUTPUT = re.compile(r'\bdirection\s*:\s*"?output')
_VALUES = re.compile(r"\bvalues\s*\(([^)]*)\)")
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
_ROW = re.compile(r"^ *(\S+) +\S+ +\S+ +\S+ u_(\w+)$", re.MULTILINE)
_PERIOD_NS, _CHANGES, _CLOCK_CHANGES = 1.0, 1.0, 2.0
_PROBE_FJ = 100.0
_LEAST_FJ = 0.05  # of an output's change, below which there is nothing to divide


def liberty_for_power(liberty: Path, digest: str) -> Path:
    """Return the library as OpenSTA counts it right; made once and kept in the user's cache.

    Args:
        liberty: the library.
        digest: of its enablement.

    Raises:
        ArmillaryError: if OpenSTA is missing or refuses.
    """
    kept = cache_folder("physical") / f"energies-2-{digest}-{opensta.version()}.lib"
    if not is_stored(kept):
        cells = cells_of(read_liberty(liberty))
        text = liberty.read_text(encoding="utf-8", errors="replace")
        with temporary_folder("energies") as folder:
            made = folder / "scaled.lib"
            made.write_text("".join(scaled(text, times_counted(liberty, cells))), encoding="utf-8")
            store(made, kept)
    return kept


def times_counted(liberty: Path, cells: Mapping[str, LibertyCell]) -> dict[str, float]:
    """Return how often OpenSTA counts the energy of a change of each cell's outputs; cells without energy are left out.

    Every cell stands alone, its inputs are ports, nothing hangs on its outputs, and every pin changes once in a period,
    clocks twice.
    """
    measured = _measured(liberty, cells)
    found = {}
    for name, cell in cells.items():
        inputs = sum(_mean(pin.energy) * (_CLOCK_CHANGES if pin.clock else _CHANGES)
                     for pin in cell.pins.values() if pin.direction == "input")  # fmt: skip
        outputs = sum(_mean(pin.energy) * _CHANGES for pin in cell.pins.values() if pin.direction == "output")
        if name in measured and outputs > _LEAST_FJ and measured[name] - inputs > _LEAST_FJ:
            found[name] = (measured[name] - inputs) / outputs
    return found


@functools.cache
def edge_times_counted() -> float:
    """Return how often OpenSTA counts the energy of a memory's clock edge.

    Raises:
        ArmillaryError: if it is missing or refuses.
    """
    ports = {"clk": ("input", 1), "in": ("input", 1), "out": ("output", 1)}
    memory = MacroCell("probe", ports, 100.0, 0.2, 0.05, _PROBE_FJ)  # type: ignore[arg-type]
    with temporary_folder("probe") as folder:
        path = folder / "macros.lib"
        path.write_text(liberty_of((memory,)), encoding="utf-8")
        return _measured(path, cells_of(read_liberty(path)))[memory.name] / _PROBE_FJ


def _mean(arcs: tuple[Arc, ...]) -> float:
    """Return the mean over causes, conditions and edges of the energy in fJ at steep slews and without load."""
    values = [table.at(0.0, 0.0) for arc in arcs for table in arc.tables.values()]
    return float(np.mean(values)) if values else 0.0


def _measured(liberty: Path, cells: Mapping[str, LibertyCell]) -> dict[str, float]:
    """Return the internal energy of each cell in fJ per period, as OpenSTA reports it."""
    ports, lines, clocks = [], [], []
    for name, cell in cells.items():
        inputs = [pin for pin, each in cell.pins.items() if each.direction == "input"]
        ports += [f"{name}_{pin}" for pin in inputs]
        clocks += [f"{name}_{pin}" for pin in inputs if cell.pins[pin].clock]
        lines.append(f"  {name} u_{name} ({', '.join(f'.{pin}({name}_{pin})' for pin in inputs)});")
    with temporary_folder("probe") as folder:
        netlist = [
            f"module top ({', '.join(ports)});",
            *(f"  input {port};" for port in ports),
            *lines,
            "endmodule",
            "",
        ]
        (folder / "probe.v").write_text("\n".join(netlist), encoding="utf-8")
        others = [port for port in ports if port not in clocks]
        script = (
            f"read_liberty {{{liberty}}}", "read_verilog probe.v", "link_design top",
            f"create_clock -name c -period {_PERIOD_NS:g} [get_ports {{{' '.join(clocks)}}}]",
            f"set_input_delay 0 -clock c [get_ports {{{' '.join(others)}}}]",
            f"set_power_activity -global -activity {_CHANGES:g} -duty 0.5",
            "report_power -instances [get_cells *] -digits 8", "exit", "",
        )  # fmt: skip
        (folder / "probe.tcl").write_text("\n".join(script), encoding="utf-8")
        text = opensta.run_script(folder, "probe.tcl", ("probe.v",))
    return {name: float(watt) * _PERIOD_NS * 1e6 for watt, name in _ROW.findall(text)}


def scaled(text: str, times: Mapping[str, float]) -> Iterator[str]:
    """Yield the parts of a liberty file with the energies of each cell's outputs divided."""
    pins = [match.start() for match in _PIN.finditer(text)]
    cells = [(match.start(), match[1]) for match in _CELL.finditer(text)]
    at = number = cell = 0
    for match in _ENERGY.finditer(text):
        while number + 1 < len(pins) and pins[number + 1] < match.start():
            number += 1
        while cell + 1 < len(cells) and cells[cell + 1][0] < match.start():
            cell += 1
        by = times.get(cells[cell][1], 1.0) if cells else 1.0
        start, end = match.end(), _end_of_group(text, match.end())
        if by == 1.0 or not pins or not _OUTPUT.search(text, pins[number], match.start()):
            continue
        yield text[at:start]
        yield _VALUES.sub(lambda values, by=by: _divided(values, by), text[start:end])  # type: ignore[misc]
        at = end
    yield text[at:]


def _divided(values: re.Match[str], by: float) -> str:
    return f"values ({_NUMBER.sub(lambda number: f'{float(number[0]) / by:.7g}', values[1])})"


def _end_of_group(text: str, start: int) -> int:
    depth = 0
    for place in range(text.index("{", start), len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return len(text)

"""Liberty files: what a cell library says of its cells' area, pins, delays and energies.

Source: Liberty user guide, volume 1: groups `name (arguments) { ... }`, simple attributes `name : value;` and complex
ones `name (values);`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\\\n|"((?:[^"\\]|\\.)*)"|([{}();:,])|([^\s{}();:,"]+)', re.DOTALL)
_END = ("", "")
_FF = {"ff": 1.0, "pf": 1000.0}


@dataclass
class Group:
    """A group of a liberty file.

    Attributes:
        kind: its keyword, such as `cell`.
        arguments: in its brackets.
        attributes: simple ones, and complex ones joined with commas; of several of a name the last.
        groups: inside it.
    """

    kind: str
    arguments: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[Group]:
        """Yield the groups of a kind inside it."""
        return (group for group in self.groups if group.kind == kind)


def read_liberty(path: Path) -> Group:
    """Return the library group of a file.

    Raises:
        ArmillaryError: if it cannot be read or is no liberty file.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read ({fault.strerror})") from fault
    reader = _Reader(text)
    try:
        found = reader.statement(Group("file"))
    except StopIteration:
        raise ArmillaryError(f"{path}: ends within a group") from None
    if found is None or found.kind != "library":
        raise ArmillaryError(f"{path}: is no liberty file; it begins with no group `library`")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = self._all(text)
        self._next: tuple[str, str] = next(self._tokens, _END)

    def _all(self, text: str) -> Iterator[tuple[str, str]]:
        for match in _TOKEN.finditer(text):
            if match[2]:
                yield "mark", match[2]
            elif match[3]:
                yield "word", match[3]
            elif match[1] is not None:
                yield "word", match[1]

    def _take(self) -> str:
        if self._next is _END:
            raise StopIteration
        taken = self._next[1]
        self._next = next(self._tokens, _END)
        return taken

    def statement(self, owner: Group) -> Group | None:
        """Read one statement; return the group if it is one, else put the attribute into its owner."""
        name = self._take()
        mark = self._take()
        if mark == ":":
            words = []
            while self._next[1] not in (";", "}"):
                words.append(self._take())
            if self._next[1] == ";":
                self._take()
            owner.attributes[name] = " ".join(words)
            return None
        arguments = []
        while (word := self._take()) != ")":
            if word != ",":
                arguments.append(word)
        if self._next[1] != "{":
            if self._next[1] == ";":
                self._take()
            owner.attributes[name] = ",".join(arguments)
            return None
        self._take()
        group = Group(name, tuple(arguments))
        while self._next[1] != "}":
            if self._next[1] == ";":
                self._take()
                continue
            inner = self.statement(group)
            if inner is not None:
                group.groups.append(inner)
        self._take()
        if self._next[1] == ";":
            self._take()
        return group


@dataclass(frozen=True)
class Table:
    """A table over input slew and output load, or over fewer of them.

    Attributes:
        slews_ns: of the rows; empty if the values do not depend on the slew.
        loads_ff: of the columns; empty if they do not depend on the load.
        values: shape [slews, loads], one where there is no axis.
    """

    slews_ns: NDArray[np.float64]
    loads_ff: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, slew_ns: float, load_ff: float) -> float:
        """Return the value by bilinear interpolation; the outer cells are extended beyond the table."""
        low, high, part = _between(self.slews_ns, slew_ns)
        left, right, across = _between(self.loads_ff, load_ff)
        upper = self.values[low, left] * (1 - across) + self.values[low, right] * across
        lower = self.values[high, left] * (1 - across) + self.values[high, right] * across
        return float(upper * (1 - part) + lower * part)


def _between(axis: NDArray[np.float64], at: float) -> tuple[int, int, float]:
    if len(axis) < 2:
        return 0, 0, 0.0
    upper = int(np.clip(np.searchsorted(axis, at), 1, len(axis) - 1))
    return upper - 1, upper, float((at - axis[upper - 1]) / (axis[upper] - axis[upper - 1]))


@dataclass(frozen=True)
class Arc:
    """What happens at an output, or within an input, when a pin changes.

    Attributes:
        related: the pin that changes; empty for the pin itself.
        when: the condition, empty if there is none.
        sense: `positive_unate`, `negative_unate`, `non_unate` or empty.
        kind: timing type, such as `rising_edge`; empty for combinational ones and for energies.
        tables: by name: `cell_rise`, `rise_transition`, `rise_power` (fJ) and so on.
    """

    related: str
    when: str
    sense: str
    kind: str
    tables: dict[str, Table]


@dataclass(frozen=True)
class LibertyPin:
    """A pin.

    Attributes:
        direction: `input`, `output`, `inout` or `internal`.
        cap_ff: of the pin, the larger of both edges' where they differ.
        max_cap_ff: the most that it may drive; infinite if the library does not say.
        clock: whether it is a clock's.
        function: as Boolean expression; empty if there is none.
        timing: delays to it.
        energy: internal energies in fJ of its changes.
    """

    direction: str
    cap_ff: float
    max_cap_ff: float
    clock: bool
    function: str
    timing: tuple[Arc, ...]
    energy: tuple[Arc, ...]


@dataclass(frozen=True)
class LibertyCell:
    """A cell: area in the library's unit (um2), mean leakage in nW, whether it holds a bit, pins by name."""

    area_um2: float
    leakage_nw: float
    sequential: bool
    pins: dict[str, LibertyPin]


def cells_of(library: Group) -> dict[str, LibertyCell]:
    """Return the cells of a library by name.

    Raises:
        ArmillaryError: if units are missing or unknown.
    """
    units = _Units(library)
    templates = {group.arguments[0]: group for kind in ("lu_table_template", "power_lut_template")
                 for group in library.all(kind)}  # fmt: skip
    return {group.arguments[0]: _cell(group, units, templates) for group in library.all("cell")}


class _Units:
    """What the library's units are in ns, fF, fJ and nW."""

    def __init__(self, library: Group) -> None:
        self.ns = _scaled(library, "time_unit", {"ns": 1.0, "ps": 1e-3, "us": 1e3})
        number, _, unit = library.attributes.get("capacitive_load_unit", "").partition(",")
        if unit.lower() not in _FF:
            raise ArmillaryError(f"capacitive_load_unit={number},{unit}: write (1, ff) or (1, pf)")
        self.ff = float(number) * _FF[unit.lower()]
        volts = _scaled(library, "voltage_unit", {"v": 1.0, "mv": 1e-3})
        self.fj = self.ff * volts * volts
        self.nw = _scaled(library, "leakage_power_unit", {"nw": 1.0, "pw": 1e-3, "uw": 1e3, "mw": 1e6})


def _scaled(library: Group, name: str, units: dict[str, float]) -> float:
    match = re.fullmatch(r"([0-9.]+)\s*([a-zA-Z]+)", library.attributes.get(name, ""))
    if match is None or match[2].lower() not in units:
        raise ArmillaryError(
            f"{name}={library.attributes.get(name)!r} is not allowed; write 1 and one of {list(units)}"
        )
    return float(match[1]) * units[match[2].lower()]


def _cell(group: Group, units: _Units, templates: dict[str, Group]) -> LibertyCell:
    pins = {}
    for pin in group.all("pin"):
        for name in pin.arguments:
            pins[name] = _pin(pin, units, templates)
    sequential = any(inner.kind in ("ff", "latch", "statetable") for inner in group.groups)
    leakage = float(group.attributes.get("cell_leakage_power", "0")) * units.nw
    return LibertyCell(float(group.attributes.get("area", "0")), leakage, sequential, pins)


def _pin(group: Group, units: _Units, templates: dict[str, Group]) -> LibertyPin:
    given = group.attributes
    caps = [float(given[name]) for name in ("capacitance", "rise_capacitance", "fall_capacitance") if name in given]
    return LibertyPin(
        direction=given.get("direction", "").strip('"'),
        cap_ff=max(caps, default=0.0) * units.ff,
        max_cap_ff=float(given["max_capacitance"]) * units.ff if "max_capacitance" in given else float("inf"),
        clock=given.get("clock", "") == "true",
        function=given.get("function", ""),
        timing=tuple(_arc(inner, units, templates, units.ns) for inner in group.all("timing")),
        energy=tuple(_arc(inner, units, templates, units.fj) for inner in group.all("internal_power")),
    )


def _arc(group: Group, units: _Units, templates: dict[str, Group], unit: float) -> Arc:
    tables = {}
    for table in group.groups:
        if (
            table.kind.endswith(("_rise", "_fall", "_transition", "_power", "_constraint"))
            and "values" in table.attributes
        ):
            tables[table.kind] = _table(table, units, templates.get(next(iter(table.arguments), "")), unit)
    given = group.attributes
    sense, kind = given.get("timing_sense", ""), given.get("timing_type", "")
    return Arc(given.get("related_pin", ""), given.get("when", ""), sense, kind, tables)


def _table(group: Group, units: _Units, template: Group | None, unit: float) -> Table:
    axes: dict[str, NDArray[np.float64]] = {}
    shape = []
    for number in ("1", "2", "3"):
        of = template.attributes.get(f"variable_{number}", "") if template else ""
        text = group.attributes.get(f"index_{number}") or (
            template.attributes.get(f"index_{number}") if template else ""
        )
        if not text or not of:
            continue
        load = "capacitance" in of
        column = load or (of == "related_pin_transition" and group.kind.endswith("_constraint"))
        axes["load" if column else "slew"] = _numbers(text) * (units.ff if load else units.ns)
        shape.append("load" if column else "slew")
    values = _numbers(group.attributes["values"]) * unit
    sizes = [len(axes[name]) for name in shape]
    values = values.reshape(sizes or (1, 1))
    if shape == ["load", "slew"]:
        values = values.T
    elif shape == ["load"]:
        values = values[None, :]
    elif shape == ["slew"]:
        values = values[:, None]
    none = np.zeros(0)
    return Table(axes.get("slew", none), axes.get("load", none), values)


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array([float(word) for word in text.replace(",", " ").replace("\\", " ").split()])

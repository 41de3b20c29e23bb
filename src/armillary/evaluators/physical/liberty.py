"""Liberty files: what a cell library says of its cells' area, pins, delays and energies.

Source: Liberty user guide, volume 1: groups `name (arguments) { ... }`, simple attributes `name : value;` and complex
ones `name (values);`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\\\n|"((?:[^"\\]|\\.)*)"|([{}();:,])|([^\s{}();:,"]+)', re.DOTALL)
_END = ("", 0)
_MOST_DEPTH = 50  # of groups; a library has about six
_MOST_VALUES = 1_000_000  # of a table
_NAME = re.compile(r"[A-Za-z_]\w*(?:\[\d+\])?")
_FF = {"ff": 1.0, "pf": 1000.0}


@dataclass
class Group:
    """A group of a liberty file.

    Attributes:
        kind: its keyword, such as `cell`.
        arguments: in its brackets.
        attributes: simple ones, and complex ones joined with commas; of several of a name the last.
        groups: inside it.
        place: file and line where it begins, for messages.
    """

    kind: str
    arguments: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    place: str = ""

    @property
    def name(self) -> str:
        """Its first argument.

        Raises:
            ArmillaryError: if it has none.
        """
        if not self.arguments:
            raise ArmillaryError(f"{self.place}: the group `{self.kind}` has no name")
        return self.arguments[0]

    def number(self, attribute: str, default: float) -> float:
        """Return an attribute as a number; the default if it is not given.

        Raises:
            ArmillaryError: if it is no finite number.
        """
        if attribute not in self.attributes:
            return default
        return float(_numbers(self.attributes[attribute], f"{self.place}: {attribute}", count=1)[0])

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
    found = _Reader(text, str(path)).statement(Group("file"))
    if found is None or found.kind != "library":
        raise ArmillaryError(f"{path}: is no liberty file; it begins with no group `library`")
    return found


class _Reader:
    def __init__(self, text: str, path: str) -> None:
        self._text, self._path, self._depth = text, path, 0
        self._at, self._line = 0, 1  # how far lines were counted
        self._tokens = self._all()
        self._next: tuple[str, int] = next(self._tokens, _END)

    def _all(self) -> Iterator[tuple[str, int]]:
        for match in _TOKEN.finditer(self._text):
            word = match[2] or match[3] or match[1]
            if word is not None:
                yield word, match.start()

    def _take(self) -> str:
        if self._next is _END:
            raise ArmillaryError(f"{self._path}: ends within a group")
        taken = self._next[0]
        self._next = next(self._tokens, _END)
        return taken

    def _take_if(self, mark: str) -> None:
        if self._next[0] == mark:
            self._take()

    def _place(self) -> str:
        """Return file and line of the next token."""
        at = self._next[1]
        self._line += self._text.count("\n", self._at, at)
        self._at = at
        return f"{self._path}: line {self._line}"

    def statement(self, owner: Group) -> Group | None:
        """Read one statement; return the group if it is one, else put the attribute into its owner.

        Raises:
            ArmillaryError: if it is none, or groups are nested deeper than any library has them.
        """
        place, name, mark = self._place(), self._take(), self._take()
        if mark == ":":
            owner.attributes[name] = " ".join(self._until(";", "}"))
            self._take_if(";")
            return None
        if mark != "(":
            raise ArmillaryError(f"{place}: {name[:40]!r} is followed by {mark[:40]!r}; write `:` or `(`")
        arguments = [word for word in self._until(")") if word != ","]
        self._take()
        if self._next[0] != "{":
            self._take_if(";")
            owner.attributes[name] = ",".join(arguments)
            return None
        group = Group(name, tuple(arguments), place=place)
        self._inside(group)
        return group

    def _until(self, *ends: str) -> list[str]:
        """Take the tokens up to one of some marks, which is left."""
        found = []
        while self._next[0] not in ends:
            found.append(self._take())
        return found

    def _inside(self, group: Group) -> None:
        """Read what stands between a group's brackets."""
        self._take()
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise ArmillaryError(f"{group.place}: groups are nested deeper than {_MOST_DEPTH}")
        while self._next[0] != "}":
            if self._next[0] == ";":
                self._take()
                continue
            inner = self.statement(group)
            if inner is not None:
                group.groups.append(inner)
        self._take()
        self._take_if(";")
        self._depth -= 1


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
        ArmillaryError: if units are missing or unknown, a number or a name is none, or a table's values are not as
            many as its axes say; names file and line.
    """
    units = _Units(library)
    templates = {group.name: group for kind in ("lu_table_template", "power_lut_template")
                 for group in library.all(kind)}  # fmt: skip
    return {_checked_name(group.name, group): _cell(group, units, templates) for group in library.all("cell")}


def _checked_name(name: str, group: Group) -> str:
    """Return a name of a cell or a pin, which goes into netlists and into scripts of other tools.

    Raises:
        ArmillaryError: if it is no plain name.
    """
    if not _NAME.fullmatch(name):
        raise ArmillaryError(
            f"{group.place}: {group.kind} {name[:40]!r} is not allowed; write letters, digits and _, as in A or D[3]"
        )
    return name


class _Units:
    """What the library's units are in ns, fF, fJ and nW."""

    def __init__(self, library: Group) -> None:
        self.ns = _scaled(library, "time_unit", {"ns": 1.0, "ps": 1e-3, "us": 1e3})
        given = library.attributes.get("capacitive_load_unit", "")
        number, _, unit = given.partition(",")
        if unit.strip().lower() not in _FF:
            raise ArmillaryError(
                f"{library.place}: capacitive_load_unit={given!r} is not allowed; write (1, ff) or (1, pf)"
            )
        per_unit = _numbers(number, f"{library.place}: capacitive_load_unit", count=1)
        self.ff = float(per_unit[0]) * _FF[unit.strip().lower()]
        volts = _scaled(library, "voltage_unit", {"v": 1.0, "mv": 1e-3})
        self.fj = self.ff * volts * volts
        self.nw = _scaled(library, "leakage_power_unit", {"nw": 1.0, "pw": 1e-3, "uw": 1e3, "mw": 1e6})


def _scaled(library: Group, name: str, units: dict[str, float]) -> float:
    given = library.attributes.get(name, "")
    match = re.fullmatch(r"(\d+\.?\d*)\s*([a-zA-Z]+)", given)
    if match is None or match[2].lower() not in units:
        raise ArmillaryError(f"{library.place}: {name}={given!r} is not allowed; write 1 and one of {list(units)}")
    return float(match[1]) * units[match[2].lower()]


def _cell(group: Group, units: _Units, templates: dict[str, Group]) -> LibertyCell:
    pins = {}
    for pin in group.all("pin"):
        for name in pin.arguments:
            pins[_checked_name(name, pin)] = _pin(pin, units, templates)
    sequential = any(inner.kind in ("ff", "latch", "statetable") for inner in group.groups)
    return LibertyCell(group.number("area", 0.0), group.number("cell_leakage_power", 0.0) * units.nw, sequential, pins)


def _pin(group: Group, units: _Units, templates: dict[str, Group]) -> LibertyPin:
    given = group.attributes
    caps = [group.number(name, 0.0) for name in ("capacitance", "rise_capacitance", "fall_capacitance")]
    return LibertyPin(
        direction=given.get("direction", "").strip('"'),
        cap_ff=max(caps) * units.ff,
        max_cap_ff=group.number("max_capacitance", math.inf) * units.ff,
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
    for number in ("1", "2", "3"):
        of = template.attributes.get(f"variable_{number}", "") if template else ""
        text = group.attributes.get(f"index_{number}") or (
            template.attributes.get(f"index_{number}") if template else ""
        )
        if not text or not of:
            continue
        load = "capacitance" in of
        column = load or (of == "related_pin_transition" and group.kind.endswith("_constraint"))
        name = "load" if column else "slew"
        if name in axes:
            raise ArmillaryError(
                f"{group.place}: {group.kind} has two axes of {name}s; one of slews and one of loads are read"
            )
        axes[name] = _numbers(text, f"{group.place}: index_{number}") * (units.ff if load else units.ns)
        if (np.diff(axes[name]) <= 0).any():
            raise ArmillaryError(
                f"{group.place}: index_{number}={text[:80]!r} is not allowed; each must be above the last"
            )
    values = _numbers(group.attributes["values"], f"{group.place}: values") * unit
    sizes = [len(axis) for axis in axes.values()] or [1]
    if len(values) != math.prod(sizes):
        raise ArmillaryError(f"{group.place}: {group.kind} has {len(values)} values, its axes {math.prod(sizes)}")
    none = np.zeros(0)
    slews, loads = axes.get("slew", none), axes.get("load", none)
    shape = (max(len(slews), 1), max(len(loads), 1))
    by_load_first = list(axes) == ["load", "slew"]
    return Table(slews, loads, values.reshape(shape[::-1]).T if by_load_first else values.reshape(shape))


def _numbers(text: str, place: str, count: int | None = None) -> NDArray[np.float64]:
    """Return a list of numbers.

    Args:
        text: with commas or blanks between them.
        place: of it, for messages.
        count: how many there must be; any number but none, if left out.

    Raises:
        ArmillaryError: if one is no finite number, or there are too few or too many.
    """
    words = text.replace(",", " ").replace("\\", " ").split()
    try:
        found = np.array([float(word) for word in words])
    except ValueError:
        found = np.full(len(words), math.nan)
    if (
        not 1 <= len(words) <= _MOST_VALUES
        or (count is not None and len(words) != count)
        or not np.isfinite(found).all()
    ):
        wanted = "one finite number" if count == 1 else f"1 to {_MOST_VALUES:,} finite numbers"
        raise ArmillaryError(f"{place}={text[:80]!r} is not allowed; write {wanted}")
    return found

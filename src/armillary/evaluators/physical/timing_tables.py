"""Delays of a library's cells as arrays, for timing analyses of our own.

Arcs of the same pins and edges that differ in their conditions become one with the larger of both values everywhere,
as their conditions are not known.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.liberty import Arc, LibertyCell, Table, cells_of, read_liberty
from armillary.evaluators.physical.library import Library
from armillary.temporary import temporary_folder
from armillary.user_cache import cache_folder, is_stored, store

_FORM = "1"  # of what is kept
RISE, FALL = 0, 1
_EDGES = (("rise", RISE), ("fall", FALL))
_SENSES = {"positive_unate": (False,), "negative_unate": (True,)}  # whether the edge turns round
_CLOCKED = {"rising_edge": RISE, "falling_edge": FALL}
_PLAIN = ("", "combinational", "combinational_rise", "combinational_fall")
_SETUPS = ("setup_rising", "setup_falling")

Key = tuple[str, str, int, int]
"""An arc: input pin, output pin, edge of the input, edge of the output. Of a setup: pin, empty, edge, and the same."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TimingTables:
    """Tables of all arcs.

    Attributes:
        arcs: number of the table of each arc, by cell; those from clocks, too.
        clocked: arcs from clocks, by cell.
        setups: likewise of how long before the clock's edge a pin must be still.
        slews: the rows' input slews in ns, shape [tables, most rows]; those beyond a table's own are not used.
        loads: the columns' loads in fF, shape [tables, most columns].
        sizes: rows and columns of each table, shape [tables, 2].
        delay: in ns, or the setup time, shape [tables, most rows, most columns].
        slew: of the output in ns, likewise; zero for setups.
    """

    arcs: Mapping[str, Mapping[Key, int]]
    clocked: Mapping[str, frozenset[Key]]
    setups: Mapping[str, Mapping[Key, int]]
    slews: Floats
    loads: Floats
    sizes: Ints
    delay: Floats
    slew: Floats


def read_tables(enablement: Enablement, library: Library) -> TimingTables:
    """Return the tables of a library, from the user's cache if it was read before.

    Raises:
        ArmillaryError: if the file cannot be read.
    """
    kept = cache_folder("physical") / f"tables-{_FORM}-{enablement.digest()}.npz"
    if not is_stored(kept):
        known = cells_of(read_liberty(enablement.liberty))
        made_of = _arrays({name: cell for name, cell in known.items() if name in library.cells})
        with temporary_folder("tables") as folder:
            made = folder / "tables.npz"
            np.savez(made, allow_pickle=False, **made_of)
            store(made, kept)
    with np.load(kept) as found:
        names = json.loads(str(found["names"]))
        values = {name: np.asarray(found[name], np.float64) for name in ("slews", "loads", "delay", "slew")}
        sizes = np.asarray(found["sizes"], np.int64)
    arcs: dict[str, dict[Key, int]] = {name: {} for name in library.cells}
    setups: dict[str, dict[Key, int]] = {name: {} for name in library.cells}
    clocked: dict[str, set[Key]] = {name: set() for name in library.cells}
    for number, (cell, kind, *key) in enumerate(names):
        of = (setups if kind == "setup" else arcs)[cell]
        of[key[0], key[1], key[2], key[3]] = number
        if kind == "clocked":
            clocked[cell].add((key[0], key[1], key[2], key[3]))
    return TimingTables(arcs, {name: frozenset(keys) for name, keys in clocked.items()}, setups, sizes=sizes, **values)


def _arrays(cells: Mapping[str, LibertyCell]) -> dict[str, NDArray[np.generic]]:
    names: list[tuple[str, str, str, str, int, int]] = []
    pairs: list[tuple[Table, Table | None]] = []
    for cell, content in cells.items():
        found: dict[tuple[str, Key], list[tuple[Table, Table | None]]] = defaultdict(list)
        for pin, each in content.pins.items():
            for arc in each.timing:
                for kind, key, tables in _of_arc(pin, arc):
                    found[kind, key].append(tables)
        for (kind, key), several in found.items():
            names.append((cell, kind, *key))
            pairs.append(_largest(several))
    rows = max(len(delay.slews_ns) or 1 for delay, _ in pairs)
    columns = max(len(delay.loads_ff) or 1 for delay, _ in pairs)
    shape = (len(pairs), rows, columns)
    slews, loads, sizes = np.zeros(shape[:2]), np.zeros((len(pairs), columns)), np.ones((len(pairs), 2), np.int64)
    delays, after = np.zeros(shape), np.zeros(shape)
    for number, (delay, slew) in enumerate(pairs):
        high, wide = sizes[number] = delay.values.shape
        slews[number, : len(delay.slews_ns)], loads[number, : len(delay.loads_ff)] = delay.slews_ns, delay.loads_ff
        delays[number, :high, :wide] = delay.values
        if slew is not None:
            after[number, :high, :wide] = slew.values
    return {"names": np.array(json.dumps(names)), "slews": slews, "loads": loads, "sizes": sizes, "delay": delays,
            "slew": after}  # fmt: skip


def _of_arc(pin: str, arc: Arc) -> Iterator[tuple[str, Key, tuple[Table, Table | None]]]:
    """Yield what an arc says of pairs of edges, with the tables of delay and slew, or of the setup time."""
    for name, edge in _EDGES:
        setup, delay = arc.tables.get(f"{name}_constraint"), arc.tables.get(f"cell_{name}")
        slew = arc.tables.get(f"{name}_transition")
        if arc.kind in _SETUPS and setup is not None:
            # the clock's edge is ideal: its slew, which the columns stand for, is none
            yield "setup", (pin, "", edge, edge), (Table(setup.slews_ns, np.zeros(0), setup.values[:, :1]), None)
        elif delay is None or slew is None:
            continue
        elif arc.kind in _CLOCKED:
            yield "clocked", (arc.related, pin, _CLOCKED[arc.kind], edge), (delay, slew)
        elif arc.kind in _PLAIN:
            for turned in _SENSES.get(arc.sense, (False, True)):
                yield "plain", (arc.related, pin, 1 - edge if turned else edge, edge), (delay, slew)


def _largest(several: list[tuple[Table, Table | None]]) -> tuple[Table, Table | None]:
    """Return the larger of the values of tables that have the same axes; else the table with the largest value."""
    first, slew = several[0]
    same = all(np.array_equal(each.slews_ns, first.slews_ns) and np.array_equal(each.loads_ff, first.loads_ff)
               for each, _ in several)  # fmt: skip
    if not same:
        return max(several, key=lambda pair: float(pair[0].values.max()))
    delay = Table(first.slews_ns, first.loads_ff, np.maximum.reduce([each.values for each, _ in several]))
    if slew is None:
        return delay, None
    return delay, Table(
        slew.slews_ns, slew.loads_ff, np.maximum.reduce([each.values for _, each in several if each is not None])
    )

"""Sizes of cells by Lagrangian relaxation: as fast as the clock asks, and as small as that allows.

Source: Chen, Chu, Wong 1999, "Fast and exact simultaneous gate and wire sizing by Lagrangian relaxation": minimise
area plus delays weighted by multipliers, which grow where paths are late. As in its discrete successors (Livramento
et al. 2014) each cell takes the best of its library's sizes while the others stay. Here multipliers follow slacks
alone, without conserving their flow. The free area is a bound: where cells outgrow it, all multipliers are lowered,
which is a price on area, and the latest paths keep what there is. Delays are linear in the load where sizes are
chosen; slacks are those of `static_timing`, and the best netlist that it saw is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.static_timing import Slacks

_SWEEPS = 6  # over the cells for each timing analysis
_NEXT_GOAL = 0.7  # of the worst slack: what is less late than that is not pressed any further in a round
_STEP = 10.0  # how fast multipliers follow slacks
_MOST_GROWTH, _LEAST_GROWTH = 3.0, 0.5  # of a multiplier in a round
_UM2_PER_NS = 20.0  # what a ns on a path that is just in time is worth at first
_FAIR = 0.004  # of the period: slacks closer than this are equal, and the smaller netlist is better
_LOWERED, _MOST_LOWERED = 0.7, 40  # multipliers, each time that cells outgrow what is free; and how often at most
_OVERLOAD_NS = 1.0  # what a cell costs more for each time its most load

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sized:
    """A netlist with sizes.

    Attributes:
        netlist: of it.
        slacks: of it.
        area_um2: of its cells that have sizes.
        over_um2: by how much their outlines exceed what is free; zero if they fit.
        multipliers: of cells, after the last round.
    """

    netlist: Netlist
    slacks: Slacks
    area_um2: float
    over_um2: float
    multipliers: Mapping[str, float]


def sized(
    netlist: Netlist,
    library: Library,
    wire_ff: Mapping[str, float],
    analyse: Callable[[Netlist], Slacks],
    *,
    period_ns: float,
    most_um2: float,
    rounds: int,
    seed: int,
    steep: bool = False,
    multipliers: Mapping[str, float] | None = None,
) -> Sized:
    """Return the netlist with the sizes of its best round.

    Args:
        netlist: to size; buffers of the clock and macros stay.
        library: of its cells.
        wire_ff: capacitance of each net's wires.
        analyse: returns the slacks of a netlist.
        period_ns: that paths should keep.
        most_um2: that the outlines of cells which have sizes may take.
        rounds: of timing analyses.
        seed: of the order in which cells are looked at.
        steep: whether a cell's load is limited to what keeps its edges steep (`Cell.steep_ff`).
        multipliers: of cells, in um2 per ns, to begin with.
    """
    circuit = _Circuit(netlist, library, wire_ff, steep)
    rng = np.random.default_rng(seed)
    size = circuit.given.copy()
    slacks = analyse(netlist)

    def judged(netlist: Netlist, slacks: Slacks, size: NDArray[np.int64]) -> Sized:
        return Sized(netlist, slacks, circuit.area(size), max(0.0, circuit.outline(size) - most_um2), {})

    best = judged(netlist, slacks, size)
    weight = np.array([(multipliers or {}).get(name, _UM2_PER_NS) for name in circuit.cells])
    for number in range(rounds):
        slack = np.array([slacks.of.get((name, circuit.outputs[k]), period_ns) for k, name in enumerate(circuit.cells)])
        goal = min(0.0, _NEXT_GOAL * slacks.worst_ns)
        weight = np.clip(
            weight * np.clip(np.exp(_STEP * (goal - slack) / period_ns), _LEAST_GROWTH, _MOST_GROWTH), 1e-2, 1e5
        )
        before = size
        size = circuit.swept(before, weight, rng)
        for _ in range(_MOST_LOWERED):
            if circuit.outline(size) <= most_um2:
                break
            weight = _LOWERED * weight
            size = circuit.swept(before, weight, rng)
        if (size == before).all():
            break
        now = netlist.resized(circuit.changes(size))
        slacks = analyse(now)
        found = judged(now, slacks, size)
        begins = steep and number == 0  # the given sizes heed no slews
        if begins or is_better(found, best, slacks.worst_ns, best.slacks.worst_ns, period_ns):
            best = found
    return replace(best, multipliers=dict(zip(circuit.cells, weight.tolist(), strict=True)))


def is_better(one: Sized, other: Sized, slack_ns: float, other_slack_ns: float, period_ns: float) -> bool:
    """Return whether a netlist fits better than another, or as well and is less late, or as late and smaller.

    Args:
        one: the netlist.
        other: likewise.
        slack_ns: the worst of the one, by whatever timing judges.
        other_slack_ns: likewise of the other.
        period_ns: of the clock.
    """
    if one.over_um2 != other.over_um2:
        return one.over_um2 < other.over_um2
    late = min(0.0, slack_ns) - min(0.0, other_slack_ns)
    if abs(late) > _FAIR * period_ns:
        return late > 0
    return one.area_um2 < other.area_um2


class _Circuit:
    """Cells that have sizes, in arrays: shapes [cells] or [cells, sizes], and their inputs [pins, sizes]."""

    def __init__(self, netlist: Netlist, library: Library, wire_ff: Mapping[str, float], steep: bool) -> None:
        known = {name: kind for name, kind in netlist.cells.items() if kind in library.cells}
        self.cells = [name for name, kind in known.items() if library.cells[kind].family]
        self.outputs = [library.cells[known[name]].output for name in self.cells]
        self._choices = [library.sizes[library.cells[known[name]].family] for name in self.cells]
        self.given = np.array([next(k for k, cell in enumerate(choice) if cell.name == known[name])
                               for name, choice in zip(self.cells, self._choices, strict=True)], np.int64)  # fmt: skip
        most = max((len(choice) for choice in self._choices), default=1)
        shape = (len(self.cells), most)
        self._fixed, self._kohm, self._um2 = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf)
        self._most_ff, self._outline = np.full(shape, np.inf), np.full(shape, np.inf)
        for k, choice in enumerate(self._choices):
            for s, cell in enumerate(choice):
                self._fixed[k, s], self._kohm[k, s], self._um2[k, s] = cell.fixed_ns, cell.kohm, cell.area_um2
                most_ff = cell.pins[cell.output].max_cap_ff
                self._most_ff[k, s] = min(most_ff, cell.steep_ff) if steep else most_ff
                self._outline[k, s] = cell.width_um * cell.height_um
        self._join(netlist, library, wire_ff, most)

    def _join(self, netlist: Netlist, library: Library, wire_ff: Mapping[str, float], most: int) -> None:
        """Find each cell's load that does not change, and its inputs with the cells that drive them."""
        number = {name: k for k, name in enumerate(self.cells)}
        self._wire = np.zeros(len(self.cells))
        owner, driver, caps = [], [], []
        for net, pins in netlist.nets.items():
            source = number.get(pins[0][0], -1)
            if source >= 0 and pins[0][1] == self.outputs[source]:
                self._wire[source] += wire_ff.get(net, 0.0)
            elif source >= 0:
                source = -1  # a second output, such as a flip-flop's QN: taken for as fast as it is
            for instance, pin in pins[1:]:
                cell = number.get(instance, -1)
                if cell >= 0:
                    own = [choice.pins[pin].cap_ff for choice in self._choices[cell]]
                    owner.append(cell)
                    driver.append(source)
                    caps.append(own + [own[-1]] * (most - len(own)))
                elif source >= 0 and netlist.cells.get(instance) in library.cells:
                    self._wire[source] += library.cells[netlist.cells[instance]].pins[pin].cap_ff
        self._owner, self._driver = np.array(owner, np.int64), np.array(driver, np.int64)
        self._caps = np.array(caps).reshape(len(owner), most)

    @cached_property
    def _driven(self) -> NDArray[np.bool_]:
        return self._driver >= 0

    def area(self, size: NDArray[np.int64]) -> float:
        """Return the area of all cells that have sizes."""
        return float(self._um2[np.arange(len(size)), size].sum())

    def outline(self, size: NDArray[np.int64]) -> float:
        """Return the area that they take in rows."""
        return float(self._outline[np.arange(len(size)), size].sum())

    def changes(self, size: NDArray[np.int64]) -> dict[str, str]:
        """Return the cell of each instance."""
        return {name: self._choices[k][size[k]].name for k, name in enumerate(self.cells)}

    def swept(self, size: NDArray[np.int64], weight: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return sizes after sweeps in which, each time, half of the cells take what they want."""
        for _ in range(_SWEEPS):
            size = np.where(rng.random(len(size)) < 0.5, self.wanted(size, weight), size)
        return size

    def wanted(self, size: NDArray[np.int64], weight: Floats) -> NDArray[np.int64]:
        """Return the size that each cell would take if all others stayed as they are."""
        now = self._caps[np.arange(len(self._owner)), size[self._owner]]
        load = self._wire + np.bincount(self._driver[self._driven], now[self._driven], len(size))
        delay = self._fixed + self._kohm * load[:, None] / 1000
        over = np.maximum(0, load[:, None] / self._most_ff - 1) * _OVERLOAD_NS
        cost = self._um2 + weight[:, None] * delay + max(weight.max(initial=0.0), _UM2_PER_NS) * over
        # what larger inputs cost their drivers
        per_ff = np.where(self._driven, (weight * self._kohm[np.arange(len(size)), size])[self._driver] / 1000, 0.0)
        for choice in range(cost.shape[1]):
            cost[:, choice] += np.bincount(self._owner, per_ff * self._caps[:, choice], len(size))
        found: NDArray[np.int64] = cost.argmin(axis=1)
        return found

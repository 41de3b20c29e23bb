"""A cell library as the flow needs it: sizes, pins, drive, and which cells replace each other."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from armillary.evaluators.physical.enablement import Enablement, Wire
from armillary.evaluators.physical.lef import LefLayer, read_cells, read_layers, read_site
from armillary.evaluators.physical.liberty import Group, LibertyCell, Table, cells_of, read_liberty
from armillary.temporary import temporary_folder
from armillary.types import ArmillaryError
from armillary.user_cache import cache_folder, is_stored, store

_FORM = "3"  # of what is kept of a library
STEEP = 10.0
"""Times its own input that a buffer drives with the edges that `Cell.steep_ff` is about; so it is in OpenROAD."""
_SLEWS, _STEPS = ("rise_transition", "fall_transition"), 200  # tables, and loads of each that are looked at
_MIDDLE = 0.4  # of the slews of a table, from the lowest: where linear delays are taken


@dataclass(frozen=True)
class Pin:
    """A pin: direction, capacitance, the most it may drive, whether it is a clock's, and where it lies in the cell."""

    direction: str
    cap_ff: float
    max_cap_ff: float
    clock: bool
    x_um: float
    y_um: float


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        name: of it.
        area_um2: by the library.
        leakage_nw: mean over its inputs.
        width_um: of its outline.
        height_um: likewise.
        sequential: whether it holds a bit.
        family: the same for cells with the same function and pins, which replace each other.
        fixed_ns: of a linear delay, the part without load; the slowest output's mean over edges and arcs.
        kohm: of a linear delay, the slope in ns per pF.
        steep_ff: load of the first output under which edges are as steep as those of a buffer with `STEEP` times its
            input's capacitance to drive.
        pins: by name.
    """

    name: str
    area_um2: float
    leakage_nw: float
    width_um: float
    height_um: float
    sequential: bool
    family: str
    fixed_ns: float
    kohm: float
    steep_ff: float
    pins: Mapping[str, Pin]

    @cached_property
    def output(self) -> str:
        """The first output's name."""
        return next(name for name, pin in self.pins.items() if pin.direction == "output")


@dataclass(frozen=True)
class Layer:
    """A routing layer: its wires' direction, distance of tracks and the part of them that signals may take."""

    name: str
    horizontal: bool
    pitch_um: float
    usable: float
    wire: Wire

    @property
    def tracks_per_um(self) -> float:
        """How many tracks signals may take."""
        return self.usable / self.pitch_um


@dataclass(frozen=True)
class Library:
    """Cells, layers, the site and the area of a well's tap of an enablement."""

    cells: Mapping[str, Cell]
    layers: tuple[Layer, ...]
    site_um: float
    row_um: float
    tap_um2: float

    @cached_property
    def sizes(self) -> dict[str, tuple[Cell, ...]]:
        """The cells of each family that may be used, the weakest first."""
        found: dict[str, list[Cell]] = defaultdict(list)
        for cell in self.cells.values():
            if cell.family:
                found[cell.family].append(cell)
        return {
            family: tuple(sorted(cells, key=lambda cell: (-cell.kohm, cell.area_um2)))
            for family, cells in found.items()
        }


def read_library(enablement: Enablement) -> Library:
    """Return an enablement's library, from the user's cache if it was read before.

    Raises:
        ArmillaryError: if a file cannot be read, or a cell or layer that the enablement names is not there.
    """
    kept = cache_folder("physical") / f"library-{_FORM}-{enablement.digest()}.json"
    if not is_stored(kept):
        found = _read(enablement)
        with temporary_folder("library") as folder:
            made = folder / "library.json"
            made.write_text(json.dumps(asdict(found)), encoding="utf-8")
            store(made, kept)
    content = json.loads(kept.read_text(encoding="utf-8"))
    cells = {
        name: Cell(**{**cell, "pins": {pin: Pin(**values) for pin, values in cell["pins"].items()}})
        for name, cell in content["cells"].items()
    }
    layers = tuple(Layer(**{**layer, "wire": Wire(**layer["wire"])}) for layer in content["layers"])
    return Library(cells, layers, content["site_um"], content["row_um"], content["tap_um2"])


def _read(enablement: Enablement) -> Library:
    library = read_liberty(enablement.liberty)
    known = cells_of(library)
    bits = {group.name: _bits(group) for group in library.all("cell")}
    shapes = read_cells(enablement.cell_lef)
    site_um, row_um = read_site(enablement.tech_lef)
    families = {name: _family(cell, bits[name]) for name, cell in known.items()}
    steep = _steep([cell for name, cell in known.items() if families[name] == families.get(enablement.buffer)])
    cells = {}
    for name, cell in known.items():
        shape = shapes.get(name)
        outputs = [pin for pin, each in cell.pins.items() if each.direction == "output"]
        if shape is None or not outputs or not set(cell.pins) - _internal(cell) <= set(shape.pins):
            continue
        fixed, kohm = max((_line(cell, pin) for pin in outputs), key=lambda line: line[1])
        pins = {pin: Pin(each.direction, each.cap_ff, each.max_cap_ff, each.clock, *shape.pins[pin])
                for pin, each in cell.pins.items() if pin in shape.pins}  # fmt: skip
        family = "" if name in enablement.dont_use else families[name]
        cells[name] = Cell(name, cell.area_um2, cell.leakage_nw, shape.width_um, shape.height_um, cell.sequential,
                           family, fixed, kohm, _steep_ff(cell, outputs[0], steep), pins)  # fmt: skip
    for item in ("buffer", "clock_buffer"):
        if getattr(enablement, item) not in cells:
            raise ArmillaryError(f"enablement {enablement.name}: {item}={getattr(enablement, item)!r} is no cell of it")
    tap_um2 = enablement.tap_sites * site_um * row_um
    return Library(cells, tuple(_layers(enablement)), site_um, row_um, tap_um2)


def _bits(cell: Group) -> str:
    """Return how a cell holds its bits."""
    held = [inner for inner in cell.groups if inner.kind in ("ff", "latch", "statetable")]
    return repr([(inner.kind, inner.arguments, sorted(inner.attributes.items())) for inner in held])


def _internal(cell: LibertyCell) -> set[str]:
    return {name for name, pin in cell.pins.items() if pin.direction == "internal"}


def _family(cell: LibertyCell, bits: str) -> str:
    """Return what is the same for all sizes of a function, and for nothing else."""
    pins = sorted((name, pin.direction, pin.function.replace(" ", ""), pin.clock) for name, pin in cell.pins.items())
    return repr((pins, bits))


def _line(cell: LibertyCell, output: str) -> tuple[float, float]:
    """Return the delay in ns without load and its slope in ns per pF (kohm), mean over arcs and edges."""
    lines = []
    for arc in cell.pins[output].timing:
        for name in ("cell_rise", "cell_fall"):
            table = arc.tables.get(name)
            if table is None or len(table.loads_ff) < 2:
                continue
            slew = table.slews_ns[int(_MIDDLE * len(table.slews_ns))] if len(table.slews_ns) else 0.0
            low, high = float(table.loads_ff[0]), float(table.loads_ff[-1])
            slope = (table.at(slew, high) - table.at(slew, low)) / (high - low)
            lines.append((table.at(slew, low) - slope * low, 1000 * slope))
    return (
        (float(np.mean([line[0] for line in lines])), float(np.mean([line[1] for line in lines])))
        if lines
        else (0.0, 0.0)
    )


def _steep(buffers: Sequence[LibertyCell]) -> dict[str, float]:
    """Return the slews in ns, by the name of their tables, of buffers that drive `STEEP` times their input.

    Source: `findBufferTargetSlews` of OpenROAD's resizer: the mean over all buffers, and an input's slew that is the
    output's under the same load.
    """
    found: dict[str, list[float]] = {name: [] for name in _SLEWS}
    for cell in buffers:
        load = STEEP * sum(pin.cap_ff for pin in cell.pins.values() if pin.direction == "input")
        for name, table in _slew_tables(cell, [pin for pin, each in cell.pins.items() if each.direction == "output"]):
            found[name].append(table.at(table.at(0.0, load), load))
    return {name: float(np.mean(slews)) for name, slews in found.items() if slews}


def _steep_ff(cell: LibertyCell, output: str, slews: Mapping[str, float]) -> float:
    """Return the mean, over arcs and edges, of the loads at which an output's slew and its input's are such slews."""
    loads = []
    for name, table in _slew_tables(cell, [output]):
        if name in slews and len(table.loads_ff) > 1:
            steps = np.linspace(table.loads_ff[0], table.loads_ff[-1], _STEPS)
            reached = [table.at(slews[name], float(load)) for load in steps]
            loads.append(float(np.interp(slews[name], reached, steps)))
    return float(np.mean(loads)) if loads else math.inf


def _slew_tables(cell: LibertyCell, outputs: Sequence[str]) -> Iterator[tuple[str, Table]]:
    for output in outputs:
        for arc in cell.pins[output].timing:
            for name in _SLEWS:
                if name in arc.tables:
                    yield name, arc.tables[name]


def _layers(enablement: Enablement) -> list[Layer]:
    known: dict[str, LefLayer] = {layer.name: layer for layer in read_layers(enablement.tech_lef)}
    missing = [name for name in enablement.layers if name not in known]
    if missing:
        raise ArmillaryError(
            f"enablement {enablement.name}: layers: {missing[0]} is no routing layer; it has {list(known)}"
        )
    return [
        Layer(name, known[name].direction == "horizontal", known[name].pitch_um,
              enablement.usable_of.get(name, enablement.usable),
              enablement.wires.get(name, Wire(known[name].ohm_per_um, known[name].ff_per_um)))
        for name in enablement.layers
    ]  # fmt: skip

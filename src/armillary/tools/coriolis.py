"""Coriolis: a second placer (Etesian) and router (Katana) for standard cells in rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.packaged import version_of
from armillary.tools.process import run

_DRIVER = Path(__file__).with_name("coriolis_driver.py")
_JOB, _FOUND = "job.json", "found.json"


class CoriolisError(Exception):
    """Coriolis refused a design; the message holds its last words."""


@dataclass(frozen=True)
class Layer:
    """A routing layer; lengths in the job's unit.

    Attributes:
        name: of it.
        horizontal: whether its wires run from left to right.
        pitch: from one track to the next.
        offset: of the first track from the lower left corner of the core.
        width: of a wire.
    """

    name: str
    horizontal: bool
    pitch: int
    offset: int
    width: int


@dataclass(frozen=True)
class Line:
    """A part of a pin that wires may end on: upright, at `x`, from `low` to `high`, on the lowest layer."""

    x: int
    low: int
    high: int
    wide: int


@dataclass(frozen=True)
class Pin:
    """A pin: whether it drives its net, and the lines that wires may end on."""

    drives: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Master:
    """A cell, a macro or a port, as often as it is used; lengths from its lower left corner.

    Attributes:
        name: of it.
        size: width and height.
        pins: by name.
        blocks: areas without wires: number of the layer, left, bottom, right, top.
    """

    name: str
    size: tuple[int, int]
    pins: Mapping[str, Pin]
    blocks: tuple[tuple[int, int, int, int, int], ...] = ()


@dataclass(frozen=True)
class Core:
    """Where cells lie: lengths in units, of which `units_per_um` make a um; the lowest layer is that of pins."""

    width: int
    height: int
    site: int
    row: int
    units_per_um: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Instance:
    """A master's use, and where it lies: lower left corner and orientation; None if it has no place yet."""

    master: int
    place: tuple[int, int, str] | None = None


@dataclass(frozen=True)
class Net:
    """A net: its pins, each by the number of its instance and its name, and places that it also ends at."""

    pins: Sequence[tuple[int, str]]
    ports: Sequence[tuple[int, int]] = field(default=())


@dataclass(frozen=True)
class NetWires:
    """The wires of a net.

    Attributes:
        at: places of nodes; first those of the pins, in their order.
        edges: the two nodes that a wire joins, and the number of its layer.
    """

    at: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Routes:
    """What Katana found.

    Attributes:
        nets: wires of each net.
        global_length: of all wires before detailed routing.
        overflow: borders of global routing's grid that more wires cross than there are tracks.
        unrouted: wires that detailed routing found no track for, of those in `nets`; 0 if it was not asked for.
    """

    nets: list[NetWires]
    global_length: int
    overflow: int
    unrouted: int


def version() -> str:
    """Return the version of Coriolis.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    return version_of("coriolis", "Coriolis", "coriolis", package="coriolis-eda")


def place(
    core: Core, masters: Sequence[Master], instances: Sequence[Instance], nets: Sequence[Net], *, effort: int
) -> list[tuple[int, int, str]]:
    """Return where instances lie: lower left corner and orientation. It draws nothing, so that it takes no seed.

    Args:
        core: where they may lie.
        masters: what there is.
        instances: to place; those with a place stay there.
        nets: between them.
        effort: 1 to 9.

    Raises:
        ArmillaryError: if Coriolis is missing.
        CoriolisError: if it fails; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    job = _job(core, masters, instances, [[net.pins, net.ports] for net in nets])
    found = _run("place", {**job, "effort": effort})
    return [(x, y, turned) for x, y, turned in found["places"]]


def route(
    core: Core,
    masters: Sequence[Master],
    instances: Sequence[Instance],
    nets: Sequence[Net],
    *,
    detailed: bool,
) -> Routes:
    """Return the wires of nets.

    Args:
        core: where they lie.
        masters: what there is.
        instances: with their places.
        nets: to route.
        detailed: whether wires are to be laid on tracks; else they are on layers, as global routing is read by the
            detailed one.

    Raises:
        ArmillaryError: if Coriolis is missing.
        CoriolisError: if it fails; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    job = _job(core, masters, instances, [net.pins for net in nets])
    found = _run("route", {**job, "detailed": detailed})
    wires = [
        NetWires(tuple((x, y) for x, y in each["at"]), tuple((a, b, layer) for a, b, layer in each["edges"]))
        for each in found["wires"]
    ]
    return Routes(wires, found["global_length"], found["log"]["overflow"], found["log"]["unrouted"])


def _job(core: Core, masters: Sequence[Master], instances: Sequence[Instance], nets: list[Any]) -> dict[str, Any]:
    described = [asdict(master) for master in masters]
    for master in described:
        for pin in master["pins"].values():
            pin["lines"] = [list(line.values()) for line in pin["lines"]]
    places = [[each.master, *(each.place or ())] for each in instances]
    return {**asdict(core), "masters": described, "instances": places, "nets": nets}


def _run(what: str, job: dict[str, Any]) -> dict[str, Any]:
    version()
    with temporary_folder("coriolis") as folder:
        (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
        arguments = (sys.executable, "-I", str(_DRIVER), what, _JOB, _FOUND)
        ended = run(Command(arguments, folder=folder, inputs=(Path(_JOB),)), keep_failed=True)
        if not ended.ok:
            raise CoriolisError(f"Coriolis: {_last_line(ended.error_text) or ended.failure}{ended.kept}")
        found: dict[str, Any] = json.loads((folder / _FOUND).read_text(encoding="utf-8"))
        return found


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")

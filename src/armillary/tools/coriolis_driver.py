"""What runs inside Coriolis, as a program of its own: `python coriolis_driver.py place|route JOB.json FOUND.json`.

It works in the folder that it runs in and imports nothing of ours, so that a failed run can be repeated by hand. What
Coriolis tells goes to `coriolis.log` there. Lengths are whole numbers of one unit, of which the job says how many make
a um. Coriolis keeps one database per process, so that a program does one thing.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from coriolis import CRL, Anabatic, Cfg, Etesian, Katana
from coriolis.CRL import AllianceFramework, CellGauge, RoutingGauge, RoutingLayerGauge
from coriolis.helpers.overlay import CfgCache, UpdateSession
from coriolis.helpers.technology import createBL, createVia, setEnclosures
from coriolis.Hurricane import (
    BasicLayer,
    Box,
    Cell,
    Contact,
    DataBase,
    DbU,
    Horizontal,
    Instance,
    Library,
    Net,
    NetExternalComponents,
    Pin,
    Technology,
    Transformation,
    Vertical,
)

LOG = Path("coriolis.log")
_GAUGE = "gauge"
_GRID_UM = 0.0005
_ITERATIONS = 30  # of global routing, at most; it ends when no border is too full
_TURNS = {
    "N": Transformation.Orientation.ID, "S": Transformation.Orientation.R2,
    "FN": Transformation.Orientation.MX, "FS": Transformation.Orientation.MY,
}  # fmt: skip
_TURN_NAMES = {int(turn): name for name, turn in _TURNS.items()}


def place(job: dict[str, Any]) -> dict[str, Any]:
    """Place the cells of a job by Etesian, towards its ports."""
    # Etesian counts both x and y in the width of a site, so a row has to be whole sites high: y is stretched to that.
    sites = round(job["row"] / job["site"])
    design = _Design(job, stretch=sites * job["site"] / job["row"])
    with UpdateSession():
        instances = [design.instance(*instance) for instance in job["instances"]]
        for number, (pins, ports) in enumerate(job["nets"]):
            net = design.net(number, pins, instances)
            for x, y in ports:
                design.port(net, x, y)
    engine = Etesian.EtesianEngine.create(design.cell)
    engine.place()
    return {"places": [design.place_of(instance) for instance in instances]}


def route(job: dict[str, Any]) -> dict[str, Any]:
    """Route the placed cells of a job by Katana: globally, then onto layers, then in detail if the job says so."""
    # Near the edge of its area Katana makes wires beyond the outermost tracks, and stops: cells keep a row away.
    design = _Design(job, margin=True)
    with UpdateSession():
        instances = [design.instance(*instance) for instance in job["instances"]]
        nets = [design.net(number, pins, instances) for number, pins in enumerate(job["nets"])]
    engine = Katana.KatanaEngine.create(design.cell)
    engine.digitalInit()
    engine.runGlobalRouter(Katana.Flags.NoFlags)
    engine.loadGlobalRouting(Anabatic.EngineLoadGrByNet)
    engine.layerAssign(Anabatic.EngineNoNetLayerAssign)
    global_length = sum(map(design.length, nets))
    if job["detailed"]:
        engine.runNegociate(Katana.Flags.NoFlags)
    wires = [design.wires(net, pins) for net, pins in zip(nets, job["nets"], strict=True)]
    return {"wires": wires, "global_length": global_length, "log": _told()}


class _Design:
    """A design in Coriolis' database.

    Args:
        job: of the program.
        stretch: how many times higher it is in the database than in the job.
        margin: whether wires have room around the core, at least a row.
    """

    def __init__(self, job: dict[str, Any], *, stretch: float = 1.0, margin: bool = False) -> None:
        self._job, self._layers = job, job["layers"]
        site, row = job["site"], job["row"]
        self._margin = (-(-row // site) * site, row) if margin else (0, 0)
        self._per_um, self._stretch = job["units_per_um"], stretch
        database = DataBase.create()
        CRL.System.get()
        self._technology = Technology.create(database, "technology")
        self._precision()
        self._metals()
        self._gauges()
        _settings(job)
        library = Library.create(database.getRootLibrary(), "cells")
        AllianceFramework.get().wrapLibrary(library, 0)
        with UpdateSession():
            self._masters = [self._master(library, master) for master in job["masters"]]
            self.cell = Cell.create(library, "design")
            aside, below = self._margin
            width, height = job["width"] + 2 * aside, job["height"] + 2 * below
            self.cell.setAbutmentBox(Box(0, 0, self._x(width), self._y(height)))
        self._instances = 0

    def instance(self, master: int, x: int = 0, y: int = 0, turned: str = "") -> Any:
        """Put a cell in; without an orientation it has no place yet."""
        width, height = self._job["masters"][master]["size"]
        right = x + self._margin[0] + (width if turned in ("S", "FN") else 0)
        up = y + self._margin[1] + (height if turned in ("S", "FS") else 0)
        at = Transformation(self._x(right), self._y(up), _TURNS[turned or "N"])
        status = Instance.PlacementStatus.FIXED if turned else Instance.PlacementStatus.UNPLACED
        self._instances += 1
        return Instance.create(self.cell, f"i{self._instances}", self._masters[master], at, status)

    def net(self, number: int, pins: list[list[Any]], instances: list[Any]) -> Any:
        """Join pins, each given by the number of its instance and its name."""
        net = Net.create(self.cell, f"n{number}")
        for instance, pin in pins:
            of = instances[instance]
            of.getPlug(of.getMasterCell().getNet(pin)).setNet(net)
        return net

    def port(self, net: Any, x: int, y: int) -> None:
        """Join a net to a fixed place."""
        net.setExternal(True)
        layer, size = self._metal(0), self._x(self._layers[0]["width"])
        Pin.create(net, f"{net.getName()}_{x}_{y}", Pin.Direction.UNDEFINED, Pin.PlacementStatus.FIXED, layer,
                   self._x(x), self._y(y), size, size)  # fmt: skip

    def place_of(self, instance: Any) -> tuple[int, int, str]:
        """Return where an instance lies: lower left corner and orientation."""
        box, turn = instance.getAbutmentBox(), instance.getTransformation().getOrientation()
        y = self._units(box.getYMin()) / self._stretch
        return round(self._units(box.getXMin())), round(y), _TURN_NAMES[int(turn)]

    def length(self, net: Any) -> int:
        """Return the length of a net's wires."""
        ends = [(part.getSource(), part.getTarget()) for part in net.getSegments()]
        return round(self._units(sum(abs(a.getX() - b.getX()) + abs(a.getY() - b.getY()) for a, b in ends)))

    def wires(self, net: Any, pins: list[list[Any]]) -> dict[str, Any]:
        """Return the wires of a net.

        Returns:
            `at`, the places of nodes, first those of the pins in their order; `edges` between two nodes, with the
            number of the layer.
        """
        number = {(f"i{instance + 1}", pin): k for k, (instance, pin) in enumerate(pins)}
        at: list[Any] = [None] * len(pins)
        nodes: dict[int, int] = {}
        for pad in net.getRoutingPads():
            plug = pad.getPlugOccurrence().getEntity()
            node = number[plug.getInstance().getName(), plug.getMasterNet().getName()]
            nodes[pad.getId()], at[node] = node, self._at(pad)
        contacts = [part for part in net.getComponents() if isinstance(part, Contact)]
        for contact in contacts:
            nodes[contact.getId()] = len(at)
            at.append(self._at(contact))
        edges = []
        for contact in contacts:
            anchor = contact.getAnchor()
            if anchor is not None:
                edges.append((nodes[anchor.getId()], nodes[contact.getId()], 0))
        layer = {each["name"]: depth for depth, each in enumerate(self._layers)}
        for part in net.getSegments():
            ends = (nodes[part.getSource().getId()], nodes[part.getTarget().getId()])
            edges.append((*ends, layer[part.getLayer().getName()]))
        return {"at": at, "edges": edges}

    def _at(self, part: Any) -> tuple[int, int]:
        aside, below = self._margin
        return round(self._units(part.getX())) - aside, round(self._units(part.getY())) - below

    def _x(self, length: float) -> int:
        return int(DbU.fromPhysical(length / self._per_um, DbU.UnitPowerMicro))

    def _y(self, length: float) -> int:
        return int(DbU.fromPhysical(length * self._stretch / self._per_um, DbU.UnitPowerMicro))

    def _units(self, length: int) -> float:
        return float(DbU.toPhysical(length, DbU.UnitPowerMicro) * self._per_um)

    def _metal(self, depth: int) -> Any:
        return self._technology.getLayer(self._layers[depth]["name"])

    def _precision(self) -> None:
        DbU.setPrecision(2)
        DbU.setPhysicalsPerGrid(_GRID_UM, DbU.UnitPowerMicro)
        DbU.setGridsPerLambda(10)
        DbU.setSymbolicSnapGridStep(DbU.fromGrid(1.0))
        DbU.setPolygonStep(DbU.fromGrid(1.0))
        DbU.setStringMode(DbU.StringModePhysical, DbU.UnitPowerMicro)

    def _metals(self) -> None:
        """Make layers and vias; Coriolis finds what joins two layers by the order in which layers were made."""
        kind, technology = BasicLayer.Material, self._technology
        sizes = [self._x(layer["width"]) for layer in self._layers]
        names = [layer["name"] for layer in self._layers]
        for name, size in zip(names, sizes, strict=True):
            createBL(technology, name, kind.metal, size=size, spacing=size)
            createBL(technology, f"{name}_cut", kind.cut, size=size, spacing=size)
        for depth, name in enumerate(names):
            self._metal(depth).setBlockageLayer(createBL(technology, f"{name}_blockage", kind.blockage))
        for depth, (low, high) in enumerate(pairwise(names)):
            via = createVia(technology, f"{low}_{high}", low, f"{low}_cut", high, sizes[depth])
            for side in (depth, depth + 1):
                setEnclosures(via, self._metal(side), 0)
        for name, material in (("gmetalh", kind.metal), ("gcontact", kind.cut), ("gmetalv", kind.metal)):
            createBL(technology, name, material)  # of global wires

    def _gauges(self) -> None:
        """Tell the tracks of each layer, and the row; the first layer is that of pins."""
        gauge = RoutingGauge.create(_GAUGE)
        gauge.setSymbolic(False)
        for depth, layer in enumerate(self._layers):
            way = RoutingLayerGauge.Horizontal if layer["horizontal"] else RoutingLayerGauge.Vertical
            use = RoutingLayerGauge.Default if depth else RoutingLayerGauge.PinOnly
            offset, pitch, width = (self._x(layer[name]) for name in ("offset", "pitch", "width"))
            gauge.addLayerGauge(
                RoutingLayerGauge.create(
                    self._metal(depth), way, use, depth, 0.0, offset, pitch, width, width, width, 0
                )
            )
        framework = AllianceFramework.get()
        framework.addRoutingGauge(gauge)
        framework.setRoutingGauge(_GAUGE)
        site, row = self._x(self._job["site"]), self._y(self._job["row"])
        framework.addCellGauge(CellGauge.create(_GAUGE, self._layers[0]["name"], site, row, site))
        framework.setCellGauge(_GAUGE)

    def _master(self, library: Any, master: dict[str, Any]) -> Any:
        """Make a cell, a macro or a port: its outline, its pins and what it blocks."""
        cell = Cell.create(library, master["name"])
        width, height = master["size"]
        cell.setAbutmentBox(Box(0, 0, self._x(width), self._y(height)))
        for name, pin in master["pins"].items():
            net = Net.create(cell, name)
            net.setExternal(True)
            net.setDirection(Net.Direction.OUT if pin["drives"] else Net.Direction.IN)
            for x, low, high, wide in pin["lines"]:
                line = Vertical.create(net, self._metal(0), self._x(x), self._x(wide), self._y(low), self._y(high))
                NetExternalComponents.setExternal(line)
        if master["blocks"]:
            net = Net.create(cell, "blockagenet")
            net.setType(Net.Type.BLOCKAGE)
            for depth, left, bottom, right, top in master["blocks"]:
                layer, middle = self._metal(depth).getBlockageLayer(), self._y((bottom + top) / 2)
                Horizontal.create(net, layer, middle, self._y(top - bottom), self._x(left), self._x(right))
        cell.setTerminalNetlist(True)
        return cell


def _settings(job: dict[str, Any]) -> None:
    with CfgCache(priority=Cfg.Parameter.Priority.ConfigurationFile) as cfg:
        cfg.misc.catchCore = False
        cfg.misc.info = False
        cfg.misc.logMode = False
        cfg.misc.verboseLevel1 = True
        cfg.misc.verboseLevel2 = True
        cfg.anabatic.routingGauge = _GAUGE
        cfg.anabatic.cellGauge = _GAUGE
        cfg.anabatic.topRoutingLayer = job["layers"][-1]["name"]
        cfg.anabatic.netBuilderStyle = "VH,3RL+"
        cfg.anabatic.routingStyle = Anabatic.StyleFlags.VH
        cfg.anabatic.globalIterations = _ITERATIONS
        cfg.katana.hTracksReservedLocal = 4
        cfg.katana.vTracksReservedLocal = 3
        cfg.katana.dumpMeasures = False
        cfg.etesian.bloat = "disabled"
        cfg.etesian.feedNames = ""
        cfg.etesian.latchUpDistance = 0
        cfg.etesian.effort = job.get("effort", 1)


def _told() -> dict[str, int]:
    """Return what Coriolis tells in its log alone: borders that are too full, and wires left by detailed routing."""
    sys.stdout.flush()
    with LOG.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:  # it has 100 MB
        over = re.findall(rb"ovE:(\d+)", text)
        left = re.findall(rb"Track Segment Completion Ratio.*\[\d+\+(\d+)\]", text)
    return {"overflow": int(over[-1]) if over else 0, "unrouted": int(left[-1]) if left else 0}


@contextmanager
def _logged() -> Iterator[None]:
    """Send what C++ code writes on standard output and error to the log."""
    kept = [os.dup(1), os.dup(2)]
    with LOG.open("wb") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, file in zip((1, 2), kept, strict=True):
            os.dup2(file, number)


if __name__ == "__main__":
    what = {"place": place, "route": route}[sys.argv[1]]
    with _logged():
        done = what(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    Path(sys.argv[3]).write_text(json.dumps(done), encoding="utf-8")

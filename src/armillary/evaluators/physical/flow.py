"""From RTL to a layout: the steps, what each leaves for the next, and the figures at the end."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from armillary.evaluators.physical import activity, buffering, coriolis, pictures
from armillary.evaluators.physical.clock_tree import clock_cells, expected_latency_ns
from armillary.evaluators.physical.congestion import routable
from armillary.evaluators.physical.critical import hastened
from armillary.evaluators.physical.def_file import def_text
from armillary.evaluators.physical.enablement import Enablement, enablement
from armillary.evaluators.physical.floorplan import Floorplan, FloorplanError, Outline, planned, units
from armillary.evaluators.physical.knobs import WHOLE, Knobs
from armillary.evaluators.physical.lef import site_name
from armillary.evaluators.physical.library import read_library
from armillary.evaluators.physical.macros import LEAST_WORDS, MacroCell, macro_cells
from armillary.evaluators.physical.netlist import Netlist, from_yosys
from armillary.evaluators.physical.optimize import Technology, optimized
from armillary.evaluators.physical.parasitics import spef
from armillary.evaluators.physical.placement import Placement, Shapes, half_perimeter
from armillary.evaluators.physical.routing import Routed, grid_of, routed, trees_of, unrouted
from armillary.evaluators.physical.steps import JOB, Done, Step, carry_out, layout_folder, write_log
from armillary.evaluators.physical.timing import (
    CONSTRAINTS,
    MACROS,
    NETLIST,
    PARASITICS,
    Clocking,
    Power,
    Timing,
    TimingError,
    powered,
    timed,
    write_design,
)
from armillary.temporary import temporary_folder
from armillary.tools import coloquinte, opensta, yosys
from armillary.tools import coriolis as coriolis_tool
from armillary.tools.coloquinte import PlacementError
from armillary.tools.coriolis import CoriolisError
from armillary.tools.yosys import SynthesisError
from armillary.types import ArmillaryError

MAPPED, PLAN, PLACED, OPTIMIZED, MACRO_TABLE = (
    "mapped.json",
    "plan.json",
    "placed.json",
    "optimized.json",
    "macros.json",
)
ROUTED, ANALYSED, DEF, FAILED = "routed.npz", "analysed.json", "layout.def", "failed.txt"
RTL, SAIF = "rtl", "activity.saif"
_OUTPUT_FF = 5.0  # on outputs, when logic is mapped
_REFUSALS = (SynthesisError, FloorplanError, PlacementError, CoriolisError, TimingError)


@dataclass(frozen=True)
class Layout:
    """What came of a design.

    Attributes:
        folder: with its files.
        metrics: by name, with units in the names; those of finished steps if one failed.
        steps: that were done.
        failure: why there is no layout, or why it cannot be built; empty if neither.
        failed_step: which step failed; empty if none.
    """

    folder: Path
    metrics: Mapping[str, float]
    steps: tuple[Done, ...]
    failure: str = ""
    failed_step: str = ""


@dataclass(frozen=True)
class Job:
    """What is to be laid out.

    Attributes:
        top: the top module.
        knobs: the back end's choices.
        seed: of placement and sizing.
        macros: ports (1, or 2 for one that reads and one that writes) of the modules that are memories.
        sources: names of the files in `rtl`.
        saif: whether there is an activity file.
        saif_scope: the instance in it that is the design, `testbench.dut`.
    """

    top: str
    knobs: Knobs
    seed: int = 0
    macros: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    saif: bool = False
    saif_scope: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {**vars(self), "knobs": self.knobs.model_dump(mode="json"), "macros": dict(self.macros)}


def run(
    sources: Sequence[Path],
    top: str,
    knobs: Knobs,
    folder: Path,
    *,
    macros: Mapping[str, int] | None = None,
    seed: int = 0,
    saif: Path | None = None,
    saif_scope: str = "",
    on_step: Callable[[str], None] = lambda _: None,
) -> Layout:
    """Lay a design out in a folder.

    Steps that were done before, with the same inputs, are taken from the user's cache, so that a run that was killed
    goes on where it was. A step that fails leaves the folder as it was before it, and the command to repeat it.

    Args:
        sources: SystemVerilog files, and headers (`.vh`, `.svh`) that they include.
        top: the top module.
        knobs: the back end's choices.
        folder: where; new, empty or a layout's.
        macros: ports (1, or 2 for one that reads and one that writes) of the modules that are memories, with parameters
            WORDS and BITS.
        seed: of placement and sizing.
        saif: how often signals change, by simulation of the RTL.
        saif_scope: the instance in it that is the design.
        on_step: is told the name of each step before it is done.

    Raises:
        ArmillaryError: if a file cannot be read, two have the same name, or a tool is missing (says how to install it).
        AccidentError: if a tool is killed.
    """
    names = [path.name for path in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArmillaryError(f"two sources are named {twice[0]}; rename one, or name another")
    layout_folder(folder)
    (folder / RTL).mkdir(exist_ok=True)
    for path in sources:
        try:
            (folder / RTL / path.name).write_bytes(path.read_bytes())
        except OSError as fault:
            raise ArmillaryError(f"{path}: cannot be read ({fault.strerror})") from fault
    if saif is not None:
        (folder / SAIF).write_bytes(saif.read_bytes())
    job = Job(top, knobs, seed, dict(macros or {}), tuple(names), saif is not None, saif_scope)
    (folder / JOB).write_text(json.dumps(job.as_json(), indent=1), encoding="utf-8")
    return repeat(folder, on_step=on_step)


def repeat(folder: Path, *, on_step: Callable[[str], None] = lambda _: None) -> Layout:
    """Lay out what a folder of `run` holds; finished steps are taken from the cache.

    Raises:
        ArmillaryError: if it holds no layout's job, or a tool is missing.
        AccidentError: if a tool is killed.
    """
    try:
        content = json.loads((folder / JOB).read_text(encoding="utf-8"))
    except OSError as fault:
        raise ArmillaryError(f"{folder}: holds no layout ({JOB}: {fault.strerror})") from fault
    job = Job(**{**content, "knobs": Knobs(**content["knobs"]), "sources": tuple(content["sources"])})
    technology = enablement(job.knobs.enablement)
    done: list[Done] = []
    (folder / FAILED).unlink(missing_ok=True)
    for step in _steps(job, technology):
        on_step(step.name)
        try:
            done.append(carry_out(step, folder))
        except _REFUSALS as fault:
            command = f"armillary physical repeat {shlex.quote(str(folder))}"
            (folder / FAILED).write_text(f"step {step.name}: {fault}\nrepeat it: {command}\n", encoding="utf-8")
            write_log(folder, done)
            return Layout(folder, _together(done), tuple(done), str(fault), step.name)
    write_log(folder, done)
    metrics = _together(done)
    over = metrics.get("overflow", 0.0)  # where it stopped before wires were routed
    failure = f"{over:.0f} wires have no track; lower the utilization" if over else ""
    return Layout(folder, metrics, tuple(done), failure, "routing" if over else "")


def _together(done: Sequence[Done]) -> dict[str, float]:
    metrics = {name: value for each in done for name, value in each.metrics.items()}
    return metrics | {f"{each.name}_cpu_s": each.cpu_s for each in done}


def _steps(job: Job, technology: Enablement) -> list[Step]:
    """Return the steps in their order; each says all that its result depends on."""
    knobs = job.knobs
    digest = technology.digest()

    def given(*names: str, seed: bool = False) -> dict[str, Any]:
        chosen = {name: getattr(knobs, name) for name in names}
        return {**chosen, "enablement": digest, **({"seed": job.seed} if seed else {})}

    rtl = tuple(f"{RTL}/{name}" for name in job.sources)
    macros: dict[str, Any] = {"macros": dict(job.macros), "top": job.top}
    final = (OPTIMIZED, MACRO_TABLE)
    clock = ("clock_ns", "port_delay", "clock_port")
    saif = {"saif": job.saif_scope} if job.saif else {}
    steps = [
        Step("synthesis", rtl, (MAPPED, MACRO_TABLE),
             {**given("clock_ns", "aim", "adder", "booth", "clock_port", "port_buffers"), **macros}, _with_yosys,
             partial(_synthesis, job, technology)),
        Step("floorplan", (MAPPED, MACRO_TABLE), (PLAN,), given("utilization", "aspect_ratio"), dict,
             partial(_floorplan, job, technology)),
        Step("placement", (MAPPED, MACRO_TABLE, PLAN), (PLACED,),
             given("effort", "timing_driven", *((*clock, "loads") if knobs.timing_driven else ()), seed=True),
             _with_placer, partial(_placement, job, technology)),
        Step("optimization", (MAPPED, MACRO_TABLE, PLAN, PLACED), (OPTIMIZED,),
             given(*clock, "effort", "sizing_rounds", "loads", seed=True), _with_both,
             partial(_optimization, job, technology)),
        Step("routing", (*final, PLAN), (ROUTED, PARASITICS), given(), dict, partial(_routing, technology)),
        Step("analysis", (*final, PARASITICS, *([SAIF] if job.saif else [])),
             (ANALYSED, NETLIST, CONSTRAINTS, *([MACROS] if job.macros else [])),
             {**given(*clock, "activity"), **saif}, _with_sta, partial(_analysis, job, technology)),
        Step("drawing", (*final, PLAN, ROUTED, ANALYSED), (DEF, *pictures.FILES), given(), dict,
             partial(_drawing, technology)),
    ]  # fmt: skip
    instead = {}
    if knobs.placer == "coriolis":  # it has no seed
        instead["placement"] = (given("effort", "placer"), partial(_placement_by_coriolis, job, technology))
    if knobs.router != "own":
        detailed = knobs.router == "coriolis-detailed"
        instead["routing"] = (given("router"), partial(_routing_by_coriolis, detailed, technology))
    steps = [_by_coriolis(step, *instead[step.name]) if step.name in instead else step for step in steps]
    if knobs.until == WHOLE:
        return steps
    placed = knobs.until == "placement"
    reads = (MAPPED, MACRO_TABLE, *((PLAN, PLACED) if placed else ()), *((SAIF,) if job.saif else ()))
    estimate = Step("estimate", reads, (), {**given(*clock, "activity"), **saif}, _with_sta,
                    partial(_estimate, job, technology))  # fmt: skip
    return [*steps[: [step.name for step in steps].index(knobs.until) + 1], estimate]


def _by_coriolis(step: Step, given: Mapping[str, Any], run: Callable[[Path], Mapping[str, float]]) -> Step:
    """Return a step that Coriolis does: it reads and writes the same."""
    return replace(step, given=given, tools=_with_coriolis, run=run)


def _with_yosys() -> dict[str, str]:
    return {"yosys": yosys.version()}


def _with_placer() -> dict[str, str]:
    return {"coloquinte": coloquinte.version()}


def _with_coriolis() -> dict[str, str]:
    return {"coriolis": coriolis_tool.version()}


def _with_sta() -> dict[str, str]:
    return {"opensta": opensta.version()}


def _with_both() -> dict[str, str]:
    return {**_with_placer(), **_with_sta()}


def _synthesis(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    library, knobs = read_library(technology), job.knobs
    sources = {name: (folder / RTL / name).read_text(encoding="utf-8") for name in job.sources}
    recipe = yosys.Recipe(knobs.aim, knobs.adder, knobs.booth)
    content, boxes, problems = yosys.netlist_for_layout(
        sources, job.top, recipe, library=technology.liberty, dont_use=technology.dont_use, driver=technology.buffer,
        load_ff=_OUTPUT_FF, clock_ns=knobs.clock_ns, macros=job.macros, least_words=LEAST_WORDS,
    )  # fmt: skip
    wrong = [problem for problem in problems if problem.fault != "latch"]
    if wrong:
        raise SynthesisError(f"{job.top}: {wrong[0].fault}: {wrong[0].name}")
    cells = macro_cells(boxes, job.macros)
    outputs = {
        key: frozenset(port for port, (way, _) in cell.ports.items() if way == "output") for key, cell in cells.items()
    }
    netlist = from_yosys(content, job.top, library, outputs, technology.buffer, knobs.clock_port)
    own = [library.cells[kind] for kind in netlist.cells.values() if kind in library.cells]
    buffered = buffering.with_port_buffers(netlist, library, technology.buffer) if knobs.port_buffers else netlist
    _write(folder / MAPPED, buffered.as_json())
    _write(folder / MACRO_TABLE, {key: vars(cell) for key, cell in cells.items()})
    return {
        "port_buffers": len(buffered.cells) - len(netlist.cells),
        "synthesized_cells": len(own),
        "synthesized_mm2": sum(cell.area_um2 for cell in own) * 1e-6,
        "registers": sum(cell.sequential for cell in own),
    }


def _floorplan(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    library, macros = read_library(technology), _macros(folder)
    outlines = {key: Outline(macro.width_um, macro.height_um) for key, macro in macros.items()}
    netlist = Netlist.from_json(_read(folder / MAPPED))
    knobs = job.knobs
    plan = planned(
        netlist, library, outlines, utilization=knobs.utilization, aspect=knobs.aspect_ratio, tap_um=technology.tap_um
    )
    _write(folder / PLAN, vars(plan))
    return {"core_mm2": plan.core_mm2, "macros": len(plan.macros), "taps": plan.taps}


def _placement(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    shapes, netlist = _shapes(technology, folder), Netlist.from_json(_read(folder / MAPPED))
    plan, knobs = _plan(folder), job.knobs
    found = routable(netlist, shapes, plan, effort=knobs.effort, seed=job.seed)
    faster = None
    if knobs.timing_driven:
        whole = Technology(technology, shapes.library, shapes)
        faster = hastened(netlist, found.placement, found.rooms, plan, whole, knobs, job.seed)
    placement = faster or found.placement
    _write(folder / PLACED, placement.as_json())
    lengths = _lengths_mm(netlist, shapes, placement)
    return {**lengths, "spread_rounds": found.rounds, "timing_driven": int(faster is not None)}


def _lengths_mm(netlist: Netlist, shapes: Shapes, placement: Placement) -> dict[str, float]:
    trees = trees_of(netlist, shapes, placement).lengths().sum()
    return {"placed_mm": float(trees) / units(1000),
            "half_perimeter_mm": half_perimeter(netlist, shapes, placement) / units(1000)}  # fmt: skip


def _optimization(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    shapes = _shapes(technology, folder)
    netlist, placement = Netlist.from_json(_read(folder / MAPPED)), Placement.from_json(_read(folder / PLACED))
    plan = _plan(folder)
    made, places, metrics = optimized(
        netlist, placement, plan, Technology(technology, shapes.library, shapes), job.knobs, job.seed
    )
    _write(folder / OPTIMIZED, {"netlist": made.as_json(), "placement": places.as_json()})
    return {**metrics, **_areas(made, shapes, plan.taps)}


def _areas(netlist: Netlist, shapes: Shapes, taps: int) -> dict[str, float]:
    own = [shapes.library.cells[kind] for kind in netlist.cells.values() if kind in shapes.library.cells]
    macros = sum(shapes.macros[kind].area_um2 for kind in netlist.cells.values() if kind in shapes.macros)
    cells_mm2 = sum(cell.area_um2 for cell in own) * 1e-6
    taps_mm2 = taps * shapes.library.tap_um2 * 1e-6
    return {"cells": len(own), "cells_mm2": cells_mm2, "macros_mm2": macros * 1e-6, "taps_mm2": taps_mm2,
            "area_mm2": cells_mm2 + macros * 1e-6 + taps_mm2}  # fmt: skip


def _routing(technology: Enablement, folder: Path) -> dict[str, float]:
    shapes, plan = _shapes(technology, folder), _plan(folder)
    netlist, placement = _final(folder)
    grid = grid_of(shapes.library, plan, shapes.corners(netlist, plan))
    wires = routed(trees_of(netlist, shapes, placement), shapes.library, plan, grid)
    return _laid(netlist, wires, shapes, technology, folder)


def _laid(netlist: Netlist, wires: Routed, shapes: Shapes, technology: Enablement, folder: Path) -> dict[str, float]:
    outputs = Technology(technology, shapes.library, shapes).outputs()
    (folder / PARASITICS).write_text(spef(netlist, wires, shapes.library, outputs), encoding="utf-8")
    np.savez(folder / ROUTED, across=wires.use.across, up=wires.use.up)
    fullest = float(wires.use.fullest.max(initial=0.0))
    layers = {f"{name}_mm": length for name, length in wires.layer_mm.items()}
    return {"wire_mm": wires.wire_mm, "overflow": wires.use.overflow, "fullest_border": fullest, **layers}


def _placement_by_coriolis(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    shapes, netlist = _shapes(technology, folder), Netlist.from_json(_read(folder / MAPPED))
    placement = coriolis.placed(netlist, shapes, _plan(folder), technology, effort=job.knobs.effort)
    _write(folder / PLACED, placement.as_json())
    return _lengths_mm(netlist, shapes, placement)


def _routing_by_coriolis(detailed: bool, technology: Enablement, folder: Path) -> dict[str, float]:
    shapes, plan = _shapes(technology, folder), _plan(folder)
    netlist, placement = _final(folder)
    wires, figures = coriolis.routed(netlist, shapes, placement, plan, technology, detailed=detailed)
    return {**_laid(netlist, wires, shapes, technology, folder), **figures}


def _analysis(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    shapes, knobs = _shapes(technology, folder), job.knobs
    netlist, _ = _final(folder)
    clocking = Clocking(knobs.clock_ns, knobs.port_delay, propagated=True)
    write_design(folder, netlist, (folder / PARASITICS).read_text(encoding="utf-8"), clocking, shapes.macros)
    timing = timed(folder, netlist, shapes.library, technology, with_slacks=True)
    power = powered(folder, netlist, technology, clock_cells(netlist.cells), shapes.macros,
                    _rates(job, netlist, technology, folder))  # fmt: skip
    _write(folder / ANALYSED, {f"{instance}/{pin}": slack for (instance, pin), slack in timing.slacks.items()})
    return _timed_and_powered(timing, power, knobs)


def _rates(job: Job, netlist: Netlist, technology: Enablement, folder: Path) -> Any:
    """Return how often nets change: as a simulation saw it, or all as the knob says."""
    if not job.saif:
        return job.knobs.activity
    return activity.rates(folder / SAIF, job.saif_scope, netlist, technology)


def _timed_and_powered(timing: Timing, power: Power, knobs: Knobs) -> dict[str, float]:
    effective = timing.register_slack_ns if timing.register_slack_ns is not None else timing.slack_ns + 2 * (
        knobs.port_delay * knobs.clock_ns)  # fmt: skip
    return {
        "slack_ns": timing.slack_ns,
        "total_negative_slack_ns": timing.total_negative_slack_ns,
        "fmax_mhz": 1000 / (knobs.clock_ns - timing.slack_ns),
        "effective_mhz": 1000 / (knobs.clock_ns - effective),
        "power_mw": power.total,
        "internal_mw": power.internal,
        "switching_mw": power.switching,
        "leakage_mw": power.leakage,
        "clock_mw": power.clock,
        "macros_mw": power.macros,
    }


def _estimate(job: Job, technology: Enablement, folder: Path) -> dict[str, float]:
    """Tell of a design that is not laid out to the end what is known: cells as they were mapped, an ideal clock.

    Placed cells have the shortest wires that join them; those that are not placed have wires by fan-out, see
    `write_design`.
    """
    shapes, knobs = _shapes(technology, folder), job.knobs
    netlist = Netlist.from_json(_read(folder / MAPPED))
    text, taps, unknown = None, 0, {"taps_mm2", "clock_mw"}
    if knobs.until == "placement":
        plan, placement = _plan(folder), Placement.from_json(_read(folder / PLACED))
        wires = unrouted(trees_of(netlist, shapes, placement), shapes.library, plan)
        outputs = Technology(technology, shapes.library, shapes).outputs()
        text, taps, unknown = spef(netlist, wires, shapes.library, outputs), plan.taps, {"clock_mw"}
    late = expected_latency_ns(netlist, shapes.library, technology.clock_buffer)
    clocking = Clocking(knobs.clock_ns, knobs.port_delay, propagated=False, latency_ns=late)
    rates = _rates(job, netlist, technology, folder)
    with temporary_folder("estimate") as aside:  # the layout's own files are those of its last step
        write_design(aside, netlist, text, clocking, shapes.macros)
        timing = timed(aside, netlist, shapes.library, technology, with_slacks=False)
        power = powered(aside, netlist, technology, (), shapes.macros, rates)
    found = {**_areas(netlist, shapes, taps), **_timed_and_powered(timing, power, knobs)}
    return {name: value for name, value in found.items() if name not in unknown}


def _drawing(technology: Enablement, folder: Path) -> dict[str, float]:
    netlist, placement = _final(folder)
    plan, shapes = _plan(folder), _shapes(technology, folder)
    text = def_text(netlist, placement, plan, technology, site_name(technology.tech_lef))
    (folder / DEF).write_text(text, encoding="utf-8")
    slacks = {name.rpartition("/")[0]: slack for name, slack in _read(folder / ANALYSED).items()}
    with np.load(folder / ROUTED) as maps:
        pictures.draw(folder, netlist, placement, plan, shapes, slacks, maps["across"], maps["up"])
    return {}


def _final(folder: Path) -> tuple[Netlist, Placement]:
    content = _read(folder / OPTIMIZED)
    return Netlist.from_json(content["netlist"]), Placement.from_json(content["placement"])


def _shapes(technology: Enablement, folder: Path) -> Shapes:
    return Shapes(read_library(technology), _macros(folder))


def _plan(folder: Path) -> Floorplan:
    content = _read(folder / PLAN)
    return Floorplan(**{**content, "macros": {name: (x, y) for name, (x, y) in content["macros"].items()}})


def _macros(folder: Path) -> dict[str, MacroCell]:
    table = _read(folder / MACRO_TABLE)
    return {key: MacroCell(**{**values, "ports": {port: (way, bits) for port, (way, bits) in values["ports"].items()}})
            for key, values in table.items()}  # fmt: skip


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")

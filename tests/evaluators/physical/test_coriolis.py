"""Layouts by Coriolis beside those by Coloquinte and our own router: the same files, wires that join all pins."""

import json
from dataclasses import replace
from importlib import util

import numpy as np
import pytest

from armillary.evaluators.physical import coriolis
from armillary.evaluators.physical.floorplan import Floorplan
from armillary.evaluators.physical.flow import Netlist, Placement, run
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.physical.placement import Shapes
from armillary.tools import packaged
from armillary.types import ArmillaryError
from evaluators.physical.designs import COUNTER, MULTIPLIER, needs_tools
from evaluators.physical.test_flow import MEMORY

pytestmark = needs_tools
needs_coriolis = pytest.mark.skipif(util.find_spec("coriolis") is None, reason="Coriolis is missing")
QUICK = {"sizing_rounds": 0, "effort": 1, "clock_ns": 0.6}


def lay_out(text, top, folder, seed=0, macros=None, **knobs):
    source = folder.parent / f"{top}.sv"
    source.write_text(text)
    return run([source], top, Knobs(**{**QUICK, **knobs}), folder, seed=seed, macros=macros)


def fresh(layout):
    return {step.name for step in layout.steps if not step.kept}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return lay_out(MULTIPLIER, "multiplier", tmp_path_factory.mktemp("own") / "layout")


def wires(layout, nangate, library, *, detailed):
    """Return the netlist of a layout, its plan and its wires by Katana."""
    content = json.loads((layout.folder / "optimized.json").read_text())
    netlist, placement = Netlist.from_json(content["netlist"]), Placement.from_json(content["placement"])
    plan = Floorplan(**json.loads((layout.folder / "plan.json").read_text()))
    return netlist, plan, *coriolis.routed(netlist, Shapes(library, {}), placement, plan, nangate, detailed=detailed)


@needs_coriolis
@pytest.mark.parametrize("detailed", [False, True])
def test_wires_are_trees_that_join_all_pins_of_each_net(own, nangate, library, detailed):
    netlist, plan, found, figures = wires(own, nangate, library, detailed=detailed)
    trees = found.trees
    assert list(trees.nets) == list(netlist.nets)
    for number, pins in enumerate(netlist.nets.values()):
        nodes = int(trees.node_starts[number + 1] - trees.node_starts[number])
        ends = trees.ends[trees.edge_starts[number] : trees.edge_starts[number + 1]]
        assert nodes >= len(pins)
        assert len(ends) == nodes - 1
        reached = {0}
        for _ in range(nodes):
            reached |= {int(b) for a, b in ends if a in reached} | {int(a) for a, b in ends if b in reached}
        assert len(reached) == nodes
    assert found.wire_mm == pytest.approx(sum(found.layer_mm.values()))
    assert (found.lengths[:, 0] * found.lengths[:, 1] == 0).all()
    assert -plan.row <= trees.y.min() <= trees.y.max() <= plan.height + plan.row
    assert figures["global_mm"] == pytest.approx(found.wire_mm, rel=0.3 if detailed else 0.01)
    assert figures["unrouted"] <= 0.06 * len(trees.ends) * detailed


@needs_coriolis
def test_borders_are_as_full_as_wires_cross_them(own, nangate, library):
    _, plan, found, _ = wires(own, nangate, library, detailed=False)
    size = coriolis.GCELL_ROWS * plan.row
    first, second = found.trees.nodes_of_edges()
    level = found.lengths[:, 0] > 0
    crossing = np.abs(found.trees.x[first] // size - found.trees.x[second] // size)[level].sum()
    pitches = {"metal3": 280, "metal5": 560, "metal7": 1600, "metal9": 3200}
    assert found.use.across.sum() * sum(size / pitch for pitch in pitches.values()) == pytest.approx(crossing, abs=2)


@needs_coriolis
def test_a_router_leaves_the_same_files_and_other_wires(own, tmp_path):
    other = lay_out(MULTIPLIER, "multiplier", tmp_path / "other", router="coriolis")
    assert not other.failure
    assert fresh(other) <= {"routing", "analysis", "drawing"}
    kept, made = ({path.name for path in layout.folder.iterdir()} for layout in (own, other))
    assert kept <= made  # what was just analysed has OpenSTA's own files, too
    assert own.metrics["wire_mm"] < other.metrics["wire_mm"] < 1.6 * own.metrics["wire_mm"]
    assert other.metrics["fmax_mhz"] == pytest.approx(own.metrics["fmax_mhz"], rel=0.05)
    assert (other.metrics["overflow"], other.metrics["unrouted"]) == (0, 0)
    assert "coriolis" in other.steps[4].tools


@needs_coriolis
def test_a_placer_lays_cells_in_rows_and_draws_nothing(own, tmp_path):
    found = [lay_out(MULTIPLIER, "multiplier", tmp_path / f"{seed}", seed=seed, placer="coriolis") for seed in range(2)]
    assert not any(layout.failure for layout in found)
    assert (found[0].folder / "placed.json").read_bytes() == (found[1].folder / "placed.json").read_bytes()
    assert "placement" not in fresh(found[1])
    assert found[0].metrics["placed_mm"] == pytest.approx(own.metrics["placed_mm"], rel=0.3)
    assert found[0].metrics["placed_mm"] != own.metrics["placed_mm"]


@needs_coriolis
def test_memories_are_routed_around(tmp_path):
    by = {"placer": "coriolis", "router": "coriolis"}
    layout = lay_out(MEMORY, "held", tmp_path / "held", macros={"sram": 1}, utilization=0.4, clock_ns=1.0, **by)
    assert not layout.failure
    assert layout.metrics["macros"] == 1
    assert layout.metrics["overflow"] == 0


def test_other_tracks_than_sites_are_refused(tmp_path, nangate, library):
    path = tmp_path / "tech.lef"
    path.write_text(nangate.tech_lef.read_text().replace("PITCH 0.19", "PITCH 0.20"))
    other = replace(nangate, tech_lef=path)
    plan = Floorplan(38000, 28000, 380, 2800, {})
    with pytest.raises(ArmillaryError, match=r"nangate45: metal2 is not fit for Coriolis.* each site of 0.19 um"):
        coriolis.placed(Netlist("a", {}, {}, {}, {}, "", {}), Shapes(library, {}), plan, other, effort=1)
    for layers in (("metal1", "metal2", "metal3"), ("metal2", "metal3")):
        with pytest.raises(ArmillaryError, match="needs 3 layers of signals and one of pins below"):
            coriolis.placed(
                Netlist("a", {}, {}, {}, {}, "", {}), Shapes(library, {}), plan, replace(nangate, layers=layers),
                effort=1,
            )  # fmt: skip


def test_a_missing_coriolis_says_how_to_install_it(tmp_path, monkeypatch):
    known = util.find_spec
    monkeypatch.setattr(packaged.util, "find_spec", lambda name: None if name == "coriolis" else known(name))
    packaged.version_of.cache_clear()
    with pytest.raises(ArmillaryError, match=r"pip install 'armillary\[coriolis\]' \(coriolis-eda\)"):
        lay_out(COUNTER, "counter", tmp_path / "layout", placer="coriolis")
    packaged.version_of.cache_clear()

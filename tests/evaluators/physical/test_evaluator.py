"""The evaluator of platforms: a design's layout, and its cycles by another evaluator."""

import json
from pathlib import Path

import pytest

from armillary import evaluators
from armillary.benchmarks.ppa.layouts import tables_of
from armillary.evaluators.kind import HasRungs, LaysOut
from armillary.evaluators.physical.space import KNOBS
from armillary.execution.local import LocalExecutor
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.hardware.templates.axiline import SPACE, TEMPLATE
from armillary.log import shipped
from armillary.log.store import Log
from armillary.problems.criteria import Objective
from armillary.problems.rung import are_whole
from armillary.studies.fit import fit_surrogate
from armillary.studies.subject import Shipped
from armillary.types import ArmillaryError, Candidate, Fidelity, options_from, options_text
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Workload
from evaluators.physical.designs import needs_tools

pytestmark = needs_tools
WORKLOAD = Workload(
    "line", (), algorithm=Algorithm("linear_regression", "inference", 2, weights=(0.5, -1.0), bias=0.25)
)
DESIGN = {
    "algorithm": "linear_regression", "mode": "inference", "dimension": 2, "input_width": 4, "internal_width": 8,
    "cycles": 2,
}  # fmt: skip


def evaluated(folder, fidelity=Fidelity.PHYSICAL, values=None, seed=1, **options):
    if fidelity is Fidelity.PHYSICAL:
        options = {"folder": str(folder), "effort": 1, "sizing_rounds": 1, **options}
    design = SPACE.design_from({**TEMPLATE.defaults, **DESIGN, **(values or {})}, "test")
    (row,) = evaluators.for_template("axiline", fidelity, options, seed=seed).evaluate([Candidate(design)], WORKLOAD)
    return row


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("layouts"), clock_ns=2.0)


def test_time_and_energy_are_those_of_the_effective_clock(row):
    found = row.metrics
    assert row.feasible
    assert row.fidelity == Fidelity.PHYSICAL
    cycles = evaluated(None, Fidelity.ANALYTICAL).metrics["delay_cycles"]
    assert found["runtime_s"] == pytest.approx(cycles / (found["effective_mhz"] * 1e6))
    assert found["energy_pj"] == pytest.approx(found["power_mw"] * found["runtime_s"] * 1e9)
    dynamic = (found["internal_mw"] + found["switching_mw"]) * found["effective_mhz"] / 500  # at 2 ns
    assert found["power_mw"] == pytest.approx(dynamic + found["leakage_mw"])
    (layout,) = Path(row.options["folder"]).iterdir()
    assert (layout / "layout.def").exists()


def test_the_layout_behind_an_evaluation_is_shown(row):
    options = {"folder": row.options["folder"], "effort": 1, "sizing_rounds": 1, "clock_ns": 2.0}
    evaluator = evaluators.for_template("axiline", Fidelity.PHYSICAL, options, seed=1)
    assert isinstance(evaluator, LaysOut)
    shown = evaluator.layout_folder(row.design)
    assert [shown] == list(Path(row.options["folder"]).iterdir())
    assert (shown / "layout.png").exists()
    assert "module axiline" in (shown / "rtl" / "axiline.sv").read_text()


def test_cycles_are_those_of_the_fidelity_that_is_named(row, tmp_path):
    simulated = evaluated(tmp_path, clock_ns=2.0, cycles="rtl")
    assert simulated.metrics["delay_cycles"] == evaluated(None, Fidelity.RTL).metrics["delay_cycles"]
    assert simulated.metrics["area_mm2"] == row.metrics["area_mm2"]
    with pytest.raises(ArmillaryError, match="cycles='physical'"):
        evaluated(tmp_path, cycles="physical")


def test_failures_are_rows(tmp_path):
    unfit = evaluated(tmp_path, values={"dimension": 1, "cycles": 1})
    assert (unfit.feasible, unfit.failure.resource) == (False, "dimension elements")
    assert not any(tmp_path.iterdir())  # nothing is laid out of what cannot run
    full = evaluated(tmp_path, utilization=0.999)
    assert not full.feasible
    assert full.failure.resource in ("placement", "optimization")
    assert "runtime_s" not in full.metrics


def test_several_seeds_give_a_mean_and_how_they_scatter(tmp_path):
    values = {"clock_ns": 2.0, "activity": 0.3}
    several = evaluated(tmp_path, seeds=2, **values)  # of the evaluator's seed 1: placements 2 and 3
    singles = [one.metrics for seed in (2, 3) for one in [evaluated(tmp_path, seed=seed, **values)]]
    wires = [one["wire_mm"] for one in singles]
    assert wires[0] != wires[1]
    assert several.metrics["wire_mm"] == pytest.approx(sum(wires) / 2)
    assert several.metrics["wire_mm_sd"] == pytest.approx(abs(wires[0] - wires[1]) / 2**0.5)
    assert several.metrics["energy_pj"] == pytest.approx(sum(one["energy_pj"] for one in singles) / 2)
    assert several.metrics["synthesized_cells_sd"] == 0
    assert not any(name.endswith("_sd") for name in singles[0])
    assert not any("cpu_s_sd" in name for name in several.metrics)
    full = evaluated(tmp_path, seeds=2, utilization=0.999)
    assert full.failure.detail.startswith("seed 2: ")


def test_knobs_of_a_design_count_in_place_of_options(row, tmp_path):
    options = {"folder": str(tmp_path), "effort": 1, "sizing_rounds": 1}
    subject = Shipped("axiline", Fidelity.PHYSICAL, options)
    both, spec = subject.template([WORKLOAD]), subject.simulator(seed=1).spec
    values = {**both.defaults, **DESIGN, "clock_ns": 2.06, "utilization": 0.6}
    design = both.space.design_from(values, "test")
    (found,) = evaluators.make(spec).evaluate([Candidate(design)], WORKLOAD)
    alone = evaluated(tmp_path, clock_ns=2.06)
    assert found.design == design
    assert {name: value for name, value in found.metrics.items() if not name.endswith("cpu_s")} == {
        name: value for name, value in alone.metrics.items() if not name.endswith("cpu_s")
    }
    assert found.metrics["power_mw"] != row.metrics["power_mw"]
    assert dict(found.options) == {name: value for name, value in alone.options.items() if name not in KNOBS}
    whole = evaluators.for_template("axiline", Fidelity.PHYSICAL, {**options, "clock_ns": 1.0}, seed=1)
    assert dict(whole.evaluate([Candidate(design)], WORKLOAD)[0].options) == dict(found.options)


@pytest.mark.parametrize("template", PLATFORMS.names())
def test_every_platform_has_a_layout_of_its_own_hardware(template):
    platform = PLATFORMS.load(template, Platform)
    assert "physical" in evaluators.fidelities(template)
    sources = platform.sources(platform.accelerator())
    text = "".join(sources.values())
    assert all(f"module {memory}" in text for memory in platform.memories)
    assert f"module {platform.top}" in sources[f"{platform.top}.sv"]


SPARING = {"effort": 1, "sizing_rounds": 1, "clock_ns": 2.0}
JOINT = Shipped("axiline", Fidelity.PHYSICAL, {"effort": 1, "sizing_rounds": 1})


def until(stop, folder):
    return evaluated(folder, clock_ns=2.0, until=stop)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Rows of the design of `row`, stopped, and then whole, of another seed than that."""
    folder = tmp_path_factory.mktemp("stopped")
    return {stop: until(stop, folder / stop) for stop in ("synthesis", "placement", "layout")}


def test_a_stopped_layout_tells_what_is_known_by_then(stopped):
    first, second, whole = (row.metrics for row in stopped.values())
    assert all(row.feasible for row in stopped.values())
    for name, near in {"area_mm2": 0.1, "effective_mhz": 0.2, "power_mw": 0.35, "runtime_s": 0.2}.items():
        assert first[name] == pytest.approx(whole[name], rel=near)
        assert second[name] == pytest.approx(whole[name], rel=near)
    for name in ("effective_mhz", "switching_mw"):  # wires between placed cells are not those of the library's table
        assert second[name] != first[name]
    assert second["area_mm2"] - first["area_mm2"] == pytest.approx(second["taps_mm2"])
    assert {"wire_mm", "clock_buffers", "clock_mw"}.isdisjoint(second)
    assert "taps_mm2" not in first
    assert "half_perimeter_mm" in second
    assert "half_perimeter_mm" not in first


def test_going_on_from_a_stopped_layout_costs_the_rest_alone(stopped):
    first, second, whole = (row.metrics for row in stopped.values())
    assert first["synthesis_cpu_s"] == second["synthesis_cpu_s"] == whole["synthesis_cpu_s"]
    assert second["placement_cpu_s"] == whole["placement_cpu_s"]
    kept = {}
    for stop, row in stopped.items():
        (folder,) = Path(row.options["folder"]).iterdir()
        kept[stop] = [step["name"] for step in json.loads((folder / "steps.json").read_text()) if step["kept"]]
    assert kept["placement"][:1] == ["synthesis"]  # more, where the user's cache has them of an earlier run
    assert kept["layout"][:3] == ["synthesis", "floorplan", "placement"]


def test_rungs_are_the_evaluators_that_stop_and_what_they_are_blind_to_changes_nothing(stopped, tmp_path):
    whole = evaluators.for_template("axiline", Fidelity.PHYSICAL, SPARING, seed=1)
    assert isinstance(whole, HasRungs)
    assert [rung.name for rung in whole.rungs()] == ["synthesis", "placement"]
    for rung in whole.rungs():
        assert rung.spec == evaluators.spec_of("axiline", Fidelity.PHYSICAL, {**SPARING, "until": rung.name}, seed=1)
    assert [rung.name for rung in evaluators.make(whole.rungs()[1].spec).rungs()] == ["synthesis"]
    assert evaluators.make(whole.rungs()[0].spec).rungs() == ()
    other = evaluated(tmp_path, clock_ns=2.0, until="synthesis", utilization=0.5, aspect_ratio=2.0)
    assert whole.rungs()[0].blind == ("utilization", "aspect_ratio")
    assert other.metrics == stopped["synthesis"].metrics  # kept, so that seconds are the same, too


def test_rows_of_stopped_layouts_never_pass_for_whole_ones(stopped, tmp_path):
    log, executor = Log(tmp_path / "log"), LocalExecutor(Log(tmp_path / "log"))
    template = JOINT.template([WORKLOAD])
    design = template.space.design_from({**template.defaults, **DESIGN}, "test")
    specs = [Shipped("axiline", Fidelity.PHYSICAL, {**SPARING, "until": stop}).simulator().spec
             for stop in ("synthesis", "layout")]  # fmt: skip
    rows = [next(executor.run(spec, [Candidate(design)], WORKLOAD)) for spec in specs]
    assert executor.evaluated == 2  # the second did not find the first
    assert "wire_mm" not in rows[0].metrics
    assert "wire_mm" in rows[1].metrics
    assert [row.options.get("until") for row in rows] == ["synthesis", None]
    found = log.evaluations("axiline.physical")
    assert are_whole(found).tolist() == [row.options.get("until") is None for row in found.to_list()]
    problem = template.asked((Objective("area_mm2"),), (), (WORKLOAD,))
    with pytest.raises(ArmillaryError, match="the log mixes results of 2 evaluators"):
        fit_surrogate(found, problem, kind="ppa")
    (table,) = tables_of(tmp_path / "log")
    assert len(table) == 1


def test_whole_layouts_are_those_of_logs_from_before_they_could_stop():
    for name in shipped.names():
        told = shipped.read(name)
        rows = Log(told.address).evaluations(told.space)
        (text,) = set(rows.options)
        today = Shipped(told.space.removesuffix(".physical"), Fidelity.PHYSICAL, options_from(text)).simulator().spec
        assert text == options_text(today.options)
        assert are_whole(rows).all()


def test_a_stop_that_there_is_not_is_refused():
    with pytest.raises(ArmillaryError, match=r"option until='routing' is not allowed: .*'synthesis', 'placement' or"):
        evaluators.spec_of("axiline", Fidelity.PHYSICAL, {"until": "routing"})


def test_a_whole_gemmini_has_room_for_its_wires_by_default_and_what_is_asked_for_counts():
    of_array = evaluators.for_template("axiline", Fidelity.PHYSICAL).spec.options
    whole = evaluators.for_template("gemmini", Fidelity.PHYSICAL).spec.options
    assert whole["utilization"] < of_array["utilization"]
    asked = evaluators.for_template("gemmini", Fidelity.PHYSICAL, options={"utilization": 0.5}).spec.options
    assert asked["utilization"] == 0.5

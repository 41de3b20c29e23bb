"""The evaluator of platforms: a design's layout, and its cycles by another evaluator."""

from pathlib import Path

import pytest

from armillary import evaluators
from armillary.evaluators.kind import LaysOut
from armillary.evaluators.physical.space import KNOBS
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.hardware.templates.axiline import SPACE, TEMPLATE
from armillary.studies.subject import Shipped
from armillary.types import ArmillaryError, Candidate, Fidelity
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

"""Layouts from RTL to power: what they leave, that they are the same again, and how they answer to knobs."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from armillary.evaluators.physical import flow, steps
from armillary.evaluators.physical.floorplan import Floorplan
from armillary.evaluators.physical.flow import Netlist, Placement, repeat, run
from armillary.evaluators.physical.knobs import Knobs
from armillary.types import ArmillaryError
from evaluators.physical.designs import COUNTER, MULTIPLIER, needs_tools

pytestmark = needs_tools
QUICK = {"sizing_rounds": 3, "effort": 1}
MEMORY = """
module sram #(parameter WORDS = 64, parameter BITS = 16) (input clk, input write, input [5:0] address,
  input [BITS-1:0] in, output [BITS-1:0] out);
endmodule
module held (input clk, input write, input [5:0] address, input [15:0] in, output reg [15:0] sum);
  wire [15:0] out;
  sram #(.WORDS(64), .BITS(16)) memory (.clk(clk), .write(write), .address(address), .in(in), .out(out));
  always @(posedge clk) sum <= sum + out;
endmodule
"""


def lay_out(text, top, folder, seed=0, macros=None, **knobs):
    source = folder.parent / f"{top}.sv"
    source.write_text(text)
    return run([source], top, Knobs(**{**QUICK, **knobs}), folder, seed=seed, macros=macros)


@pytest.fixture(scope="module")
def multiplier(tmp_path_factory):
    return lay_out(MULTIPLIER, "multiplier", tmp_path_factory.mktemp("multiplier") / "layout", clock_ns=0.6)


def test_a_layout_leaves_its_files_and_figures(multiplier):
    assert not multiplier.failure
    names = ("netlist.v", "constraints.sdc", "wires.spef", "layout.def", "layout.png", "layout.svg", "congestion.png",
             "slack.png", "steps.json")  # fmt: skip
    assert all((multiplier.folder / name).stat().st_size for name in names)
    found = multiplier.metrics
    assert found["power_mw"] == pytest.approx(found["internal_mw"] + found["switching_mw"] + found["leakage_mw"])
    assert 0 < found["clock_mw"] < found["power_mw"]
    assert found["fmax_mhz"] == pytest.approx(1000 / (0.6 - found["slack_ns"]))
    assert found["port_buffers"] == 24  # 12 inputs and 12 outputs
    assert found["core_mm2"] == pytest.approx((found["synthesized_mm2"] + 24 * 0.798e-6) / 0.6, rel=0.1)
    assert found["overflow"] == 0
    assert found["cells"] >= found["synthesized_cells"] + found["clock_buffers"]


def test_cells_lie_in_rows_and_not_upon_each_other(multiplier, library):
    content = json.loads((multiplier.folder / "optimized.json").read_text())
    netlist, placement = Netlist.from_json(content["netlist"]), Placement.from_json(content["placement"])
    spans = {}
    for instance, kind in netlist.cells.items():
        x, y, _ = placement.places[instance]
        assert (x % 380, y % 2800) == (0, 0)
        spans.setdefault(y, []).append((x, x + round(library.cells[kind].width_um * 2000)))
    for row in spans.values():
        row.sort()
        assert all(left[1] <= right[0] for left, right in pairwise(row))


def test_the_same_again_is_taken_from_the_cache_and_equal(multiplier, tmp_path, monkeypatch):
    kept = repeat(multiplier.folder)
    assert all(step.kept for step in kept.steps)
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    again = lay_out(MULTIPLIER, "multiplier", tmp_path / "again", clock_ns=0.6)
    assert not any(step.kept for step in again.steps)
    for name in ("netlist.v", "wires.spef", "layout.def"):
        assert (again.folder / name).read_bytes() == (multiplier.folder / name).read_bytes()
    without = {name: value for name, value in again.metrics.items() if not name.endswith("cpu_s")}
    assert without == {name: multiplier.metrics[name] for name in without}
    assert kept.metrics == multiplier.metrics


def test_a_knob_of_a_late_step_leaves_the_early_ones(multiplier, tmp_path):
    other = lay_out(MULTIPLIER, "multiplier", tmp_path / "other", clock_ns=0.6, activity=0.2)
    fresh = [step.name for step in other.steps if not step.kept]
    assert set(fresh) <= {"analysis", "drawing"}
    assert other.metrics["switching_mw"] > 1.2 * multiplier.metrics["switching_mw"]
    assert other.metrics["leakage_mw"] == multiplier.metrics["leakage_mw"]


def test_macros_at_either_edge_show_their_pins_to_the_middle():
    plan = Floorplan(1000, 100, 10, 10, {"left": (0, 0), "second": (200, 0), "right": (700, 0)})
    assert [plan.orientation(name, 190) for name in ("left", "second", "right")] == ["FN", "FN", "N"]


def test_a_memory_is_a_macro_with_power_of_its_own(tmp_path):
    layout = lay_out(MEMORY, "held", tmp_path / "held", macros={"sram": 1}, utilization=0.4)
    assert not layout.failure
    assert layout.metrics["macros"] == 1
    assert layout.metrics["macros_mm2"] > layout.metrics["cells_mm2"]
    # at the left edge it is mirrored: its pins look to the cells
    assert re.search(r"- \w+ sram \+ FIXED \( 0 0 \) FN ;", (layout.folder / "layout.def").read_text())
    # 3.889 fJ a bit and root of words, in every cycle of 1 ns
    assert layout.metrics["macros_mw"] == pytest.approx(3.889e-3 * 16 * 8, rel=0.1)


SMALL = """
module few #(parameter WORDS = 4, parameter BITS = 6) (input clk, input write, input [3:0] address,
  input [BITS-1:0] in, output reg [BITS-1:0] out);
  reg [BITS-1:0] words [0:WORDS-1];
  always @(posedge clk) if (write) words[address] <= in; else out <= words[address];
endmodule
module both (input clk, input write, input [3:0] address, input [5:0] in, output [5:0] small, output [5:0] large);
  few #(.WORDS(15)) registers (.clk(clk), .write(write), .address(address), .in(in), .out(small));
  few #(.WORDS(16)) block (.clk(clk), .write(write), .address(address), .in(in), .out(large));
endmodule
"""


def test_a_memory_of_a_few_words_is_made_of_registers(tmp_path):
    layout = lay_out(SMALL, "both", tmp_path / "both", macros={"few": 1}, utilization=0.4)
    assert not layout.failure
    assert layout.metrics["macros"] == 1
    assert layout.metrics["registers"] == 15 * 6 + 6


def test_a_small_memory_without_a_body_stays_a_block(tmp_path):
    text = MEMORY.replace("WORDS(64)", "WORDS(8)")
    layout = lay_out(text, "held", tmp_path / "held", macros={"sram": 1}, utilization=0.4)
    assert not layout.failure
    assert layout.metrics["macros"] == 1


def test_what_has_no_room_fails_as_data_and_says_how_to_repeat_it(tmp_path):
    layout = lay_out(COUNTER, "counter", tmp_path / "full", utilization=0.999, sizing_rounds=0)
    assert "lower the utilization" in layout.failure
    assert layout.failed_step in ("placement", "optimization")
    assert f"armillary physical repeat {layout.folder}" in (layout.folder / "failed.txt").read_text()
    assert "fmax_mhz" not in layout.metrics
    assert layout.metrics["synthesized_cells"] > 8
    assert repeat(layout.folder).failure == layout.failure


def test_wrong_rtl_fails_in_synthesis(tmp_path):
    layout = lay_out("module broken (input a; endmodule", "broken", tmp_path / "broken")
    assert layout.failed_step == "synthesis"
    assert "run it again by hand" in layout.failure


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ArmillaryError, match="no layout's"):
        run([], "a", Knobs(), tmp_path)
    with pytest.raises(ArmillaryError, match="two sources are named a"):
        run([Path("x/a.v"), Path("y/a.v")], "a", Knobs(), tmp_path / "new")


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "layout"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flow, "routed", killed)
        with pytest.raises(KeyboardInterrupt):
            lay_out(COUNTER, "counter", folder)
    assert not (folder / steps.LOG).exists()
    begun = []
    with monkeypatch.context() as patch:
        patch.setattr(flow.pictures, "draw", killed)
        with pytest.raises(KeyboardInterrupt):
            repeat(folder, on_step=begun.append)
    layout = repeat(folder)
    assert [step.name for step in layout.steps] == begun  # drawing is the last
    assert [step.name for step in layout.steps if not step.kept] == ["drawing"]
    assert all(step.memory_mib > 10 for step in layout.steps)
    assert not layout.failure


@pytest.mark.slow
@pytest.mark.parametrize("text", [COUNTER.replace("BITS = 8", "BITS = 24"), MULTIPLIER.replace("BITS = 6", "BITS = 8")])
def test_physics_holds_in_the_mean_of_seeds(text, tmp_path):
    top = "counter" if "counter" in text else "multiplier"

    def mean(name, **knobs):
        found = [lay_out(text, top, tmp_path / f"{seed}", seed=seed, **knobs) for seed in range(3)]
        assert not any(layout.failure for layout in found)
        return sum(layout.metrics[name] for layout in found) / len(found)

    assert mean("wire_mm", utilization=0.85) < mean("wire_mm", utilization=0.4)
    loose, tight = {"clock_ns": 3.0}, {"clock_ns": 1.2}
    assert mean("area_mm2", **tight) > 0.98 * mean("area_mm2", **loose)
    assert mean("power_mw", **tight) > mean("power_mw", **loose)


@pytest.mark.slow
def test_two_copies_have_twice_the_cells_and_leakage_grows_with_area(tmp_path):
    twice = (
        MULTIPLIER
        + """
module two (input clk, input [5:0] a, input [5:0] b, input [5:0] c, input [5:0] d, output [11:0] p, output [11:0] q);
  multiplier one (.clk(clk), .a(a), .b(b), .p(p));
  multiplier other (.clk(clk), .a(c), .b(d), .p(q));
endmodule
"""
    )
    one = lay_out(MULTIPLIER, "multiplier", tmp_path / "one").metrics
    two = lay_out(twice, "two", tmp_path / "two").metrics
    assert two["synthesized_cells"] == pytest.approx(2 * one["synthesized_cells"], rel=0.08)
    assert two["leakage_mw"] == pytest.approx(2 * one["leakage_mw"], rel=0.1)
    wide = lay_out(MULTIPLIER.replace("BITS = 6", "BITS = 10"), "multiplier", tmp_path / "wide").metrics
    assert wide["area_mm2"] > two["area_mm2"]
    assert wide["leakage_mw"] > two["leakage_mw"]


def test_osu018_is_larger_and_slower(multiplier, tmp_path):
    if not Path("/usr/share/qflow/tech/osu018").is_dir():
        pytest.skip("qflow-tech-osu018 is not installed")
    layout = lay_out(MULTIPLIER, "multiplier", tmp_path / "osu", enablement="osu018", clock_ns=4.0)
    assert not layout.failure
    assert layout.metrics["area_mm2"] > 8 * multiplier.metrics["area_mm2"]
    assert layout.metrics["fmax_mhz"] < 0.5 * multiplier.metrics["fmax_mhz"]


def test_sizing_makes_late_paths_faster_and_early_ones_smaller(tmp_path):
    tight = [lay_out(MULTIPLIER, "multiplier", tmp_path / f"tight_{n}", clock_ns=0.6, sizing_rounds=n) for n in (0, 10)]
    assert tight[1].metrics["sized_slack_ns"] > tight[0].metrics["sized_slack_ns"] + 0.02
    loose = [lay_out(MULTIPLIER, "multiplier", tmp_path / f"loose_{n}", clock_ns=3.0, sizing_rounds=n) for n in (0, 4)]
    assert loose[1].metrics["slack_ns"] > 0
    assert loose[1].metrics["area_mm2"] <= loose[0].metrics["area_mm2"]

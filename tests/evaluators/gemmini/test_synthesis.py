from collections import Counter

import pytest

from armillary.evaluators.gemmini import synthesis
from armillary.evaluators.gemmini.synthesis import slowest_paths, synthesized
from armillary.hardware.sram import SETUP_NS, access_ns, area_um2
from armillary.hardware.templates.gemmini import Accelerator

TOP = """
module accelerator (input logic clk, input logic [7:0] a, output logic [7:0] q);
  core core (.clk, .a, .q);
endmodule
module core (input logic clk, input logic [7:0] a, output logic [7:0] q);
  logic [7:0] t, u;
  execute execute (.clk, .a, .q(t));
  store store (.clk, .a(t), .q(u));
  always_ff @(posedge clk) q <= u;
endmodule
module execute (input logic clk, input logic [7:0] a, output logic [7:0] q);
  logic [7:0] t, u;
  for (genvar n = 0; n < 2; n++) begin : g_bank
    sram_1rw #(.WORDS(32), .BITS(4)) memory (.clk, .address(a[4:0]), .in(a[n*4+:4]), .out(t[n*4+:4]));
  end
  systolic_array systolic_array (.clk, .a(t), .q(u));
  assign q = u ^ t;
endmodule
module systolic_array (input logic clk, input logic [7:0] a, output logic [7:0] q);
  logic [7:0] t;
  pe one (.clk, .a, .q(t));
  pe other (.clk, .a(t), .q);
endmodule
module pe (input logic clk, input logic [7:0] a, output logic [7:0] q);
  always_ff @(posedge clk) q <= a * {a[0], a[7:1]};
endmodule
module store (input logic clk, input logic [7:0] a, output logic [7:0] q);
  convert convert (.clk, .a, .q);
endmodule
module convert (input logic clk, input logic [7:0] a, output logic [7:0] q);
  always_ff @(posedge clk) q <= a + 8'd3;
endmodule
module sram_1rw #(parameter int WORDS = 2, parameter int BITS = 1) (input logic clk,
    input logic [$clog2(WORDS)-1:0] address, input logic [BITS-1:0] in, output logic [BITS-1:0] out);
  logic [BITS-1:0] words[WORDS];
  always_ff @(posedge clk) begin out <= words[address]; words[address] <= in; end
endmodule
"""


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Make the accelerator a small one, with an empty cache."""
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    monkeypatch.setattr(synthesis, "sources", lambda accelerator: {"top.sv": TOP})
    return Accelerator()


def test_cells_are_counted_by_block_and_group_once_for_each_instance(small):
    found = synthesized(small)
    blocks = {block.name: block for block in found.blocks}
    assert {name: block.group for name, block in blocks.items()} == {
        "accelerator": "control", "core": "control", "execute": "control", "store": "control",
        "execute/systolic_array": "array", "store/convert": "arithmetic",
    }  # fmt: skip
    flip_flop = 4.522
    assert blocks["execute/systolic_array"].register_um2 == pytest.approx(16 * flip_flop)
    assert blocks["store/convert"].register_um2 == pytest.approx(8 * flip_flop)
    assert blocks["core"].register_um2 == pytest.approx(8 * flip_flop)
    assert (blocks["accelerator"].cells, blocks["store"].cells) == (0, 0)
    assert found.share("array") + found.share("arithmetic") + found.share("control") == pytest.approx(1)
    assert found.share("array") == pytest.approx(blocks["execute/systolic_array"].area_um2 / found.cells_um2)


def test_memories_are_listed_with_the_area_of_the_law(small):
    [memory] = synthesized(small).memories
    assert (memory.block, memory.words, memory.bits, memory.ports, memory.count) == ("execute", 32, 4, 1, 2)
    assert memory.area_um2 == pytest.approx(2 * float(area_um2(32, 4, 1)))


def test_flat_has_the_same_registers_and_memories(small):
    whole, flat = synthesized(small), synthesized(small, flat=True)
    assert [(block.name, block.group) for block in flat.blocks] == [("accelerator", "all")]
    assert flat.blocks[0].register_um2 == pytest.approx(sum(block.register_um2 for block in whole.blocks))
    assert Counter(memory.count for memory in flat.memories) == {2: 1}
    assert flat.problems == whole.problems == ()


def test_a_path_counts_for_the_block_that_it_ends_in(small):
    periods = slowest_paths(small)
    assert list(periods.values()) == sorted(periods.values(), reverse=True)
    assert periods["execute"] == pytest.approx(SETUP_NS, abs=1e-3)  # from the ports to the memories' inputs
    assert periods["execute/systolic_array"] > access_ns(32, 4) + 0.1  # out of a memory, through a multiplier
    assert max(periods, key=lambda name: periods[name]) == "execute/systolic_array"


@pytest.mark.slow
def test_the_smallest_array_has_no_problem_and_its_control_is_below_its_goal():
    found = synthesized(Accelerator(dim=4, bus_bytes=4, scratchpad_kib=8, accumulator_kib=8))
    assert found.problems == ()
    assert found.cpu_s < 60
    assert found.share("control") < 0.6

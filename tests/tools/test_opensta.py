import pytest

from armillary.tools import opensta
from armillary.tools.opensta import TimedMacro, end_slacks
from armillary.tools.yosys import synthesize
from armillary.types import ArmillaryError

CHAIN = """
module stage #(parameter int ADDS = 1) (input logic clk, input logic [15:0] a, output logic [15:0] q);
  logic [15:0] sum;
  always_comb begin sum = a; for (int n = 0; n < ADDS; n++) sum = sum * {a[0], a[15:1]} + 16'd3; end
  always_ff @(posedge clk) q <= sum;
endmodule
module chain (input logic clk, input logic signed [15:0] a, output logic signed [15:0] q);
  logic signed [15:0] t;
  stage #(.ADDS(1)) short (.clk, .a, .q(t));
  stage #(.ADDS(2)) long (.clk, .a(t), .q);
endmodule
"""
REGISTER = "module top (clk, d, q); input clk; input d; output q; DFF_X1 held (.CK(clk), .D(d), .Q(q)); endmodule\n"
MEMORY = """module top (clk, in, out); input clk; input [1:0] in; output [1:0] out;
  wire [1:0] between; box one (.clk(clk), .in(in), .out(between)); box other (.clk(clk), .in(between), .out(out));
endmodule
"""


def worst(slacks, instance):
    return min(slack for pin, slack in slacks.items() if pin.startswith(f"{instance}/"))


def test_more_logic_between_registers_is_later(tmp_path):
    found = synthesize({"chain.sv": CHAIN}, "chain", cache=tmp_path)
    netlist = "\n".join(each.netlist for each in found.modules.values())
    slacks = end_slacks(netlist, "chain", macros={}, cache=tmp_path, clock_ns=1.0)
    assert worst(slacks, "long") < worst(slacks, "short") < 0.9
    longer = end_slacks(netlist, "chain", macros={}, cache=tmp_path, clock_ns=3.0)
    assert worst(longer, "long") == pytest.approx(worst(slacks, "long") + 2.0, abs=1e-3)
    assert {f"q[{bit}]" for bit in range(1, 16)} <= set(slacks)


def test_memories_have_the_times_that_are_given(tmp_path):
    ports = {"clk": ("input", 1), "in": ("input", 2), "out": ("output", 2)}
    slacks = end_slacks(MEMORY, "top", macros={"box": TimedMacro(ports, 0.3, 0.1)}, cache=tmp_path)
    assert slacks["other/in[0]"] == pytest.approx(1 - 0.3 - 0.1, abs=1e-3)
    assert slacks["out[1]"] == pytest.approx(1 - 0.3, abs=1e-3)
    assert slacks["one/in[1]"] == pytest.approx(1 - 0.1, abs=1e-3)


def test_what_was_timed_is_kept_by_content(tmp_path, monkeypatch):
    first = end_slacks(REGISTER, "top", macros={}, cache=tmp_path)
    monkeypatch.setattr(opensta, "_timed", lambda folder: pytest.fail("timed again"))
    assert end_slacks(REGISTER, "top", macros={}, cache=tmp_path) == first
    with pytest.raises(pytest.fail.Exception):
        end_slacks(REGISTER, "top", macros={}, cache=tmp_path, clock_ns=0.5)


@pytest.mark.parametrize("netlist", [REGISTER.replace("DFF_X1", "NO_SUCH_CELL"), REGISTER.replace(";", ";;{", 1)])
def test_a_netlist_that_it_cannot_read_whole_is_refused(tmp_path, netlist, kept):
    with pytest.raises(ArmillaryError, match=r"OpenSTA: .*run it again by hand: .*run.sh"):
        end_slacks(netlist, "top", macros={}, cache=tmp_path)
    assert not list(tmp_path.glob("timing-*"))


def test_a_missing_tool_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(opensta.shutil, "which", lambda name: None)
    opensta.version.cache_clear()
    try:
        with pytest.raises(ArmillaryError, match="OpenSTA not found: apt install opensta"):
            end_slacks(REGISTER, "top", macros={}, cache=tmp_path)
    finally:
        opensta.version.cache_clear()

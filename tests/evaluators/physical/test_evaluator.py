"""The evaluator of templates that write RTL."""

import pytest

from armillary.evaluators.physical.evaluator import Rtl, kind
from armillary.types import Candidate, Design, Failure, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from evaluators.physical.designs import COUNTER, needs_tools

pytestmark = needs_tools
CYCLES = 1000.0
WORKLOAD = Workload("tiny", (LayerUse(Layer("product", "gemm", K=4, C=4), 1),))


def rtl(design, workload):
    bits = design["bits"]
    return Rtl({"counter.sv": COUNTER.replace("BITS = 8", f"BITS = {bits}")}, "counter", {})


def cycles(design, workload):
    return CYCLES if design["bits"] < 64 else Failure("infeasible", resource="bits", needed=64, available=32)


def evaluated(folder, bits, **options):
    chosen = {"folder": str(folder), "effort": 1, "sizing_rounds": 1, **options}
    a_kind = kind("counters", rtl, cycles)
    spec = a_kind.spec(chosen, seed=1)
    (row,) = a_kind.evaluator(spec).evaluate([Candidate(Design("counters", (("bits", bits),)))], WORKLOAD)
    return row


def test_time_and_energy_are_those_of_the_effective_clock(tmp_path):
    row = evaluated(tmp_path, 8)
    found = row.metrics
    assert row.feasible
    assert row.fidelity == Fidelity.PHYSICAL
    assert found["runtime_s"] == pytest.approx(CYCLES / (found["effective_mhz"] * 1e6))
    assert found["energy_pj"] == pytest.approx(found["power_mw"] * found["runtime_s"] * 1e9)
    dynamic = (found["internal_mw"] + found["switching_mw"]) * found["effective_mhz"] / 1000  # at 1 ns
    assert found["power_mw"] == pytest.approx(dynamic + found["leakage_mw"])
    (layout,) = tmp_path.iterdir()
    assert (layout / "layout.def").exists()


def test_failures_are_rows(tmp_path):
    assert evaluated(tmp_path, 64).failure.resource == "bits"
    full = evaluated(tmp_path, 8, utilization=0.999)
    assert not full.feasible
    assert full.failure.resource in ("placement", "optimization")
    assert "runtime_s" not in full.metrics

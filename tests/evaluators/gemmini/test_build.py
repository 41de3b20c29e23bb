import pytest

from armillary.evaluators.gemmini.build import simulator
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools import verilator
from armillary.tools.verilator import BuildError, tools

SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)


def test_a_simulator_is_built_once(monkeypatch):
    first = simulator(SMALL)
    monkeypatch.setattr(verilator, "_built", lambda *_, **__: pytest.fail("built again"))
    assert simulator(SMALL) == first
    slower = Accelerator(**{**vars(SMALL), "dram_latency": 500, "dram_bytes_per_cycle": 1})
    assert simulator(slower) == first  # the DRAM is no part of it
    smaller = {"scratchpad_kib": 64, "accumulator_kib": 16, "scratchpad_banks": 8, "accumulator_banks": 4}
    queues = {"burst_rows": 4, "outstanding": 2, "queue_depth": 8}
    assert simulator(Accelerator(**{**vars(SMALL), **smaller, **queues})) == first  # straps say how much is used


def test_kinds_of_simulators_do_not_share_a_program(monkeypatch, tmp_path):
    (tmp_path / "made").write_text("")
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    monkeypatch.setattr(verilator, "_built", lambda *_, **__: tmp_path / "made")
    other = Accelerator(**{**vars(SMALL), "dataflow": "output_stationary"})
    wide = Accelerator(**{**vars(SMALL), "bus_bytes": 2})
    found = {simulator(a, full=full) for a in (SMALL, other, wide) for full in (False, True)}
    found |= {simulator(SMALL, trace=trace) for trace in ("fst", "saif")}
    assert len(found) == 8
    assert {path.parent for path in found} == {tmp_path / "rtl"}


def test_the_compilers_first_error_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "broken-g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "a.cpp:1: error: first" >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    tools.cache_clear()
    try:
        with pytest.raises(BuildError, match=r"broken-g\+\+: a.cpp:1: error: first"):
            simulator(SMALL)
    finally:
        tools.cache_clear()
    assert not list((tmp_path / "rtl").glob("sim-*"))


def test_as_many_compilers_run_as_there_are_cores(monkeypatch, tmp_path):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    monkeypatch.setenv("ARMILLARY_CORES", "3")
    (tmp_path / "made").write_text("")
    asked = []
    monkeypatch.setattr(verilator, "_built", lambda *given: asked.append(given[-1]) or tmp_path / "made")
    simulator(SMALL)
    assert asked == [3]

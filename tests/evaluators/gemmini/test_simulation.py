import time
from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini import simulation
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, SimulationError, TooLongError, simulate, simulate_all
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import AccidentError
from armillary.workloads.layer import Layer

SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)
LAYER = Layer("gemm", "gemm", K=16, C=16, P=32)
TILES = "L3[WIO] K2 P4 - L2[WI] N1 K4X - L1[O] K2 C4 C4X - L0[W] P8"


def job(accelerator=SMALL, mapping=TILES, **options):
    return Job(accelerator, compile_layer(LAYER, Mapping.parse(mapping), accelerator), **options)


def test_cycles_are_busy_or_wait_for_something():
    found = simulate(simulator(SMALL), job())
    assert found.busy == LAYER.macs // 16
    assert found.cycles == found.busy + sum(found.stalls.values())
    assert found.written_bytes == 16 * 32
    assert found.read_bytes == 2 * 16 * 32 + 16 * 16  # the inputs once for either half of the outputs


def test_a_slower_memory_shows_as_waiting_for_it():
    fast, slow = (simulate(simulator(SMALL), job(replace(SMALL, dram_bytes_per_cycle=b))) for b in (4, 1))
    assert slow.cycles > 1.5 * fast.cycles
    assert slow.stalls["dram"] > 2 * fast.stalls["dram"]


def test_without_latency_and_with_reuse_the_array_is_nearly_always_busy():
    near = replace(SMALL, dram_latency=0, accumulator_kib=64, scratchpad_kib=64)
    layer = Layer("gemm", "gemm", K=64, C=64, P=256)
    mapping = "L3[WIO] P4 - L2[WI] N1 K4X - L1[O] K16 C16 C4X - L0[W] P64"
    found = simulate(simulator(near), Job(near, compile_layer(layer, Mapping.parse(mapping), near)))
    assert found.busy / found.cycles > 0.9


def test_events_show_loads_before_executes_before_stores():
    found = simulate(simulator(SMALL), job(wants_events=True))
    by_unit = {unit: [e for e in found.events if e.unit == unit] for unit in ("load", "execute", "store")}
    assert len(by_unit["execute"]) == len(by_unit["store"]) == 8
    assert all(e.first <= e.last <= found.cycles for e in found.events)
    for execute, store in zip(by_unit["execute"], by_unit["store"], strict=True):
        assert execute.last < store.first
    assert by_unit["load"][0].last < by_unit["execute"][0].first
    second = by_unit["load"][2]  # tiles have two buffers: the next one's load runs beside the first execute
    assert second.first < by_unit["execute"][0].last


def test_a_run_past_its_bound_fails():
    with pytest.raises(TooLongError, match="not done after 100 cycles"):
        simulate(simulator(SMALL), job(most_cycles=100))


def test_an_address_outside_the_memory_fails():
    inside = job()
    outside = replace(inside, program=replace(inside.program, dram_bytes=64))
    with pytest.raises(SimulationError, match="left the 64 bytes of DRAM"):
        simulate(simulator(SMALL), outside)


def test_a_crash_says_what_the_simulator_said(tmp_path):
    broken = tmp_path / "sim"
    broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(SimulationError, match="ended with status 3: out of luck"):
        simulate(broken, job())


def test_an_end_by_a_signal_is_an_accident(tmp_path):
    broken = tmp_path / "sim"
    broken.write_text("#!/bin/sh\nkill -KILL $$\n")
    broken.chmod(0o755)
    with pytest.raises(AccidentError, match="the simulator was ended by signal 9"):
        simulate(broken, job())


def test_simulations_side_by_side_keep_to_their_share_of_the_cores(monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "1")
    running, most = [0], [0]

    def one(*_):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1

    monkeypatch.setattr(simulation, "simulate", one)
    simulate_all(lambda _: None, [job()] * 4)
    assert most == [1]


def test_many_jobs_come_back_in_order_with_their_failures():
    jobs = [job(), job(most_cycles=100), job(replace(SMALL, dram_bytes_per_cycle=1))]
    told = []
    found = simulate_all(lambda j: simulator(j.accelerator), jobs, told.append)
    assert told == [1, 2, 3]
    assert isinstance(found[1], TooLongError)
    assert found[0].cycles < found[2].cycles


def test_the_same_job_gives_the_same_answer():
    first, second = (simulate(simulator(SMALL), job(wants_dram=True)) for _ in range(2))
    assert (first.cycles, first.stalls) == (second.cycles, second.stalls)
    np.testing.assert_array_equal(first.dram, second.dram)

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from armillary.evaluators import for_template
from armillary.evaluators.gemmini import rtl
from armillary.evaluators.gemmini.build import simulator, with_largest
from armillary.evaluators.gemmini.simulation import Job, SimulationError, TooLongError, simulate, simulate_all
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.dram import PRESETS
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import Padding, Requantization, compile_layer
from armillary.hardware.templates.gemmini import TEMPLATE, Accelerator
from armillary.types import AccidentError, ArmillaryError, Candidate, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload

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


def test_cycles_in_which_nothing_changes_are_left_out_and_nobody_can_tell(tmp_path):
    # A simulator that traces leaves out none.
    quick, whole = simulator(SMALL), simulator(SMALL, trace="fst")
    tensors = random_tensors(LAYER, Padding(), np.random.default_rng(1))
    for latency, bandwidth, backpressure, dram_model in (
        (0, 4, 0, None),
        (300, 1, 0, None),
        (100, 3, 0, None),
        (40, 2, 5, None),
        (20, 4, 0, PRESETS["ddr4-2400"]),
        (20, 4, 7, PRESETS["hbm2"]),
    ):
        slower = replace(SMALL, dram_latency=latency, dram_bytes_per_cycle=bandwidth)
        one = job(slower, wants_dram=True, wants_events=True, backpressure=backpressure, dram_model=dram_model)
        one = replace(one, dram=into_dram(one.program, *tensors))
        first, second = simulate(quick, one), simulate(whole, one, trace=tmp_path / "trace.fst")
        np.testing.assert_array_equal(first.dram, second.dram)
        for field in fields(first):
            if field.name != "dram":
                assert getattr(first, field.name) == getattr(second, field.name), field.name


def test_the_model_of_the_conversion_takes_every_shift():
    """Half of 2^63 is the largest that a signed word of 64 bits holds; rounding adds it."""
    layer = Layer("layer", "gemm", K=4, C=4, P=4)
    mapping = Mapping.parse("L3[WIO] N1 - L2[WI] K4X - L1[O] C4X - L0[W] P4")
    inputs, weights = random_tensors(layer, Padding(), np.random.default_rng(0))
    for shift in (0, 1, 31, 32, 62, 63):
        how = Requantization(65535, shift)
        program = compile_layer(layer, mapping, SMALL, requantization=how)
        result = simulate(simulator(SMALL), Job(SMALL, program, into_dram(program, inputs, weights), wants_dram=True))
        expected = convolved(layer, inputs, weights, Padding(), how)
        np.testing.assert_array_equal(from_dram(program, result.dram, layer.K), expected)


def test_a_run_past_its_bound_fails():
    with pytest.raises(TooLongError, match="not done after 100 cycles"):
        simulate(simulator(SMALL), job(most_cycles=100))


def test_an_address_outside_the_memory_fails():
    inside = job()
    program = inside.program
    end = program.address + 8 * len(program.words)  # of the commands, without what is fetched behind them
    with pytest.raises(SimulationError, match=f"left the {end} bytes of DRAM"):
        simulate(simulator(SMALL), replace(inside, program=replace(program, dram_bytes=end)))
    with pytest.raises(SimulationError, match="has commands beyond its DRAM"):
        simulate(simulator(SMALL), replace(inside, program=replace(program, dram_bytes=end - 8)))


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_refusal_says_what_the_simulator_said(tmp_path):
    broken = program(tmp_path / "sim", "echo out of luck >&2\nexit 3")
    with pytest.raises(SimulationError, match="ended with status 3: out of luck; run it again by hand: ") as fault:
        simulate(broken, job())
    kept = Path(str(fault.value).rsplit(": ", 1)[1]).parent
    assert (kept / "files" / "job").stat().st_size > 0


def test_a_simulator_that_a_signal_ended_is_an_accident(tmp_path):
    killed = program(tmp_path / "sim", "kill -KILL $$")
    with pytest.raises(AccidentError, match="sim: ended by SIGKILL"):
        simulate(killed, job())
    found = simulate_all(lambda _: killed, [job()])
    assert isinstance(found[0], AccidentError)


def test_an_accident_is_no_answer_of_the_rtl_evaluator(tmp_path, monkeypatch):
    monkeypatch.setattr(rtl, "simulator", lambda *_, **__: program(tmp_path / "sim", "kill -SEGV $$"))
    with pytest.raises(AccidentError, match="sim: ended by SIGSEGV"):
        for_template("gemmini", Fidelity.RTL, {"budget": 100}).evaluate(
            [Candidate(TEMPLATE.baseline)], Workload("one", (LayerUse(LAYER),))
        )


def test_as_many_simulations_run_at_once_as_there_are_cores(tmp_path, monkeypatch):
    alone = program(tmp_path / "sim", f"mkdir {tmp_path}/alone || exit 9\nsleep 0.05\nrmdir {tmp_path}/alone\nexit 3")
    monkeypatch.setenv("ARMILLARY_CORES", "1")
    assert all("status 3" in str(fault) for fault in simulate_all(lambda _: alone, [job()] * 4))


def test_where_the_trace_goes_is_told_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    telling = program(tmp_path / "sim", 'echo "$ARMILLARY_TRACE" >&2\nexit 3')
    with pytest.raises(SimulationError, match=f"status 3: {tmp_path}/out.fst"):
        simulate(Path("sim"), job(), trace=Path("out.fst"))
    assert telling.exists()


def test_the_hardware_tells_of_memories_of_65536_rows():
    large = replace(SMALL, scratchpad_kib=256)
    assert simulate(simulator(large), job(large)).elaborated["scratchpad_rows"] == 65536


def test_a_scratchpad_of_a_mebibyte_runs_and_none_is_larger():
    large = Accelerator(dim=16, scratchpad_kib=1024)
    text = "L3[WIO] N1 - L2[WI] N1 K16X - L1[O] C16X - L0[W] P32"
    program = compile_layer(LAYER, Mapping.parse(text), large)
    assert simulate(simulator(large), Job(large, program)).elaborated["scratchpad_rows"] == 65536
    with pytest.raises(ArmillaryError, match="scratchpad_kib=1025 is not allowed; it must be 1 to 1024"):
        replace(large, scratchpad_kib=1025)


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue_depth", 9), ("outstanding", 33), ("scratchpad_banks", 16), ("accumulator_kib", 512), ("bus_bytes", 2)],
)
def test_a_simulator_of_another_accelerator_is_refused(name, value):
    other = replace(SMALL, **{name: value})
    message = f"the simulator was built with {name}={getattr(with_largest(SMALL), name)}, the job is for {name}={value}"
    with pytest.raises(SimulationError, match=message):
        simulate(simulator(SMALL), job(other))


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


RUNS = Layer("runs", "conv", K=16, C=16, P=2, Q=16)
OUTPUTS = replace(SMALL, dataflow="output_stationary")


def run_cycles(layer, mapping, least_run, accelerator=SMALL, full=False):
    program = compile_layer(layer, Mapping.parse(mapping), accelerator)
    return simulate(simulator(accelerator, full=full), Job(accelerator, program, least_run=least_run))


@pytest.mark.parametrize(
    ("layer", "inner", "runs"),
    [
        (RUNS, "L1[O] K4 C4 C4X - L0[W] Q16 P2", 4 * 4 * 16),  # two pixels each
        (RUNS, "L1[O] K4 C4 C4X - L0[W] P2 Q16", 4 * 4 * 2 * 4),  # sixteen, no more than four in a run
        (Layer("odd", "conv", K=16, C=16, P=6, Q=8), "L1[O] K4 C4 C4X - L0[W] Q8 P6", 4 * 4 * 8 * 2),  # four and two
        (RUNS, "L1[O] P2 Q16 K4 C4 C4X - L0[W] N1", 4 * 4 * 32),  # weights for one pixel
    ],
)
def test_a_run_of_pixels_takes_its_least_time(layer, inner, runs):
    mapping = f"L3[WIO] N1 - L2[WI] N1 K4X - {inner}"
    short, middle, long = (run_cycles(layer, mapping, least) for least in (9, 40, 127))
    assert short.busy == long.busy == layer.macs // 16
    assert short.cycles > (runs - 1) * 9
    assert (middle.cycles - short.cycles, long.cycles - middle.cycles) == ((runs - 1) * 31, (runs - 1) * 87)


def test_a_least_time_that_all_runs_take_changes_nothing():
    mapping = "L3[WIO] K2 - L2[WI] N1 K4X - L1[O] K2 C4 C4X - L0[W] P32"
    free, held, longer = (run_cycles(LAYER, mapping, cycles) for cycles in (0, 4, 5))
    assert (free.cycles, free.stalls) == (held.cycles, held.stalls)
    assert longer.cycles > free.cycles


def test_both_builds_take_the_least_time():
    mapping = "L3[WIO] K2 - L2[WI] N1 K4X - L1[O] K2 C4 C4X - L0[W] Q16 P2"
    fast, full = (run_cycles(RUNS, mapping, 7, full=full) for full in (False, True))
    assert (fast.cycles, fast.stalls) == (full.cycles, full.stalls)


def test_the_output_stationary_array_has_no_runs():
    mapping = "L3[WIO] K2 - L2[WI] N1 K4X - L1[O] K2 Q4 P2 Q4X - L0[O] C16"
    assert run_cycles(RUNS, mapping, 0, OUTPUTS).cycles == run_cycles(RUNS, mapping, 127, OUTPUTS).cycles


@pytest.mark.parametrize("value", [-1, 128])
def test_a_least_time_that_the_strap_does_not_hold_is_refused(value):
    with pytest.raises(ArmillaryError, match=f"least_run={value} is not allowed; it must be 0 to 127"):
        job(least_run=value)


@pytest.mark.parametrize("name", PRESETS)
def test_dram_with_banks_answers_as_one_of_a_fixed_latency_in_other_cycles(name):
    plain = job(SMALL)
    inputs, weights = random_tensors(LAYER, Padding(), np.random.default_rng(0))
    asked = replace(plain, dram=into_dram(plain.program, inputs, weights), wants_dram=True)
    fixed, banked, held_up = (
        simulate(simulator(SMALL), one)
        for one in (
            asked,
            replace(asked, dram_model=PRESETS[name]),
            replace(asked, dram_model=PRESETS[name], backpressure=1),
        )
    )
    tensors = slice(0, plain.program.address)
    for found in (banked, held_up):
        np.testing.assert_array_equal(found.dram[tensors], fixed.dram[tensors])
        assert found.dram_counters.reads > 0
        assert found.dram_counters.writes > 0
        assert (found.read_bytes, found.written_bytes) == (fixed.read_bytes, fixed.written_bytes)
    assert len({fixed.cycles, banked.cycles, held_up.cycles}) == 3
    assert fixed.dram_counters.reads == 0

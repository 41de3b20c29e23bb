"""The memory of a system on chip, alone and behind the simulated accelerator."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import armillary.evaluators.gemmini
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.soc import PACKED, Soc
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import Moves, barrier, end
from armillary.hardware.rtl.gemmini.compiler import Program, RefusedError, Shape, compile_layer, program_bytes
from evaluators.gemmini.random_programs import ACCELERATORS, cases

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

HEADER = Path(armillary.evaluators.gemmini.__file__).parent
# 2 sets of 2 lines of 64 bytes before 2 banks with rows of 256 bytes.
TINY = Soc(
    beat_cycles=1.5, cache_bytes=256, cache_ways=2, cache_line_bytes=64, row_bytes=256, banks=2, row_hit_cycles=4.0,
    row_miss_cycles=60.0,
)  # fmt: skip
READ, WRITE = 0, 1


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    program = tmp_path_factory.mktemp("soc") / "driver"
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", f"-I{HEADER}"]
    subprocess.run(["g++", *flags, str(Path(__file__).with_name("soc_driver.cpp")), "-o", str(program)], check=True)
    return program


def played(driver, packed, requests, beat_bytes=16):
    """Return the parameters as C++ sees them, the time between beats, and when each request is served, in cycles."""
    head = np.array([beat_bytes, len(requests)], dtype=np.int64)
    given = packed.tobytes() + head.tobytes() + np.array(requests, dtype=np.int64).tobytes()
    out = subprocess.run([driver], input=given, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    values = np.frombuffer(out, dtype=np.int64)
    names = len(PACKED)
    return values[:names], values[names] / 1024, values[names + 1 :] / 1024


def served(driver, requests, soc=TINY):
    scaled = [(int(now * 1024), *rest) for now, *rest in requests]
    return played(driver, soc.packed(), scaled)[2].tolist()


def test_both_languages_have_the_same_parameters_in_the_same_order(driver):
    given = np.array([2, 16, 3, 64, 5, 256, 7, 1536, 4096, 61440])
    assert played(driver, given, [])[0].tolist() == given.tolist()


def test_each_parameter_is_packed_under_its_name():
    found = dict(zip(PACKED, Soc().packed().tolist(), strict=True))
    assert found == {
        "kind": 2,
        "beat_bytes": 16,
        "ways": 8,
        "line_bytes": 128,
        "sets": 4096,
        "row_bytes": 8192,
        "banks": 32,
        "beat_time": 1536,
        "row_hit_time": 4096,
        "row_miss_time": 60 * 1024,
    }


def test_a_narrower_bus_moves_its_beats_as_fast_in_bytes(driver):
    assert [played(driver, TINY.packed(), [], beat_bytes=b)[1] for b in (16, 8, 4)] == [1.5, 0.75, 0.375]


def test_a_line_is_filled_once(driver):
    assert served(driver, [(0, READ, 0, 64), (100, READ, 0, 64), (200, READ, 48, 16)]) == [60, 100, 200]


def test_lines_of_an_open_row_are_hits(driver):
    assert served(driver, [(0, READ, 0, 64), (100, READ, 64, 64), (200, READ, 128, 128)]) == [60, 104, 208]


def test_one_bank_keeps_one_row_open(driver):
    # rows 0 and 1 lie in banks of their own, row 2 in the bank of row 0
    found = served(driver, [(0, READ, 0, 16), (100, READ, 256, 16), (200, READ, 64, 16), (300, READ, 512, 16),
                            (400, READ, 192, 16)])  # fmt: skip
    assert found == [60, 160, 204, 360, 460]


def test_requests_wait_for_all_before_them_reads_and_writes_alike(driver):
    # 60 for the line, 4 beats of 1.5 for its bytes
    assert served(driver, [(0, READ, 0, 64), (1, WRITE, 0, 32), (2, READ, 0, 16)]) == [60, 66, 69]
    assert served(driver, [(0, READ, 0, 16), (0, READ, 8, 17), (0, READ, 0, 16)]) == [60, 61.5, 64.5]


def test_the_line_used_least_recently_is_replaced(driver):
    # lines 0, 2 and 4 share a set of two; 0 is used again before 4 comes
    lines = [0, 2, 0, 4, 0, 2]
    free = replace(TINY, beat_cycles=0.0, row_hit_cycles=10.0, row_miss_cycles=10.0)
    found = served(driver, [(100 * i, READ, 64 * line, 64) for i, line in enumerate(lines)], free)
    assert [time - 100 * i for i, time in enumerate(found)] == [10, 10, 0, 10, 0, 10]


def test_a_line_that_was_written_goes_back_when_it_is_replaced(driver):
    free = replace(TINY, beat_cycles=0.0, row_hit_cycles=10.0, row_miss_cycles=10.0)
    requests = [(WRITE, 0), (READ, 2), (READ, 4), (READ, 0), (READ, 2)]
    found = served(driver, [(100 * i, how, 64 * line, 64) for i, (how, line) in enumerate(requests)], free)
    # line 4 has 0 written back; 0 is clean when it comes again
    assert [time - 100 * i for i, time in enumerate(found)] == [10, 10, 20, 10, 10]


# Behind the accelerator: rows of 4 bytes, a beat each, 4 rows per request

ARRAY = replace(ACCELERATORS[0], dram_latency=9)
# Lines take so long that all commands have come before the first one has.
SLOW = Soc(beat_bytes=4, beat_cycles=1.0, row_hit_cycles=1000.0, row_miss_cycles=1000.0)


def load(address, rows=4):
    here = np.array([0])
    ranges = [(here, here + rows), (here, here), (here, here)]
    return Moves([], rows, here, np.array([address]), ranges).loads()[0]


def store(address, rows=4):
    here = np.array([0])
    ranges = [(here, here), (here, here), (here, here + rows)]
    return Moves([], rows, here, np.array([address]), ranges).stores(Conversion())[0]


def cycles(soc, *commands, accelerator=ARRAY):
    """Return what commands take, each after the one before."""
    words = np.concatenate([word for command in commands for word in (command, barrier())] + [end()])
    address = 1 << 16
    nothing = Shape(0, (1,), 4)
    program = Program(words, address, nothing, nothing, nothing, address + program_bytes(len(words)), 4, 4, 0)
    return simulate(simulator(accelerator), Job(accelerator, program, dram_model=soc)).cycles


@pytest.mark.parametrize("move", [load, store])
@pytest.mark.parametrize(
    ("addresses", "misses", "hits"),
    [
        ([0], 1, 0),
        ([0, 0], 1, 0),  # the line is there
        ([0, 112], 1, 0),
        ([0, 128], 1, 1),  # another line of the row
        ([0, 8192, 128], 2, 1),  # the rows have banks of their own
        ([0, 7 * 8192], 2, 0),
    ],
)
def test_what_lines_cost_is_added_to_the_time(move, addresses, misses, hits):
    commands = [move(address) for address in addresses]
    slower = replace(SLOW, row_hit_cycles=1004.0, row_miss_cycles=1060.0)
    costs = cycles(slower, *commands) - cycles(SLOW, *commands)
    assert costs == 60 * misses + 4 * hits


def test_beats_move_at_the_pace_of_the_bus():
    wide = replace(ARRAY, outstanding=8)
    found = [cycles(replace(SLOW, beat_cycles=c), load(0, 16), accelerator=wide) for c in (1.0, 1.5, 2.0)]
    # the last of 16 beats comes after 15 others
    assert [later - found[0] for later in found] == [0, 8, 15]


@pytest.mark.parametrize("move", [load, store])
def test_the_latency_is_the_accelerators(move):
    far = replace(ARRAY, dram_latency=109)
    # commands come later as well, once
    commands = cycles(SLOW, accelerator=far) - cycles(SLOW)
    assert commands == 100
    assert cycles(SLOW, move(0), accelerator=far) - cycles(SLOW, move(0)) == commands + 100


MANY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("accelerator", [ACCELERATORS[0], ACCELERATORS[2]], ids=["weights", "outputs"])
def test_loading_again_with_a_least_run_on_a_system_computes_what_numpy_does(accelerator):
    path = simulator(accelerator)
    ran = 0

    @MANY
    @given(case=cases(accelerator), least=st.sampled_from([0, 4, 9]), backpressure=st.sampled_from([0, 5]))
    def check(case, least, backpressure):
        nonlocal ran
        by = {"padding": case.padding, "requantization": case.requantization}
        try:
            program = compile_layer(case.layer, case.mapping, accelerator, reload=True, **by)
        except RefusedError:
            return
        inputs, weights = random_tensors(case.layer, case.padding, np.random.default_rng(ran))
        job = Job(
            accelerator, program, into_dram(program, inputs, weights), most_cycles=10_000_000, wants_dram=True,
            dram_model=TINY, least_run=least, backpressure=backpressure,
        )  # fmt: skip
        result = simulate(path, job)
        expected = convolved(case.layer, inputs, weights, case.padding, case.requantization)
        np.testing.assert_array_equal(from_dram(program, result.dram, case.layer.K), expected)
        assert result.busy + sum(result.stalls.values()) == result.cycles
        ran += 1

    check()
    assert ran >= 15

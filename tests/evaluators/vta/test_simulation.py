"""The hardware, simulated: bit for bit what the reference says, in the cycles of the schedule."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.simulated import RunError
from armillary.evaluators.vta.layer_run import checked, padding_of, random_tensors, requantization_of
from armillary.evaluators.vta.schedule import scheduled
from armillary.evaluators.vta.simulation import DeadlockError, Dram, simulate
from armillary.evaluators.vta.tiling import best_program
from armillary.hardware.rtl.vta.commands import Alu, Gemm, Move, encoded
from armillary.hardware.rtl.vta.compiler import Tiling, compile_layer
from armillary.hardware.rtl.vta.machine import Machine
from armillary.hardware.rtl.vta.shape import Padding, Shape
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from evaluators.vta.random_programs import PROGRAM, random_program
from hardware.rtl.vta.accelerators import FEW, MIXED, SMALL
from hardware.rtl.vta.layers import expected, some_requantization, some_shape, some_tiling, tensors

MEMORIES = (Dram(8, 64), Dram(50, 4), Dram(300, 1))


def check_program(accelerator, seed, count=40):
    rng = np.random.default_rng(seed)
    commands, dram = random_program(accelerator, rng, count)
    memory = MEMORIES[seed % len(MEMORIES)]
    found = simulate(accelerator, dram, PROGRAM, memory, seed=seed)
    slower = simulate(accelerator, dram, PROGRAM, memory, seed=seed + 1, pauses=seed + 1)
    reference = dram.copy()
    Machine(accelerator, reference).run(commands)
    for run in (found, slower):
        assert np.array_equal(run.dram, reference), np.flatnonzero(run.dram != reference)[:8]
    schedule = scheduled(accelerator, commands, memory)
    assert (found.cycles, found.multiplied) == (schedule.cycles, schedule.multiplied)
    assert (found.dram_bytes, found.command_bytes) == (schedule.dram_bytes, schedule.command_bytes)
    assert slower.cycles > found.cycles


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", list(FEW))
def test_any_program_does_what_the_reference_does_when_the_schedule_says(name, seed):
    check_program(FEW[name], seed)


def check_layer(accelerator, seed):
    rng = np.random.default_rng(seed)
    shape = some_shape(accelerator, rng)
    tiling = some_tiling(shape, rng)
    if tiling is None:
        return
    how = some_requantization(accelerator, rng)
    program = compile_layer(shape, tiling, how)
    given = tensors(shape, rng)
    memory = MEMORIES[seed % len(MEMORIES)]
    for pauses in (0, seed + 1):
        found = simulate(accelerator, program.dram(*given), program.addresses["program"], memory, pauses=pauses)
        assert np.array_equal(program.outputs(found.dram), expected(shape, how, *given)), (shape.layer, tiling)
        if not pauses:
            assert found.cycles == scheduled(accelerator, program.commands, memory).cycles


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", list(FEW))
def test_a_compiled_layer_computes_what_numpy_does_when_the_schedule_says(name, seed):
    check_layer(FEW[name], seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
@pytest.mark.parametrize("name", list(FEW))
def test_many_programs_and_layers(name, seed):
    check_program(FEW[name], seed, count=120)
    check_layer(FEW[name], seed)


LAYER = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3, bias=True)


def test_two_threads_load_while_they_compute():
    shape, memory = Shape(LAYER, padding_of(LAYER, "same"), SMALL), Dram(60, 4)
    how = requantization_of(LAYER, SMALL)
    tiles = Tiling(1, 1, 2, 4)
    single, double = (compile_layer(shape, replace(tiles, threads=threads), how) for threads in (1, 2))
    first, second = (checked(program, how, memory) for program in (single, double))
    assert first.multiplied == second.multiplied
    assert second.cycles < 0.85 * first.cycles
    assert best_program(shape, how, memory).schedule.cycles <= second.cycles
    assert best_program(shape, how, memory, threads=1).program.tiling.threads == 1


def with_commands(program, commands):
    dram_bytes = program.addresses["program"] + encoded(commands).nbytes + 512
    return replace(program, commands=tuple(commands), words=encoded(commands), dram_bytes=dram_bytes)


def test_a_load_that_does_not_wait_for_its_token_spoils_the_outputs():
    shape, how = Shape(LAYER, Padding(), SMALL), requantization_of(LAYER, SMALL)
    program = compile_layer(shape, Tiling(2, 1, 2, 4), how)
    checked(program, how, Dram(8, 4))
    hasty = [replace(c, takes_next=False) if isinstance(c, Move) else c for c in program.commands]
    with pytest.raises(RunError, match=r"layer conv: output\[0, \d, \d, \d\] is -?\d+, the reference says"):
        checked(with_commands(program, hasty), how, Dram(8, 4))


def run(accelerator, commands, **options):
    dram = np.concatenate([np.zeros(1024, dtype=np.uint8), encoded(commands).view(np.uint8), np.zeros(512, np.uint8)])
    return simulate(accelerator, dram, 1024, Dram(), **options)


@pytest.mark.parametrize(
    ("commands", "waiting"),
    [
        ([Gemm(uop=0, takes_previous=True)], "compute"),
        ([Move(memory="input", tile=0, address=0, columns=1, takes_next=True), Alu(uop=0, operation="max")], "load"),
        ([Move(memory="output", tile=0, address=0, columns=1, takes_previous=True), Gemm(uop=0, takes_next=True)],
         "compute', 'store"),
    ],
)  # fmt: skip
def test_a_deadlock_is_told(commands, waiting):
    with pytest.raises(DeadlockError, match=rf"deadlock in cycle \d+: \['{waiting}'\] wait for tokens"):
        run(SMALL, commands)
    with pytest.raises(DeadlockError, match="deadlock: modules wait for tokens that no module will send"):
        scheduled(SMALL, commands, Dram())


def test_commands_that_fill_a_queue_keep_back_the_token_that_would_empty_it():
    """The program's order matters as well: what sends a token must not stand behind too many that wait for it."""
    load = Move(memory="input", tile=0, address=0, columns=1, takes_next=True)
    compute = Gemm(uop=0, clears=True, sends_previous=True)
    for waiting, ends in ((17, True), (18, False)):  # one lies on the output of the queue of 16
        commands = [load] * waiting + [compute] * waiting
        if ends:
            assert run(SMALL, commands).cycles == scheduled(SMALL, commands, Dram()).cycles
        else:
            with pytest.raises(DeadlockError, match=r"\['load'\] wait"):
                run(SMALL, commands)
            with pytest.raises(DeadlockError):
                scheduled(SMALL, commands, Dram())


def test_a_run_that_goes_wrong_says_how():
    with pytest.raises(RunError, match="not done after 20 cycles"):
        run(SMALL, [Gemm(uop=0)], most_cycles=20)
    with pytest.raises(RunError, match="a burst left the 2320 bytes of DRAM"):
        run(SMALL, [Move(memory="input", tile=0, address=4096, columns=1)])


@pytest.mark.parametrize(
    ("values", "message"),
    [({"latency": 7}, "latency=7 is not allowed; it must be 8 to 10000"), ({"bytes_per_cycle": 3}, "a power of two")],
)
def test_a_memory_that_the_schedule_does_not_know_is_refused(values, message):
    with pytest.raises(ArmillaryError, match=message):
        Dram(**values)


def test_requantisation_spreads_outputs():
    for accelerator in (SMALL, MIXED):
        layer = Layer("l", "gemm", K=64, C=64, P=64)
        how = requantization_of(layer, accelerator)
        shape = Shape(layer, Padding(), accelerator)
        values = expected(shape, how, *random_tensors(shape, np.random.default_rng(0)))
        assert 0.4 < (values > 0).mean() < 0.7
        assert 0.05 < (values == how.high).mean() < 0.25

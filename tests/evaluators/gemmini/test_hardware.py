"""The hardware computes what NumPy computes, and both simulators take the same cycles."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.rtl.gemmini.compiler import RefusedError, compile_layer
from evaluators.gemmini.random_programs import ACCELERATORS, cases

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=12)
SEEDS = 1, 2, 3


def named(accelerator):
    return f"{accelerator.dataflow}-{accelerator.dim}-{accelerator.bus_bytes}"


def programs(accelerator):
    return [simulator(accelerator, full=full) for full in (False, True)]


@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=named)
def test_both_builds_compute_what_numpy_does_in_the_same_cycles(accelerator):
    fast, full = programs(accelerator)
    ran = 0

    @MANY
    @given(
        case=cases(accelerator),
        latency=st.sampled_from([0, 7, 60]),
        bandwidth=st.sampled_from([1, 2, 8]),
        seed=st.integers(0, 1000),
        backpressure=st.sampled_from([0, 0, 1, 2]),
    )
    def check(case, latency, bandwidth, seed, backpressure):
        nonlocal ran
        slower = replace(accelerator, dram_latency=latency, dram_bytes_per_cycle=bandwidth)
        try:
            program = compile_layer(
                case.layer, case.mapping, slower, padding=case.padding, requantization=case.requantization
            )
        except RefusedError:
            return
        inputs, weights = random_tensors(case.layer, case.padding, np.random.default_rng(seed))
        dram = into_dram(program, inputs, weights)
        job = Job(slower, program, dram, most_cycles=10_000_000, wants_dram=True, backpressure=backpressure)
        results = [simulate(path, job) for path in (fast, full)]
        expected = convolved(case.layer, inputs, weights, case.padding, case.requantization)
        for result in results:
            np.testing.assert_array_equal(from_dram(program, result.dram, case.layer.K), expected)
            assert result.busy + sum(result.stalls.values()) == result.cycles
        assert results[0].cycles == results[1].cycles
        assert results[0].stalls == results[1].stalls
        ran += 1

    check()
    assert ran >= 35


def of_values_at_start(accelerator, full):
    """Check that a simulator whose registers and memories start at random does what the plain one does."""
    plain, random = (simulator(accelerator, full=full, unknown=unknown) for unknown in ("fast", "unique"))
    assert plain != random
    ran = 0

    @FEW
    @given(case=cases(accelerator), latency=st.sampled_from([0, 60]), bandwidth=st.sampled_from([1, 8]))
    def check(case, latency, bandwidth):
        nonlocal ran
        slower = replace(accelerator, dram_latency=latency, dram_bytes_per_cycle=bandwidth)
        given_by = {"padding": case.padding, "requantization": case.requantization}
        try:
            program = compile_layer(case.layer, case.mapping, slower, **given_by)
        except RefusedError:
            return
        inputs, weights = random_tensors(case.layer, case.padding, np.random.default_rng(ran))
        job = Job(slower, program, into_dram(program, inputs, weights), most_cycles=10_000_000, wants_dram=True)
        expected = simulate(plain, job)
        for seed in SEEDS:
            found = simulate(random, job, seed=seed)
            np.testing.assert_array_equal(found.dram, expected.dram)
            assert (found.cycles, found.busy, found.stalls) == (expected.cycles, expected.busy, expected.stalls)
        ran += 1

    check()
    assert ran >= 8


@pytest.mark.parametrize(("accelerator", "full"), [(ACCELERATORS[0], True), (ACCELERATORS[2], False)])
def test_what_registers_and_memories_hold_at_the_start_does_not_matter(accelerator, full):
    of_values_at_start(accelerator, full)


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=named)
def test_what_is_held_at_the_start_does_not_matter_on_any_accelerator(accelerator, full):
    of_values_at_start(accelerator, full)

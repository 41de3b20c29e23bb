"""Layers on simulated hardware: every output is that of the reference, in the cycles of the schedule."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.evaluators.genesys import simulation
from armillary.evaluators.genesys.simulation import checked, random_tensors
from armillary.evaluators.simulated import RunError
from armillary.hardware.rtl.genesys.behind import ACTIVATIONS, passes
from armillary.hardware.rtl.genesys.compiler import compile_layer
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.templates.genesys import Accelerator
from armillary.workloads.layer import Layer
from evaluators.genesys.test_vector_programs import TINY, WIDE

LAYERS = (
    Layer("gemm", "gemm", K=40, C=70, P=30),
    Layer("conv", "conv", K=9, C=6, P=7, Q=5, R=3, S=3, bias=True),
    Layer("strided", "conv", N=2, K=8, C=10, P=4, Q=9, R=3, S=2, stride_h=2, stride_w=3, dilation_h=2, dilation_w=2),
    Layer("depthwise", "depthwise", K=6, C=6, P=5, Q=5, R=3, S=3, groups=6, bias=True),
    Layer("dense", "gemm", K=12, C=37, P=2, bias=True),  # blocks shorter than the array
    Layer("outputs", "gemm", K=96, C=8, P=30),  # the vector unit takes longer than the array
    Layer("grouped", "conv", K=12, C=18, P=3, Q=6, groups=3, bias=True),
)


def check(accelerator, layer, activation="relu", latency=20, seed=0):
    """A layer's outputs and cycles, then its outputs with ports that are held up."""
    compiled = compile_layer(layer, accelerator, passes(activation, layer, accelerator))
    tensors = random_tensors(compiled, accelerator, np.random.default_rng(seed))
    found = checked(compiled, accelerator, tensors, latency=latency, most_cycles=10**7, seed=seed)
    planned = scheduled(compiled.program, accelerator, latency)
    assert found.cycles == planned.cycles
    for counter in ("load_cycles", "array_cycles", "vector_cycles", "beats_written"):
        assert getattr(found, counter) == getattr(planned, counter)
    held = checked(compiled, accelerator, tensors, latency=latency, most_cycles=10**7, seed=seed + 1, pauses=seed + 1)
    assert held.cycles > found.cycles
    return found.cycles


@pytest.mark.parametrize("accelerator", [WIDE, TINY])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_outputs_are_the_reference_and_cycles_the_schedule(accelerator, layer):
    check(accelerator, layer)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    check(WIDE, LAYERS[1], activation, latency=1, seed=3)
    check(TINY, LAYERS[-1], activation, latency=300, seed=4)


@st.composite
def layers(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 5]))
    size = {name: draw(st.integers(1, most)) for name, most in (("P", 9), ("Q", 9), ("R", 3), ("S", 3), ("N", 2))}
    steps = {name: draw(st.integers(1, 2)) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    channels = {"K": groups * draw(st.integers(1, 20)), "C": groups * draw(st.integers(1, 20))}
    return Layer("drawn", "conv", **size, **steps, **channels, groups=groups, bias=draw(st.booleans()))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(layers(), st.sampled_from([WIDE, TINY]), st.sampled_from(ACTIVATIONS), st.integers(1, 60))
def test_any_layer(layer, accelerator, activation, latency):
    check(accelerator, layer, activation, latency)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_any_accelerator(seed):
    rng = np.random.default_rng(seed)
    array = int(rng.choice([2, 4, 8, 16]))

    def kib(least):
        return int(2 ** rng.integers(0, 3) * max(1, least))

    widths = [int(rng.choice([4, 8])) for _ in range(2)]
    wide = array * 16 * 4 // 1024
    sizes = kib(1), kib(16 * array * array // 1024), kib(wide), kib(wide), kib(wide)
    accelerator = Accelerator(array, *widths, *sizes, int(rng.choice([32, 64, 128, 256, 512])))
    for layer in LAYERS:
        check(accelerator, layer, str(rng.choice(ACTIVATIONS)), int(rng.integers(1, 80)), seed)


def test_a_result_that_differs_is_an_error(monkeypatch):
    compiled = compile_layer(LAYERS[0], WIDE, passes("relu", LAYERS[0], WIDE))
    tensors = random_tensors(compiled, WIDE, np.random.default_rng(0))
    wrong = replace(tensors, weights=tensors.weights.copy())
    right = simulation.into_dram(compiled, WIDE, tensors)
    wrong.weights[7, 3] = -wrong.weights[7, 3] - 1
    monkeypatch.setattr(simulation, "into_dram", lambda *_: right)
    with pytest.raises(RunError, match=r"layer gemm: output\[0, 7, \d+, 0\] is .*, the reference says"):
        checked(compiled, WIDE, wrong, latency=20)


def test_a_run_without_an_end_is_an_error():
    compiled = compile_layer(LAYERS[0], WIDE, passes("relu", LAYERS[0], WIDE))
    tensors = random_tensors(compiled, WIDE, np.random.default_rng(0))
    with pytest.raises(RunError, match="not done after 100 cycles"):
        checked(compiled, WIDE, tensors, latency=20, most_cycles=100)


def test_a_busy_array_starts_a_word_in_nearly_every_cycle():
    """Loads and the vector unit work beside the array, whose blocks follow each other without a gap."""
    accelerator = Accelerator(16)
    layer = Layer("conv", "conv", K=64, C=64, P=14, Q=14, R=3, S=3)
    compiled = compile_layer(layer, accelerator, passes("relu", layer, accelerator))
    planned = scheduled(compiled.program, accelerator, 40)
    assert 0.85 * planned.cycles < planned.array_cycles <= planned.cycles

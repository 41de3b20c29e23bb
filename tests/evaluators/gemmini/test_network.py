"""Whole networks on the simulated hardware, every tensor compared with ONNX Runtime's."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.network import in_whole_rows, mapping_in_whole_rows, run_network, step_cycles
from armillary.evaluators.gemmini.simulation import Event
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.executing import differing
from armillary.workloads.quantized.quantizing import calibrated, quantized
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.runtime import reference
from evaluators.gemmini.random_programs import ACCELERATORS
from workloads.quantized.small_networks import inverted_residual, random_network, residual_block

NAMES = [f"{a.dim} {a.dataflow}" for a in ACCELERATORS]
MOST_CYCLES = 5_000_000


def network_of(builder, folder):
    floats = read_network(builder.save(folder / "net.onnx"))
    return quantized(floats, calibrated(floats))


def check(accelerator, network, seed=0, **more):
    image = np.random.default_rng(seed).integers(-128, 128, network.inputs.shape).astype(np.int8)
    found = run_network(accelerator, network, image, seed=seed, most_cycles=MOST_CYCLES, **more)
    assert not differing(found.tensors, reference(network, image))
    assert sum(found.cycles) == found.result.cycles
    assert min(found.cycles) > 0
    return found


@pytest.mark.parametrize("build", [residual_block, inverted_residual])
@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=NAMES)
def test_blocks_of_networks_are_bit_exact(accelerator, build, tmp_path):
    network = network_of(build(1), tmp_path)
    found = check(accelerator, network)
    convolutions = [step.kind == "conv" for step in network.steps]
    assert [bool(text) for text in found.mappings] == convolutions


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_are_bit_exact_under_backpressure(seed, tmp_path):
    check(ACCELERATORS[seed % 4], network_of(random_network(100 + seed), tmp_path), seed, backpressure=seed)


def test_every_multiplier_as_hardware_changes_nothing(tmp_path):
    network = network_of(residual_block(), tmp_path)
    plain = check(ACCELERATORS[0], network)
    full = check(ACCELERATORS[0], network, full=True)
    assert full.cycles == plain.cycles


def test_a_memory_too_small_for_a_step_is_named(tmp_path):
    small = Accelerator(dim=4, scratchpad_kib=1, accumulator_kib=1, bus_bytes=4)
    network = network_of(residual_block(), tmp_path)
    tiny = replace(network, steps=(replace(network.steps[1], window=replace(network.steps[1].window, kernel=(9, 9))),))
    image = np.zeros(network.inputs.shape, dtype=np.int8)
    with pytest.raises(TooSmallError, match="accumulator rows overflow"):
        run_network(small, tiny.__class__(tiny.name, network.steps[1].inputs, tiny.steps), image)


@pytest.mark.parametrize("accelerator", ACCELERATORS[::2], ids=NAMES[::2])
@pytest.mark.parametrize(
    "layer",
    [
        Layer("plain", "conv", K=8, C=12, P=5, Q=5, R=3, S=3),
        Layer("groups", "conv", K=24, C=24, P=8, Q=8, R=3, S=3, groups=6),
        Layer("gemm", "gemm", K=64, C=128),
    ],
    ids=lambda layer: layer.name,
)
def test_mappings_have_whole_rows(accelerator, layer):
    mapping = mapping_in_whole_rows(accelerator, layer, budget=500)
    assert not list(mapping.faults(accelerator.hierarchy(), layer))
    assert [(loop.dimension, loop.factor) for loop in mapping.levels[1].spatial] == [("K", 4)]
    if accelerator.stationary == "W":
        assert [(loop.dimension, loop.factor) for loop in mapping.levels[2].spatial] == [("C", 4)]
    else:
        assert all(loop.factor % 4 == 0 for loop in mapping.levels[3].temporal if loop.dimension == "C")
        assert "C" in [loop.dimension for loop in mapping.levels[3].temporal]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("L3[WIO] K4 - L2[WI] C2 K1X - L1[O] K2 C2 - L0[W] N1", "L3[WIO] K2 - L2[WI] K4X - L1[O] C4X - L0[W] N1"),
        ("L3[WIO] K4 C2 - L2[WI] K3X - L1[O] C3X - L0[W] C2", "L3[WIO] N1 - L2[WI] K3 K4X - L1[O] C3 C4X - L0[W] N1"),
    ],
)
def test_what_a_row_lacks_comes_from_the_innermost_loops(text, found):
    assert str(in_whole_rows(Mapping.parse(text), ACCELERATORS[0])) == found


def test_short_tiles_are_avoided():
    """The cost model alone would choose a tile per pixel."""
    accelerator = Accelerator()
    layer = Layer("expand", "conv", K=96, C=16, P=112, Q=112)
    mapping = mapping_in_whole_rows(accelerator, layer, budget=2000)
    tiles = np.prod([loop.factor for level in mapping.levels[:2] for loop in level.temporal])
    assert tiles <= layer.macs / accelerator.dim**2 / 128


def test_the_cycles_of_a_step_end_with_its_last_command():
    events = [
        Event("load", 0, 10), Event("execute", 10, 20), Event("store", 20, 35),  # the first step
        Event("load", 36, 50), Event("load", 40, 60), Event("store", 60, 71),
        Event("load", 72, 80), Event("execute", 80, 90), Event("store", 90, 99),
    ]  # fmt: skip
    ordered = sorted(events, key=lambda event: event.first)
    assert step_cycles([(1, 1, 1), (2, 0, 1), (1, 1, 1)], ordered, 105) == (35, 36, 34)

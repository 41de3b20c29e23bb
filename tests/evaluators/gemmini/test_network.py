"""Whole networks on the simulated hardware, every tensor compared with ONNX Runtime's."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.network import (
    in_whole_rows,
    mapping_in_whole_rows,
    pooled_on_the_way,
    run_network,
    step_cycles,
)
from armillary.evaluators.gemmini.simulation import Event
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.executing import differing
from armillary.workloads.quantized.quantizing import calibrated, quantized
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.runtime import reference
from armillary.workloads.quantized.step import IntegerNetwork, Step, TensorInfo, Window
from evaluators.gemmini.random_programs import ACCELERATORS
from workloads.quantized.small_networks import (
    Builder,
    activated_network,
    inverted_residual,
    random_network,
    residual_block,
    transposed_products,
)

NAMES = [f"{a.dim} {a.dataflow}" for a in ACCELERATORS]
MOST_CYCLES = 5_000_000


def network_of(builder, folder):
    floats = read_network(builder.save(folder / "net.onnx"))
    return quantized(floats, calibrated(floats))


def check(accelerator, network, seed=0, **more):
    image = np.random.default_rng(seed).integers(-128, 128, network.inputs.shape).astype(np.int8)
    found = run_network(accelerator, network, image, seed=seed, most_cycles=MOST_CYCLES, **more)
    assert not differing(found.tensors, reference(found.network, image))
    assert sum(found.cycles) == found.result.cycles
    assert min(found.cycles) > 0
    return found


@pytest.mark.parametrize("build", [residual_block, inverted_residual])
@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=NAMES)
def test_blocks_of_networks_are_bit_exact(accelerator, build, tmp_path):
    network = network_of(build(1), tmp_path)
    found = check(accelerator, network)
    convolutions = [step.kind == "conv" for step in found.network.steps]
    assert [bool(text) for text in found.mappings] == convolutions


@pytest.mark.parametrize("accelerator", [*ACCELERATORS, replace(ACCELERATORS[2], dataflow="both")])
def test_products_of_matrices_that_lie_transposed_are_bit_exact(accelerator, tmp_path):
    network = network_of(transposed_products(), tmp_path)
    assert [step.transposed for step in network.steps] == [True, True, False]
    check(accelerator, network)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_are_bit_exact_under_backpressure(seed, tmp_path):
    check(ACCELERATORS[seed % 4], network_of(random_network(100 + seed), tmp_path), seed, backpressure=seed)


@pytest.mark.parametrize(("accelerator", "seed"), [(0, 0), (1, 1), (2, 2), (0, 3)])
def test_activations_are_bit_exact_under_backpressure(accelerator, seed, tmp_path):
    with_tables = replace(ACCELERATORS[accelerator], activation_tables=1)
    network = network_of(activated_network(seed), tmp_path)
    found = check(with_tables, network, seed, backpressure=seed)
    assert [step.table is not None for step in found.network.steps if step.kind == "lookup"] == [True]
    assert sum(step.table is not None for step in found.network.steps) == 4


def test_an_accelerator_without_tables_refuses_them(tmp_path):
    network = network_of(activated_network(0), tmp_path)
    message = r"node_conv_0: activation_tables=0 is not allowed for a step with a table; it must be 1"
    with pytest.raises(ArmillaryError, match=message):
        run_network(ACCELERATORS[0], network, np.zeros(network.inputs.shape, dtype=np.int8))


def pooling_network(seed, *, pool=((2, 2), (2, 2), (0, 0, 0, 0))):
    net = Builder((2, 3, 12, 14), seed)
    net.conv(10, (3, 3), pads=(1, 1, 1, 1))
    net.node("Relu")
    net.pool("MaxPool", pool[0], strides=pool[1], pads=pool[2])
    net.conv(6, (3, 3), groups=2, pads=(1, 1, 1, 1))
    net.pool("MaxPool", (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    net.gemm(7)
    return net


APART = [("conv", False), ("max_pool", False)]


@pytest.mark.parametrize(
    ("accelerator", "pool", "first"),
    [
        (0, ((2, 2), (2, 2), (0, 0, 0, 0)), [("conv", True)]),
        (3, ((2, 2), (2, 2), (0, 0, 0, 0)), [("conv", True)]),
        (1, ((3, 2), (3, 2), (1, 1, 1, 0)), [*APART, ("conv", True)]),  # the last one overlaps, and is cut off
    ],
)
def test_convolutions_are_pooled_on_the_way_out(accelerator, pool, first, tmp_path):
    network = network_of(pooling_network(accelerator, pool=pool), tmp_path)
    found = check(ACCELERATORS[accelerator], network, backpressure=accelerator)
    kinds = [(step.kind, step.pool is not None) for step in found.network.steps]
    assert kinds[: len(first)] == first
    there = {step.output.name for step in found.network.steps}
    assert there < {step.output.name for step in network.steps}
    assert set(found.tensors) == there | {"image"}


def test_pooling_on_the_way_out_is_faster_and_writes_less(tmp_path, monkeypatch):
    network = network_of(pooling_network(0), tmp_path)
    accelerator = replace(ACCELERATORS[0], outstanding=16, accumulator_kib=16)
    together = check(accelerator, network)
    monkeypatch.setattr("armillary.evaluators.gemmini.network.pooled_on_the_way", lambda _, network, seed: network)
    apart = check(accelerator, network)
    assert together.result.cycles < apart.result.cycles
    assert together.result.written_bytes < 0.6 * apart.result.written_bytes


def test_windows_that_no_tile_holds_are_a_step_of_their_own():
    image = TensorInfo("image", (1, 4, 40, 40), 1.0)
    middle, output = TensorInfo("x", (1, 4, 40, 40), 1.0), TensorInfo("y", (1, 4, 20, 20), 1.0)
    conv = Step("c", "conv", image, middle, weights=np.ones((4, 4, 1, 1), np.int8), bias=np.zeros(4, np.int32))
    pools = [
        Step("p", "max_pool", middle, output, Window(kernel, (2, 2), pads))
        for kernel, pads in (((2, 2), (0, 0, 0, 0)), ((3, 3), (1, 1, 1, 1)))
    ]
    networks = [IntegerNetwork("n", image, (conv, pool)) for pool in pools]
    counts = [len(pooled_on_the_way(ACCELERATORS[0], network).steps) for network in networks]
    assert counts == [1, 2]


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

"""Tensors whose channels lie together, biases and added tensors, on the simulated hardware."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.tensors import summed
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.arithmetic import Conversion, converted
from armillary.hardware.rtl.gemmini.commands import Scaled, end
from armillary.hardware.rtl.gemmini.compiler import (
    Padding,
    Placement,
    Program,
    Shape,
    compile_layer,
    program_bytes,
)
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

WEIGHTS = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=2, bus_bytes=4, burst_rows=8, outstanding=4)
OUTPUTS = replace(WEIGHTS, dataflow="output_stationary", accumulator_kib=4, bus_bytes=2)
MAPPINGS = {
    "weight_stationary": "L3[WIO] K3 P3 C2 - L2[WI] N1 K4,2X - L1[O] C2,1 R3 S3 C4X - L0[W] P3,1 Q7",
    "output_stationary": "L3[WIO] K3 P3 C3 - L2[WI] N1 K4,2X - L1[O] P3,1 Q2 Q4,3X - L0[O] R3 S3 C4",
}
LAYER = Layer("conv", "conv", K=10, C=12, P=7, Q=7, R=3, S=3)


def interleaved(address, channels, height, width, row=4, images=1):
    """The shape of a tensor whose pixels have all their channels together."""
    blocks = -(-channels // row)
    pixel = blocks * row
    apart = (pixel, row, height * width * pixel, width * pixel, pixel)
    return Shape(address, (1, blocks, images, height, width), row, apart)


def put(dram, shape, tensor):
    """Write a tensor of shape [N, C, H, W]."""
    n, c, h, w = tensor.shape
    pixel = shape.counts[1] * shape.row_bytes
    whole = np.zeros((n, h, w, pixel), dtype=np.int8)
    whole[..., :c] = tensor.transpose(0, 2, 3, 1)
    dram[shape.address : shape.address + whole.size] = whole.view(np.uint8).reshape(-1)


def got(dram, shape, channels):
    _, blocks, n, h, w = shape.counts
    whole = dram[shape.address : shape.address + n * h * w * blocks * shape.row_bytes].view(np.int8)
    return whole.reshape(n, h, w, -1).transpose(0, 3, 1, 2)[:, :channels]


def bytes_of(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def run(accelerator, words, dram, seed=0):
    """Run commands on a DRAM that holds some bytes, and return it afterwards."""
    at = -(-len(dram) // 256) * 256
    stream = np.concatenate([words, end()])
    nowhere = Shape(0, (0,) * 5, 4)
    program = Program(stream, at, nowhere, nowhere, nowhere, at + program_bytes(len(stream)), 4, 4, 0)
    job = Job(accelerator, program, dram, most_cycles=2_000_000, wants_dram=True, backpressure=seed)
    return simulate(simulator(accelerator), job).dram


@pytest.mark.parametrize("backpressure", [0, 3, 11])
@pytest.mark.parametrize("accelerator", [WEIGHTS, OUTPUTS], ids=lambda a: a.dataflow)
def test_a_layer_with_biases_and_an_added_tensor_takes_and_leaves_pixels_with_their_channels(accelerator, backpressure):
    rng = np.random.default_rng(backpressure)
    inputs, weights = bytes_of(rng, 1, 12, 7, 7), bytes_of(rng, 10, 12, 3, 3)
    bias, residual = rng.integers(-(1 << 16), 1 << 16, 12).astype(np.int32), bytes_of(rng, 1, 10, 7, 7)
    bias[10:] = 0
    padding, scaled = Padding(1, 1, 1, 1), Scaled(201, 3)
    conversion = Conversion(float(np.float32(3.7e-4)), floating=True, low=0, high=101)
    shapes = [interleaved(at, channels, 7, 7) for at, channels in ((0, 12), (1024, 10), (2048, 10))]
    placement = Placement(inputs=shapes[0], outputs=shapes[1], address=8192, bias=4096, added=shapes[2], scaled=scaled)
    program = compile_layer(
        LAYER, Mapping.parse(MAPPINGS[accelerator.dataflow]), accelerator, padding=padding, conversion=conversion,
        placement=placement,
    )  # fmt: skip
    dram = np.zeros(program.address, dtype=np.uint8)
    put(dram, shapes[0], inputs)
    put(dram, shapes[2], residual)
    dram[4096 : 4096 + 48] = bias.view(np.uint8)
    blocks, rows = program.weights.counts[1], program.weights.counts[2:]
    packed = np.zeros((blocks, *rows, 4), dtype=np.int8)
    for k in range(10):
        packed[k // 4, :3, :3, :12, k % 4] = weights[k].transpose(1, 2, 0)
    dram[program.weights.address : program.weights.end] = packed.view(np.uint8).reshape(-1)

    after = run(accelerator, program.words[:-1], dram, backpressure)
    sums = summed(LAYER, inputs, weights, padding) + bias[None, :10, None, None]
    sums = sums + (residual.astype(np.int32) * scaled.scale << scaled.shift)
    expected = converted(sums.astype(np.int32), conversion)
    np.testing.assert_array_equal(got(after, shapes[1], 10), expected)
    assert len(np.unique(expected)) > 20
    assert (got(after, shapes[1], 12)[:, 10:] == converted(np.zeros(1, dtype=np.int32), conversion)).all()


def test_a_given_tensor_of_other_counts_is_refused():
    other = interleaved(0, 8, 5, 5)
    mapping = Mapping.parse(MAPPINGS["weight_stationary"])
    with pytest.raises(ArmillaryError, match=r"layer conv: the given inputs have \(1, 2, 1, 5, 5\) rows of 4 bytes"):
        compile_layer(LAYER, mapping, WEIGHTS, placement=Placement(inputs=other))

"""Programs of the vector unit alone, in hardware: bit for bit as their references, in the cycles of the schedule."""

import numpy as np
import pytest

from armillary.evaluators.genesys.simulation import simulate
from armillary.hardware.rtl.genesys.arithmetic import Op
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.rtl.genesys.tensors import packed, unpacked
from armillary.hardware.rtl.genesys.vector_programs import (
    Norm,
    Pool,
    elementwise,
    elementwise_of,
    layer_norm,
    layer_norm_of,
    pool,
    pooled,
    softmax,
    softmax_of,
)
from armillary.hardware.templates.genesys import Accelerator
from armillary.types import ArmillaryError

# Inputs of several beats a word, sums of more; words of a part of a beat, and blocks that wait for sums.
WIDE = Accelerator(8, 8, 4, 1, 1, 2, 1, 4, 32)
TINY = Accelerator(2, 4, 8, 1, 1, 1, 1, 1, 32)


def run(accelerator, program, *tensors, pauses=0):
    """Run a program on tensors of words, and return its output; its cycles are those of the schedule."""
    dram = np.zeros(program.dram_bytes, dtype=np.uint8)
    for tensor, values in zip(program.inputs, tensors, strict=True):
        data = packed(values, 8 * tensor.word_bytes // accelerator.array)
        assert data.shape == (*tensor.shape, tensor.word_bytes)
        dram[tensor.address : tensor.address + tensor.bytes] = data.ravel()
    dram[program.program_address :] = program.program.words.view(np.uint8)
    found = simulate(
        accelerator, dram, program.program_address, program.output, latency=11, most_cycles=100_000, pauses=pauses
    )
    if not pauses:
        planned = scheduled(program.program, accelerator, 11)
        assert (found.cycles, found.load_cycles) == (planned.cycles, planned.load_cycles)
        assert (found.vector_cycles, found.beats_written) == (planned.vector_cycles, planned.beats_written)
    return unpacked(found.dram.reshape(*program.output.shape, -1), accelerator.data_width)


def words_of(rows, array):
    """Return rows, shape [blocks * array, elements], as words, shape [blocks, elements, array]."""
    return rows.reshape(-1, array, rows.shape[1]).transpose(0, 2, 1)


def rows_of(words):
    return words.transpose(0, 2, 1).reshape(-1, words.shape[1])


def numbers(rng, accelerator, *shape):
    most = 1 << (accelerator.data_width - 1)
    return rng.integers(-most, most, size=shape)


@pytest.mark.parametrize(("accelerator", "scale"), [(WIDE, 1 / 16), (TINY, 0.5)])
def test_softmax(accelerator, scale):
    rng = np.random.default_rng(1)
    array = accelerator.array
    rows = numbers(rng, accelerator, 3 * array, 37)
    found = rows_of(run(accelerator, softmax(accelerator, 3, 37, scale), words_of(rows, array)))
    assert np.array_equal(found, softmax_of(rows, scale, accelerator.data_width))
    powers = np.exp(scale * rows)
    exact = powers / powers.sum(axis=1, keepdims=True) * 2 ** (accelerator.data_width - 1)
    assert np.abs(found - exact).max() < 0.55
    assert found.max() > 1


def test_layer_normalisation():
    rng = np.random.default_rng(2)
    norm = Norm(48, scale=32.0)
    rows = np.clip(
        rng.normal(rng.uniform(-30, 30, size=(16, 1)), rng.uniform(3, 40, size=(16, 1)), (16, 48)), -128, 127
    )
    rows = rows.round().astype(np.int64)
    factors, offsets = rng.integers(-8000, 8000, size=48), rng.integers(-4000, 4000, size=48)
    lanes = [np.repeat(values[:, None], 8, axis=1) for values in (factors, offsets)]
    found = rows_of(run(WIDE, layer_norm(WIDE, 2, norm), words_of(rows, 8), *lanes))
    assert np.array_equal(found, layer_norm_of(rows, factors, offsets, norm, 8))
    deviations = np.sqrt(rows.var(axis=1, keepdims=True) + norm.epsilon)
    exact = (rows - rows.mean(axis=1, keepdims=True)) / deviations * (factors / 4096) + offsets / 4096
    assert np.abs(found - np.clip(32 * exact, -128, 127)).max() < 1.5


@pytest.mark.parametrize(
    "how", [Pool("max", 7, 9, 3, 2), Pool("average", 8, 6, 2, 2), Pool("max", 5, 5, 1, 1), Pool("average", 5, 7, 3, 1)]
)
def test_pooling(how):
    images = numbers(np.random.default_rng(3), WIDE, 2, 8, how.height, how.width)  # blocks, lanes
    found = run(WIDE, pool(WIDE, 2, how), images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(found, pooled(images, how))
    windows = np.lib.stride_tricks.sliding_window_view(images, (how.window, how.window), axis=(-2, -1))
    seen = windows[:, :, :: how.stride, :: how.stride]
    exact = seen.max(axis=(-2, -1)) if how.kind == "max" else seen.mean(axis=(-2, -1))
    assert np.abs(found - exact).max() < (0.51 if how.kind == "average" else 0.5)


@pytest.mark.parametrize(("op", "scale"), [(Op.ADD, 0.5), (Op.MULTIPLY, 1 / 128), (Op.SUBTRACT, 0.7)])
@pytest.mark.parametrize("pauses", [0, 5])
def test_elementwise(op, scale, pauses):
    rng = np.random.default_rng(4)
    first, second = (numbers(rng, WIDE, 50, 8) for _ in range(2))
    found = run(WIDE, elementwise(WIDE, 50, op, scale), first, second, pauses=pauses)
    assert np.array_equal(found, elementwise_of(first, second, op, scale, 8))
    exact = {Op.ADD: first + second, Op.MULTIPLY: first * second, Op.SUBTRACT: first - second}[op] * scale
    assert np.abs(found - np.clip(exact, -128, 127)).max() <= 0.51


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArmillaryError, match="VMEM words needs 129, has 128"):
        softmax(WIDE, 1, 129, 0.1)
    with pytest.raises(ArmillaryError, match="scale=0 is not allowed; it must be between"):
        elementwise(WIDE, 4, Op.ADD, 0)

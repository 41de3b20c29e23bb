"""The commands that the timing counts are those that the compiler writes."""

import numpy as np
import pytest

from armillary.cost_model.batch import LayerBatch, MappingBatch
from armillary.cost_model.packed import nests_of, works_of
from armillary.evaluators.gemmini.sampling import random_sample
from armillary.evaluators.gemmini.timing.machine import machines_of
from armillary.evaluators.gemmini.timing.schedule import cycles_of_some, room
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.commands import EXECUTE, HEADER, LOAD, STORE
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.workloads.layer import Layer

LAYERS = [
    Layer("strided", "conv", K=24, C=12, P=9, Q=10, R=3, S=3, stride_h=2, stride_w=2),
    Layer("dilated", "conv", N=2, K=16, C=8, P=6, Q=6, R=3, S=2, dilation_h=2, dilation_w=2),
    Layer("grouped", "conv", K=24, C=24, P=6, Q=8, R=3, S=3, groups=6),
    Layer("gemm", "gemm", K=30, C=40, P=24),
]
IMPERFECT = [
    ("weight_stationary", "gemm", "L3[WIO] C4 P3 K2 - L2[WI] K4 C3,1 K4,2X - L1[O] P4 C4X - L0[W] P2"),
    ("weight_stationary", "strided", "L3[WIO] Q3 P5 R2 - L2[WI] C3 K6 K4X - L1[O] Q4,2 S3 R2,1 C4X - L0[W] P2,1"),
    ("output_stationary", "gemm", "L3[WIO] P2 C3 - L2[WI] K8 P3 K4,2X - L1[O] C2 P4X - L0[O] C7,5"),
    ("output_stationary", "strided", "L3[WIO] K6 R2 - L2[WI] Q3 P9 K4X - L1[O] S3 Q4,2X - L0[O] R2,1 C12"),
]  # fmt: skip


def counted(layer, mapping, accelerator):
    """Return each command's kind by the timing, 0 to 2 for loads of inputs, weights and sums, its words and rows."""
    trace = np.zeros((100_000, 4))
    nests, works = nests_of(MappingBatch.of([mapping])), works_of(LayerBatch.of([layer]))
    space = room(accelerator.queue_depth)
    cycles_of_some(nests, works, machines_of([accelerator]), (0, 0), 0, 1, space, np.empty(1), trace)
    return [tuple(row) for row in trace[1 : int(trace[0, 0]) + 1, :3].astype(int).tolist()]


def written(program):
    """Return the same of a program's commands, inputs and weights alike."""
    words, at, found = program.words.tolist(), 0, []
    while words[at] & 15:
        opcode, loops, sums = words[at] & 15, words[at] >> 4 & 15, words[at] >> 8 & 1
        work = 1 if opcode == EXECUTE else words[at + 4] >> 18 & 0x3FFFF
        for loop in range(loops):
            work *= 1 + (words[at + HEADER + 2 * loop] & 0x3FFFF)
        found.append(({LOAD: 2 * sums, EXECUTE: 3, STORE: 4}[opcode], HEADER + 2 * loops, work))
        at += HEADER + 2 * loops
    return found


def assert_same(layer, mapping, accelerator):
    ours = counted(layer, mapping, accelerator)
    theirs = written(compile_layer(layer, mapping, accelerator))
    assert [(0 if kind == 1 else kind, *rest) for kind, *rest in ours] == theirs


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize("dim", [4, 6])
def test_commands_of_random_mappings(dataflow, dim):
    accelerator = Accelerator(dim=dim, dataflow=dataflow, bus_bytes=4, scratchpad_kib=4, accumulator_kib=2)
    rng = np.random.default_rng(dim)
    spilled = 0
    for _ in range(12):
        one = random_sample(accelerator, LAYERS, 1e6, rng)
        assert_same(one.layer, one.mapping, accelerator)
        spilled += any(kind == 2 for kind, *_ in counted(one.layer, one.mapping, accelerator))
    assert spilled > 0


@pytest.mark.parametrize(("dataflow", "name", "text"), IMPERFECT)
def test_commands_of_short_tiles(dataflow, name, text):
    layer = next(layer for layer in LAYERS if layer.name == name)
    accelerator = Accelerator(dim=4, dataflow=dataflow, bus_bytes=4, scratchpad_kib=16, accumulator_kib=8)
    assert_same(layer, Mapping.parse(text), accelerator)

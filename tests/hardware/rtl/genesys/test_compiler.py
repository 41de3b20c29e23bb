"""Programs as data: what they touch, what waits for what, and how they are encoded."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.hardware.rtl.genesys.arithmetic import Op
from armillary.hardware.rtl.genesys.behind import passes
from armillary.hardware.rtl.genesys.compiler import compile_layer
from armillary.hardware.rtl.genesys.instructions import (
    CHANNELS,
    Builder,
    Load,
    Multiply,
    Result,
    Second,
    Source,
    Start,
    Target,
    Unit,
    Vector,
    Walk,
)
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.rtl.genesys.tensors import packed, unpacked
from armillary.hardware.rtl.genesys.tiling import Shape, TooSmallError, tilings
from armillary.hardware.templates.genesys import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

CHIP = Accelerator(8, 8, 8, 1, 1, 2, 1, 1, 64)


@st.composite
def layers(draw):
    groups = draw(st.sampled_from([1, 1, 3]))
    dims = {name: draw(st.integers(1, most)) for name, most in {"P": 12, "Q": 12, "R": 7, "S": 3, "N": 2}.items()}
    steps = {name: draw(st.integers(1, 3)) for name in ("stride_h", "stride_w", "dilation_h")}
    channels = {"K": groups * draw(st.integers(1, 20)), "C": groups * draw(st.integers(1, 20))}
    return Layer("drawn", "conv", **dims, **steps, **channels, groups=groups, bias=draw(st.booleans()))


def extent(walk, counts):
    """The least and greatest address of a walk."""
    reach = [stride * (count - 1) for stride, count in zip(walk.strides, counts, strict=False)]
    return walk.base + sum(r for r in reach if r < 0), walk.base + sum(r for r in reach if r > 0)


@settings(max_examples=20, deadline=None)
@given(layers(), st.sampled_from(["relu", "gelu"]))
def test_programs_do_the_work_within_the_buffers(layer, activation):
    compiled = compile_layer(layer, CHIP, passes(activation, layer, CHIP))
    operations = [step.operation for step in compiled.program.steps]
    shape = compiled.shape
    blocks = shape.bundles * shape.output_blocks * shape.channel_blocks * layer.R * layer.S * layer.N
    multiplied = sum(one.words * one.blocks for one in operations if isinstance(one, Multiply))
    assert multiplied == blocks * layer.P * layer.Q
    for one in operations:
        if isinstance(one, Load):
            words = {Target.IBUF: CHIP.ibuf_words, Target.WBUF: CHIP.wbuf_words, Target.BBUF: CHIP.bbuf_words}[
                one.target
            ]
            assert one.to in (0, words // 2)
            assert one.words <= words // 2
        elif isinstance(one, Multiply):
            least, most = extent(one.inputs, one.counts)
            assert 0 <= least <= most < CHIP.ibuf_words
            least, most = extent(one.sums, one.counts)
            half = CHIP.obuf_words // 2
            assert least // half == most // half < 2
        elif one.target is not Result.DRAM:
            assert extent(one.result, one.counts)[1] < CHIP.vmem_words
    written = sum(one.elements for one in operations if isinstance(one, Vector) and one.target is Result.DRAM)
    assert written == prod(compiled.outputs.shape)


@settings(max_examples=20, deadline=None)
@given(layers())
def test_every_token_that_is_given_is_taken(layer):
    compiled = compile_layer(layer, CHIP, passes("tanh", layer, CHIP))
    balance = dict.fromkeys(CHANNELS.values(), 0)
    for step in compiled.program.steps:
        for (giver, taker), channel in CHANNELS.items():
            if step.waits >> channel & 1:
                assert step.operation.unit is taker
                balance[channel] -= 1
                assert balance[channel] >= 0
            if step.gives >> channel & 1:
                assert step.operation.unit is giver
                balance[channel] += 1
                assert balance[channel] < 16  # the hardware counts in four bits
    assert not any(balance.values())


def touched(operation):
    """The halves of buffers that an operation reads, and those that it writes."""
    halves = {"IBUF": CHIP.ibuf_words // 2, "WBUF": CHIP.wbuf_words // 2, "BBUF": CHIP.bbuf_words // 2}
    if isinstance(operation, Load):
        name = operation.target.name
        return set(), {(name, operation.to // halves[name])}
    if isinstance(operation, Vector):
        sums = operation.source is Source.SUMS
        return ({("OBUF", operation.first.base // (CHIP.obuf_words // 2))} if sums else set()), set()
    bases = {"IBUF": operation.inputs.base, "WBUF": operation.weights}
    if operation.start is Start.BIAS:
        bases["BBUF"] = operation.bias
    reads = {(name, base // halves[name]) for name, base in bases.items()}
    return reads, {("OBUF", operation.sums.base // (CHIP.obuf_words // 2))}


def done_before(steps):
    """For each step, per unit the last step that is surely done when it begins, by tokens and the units' order."""
    clocks, latest, given = [], {}, {channel: [] for channel in CHANNELS.values()}
    taken = dict.fromkeys(CHANNELS.values(), 0)
    for number, step in enumerate(steps):
        unit = step.operation.unit
        clock = dict(clocks[latest[unit]]) if unit in latest else dict.fromkeys(Unit, -1)
        for channel, givers in given.items():
            if step.waits >> channel & 1:
                giver = givers[taken[channel]]
                taken[channel] += 1
                known = clocks[giver] | {steps[giver].operation.unit: giver}
                clock = {other: max(clock[other], known[other]) for other in Unit}
            if step.gives >> channel & 1:
                givers.append(number)
        clocks.append(clock)
        latest[unit] = number
    return clocks


@settings(max_examples=25, deadline=None)
@given(layers(), st.sampled_from(["relu", "tanh"]))
def test_no_unit_touches_a_half_before_another_is_done_with_it(layer, activation):
    steps = compile_layer(layer, CHIP, passes(activation, layer, CHIP)).program.steps
    readers, writers = {}, {}  # of each half, per unit the latest
    for number, (step, clock) in enumerate(zip(steps, done_before(steps), strict=True)):
        reads, writes = touched(step.operation)
        before = [writers.get(half, {}) for half in reads | writes] + [readers.get(half, {}) for half in writes]
        for unit, other in ((unit, other) for latest in before for unit, other in latest.items()):
            assert unit is step.operation.unit or clock[unit] >= other
        for kept, halves in ((readers, reads), (writers, writes)):
            for half in halves:
                kept.setdefault(half, {})[step.operation.unit] = number


@settings(max_examples=15, deadline=None)
@given(layers(), st.integers(1, 200))
def test_cycles_are_bounded_by_the_units_and_grow_with_latency(layer, latency):
    compiled = compile_layer(layer, CHIP, passes("relu", layer, CHIP))
    found = scheduled(compiled.program, CHIP, latency)
    assert found.cycles > max(found.load_cycles, found.array_cycles, found.vector_cycles, found.beats_written)
    assert found.cycles < scheduled(compiled.program, CHIP, latency + 7).cycles


def test_a_larger_buffer_reads_less():
    layer = Layer("conv", "conv", K=32, C=32, P=16, Q=16, R=3, S=3)
    bytes_of = [
        scheduled(compile_layer(layer, chip, passes("relu", layer, chip)).program, chip, 40).dram_bytes
        for chip in (CHIP, Accelerator(8, 8, 8, 32, 1, 32, 1, 1, 64), Accelerator(8, 8, 8, 512, 64, 128, 1, 1, 64))
    ]
    assert bytes_of[0] > 1.4 * bytes_of[1] > 1.6 * bytes_of[2]


@pytest.mark.parametrize(
    ("chip", "layer", "message"),
    [
        (CHIP, Layer("wide", "conv", S=9), "layer wide: WBUF words needs 72, has 64"),
        (CHIP, Layer("far", "conv", R=2, S=2, dilation_h=9, dilation_w=8), "layer far: IBUF words needs 90, has 64"),
    ],
)
def test_a_layer_that_does_not_fit_says_where(chip, layer, message):
    with pytest.raises(TooSmallError, match=message):
        tilings(layer, chip, 1, 4)


def test_biases_limit_the_output_channels_of_a_tile():
    layer = Layer("dense", "gemm", K=16 * 40, C=16, bias=True)
    few, many = (
        max(one.output_blocks for one in tilings(layer, Accelerator(bbuf_kib=kib), 1, 1000)) for kib in (1, 64)
    )
    assert (few, many) == (8, 40)


def test_groups_share_the_array():
    depthwise = Layer("depthwise", "depthwise", K=32, C=32, P=4, Q=4, R=3, S=3, groups=32)
    assert (Shape.of(depthwise, 8).bundles, Shape.of(depthwise, 8).channels) == (4, 8)
    assert Shape.of(Layer("g", "conv", K=18, C=6, groups=3), 8).bundles == 3  # six outputs a group


def test_steps_lead_a_walk_through_its_loops():
    counts, walk = (3, 2, 4), Walk(5, (1, 10, -7))
    steps, address, found = walk.steps(counts), walk.base, []
    for place in np.ndindex(*counts[::-1]):
        found.append(address)
        level = next((level for level, index in enumerate(place[::-1]) if index < counts[level] - 1), None)
        address += 0 if level is None else steps[level]
    assert found == [5 + a + 10 * b - 7 * c for c in range(4) for b in range(2) for a in range(3)]


def test_an_operation_sets_only_what_changes():
    builder = Builder({Target.IBUF: 8})
    first = Load(Target.IBUF, 3, 64, (5, 2, 1), (96, 0))
    load = builder.add(first)
    builder.add(Load(Target.IBUF, 3, 128, (5, 2, 1), (96, 0)))
    builder.add(Multiply((4, 1, 1, 1, 1, 1), Walk(3, (1,)), Walk(0, (1,))), after=(load,))
    program = builder.program()
    assert [step.sets for step in program.steps[:2]] == [6, 1]
    words = [int(word) for word in program.words]
    load_array = CHANNELS[Unit.LOAD, Unit.ARRAY]
    assert words[:7] == [
        1 << 60 | 4, 1 << 60 | 1 << 48 | 1, 1 << 60 | 2 << 48, 1 << 60 | 3 << 48 | 64,
        1 << 60 | 4 << 48 | 96 - 4 * 8, 1 << 60 | 6 << 48 | 3, 1 << 60 | 1 << 56 | 1 << 8 + load_array,
    ]  # fmt: skip
    assert words[7:9] == [1 << 60 | 3 << 48 | 128, 1 << 60 | 1 << 56]
    assert words[-2:] == [2 << 60 | 1 << 56 | 1 << load_array, 0]


def test_illegal_operations_are_refused():
    with pytest.raises(ArmillaryError, match=r"counts=\(0, 1, 1\) is not allowed; each must be 1 to 1048576"):
        Load(Target.IBUF, 0, 0, (0, 1, 1)).registers(8)
    with pytest.raises(ArmillaryError, match=r"second_source=.* is not allowed; the first operand lies there"):
        Vector(Op.ADD, (1, 1, 1, 1, 1), Walk(), Walk(), Source.VMEM2, second_source=Second.VMEM2)


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_words_are_packed_and_back(bits):
    values = np.random.default_rng(0).integers(-(1 << (bits - 1)), 1 << (bits - 1), size=(3, 5, 8))
    data = packed(values, bits)
    assert data.shape == (3, 5, bits)
    assert np.array_equal(unpacked(data, bits), values)
    whole = int.from_bytes(data[0, 0].tobytes(), "little")
    assert [whole >> bits * lane & (1 << bits) - 1 for lane in range(8)] == (values[0, 0] & (1 << bits) - 1).tolist()

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from armillary.evaluators.gemmini.tensors import from_dram, into_dram, requantized
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.commands import FieldError
from armillary.hardware.rtl.gemmini.compiler import (
    MOST_TILES,
    Padding,
    RefusedError,
    Requantization,
    check_layer,
    compile_layer,
)
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.mapspace import MapSpace
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import Window

LAYER = Layer("conv", "conv", K=32, C=32, P=8, Q=8, R=3, S=3)
WHOLE = "L3[WIO] N1 - L2[WI] N1 K16X - L1[O] K2 C2 R3 S3 C16X - L0[W] P8 Q8"
SMALL = Accelerator(scratchpad_kib=8, accumulator_kib=8)


def compiled(text, layer=LAYER, accelerator=None, **options):
    return compile_layer(layer, Mapping.parse(text), accelerator or Accelerator(), **options)


@pytest.mark.parametrize(
    ("text", "accelerator", "resource", "needed", "available"),
    [
        (WHOLE, SMALL, "scratchpad rows", 776, 512),
        (WHOLE.replace("N1 - L2", "K2 C2 - L2").replace("K2 C2 R3", "R3").replace("C16X - L0", "C16X - L0"),
         Accelerator(accumulator_kib=2), "accumulator rows", 64, 32),
        (WHOLE.replace("K16X", "K32X").replace("K2 C2", "C2"), None, "array columns", 32, 16),
        (WHOLE.replace("C16X", "C32X").replace("K2 C2", "K2"), None, "array rows", 32, 16),
        (WHOLE.replace("K2 C2 R3 S3", "K2 C2 R3").replace("P8 Q8", "S3 P8 Q8"), None, "register values of W", 3, 1),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(text, accelerator, resource, needed, available):
    with pytest.raises(RefusedError) as fault:
        compiled(text, accelerator=accelerator)
    assert (fault.value.resource, fault.value.needed, fault.value.available) == (resource, needed, available)
    assert fault.value.layer == "conv"
    assert f"{needed} needed, {available} there" in str(fault.value)


def test_a_window_in_two_tiles_is_refused_and_outputs_are_those_of_the_pool():
    tiles = WHOLE.replace("N1 - L2", "P2 - L2").replace("P8", "P4")
    overlapping, apart = Window((3, 3), (2, 2), (1, 1, 1, 1)), Window((2, 2), (2, 2))
    with pytest.raises(RefusedError, match="windows within 4 outputs along P overflow: 4 needed, 3 there"):
        compiled(tiles, pool=overlapping)
    for text, pool in ((WHOLE, overlapping), (tiles, apart)):
        assert compiled(text, pool=pool).outputs.counts == (1, 2, 1, 4, 4)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize(
    "layer",
    [
        Layer("conv", "conv", K=24, C=12, P=9, Q=6, R=3, S=3, stride_h=2, groups=2),
        Layer("long", "gemm", K=4, C=4, P=1 << 17),
    ],
    ids=lambda layer: layer.name,
)
def test_what_is_checked_is_refused_as_if_it_were_compiled(layer, dataflow):
    accelerator = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4, dataflow=dataflow)
    space = MapSpace(accelerator.hierarchy(), layer)
    answers = set()
    for code in space.random(40, np.random.default_rng(0)):
        mapping = space.mapping(code)
        tiles = prod(loop.factor for level in mapping.levels[:2] for loop in level.temporal)
        if 2_000 < tiles <= MOST_TILES:
            continue  # takes long
        told = []
        for judge in (check_layer, compile_layer):
            try:
                judge(layer, mapping, accelerator)
                told.append("")
            except RefusedError as fault:
                told.append(str(fault))
        assert told[0] == told[1]
        answers.add(told[0].partition(" overflow")[0])
    assert len(answers) > 1


def test_what_is_checked_is_a_mapping_of_its_layer():
    with pytest.raises(ArmillaryError, match="the factors of K multiply to 32"):
        check_layer(replace(LAYER, K=48), Mapping.parse(WHOLE), Accelerator())


def test_a_mapping_of_another_layer_is_an_error():
    with pytest.raises(ArmillaryError, match="the factors of K multiply to 32, layer other has K=64"):
        compiled(WHOLE, Layer("other", "conv", K=64, C=32, P=8, Q=8, R=3, S=3))


def test_remainders_are_short_tiles():
    """The third block of outputs stands alone in its tile, whose weights, sums and loops are half as many."""
    layer = Layer("conv", "conv", K=48, C=32, P=8, Q=8)
    text = "L3[WIO] K2 - L2[WI] N1 K16,8X - L1[O] K2 C2 C16X - L0[W] P8 Q8"
    program = compiled(text, layer)
    assert opcodes_of(program) == [1, 1, 2, 3, 1, 2, 3]
    found = [(opcode, runs, turns) for opcode, runs, turns in commands_of(program) if opcode != 1]
    assert found == [(2, 0, [8, 8, 2, 2]), (3, 128, []), (2, 0, [8, 8, 2]), (3, 64, [])]


def test_padding_must_leave_something():
    with pytest.raises(ArmillaryError, match="leaves no input"):
        compiled(WHOLE, padding=Padding(5, 0, 5, 0))


@pytest.mark.parametrize(
    ("make", "name", "value", "least", "most"),
    [
        (Requantization, "scale", 65537, 1, 65535),
        (Requantization, "scale", 131072, 1, 65535),
        (Requantization, "scale", 0, 1, 65535),
        (Requantization, "scale", -1, 1, 65535),
        (Requantization, "shift", 64, 0, 63),
        (Requantization, "shift", -1, 0, 63),
        (Requantization, "relu", 2, 0, 1),
        *((Padding, side, value, 0, 131071) for side in ("top", "left", "bottom", "right") for value in (-1, 131072)),
    ],
)  # fmt: skip
def test_values_that_no_command_holds_are_refused(make, name, value, least, most):
    with pytest.raises(FieldError, match=rf"{name}={value} is not allowed; .* allow {least} to {most}$"):
        make(**{name: value})
    make(**{name: least})
    make(**{name: most})


def test_fractions_are_refused():
    with pytest.raises(ArmillaryError, match=r"scale=1\.5 is not allowed; .* 1 to 65535, integers"):
        Requantization(scale=1.5)


def test_requantization_keeps_to_its_law_at_the_ends_of_its_fields():
    sums = np.array([-(1 << 31), -1, 0, 1, (1 << 31) - 1])
    assert requantized(sums, Requantization(65535, 63)).tolist() == [0] * 5
    assert requantized(sums, Requantization(65535, 47)).tolist() == [-1, 0, 0, 0, 1]
    assert requantized(sums, Requantization(65535, 0)).tolist() == [-128, -128, 0, 127, 127]


def test_more_pixels_than_coordinates_hold_are_refused():
    long = "L3[WIO] Q2048 - L2[WI] N1 - L1[O] N1 - L0[W] Q{}"
    compiled(long.format(32), Layer("long", "conv", Q=2048 * 32))
    with pytest.raises(RefusedError, match="layer long: command field width overflow: 131,072 needed, 131,071 there"):
        compiled(long.format(64), Layer("long", "conv", Q=2048 * 64))


@pytest.mark.parametrize(("n", "fits"), [(1 << 13, True), (1 << 14, False)])
def test_tensors_beyond_the_address_are_refused(n, fits):
    """Inputs and outputs of 2^13 rows of 16 bytes per image: 2^32 bytes for 2^14 images, and a row of weights more."""
    layer = Layer("huge", "conv", N=n, P=128, Q=64)
    accelerator = Accelerator(dim=16, scratchpad_kib=512, accumulator_kib=512)
    mapping = f"L3[WIO] N{n} - L2[WI] N1 - L1[O] N1 - L0[W] P128 Q64"
    if fits:
        program = compiled(mapping, layer, accelerator)
        assert 2 * 16 * n * 128 * 64 < program.dram_bytes <= 1 << 32
        return
    with pytest.raises(
        RefusedError, match=r"layer huge: DRAM bytes overflow: 4,29\d,\d+,\d+ needed, 4,294,967,296 there"
    ):
        compiled(mapping, layer, accelerator)


def test_each_tensor_is_loaded_as_often_as_its_tile_changes():
    opcodes = opcodes_of(compiled("L3[WIO] K2 C2 P2 - L2[WI] N1 K16X - L1[O] R3 S3 C16X - L0[W] P4 Q8"))
    # every one of 8 tiles has its own inputs; the weights change with K and C alone; sums wait in DRAM for C's
    # second round: 4 tiles of outputs, each stored and loaded once more
    assert opcodes.count(2) == 8
    assert opcodes.count(1) == 8 + 4 + 4
    assert opcodes.count(3) == 8
    inside = opcodes_of(compiled("L3[WIO] K2 P2 C2 - L2[WI] N1 K16X - L1[O] R3 S3 C16X - L0[W] P4 Q8"))
    assert inside.count(3) == 4
    assert inside.count(1) == 8 + 8


def opcodes_of(program):
    found, at = [], 0
    words = program.words.tolist()
    while words[at] & 15:
        found.append(words[at] & 15)
        at += 8 + 2 * (words[at] >> 4 & 15)
    assert at == len(words) - 1
    return found


def commands_of(program):
    """Opcode, rows of a run and iterations of each loop."""
    found, at = [], 0
    words = program.words.tolist()
    while words[at] & 15:
        opcode, loops = words[at] & 15, words[at] >> 4 & 15
        turns = [(words[at + 8 + 2 * loop] & 0x3FFFF) + 1 for loop in range(loops)]
        found.append((opcode, 0 if opcode == 2 else words[at + 4] >> 18 & 0x3FFFF, turns))
        at += 8 + 2 * loops
    return found


def test_tensors_come_back_from_where_they_were_put():
    program = compiled(WHOLE)
    assert (program.channel_block, program.output_block) == (16, 16)
    rng = np.random.default_rng(0)
    inputs = rng.integers(-128, 128, (1, 32, 10, 10)).astype(np.int8)
    weights = rng.integers(-128, 128, (32, 32, 3, 3)).astype(np.int8)
    dram = into_dram(program, inputs, weights)
    row = program.inputs.address + ((1 * 10 + 2) * 10 + 3) * 16  # second block of channels, pixel (2, 3)
    np.testing.assert_array_equal(dram[row : row + 16].view(np.int8), inputs[0, 16:, 2, 3])
    whole = np.zeros(program.dram_bytes, dtype=np.uint8)
    outputs = rng.integers(0, 256, program.outputs.end - program.outputs.address)
    whole[program.outputs.address : program.outputs.end] = outputs
    found = from_dram(program, whole, 32)
    assert found.shape == (1, 32, 8, 8)
    first = program.outputs.address + (8 * 8 + 3 * 8 + 5) * 16 + 7
    assert found[0, 16 + 7, 3, 5] == whole[first : first + 1].view(np.int8)[0]


def test_reloading_has_every_tile_load_inputs_and_weights_into_buffers_in_turn():
    text = "L3[WIO] K2 C2 P2 - L2[WI] N1 K16X - L1[O] R3 S3 C16X - L0[W] P4 Q8"
    opcodes = opcodes_of(compiled(text, reload=True))
    assert opcodes.count(2) == 8
    assert opcodes.count(1) == 2 * 8 + 4  # and the sums that wait, as before
    assert opcodes.count(3) == 8
    # of K alone: the inputs are the same for both tiles
    text = "L3[WIO] K2 - L2[WI] N1 K16X - L1[O] C2 R3 S3 C16X - L0[W] P8 Q8"
    assert [opcodes_of(compiled(text, reload=reload)).count(1) for reload in (False, True)] == [3, 4]
    rows = [load_rows(compiled(text, reload=reload)) for reload in (False, True)]
    inputs, weights = 2 * 10 * 10, 2 * 9 * 16
    assert rows[0] == [0, inputs, inputs + weights]
    assert rows[1] == [0, 2 * inputs, inputs, 2 * inputs + weights]


def test_reloading_loads_once_for_all_tiles_of_the_accumulator_in_one_of_the_scratchpad():
    text = "L3[WIO] K2 - L2[WI] P2 K16X - L1[O] C2 R3 S3 C16X - L0[W] P4 Q8"
    assert opcodes_of(compiled(text, reload=True)).count(1) == 4


def load_rows(program):
    """The first row of each load."""
    found, at = [], 0
    words = program.words.tolist()
    while words[at] & 15:
        if words[at] & 15 == 1:
            found.append(words[at + 4] & 0x3FFFF)
        at += 8 + 2 * (words[at] >> 4 & 15)
    return found

import math
from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.soc import Soc, cycles_on_soc
from armillary.hardware.mapping import Mapping
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

FREE = Soc(beat_cycles=0.0, row_hit_cycles=0.0, row_miss_cycles=0.0)  # a memory that takes no time
BUS = replace(FREE, beat_cycles=1.0)
GEMM = Layer("gemm", "gemm", K=64, C=64, P=64)
WHOLE = Mapping.parse("L3[WIO] N1 - L2[WI] N1 K16X - L1[O] K4 C4 C16X - L0[W] P64")


def conv(**sizes):
    return Layer("conv", "conv", **sizes)


@pytest.mark.parametrize(("pixels", "cycles"), [(1, 8), (4, 8), (8, 8), (9, 9), (16, 16), (17, 24), (26, 26), (36, 40)])
def test_a_run_of_pixels_takes_half_the_array_at_least(pixels, cycles):
    layer = conv(K=16, C=16, P=pixels, Q=5)
    mapping = Mapping.parse(f"L3[WIO] N1 - L2[WI] N1 K16X - L1[O] C16X - L0[W] Q5 P{pixels}")
    assert cycles_on_soc(layer, mapping, 16, FREE).cycles == 5 * cycles


def test_on_a_small_array_a_run_takes_four_cycles():
    layer = conv(K=4, C=4, P=2, Q=6)
    mapping = Mapping.parse("L3[WIO] N1 - L2[WI] N1 K4X - L1[O] C4X - L0[W] Q6 P2")
    assert cycles_on_soc(layer, mapping, 4, FREE).cycles == 24
    assert cycles_on_soc(layer, mapping, 4, replace(FREE, run_cycles=7)).cycles == 42


def test_weights_that_few_pixels_use_take_as_long_as_the_array_has_rows():
    layer = conv(K=32, C=48, R=3, S=2)
    mapping = Mapping.parse("L3[WIO] N1 - L2[WI] N1 K16X - L1[O] K2 R3 S2 C3 C16X - L0[W] N1")
    assert cycles_on_soc(layer, mapping, 16, FREE).execute == 2 * 3 * 2 * 3 * 16


def test_runs_lie_along_p():
    for wide, tall, runs in ((32, 4, 4 * 2), (4, 32, 32)):
        layer = conv(K=16, C=16, P=wide, Q=tall)
        mapping = Mapping.parse(f"L3[WIO] N1 - L2[WI] N1 K16X - L1[O] C16X - L0[W] P{wide} Q{tall}")
        assert cycles_on_soc(layer, mapping, 16, FREE).cycles == runs * (16 if wide == 32 else 8)


def test_the_order_of_loops_within_a_tile_does_not_matter():
    texts = ("L1[O] K4 C4 C16X - L0[W] P64", "L1[O] P4 C4 K4 C16X - L0[W] P16")
    found = [cycles_on_soc(GEMM, Mapping.parse(f"L3[WIO] N1 - L2[WI] N1 K16X - {text}"), 16) for text in texts]
    assert found[0] == found[1]


def brute(layer, tile, order, longest, dim):
    """Count requests and beats of 16 bytes tile by tile, as sets of blocks per row of a move instruction."""
    sizes = {d: getattr(layer, d) for d in "CKPQRS"}
    width = (layer.P - 1) * layer.stride_h + layer.R
    height = (layer.Q - 1) * layer.stride_w + layer.S
    weights_at = -(-height * width * layer.C // 4096) * 4096
    outputs_at = weights_at + -(-layer.R * layer.S * layer.C * layer.K // 4096) * 4096
    spans = []
    for origin in order:
        at = {d: range(o, min(o + tile[d], sizes[d])) for d, o in origin.items()}
        rows = range(at["Q"][0] * layer.stride_w + at["S"][0], at["Q"][-1] * layer.stride_w + at["S"][-1] + 1)
        columns = range(at["P"][0] * layer.stride_h + at["R"][0], at["P"][-1] * layer.stride_h + at["R"][-1] + 1)
        for c in range(0, len(at["C"]), longest):
            part = at["C"][c : c + longest]
            spans += [((y * width + x) * layer.C + part[0], len(part)) for y in rows for x in columns]
        for k in range(0, len(at["K"]), longest):
            part = at["K"][k : k + longest]
            taps = [(r, s, c) for r in at["R"] for s in at["S"] for c in at["C"]]
            spans += [
                (weights_at + ((r * layer.S + s) * layer.C + c) * layer.K + part[0], len(part)) for r, s, c in taps
            ]
        if all(at[d][-1] == sizes[d] - 1 for d in "CRS"):
            for k in range(0, len(at["K"]), dim):
                part = at["K"][k : k + dim]
                pixels = [(y, x) for y in at["Q"] for x in at["P"]]
                spans += [(outputs_at + (y * layer.P + x) * layer.K + part[0], len(part)) for y, x in pixels]
    requests = beats = 0
    for start, length in spans:
        for block in range(start // longest, (start + length - 1) // longest + 1):
            low, high = max(start, block * longest), min(start + length, (block + 1) * longest)
            requests += 1
            beats += math.ceil((high - low) / 16)
    return requests, beats


@pytest.mark.parametrize("seed", range(6))
def test_every_tile_requests_all_of_its_rows(seed):
    rng = np.random.default_rng(seed)
    dim = 8
    tile = {"K": dim * int(rng.integers(1, 4)), "C": dim * int(rng.integers(1, 12)), "P": int(rng.integers(1, 6))}
    tile |= {"Q": int(rng.integers(1, 6)), "R": int(rng.integers(1, 3)), "S": 1}
    turns = {d: int(rng.integers(1, 3)) for d in "KCPQRS"}
    layer = conv(**{d: tile[d] * turns[d] for d in tile}, stride_h=int(rng.integers(1, 3)), stride_w=2)
    outer = [str(d) for d in rng.permutation(list("KCPQRS"))]
    inner = {d: tile[d] // (dim if d in "KC" else 1) for d in tile}
    levels = (
        " ".join(f"{d}{turns[d]}" for d in outer),
        f"N1 K{dim}X",
        " ".join(f"{d}{inner[d]}" for d in "KRSC") + f" C{dim}X",
        f"Q{inner['Q']} P{inner['P']}",
    )
    mapping = Mapping.parse(
        " - ".join(f"L{3 - i}[{k}] {t}" for i, (k, t) in enumerate(zip(["WIO", "WI", "O", "W"], levels, strict=True)))
    )
    origins = [{}]
    for d in outer:
        origins = [{**o, d: i * tile[d]} for o in origins for i in range(turns[d])]
    requests, beats = brute(layer, tile, origins, 64, dim)
    found = cycles_on_soc(layer, mapping, dim, BUS)
    assert (found.tiles, found.requests, found.memory) == (len(origins), requests, beats)


def test_what_a_tile_shares_with_the_one_before_is_requested_again():
    tiled = Mapping.parse("L3[WIO] K4 - L2[WI] N1 K16X - L1[O] C4 C16X - L0[W] P64")
    whole, parts = cycles_on_soc(GEMM, WHOLE, 16), cycles_on_soc(GEMM, tiled, 16)
    assert whole.requests == 64 + 64 + 4 * 64
    assert parts.requests == 4 * 64 + 4 * 64 + 4 * 64


def test_two_tiles_are_in_flight():
    """Loads of a tile hide behind the one before; memory that takes longer than the array bounds the layer."""
    tiled = Mapping.parse("L3[WIO] K4 - L2[WI] N1 K16X - L1[O] C4 C16X - L0[W] P64")
    for beat_cycles in (0.25, 4.0):
        found = cycles_on_soc(GEMM, tiled, 16, replace(FREE, beat_cycles=beat_cycles))
        load, execute = found.memory / 4, found.execute / 4
        expected = load + 3 * max(load, execute) + execute
        assert found.cycles == pytest.approx(expected)


def test_a_tile_that_waits_for_the_one_two_before_it():
    mapping = Mapping.parse("L3[WIO] P3 - L2[WI] N1 K16X - L1[O] K4 C4 C16X - L0[W] P30")
    layer = Layer("gemm", "gemm", K=64, C=64, P=90)
    found = cycles_on_soc(layer, mapping, 16, replace(FREE, beat_cycles=1.0))
    load, execute = found.memory / 3, found.execute / 3
    ready = [load, 2 * load]
    ready.append(max(ready[1], ready[0] + execute) + load)
    done = 0.0
    for at in ready:
        done = max(done, at) + execute
    assert found.cycles == pytest.approx(done)


def test_the_cache_keeps_what_fits_and_dram_rows_cost_more_when_closed():
    tiled = Mapping.parse("L3[WIO] K4 - L2[WI] N1 K16X - L1[O] C4 C16X - L0[W] P64")
    large = cycles_on_soc(GEMM, tiled, 16)
    assert large.row_hits + large.row_misses == 3 * 4096 // 128  # each line of the three tensors once
    small = cycles_on_soc(GEMM, tiled, 16, Soc(cache_bytes=8 * 128))
    assert small.row_hits + small.row_misses > 2 * 3 * 4096 // 128
    assert small.cycles > large.cycles
    slow = cycles_on_soc(GEMM, tiled, 16, Soc(row_miss_cycles=160.0))
    assert slow.memory - large.memory == pytest.approx(100 * large.row_misses)
    one_row = cycles_on_soc(GEMM, tiled, 16, Soc(banks=1, row_bytes=1 << 20))
    assert one_row.row_misses == 1


def test_written_lines_are_written_back_when_they_are_replaced():
    """One set of one way: every other line replaces the one before, and outputs are dirty."""
    layer = Layer("gemm", "gemm", K=128, C=1, P=4)
    mapping = Mapping.parse("L3[WIO] N1 - L2[WI] N1 K16X - L1[O] K8 - L0[W] P4")
    soc = Soc(cache_bytes=128, cache_ways=1)
    found = cycles_on_soc(layer, mapping, 16, soc)
    # inputs: 1 line; weights: 1; outputs: 4, of which 3 are replaced by the next
    assert found.row_hits + found.row_misses == 1 + 1 + 4 + 3


def test_a_rest_is_cut_off():
    layer = Layer("gemm", "gemm", K=16, C=16, P=50)
    rest = Mapping.parse("L3[WIO] P4 - L2[WI] N1 K16X - L1[O] C16X - L0[W] P16,2")
    assert cycles_on_soc(layer, rest, 16, FREE).cycles == 3 * 16 + 16  # the last 2 pixels wait for their weights


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"banks": 0}, "banks=0 is not allowed"),
        ({"row_miss_cycles": -1.0}, "row_miss_cycles=-1.0 is not allowed"),
        ({"request_bytes": 40}, "request_bytes=40 is not allowed; it must be a multiple of beat_bytes=16"),
        ({"cache_bytes": 1000}, "cache_bytes=1000 is not allowed; it must be a multiple of 8 ways of 128 bytes"),
    ],
)
def test_systems_that_cannot_be_are_refused(values, text):
    with pytest.raises(ArmillaryError, match=text):
        Soc(**values)


def test_what_is_not_modelled_is_refused():
    with pytest.raises(ArmillaryError, match="groups=2 is not modelled"):
        cycles_on_soc(Layer("g", "conv", K=32, C=32, groups=2), WHOLE, 16)
    with pytest.raises(ArmillaryError, match="has 1 levels; the template has 4"):
        cycles_on_soc(GEMM, Mapping.parse("L0[WIO] K64 C64 P64"), 16)
    with pytest.raises(ArmillaryError, match="has K=64, layer other has K=32"):
        cycles_on_soc(Layer("other", "gemm", K=32, C=64, P=64), WHOLE, 16)
    with pytest.raises(ArmillaryError, match="dim=0 is not allowed"):
        cycles_on_soc(GEMM, WHOLE, 0)

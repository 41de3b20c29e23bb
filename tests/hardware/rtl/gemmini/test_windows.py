"""Windows of a convolution's outputs: which lie in one tile, and the nests that go over them."""

import numpy as np
import pytest

from armillary.hardware.rtl.gemmini.commands import MOST_MOVE_LOOPS, NestLoop
from armillary.hardware.rtl.gemmini.windows import Windows, along, of_tile, pooled_moves, whole
from armillary.workloads.quantized.step import Window

POOLS = [
    Window((2, 2), (2, 2)),
    Window((3, 3), (2, 2), (1, 1, 1, 1)),
    Window((3, 3), (1, 1), (1, 1, 1, 1)),
    Window((2, 1), (3, 2)),
    Window((3, 2), (3, 2), (2, 1, 0, 0)),
]


def test_windows_end_at_the_border():
    assert along(Window((3, 3), (2, 2), (1, 1, 1, 1)), 0, 6) == [(0, 2), (1, 4), (3, 6)]
    assert along(Window((2, 5), (2, 1)), 0, 7) == [(0, 2), (2, 4), (4, 6)]
    assert along(Window((2, 5), (2, 1)), 1, 7) == [(0, 5), (1, 6), (2, 7)]


@pytest.mark.parametrize(
    ("pool", "size", "tile", "count"),
    [
        (POOLS[0], 8, 2, 4), (POOLS[0], 8, 3, 3), (POOLS[0], 8, 1, 0), (POOLS[0], 9, 9, 4),
        (POOLS[1], 8, 8, 4), (POOLS[1], 8, 4, 3), (POOLS[4], 7, 3, 1), (POOLS[4], 7, 7, 3),
    ],
)  # fmt: skip
def test_windows_that_lie_in_one_tile_are_counted(pool, size, tile, count):
    assert whole(pool, 0, size, tile) == count


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pool", POOLS, ids=range(len(POOLS)))
@pytest.mark.parametrize("size", [5, 6, 9])
def test_the_tiles_have_every_whole_window_once(pool, axis, size):
    everything = along(pool, axis, size)
    for tile in range(1, size + 1):
        found = {}
        for begin in range(0, size, tile):
            for group in of_tile(pool, axis, size, begin, tile):
                for n in range(group.count):
                    first = group.first + n * pool.strides[axis]
                    assert group.output + n not in found
                    found[group.output + n] = (first, first + group.size)
        assert found == dict(enumerate(everything))


def test_windows_of_one_size_go_together():
    assert of_tile(POOLS[1], 0, 9, 0, 9) == [Windows(0, 1, 0, 2), Windows(1, 3, 1, 3), Windows(4, 1, 7, 2)]
    assert of_tile(POOLS[0], 0, 9, 4, 4) == [Windows(2, 2, 4, 2)]


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("images", [1, 2])
def test_the_nest_reads_every_window_and_writes_every_output_once(blocks, images):
    lines, pixels, width, height = Windows(0, 3, 1, 2), Windows(2, 2, 0, 3), 7, 8
    outside = [
        NestLoop(blocks, {"row": images * width * height, "address": 16}),
        NestLoop(images, {"row": width * height, "address": 10_000}),
    ]
    loops, window, offsets = pooled_moves(lines, pixels, (2, 3), outside, width, (160, 48))
    assert len(loops) <= MOST_MOVE_LOOPS
    assert window.loops == 3
    written = {}
    for row, address in offsets:
        for turn in np.ndindex(*(loop.count for loop in loops)):
            at = row + sum(n * loop.deltas["row"] for n, loop in zip(turn, loops, strict=True))
            to = address + sum(n * loop.deltas["address"] for n, loop in zip(turn, loops, strict=True))
            written.setdefault(to, set()).add(at)
    assert written == {
        k * 16 + n * 10_000 + y * 160 + x * 48: {
            k * images * 56 + n * 56 + (y * 2 + dy) * width + x * 3 + dx for dy in range(2) for dx in range(3)
        }
        for k in range(blocks) for n in range(images) for y in range(3) for x in range(2)
    }  # fmt: skip


def test_windows_of_one_output_need_no_loop():
    loops, window, offsets = pooled_moves(Windows(0, 4, 0, 1), Windows(0, 5, 0, 1), (1, 2), [], 10, (40, 8))
    assert (window.loops, window.totals, offsets) == (0, False, [(0, 0)])
    assert [loop.count for loop in loops] == [20]

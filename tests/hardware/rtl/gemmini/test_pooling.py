"""Pools and additions, their loads and stores carried out by NumPy."""

import numpy as np
import pytest

from armillary.hardware.rtl.gemmini.placement import Place
from armillary.hardware.rtl.gemmini.pooling import MOST_MOVE_LOOPS, Load, Store, added, pooled
from armillary.hardware.templates.gemmini import TooSmallError
from armillary.workloads.quantized.executing import execute_step
from armillary.workloads.quantized.step import Multiplier, Step, TensorInfo, Window

PADDING = 0


class Machine:
    """An accumulator and its DRAM."""

    def __init__(self, dram, rows, dim, pitch):
        self.dram, self.dim, self.pitch = dram, dim, pitch
        self.sums = np.full((rows, dim), 10**6)
        self.reads = 0

    def steps(self, loops):
        """Yield the row and address of every turn of a nest, the innermost loop first."""
        turns = [np.arange(loop.count) for loop in reversed(loops)]
        for turn in np.stack(np.meshgrid(*turns, indexing="ij"), -1).reshape(-1, len(loops)) if loops else [()]:
            pairs = list(zip(reversed(loops), turn, strict=True))
            yield [sum(loop.deltas[name] * int(i) for loop, i in pairs) for name in ("row", "address")]

    def run(self, command, step):
        assert len(command.loops) <= MOST_MOVE_LOOPS
        self.load(command) if isinstance(command, Load) else self.store(command, step)

    def load(self, command):
        for row, address in self.steps(command.loops):
            for i in range(command.run):
                at = command.row + row + i
                assert command.held[0] <= at < command.held[1]
                first = command.address + address + (0 if command.repeats else i * self.pitch)
                values = self.dram[first : first + self.dim].astype(np.int64) * command.multiplier.value
                self.sums[at] = values + (self.sums[at] if command.adds else 0)
                self.reads += 1

    def store(self, command, step):
        window = []
        size = int(np.prod([loop.count for loop in command.loops[: command.window]]))
        for row, address in self.steps(command.loops):
            for i in range(command.run):
                at = command.row + row + i
                assert command.held[0] <= at < command.held[1]
                window.append(self.sums[at])
                if len(window) == size:
                    made = np.sum(window, 0) if command.totals else np.max(window, 0)
                    scaled = np.rint(made.astype(np.float32) * np.float32(step.scale)).clip(step.low, step.high)
                    first = command.address + address + i * self.pitch
                    self.dram[first : first + self.dim] = scaled
                    window = []


def carried_out(step, tensors, commands_of, rows, dim, pitch, fill):
    """Return the step's output after its commands, and the machine."""
    places, end = [], pitch
    for tensor in (*step.reads, step.output):
        places.append(Place(tensor, end, dim, pitch))
        end = places[-1].end
    dram = np.zeros(end, dtype=np.int8)
    dram[PADDING : PADDING + pitch] = fill
    for place, values in zip(places, tensors, strict=False):
        dram[place.address : place.end] = place.packed(values).view(np.int8)
    machine = Machine(dram, rows, dim, pitch)
    for command in commands_of(places):
        assert 0 <= command.held[0] < command.held[1] <= rows
        machine.run(command, step)
    return places[-1].unpacked(dram.view(np.uint8)), machine


WINDOWS = [
    Window((3, 3), (2, 2), (1, 1, 1, 1)),
    Window((2, 3), (1, 2), (1, 0, 0, 2), (2, 1)),
    Window((7, 6)),
    Window((1, 1), (2, 3)),
    Window((5, 1), (5, 1), (4, 0, 4, 0)),
]


def pool(kind, window, shape, seed):
    n, c, height, width = shape
    given = TensorInfo("x", shape, 1.0)
    output = TensorInfo("y", (n, c, *window.outputs(height, width)), 1.0)
    values = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    scale = 1.0 if kind == "max_pool" else float(np.float32(1.3 / window.area))
    return Step("pool", kind, given, output, window, scale=scale, low=-100 if kind == "average_pool" else -128), values


@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
@pytest.mark.parametrize("window", WINDOWS, ids=range(len(WINDOWS)))
@pytest.mark.parametrize(("channels", "rows"), [(3, 64), (10, 42), (10, 90), (13, 1000)])
def test_pools(kind, window, channels, rows):
    step, values = pool(kind, window, (2, channels, 7, 6), rows)
    fill = -128 if kind == "max_pool" else 0
    commands = lambda places: pooled(step, places[0], places[1], PADDING, rows)  # noqa: E731
    found, _ = carried_out(step, [values], commands, rows, dim=6, pitch=8, fill=fill)
    np.testing.assert_array_equal(found, execute_step(step, values))


def test_an_input_without_padding_is_read_once():
    step, values = pool("average_pool", Window((2, 2), (2, 2)), (1, 12, 8, 6), 0)
    _, machine = carried_out(step, [values], lambda p: pooled(step, p[0], p[1], PADDING, 64), 64, 4, 4, 0)
    assert machine.reads == 8 * 6 * 3


def test_a_whole_image_is_stored_by_one_command():
    step, _ = pool("average_pool", Window((7, 6)), (1, 32, 7, 6), 0)
    places = Place(step.inputs, 0, 4, 4), Place(step.output, 4096, 4, 4)
    commands = list(pooled(step, *places, PADDING, 1024))
    assert [type(command) for command in commands] == [Load, Store]
    assert commands[0].run == 7 * 6 * 8
    assert commands[1].window == 1


def test_a_window_that_the_accumulator_cannot_hold_is_refused():
    step, _ = pool("max_pool", Window((3, 3)), (1, 4, 9, 20), 0)
    places = Place(step.inputs, 0, 4, 4), Place(step.output, 4096, 4, 4)
    with pytest.raises(TooSmallError, match="layer pool: accumulator rows overflow: 9 needed for a window, 8 there"):
        list(pooled(step, *places, PADDING, 8))
    assert list(pooled(step, *places, PADDING, 9))


@pytest.mark.parametrize("rows", [2, 31, 64, 1000])
@pytest.mark.parametrize("seed", range(2))
def test_additions(rows, seed):
    rng = np.random.default_rng(seed)
    a, b, y = (TensorInfo(name, (2, 9, 5, 3), 1.0) for name in "aby")
    step = Step("add", "add", a, y, multiplier=Multiplier(3, 4), residual=b, residual_multiplier=Multiplier(200, 2),
                scale=float(np.float32(0.002)), low=-128 * seed, high=90)  # fmt: skip
    values = [rng.integers(-128, 128, a.shape).astype(np.int8) for _ in range(2)]
    found, machine = carried_out(step, values, lambda p: added(step, *p, rows), rows, dim=4, pitch=4, fill=0)
    np.testing.assert_array_equal(found, execute_step(step, *values))
    assert machine.reads == 2 * 2 * 3 * 5 * 3

"""A lane of the vector unit as hardware, against its reference, over all 32 bits."""

from pathlib import Path

import numpy as np
import pytest

from armillary.hardware.rtl.genesys.arithmetic import Op, Reduce, computed, reduced
from armillary.hardware.rtl.genesys.generator import sources
from armillary.hardware.templates.genesys import Accelerator
from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.tools.verilator import Simulator, build
from armillary.user_cache import cache_folder

HARNESS = Path(__file__).with_name("lane.cpp").read_text()
CORNERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**15, 2**15 - 1, -(2**15), 4096, -4096, 32767, 32768, -32768, 16384, -16384]


@pytest.fixture(scope="module")
def lane():
    files = {name: text for name, text in sources(Accelerator()).items() if name in ("lane.sv", "lookup.sv")}
    return build(Simulator(files, "lane", HARNESS, optimization="-O1"), cache=cache_folder("rtl"), compilers=1)


def operands():
    """Corners with each other; then numbers of every size; then small ones, place by place of the tables."""
    rng = np.random.default_rng(0)
    a, b = (grid.ravel() for grid in np.meshgrid(CORNERS, CORNERS))
    sizes = 2.0 ** rng.uniform(0, 31, size=(2, 2000))
    drawn = (sizes * rng.choice([-1, 1], size=sizes.shape)).astype(np.int64)
    small = np.arange(-40_000, 40_000, 37)
    return np.concatenate([a, drawn[0], small]), np.concatenate([b, drawn[1], rng.integers(-9, 9, size=small.shape)])


def simulated(lane, op, a, b, shift=0, relu=False, reduce=Reduce.NONE, every=1):
    head = [op, shift, relu, reduce, every, len(a)]
    words = np.concatenate([head, np.stack([a, b], axis=1).ravel()]).astype(np.int64)
    ended = run(Command((str(lane),), stdin=words.tobytes()))
    assert ended.ok, ended.failure
    return np.frombuffer(ended.stdout, dtype=np.int64)


@pytest.mark.parametrize("op", list(Op))
def test_every_operation(lane, op):
    a, b = operands()
    for shift in (0, 1, 5, 14, 47):
        for relu in (False, True):
            expected = computed(op, a, b, shift=shift, relu=relu)
            assert np.array_equal(simulated(lane, op, a, b, shift, relu), expected), (shift, relu)


@pytest.mark.parametrize("reduce", [Reduce.SUM, Reduce.MAXIMUM])
@pytest.mark.parametrize("every", [1, 2, 7])
def test_reductions(lane, reduce, every):
    a, b = (values[: len(values) // every * every] for values in operands())
    expected = reduced(reduce, computed(Op.ADD, a, b).reshape(-1, every))
    assert np.array_equal(simulated(lane, Op.ADD, a, b, reduce=reduce, every=every), expected)

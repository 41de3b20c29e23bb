"""`convert.sv` alone, cycle by cycle, bit for bit what `arithmetic` says."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from armillary.hardware.rtl.gemmini.arithmetic import Conversion, converted
from armillary.hardware.rtl.gemmini.generator import BLOCKS
from armillary.tools.verilator import Simulator, build
from armillary.user_cache import cache_folder
from hardware.rtl.gemmini.sums import EXTREMES, random_conversion, random_sums

HARNESS = Path(__file__).parent / "convert_harness.cpp"
SOURCES = {name: (BLOCKS / name).read_text() for name in ("convert.sv", "convert_lane.sv")}
LATENCY = int(re.search(r"localparam int LATENCY = (\d+);", SOURCES["convert.sv"])[1])


def simulator(dim):
    made_of = Simulator(
        SOURCES, "convert", HARNESS.read_text(), {"DIM": dim}, {"DIM": dim}, optimization="-O1", unknown="unique"
    )
    return build(made_of, cache=cache_folder("rtl"), compilers=2)


def simulated(dim, how, advance, valid, tags, sums, seed):
    """Return the lines of the harness as lists of numbers."""
    head = [how.floating, how.scale_bits, how.shift, how.low, how.high, len(sums)]
    cycles = np.column_stack([advance, valid, tags, sums])
    text = "\n".join(" ".join(str(int(value)) for value in row) for row in [head, *cycles])
    command = [simulator(dim), "+verilator+rand+reset+2", f"+verilator+seed+{seed}"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def expected(how, advance, valid, tags, sums):
    """Return the same of a row of stages that all move in the cycles of `advance`."""
    bytes_of = converted(sums, how)
    stages, shown = [None] * LATENCY, []
    for cycle, moves in enumerate(advance):
        last = stages[-1]
        busy = any(stage is not None for stage in stages)
        shown.append([busy, last is not None, *([] if last is None else [tags[last], *bytes_of[last]])])
        if moves:
            stages = [cycle if valid[cycle] else None, *stages[:-1]]
    return shown


def check(dim, how, sums, rng, stalls=0.0, gaps=0.0):
    cycles = len(sums)
    advance, valid = rng.random(cycles) >= stalls, rng.random(cycles) >= gaps
    tags = rng.integers(0, 2**33, size=cycles)
    shown = simulated(dim, how, advance, valid, tags, sums, seed=1 + int(rng.integers(1000)))
    assert shown == expected(how, advance, valid, tags, sums)


@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize(("dim", "count"), [(2, 150), (16, 40)])
def test_bytes_tags_and_cycles_are_the_references(dim, count, floating):
    rng = np.random.default_rng(dim)
    for _ in range(count):
        how = random_conversion(rng, floating=floating)
        stalls, gaps = rng.choice([0.0, 0.3, 0.8], size=2)
        check(dim, how, random_sums(rng, (400, dim), how), rng, stalls, gaps)


@pytest.mark.parametrize("exponent", range(-30, 11))
def test_extremes_at_every_power_of_two(exponent):
    rng = np.random.default_rng(exponent + 30)
    sums = np.array([*EXTREMES, *[0] * (2 * LATENCY + 1)], dtype=np.int32).reshape(-1, 2)
    check(2, Conversion(2.0**exponent, floating=True), sums, rng)
    check(2, Conversion(1, exponent + 30), sums, rng)


@pytest.mark.parametrize("scale", [2.0**-126, 2.0**-100, 2.0**100, 2.0**127, float(np.finfo(np.float32).max)])
def test_products_beyond_binary32_are_zero_or_saturate(scale):
    rng = np.random.default_rng(0)
    how = Conversion(scale, floating=True)
    check(2, how, random_sums(rng, (400, 2), how), rng)


@pytest.mark.parametrize("seed", range(3))
def test_products_that_binary32_rounds_onto_a_tie_are_ties(seed):
    """Sums for which the product is off a tie by less than half of binary32's last bit: the second rounding decides."""
    rng = np.random.default_rng(seed)
    decided = 0
    for _ in range(20):
        mantissa = int(rng.integers(2**23, 2**24))
        scale = float(np.float32(mantissa * 2.0 ** -int(rng.integers(38, 46))))
        candidates = np.rint((rng.integers(-127, 127, size=400_000) + 0.5) / scale).astype(np.int64)
        products = candidates * scale  # exact: 24 bits or fewer times 24 bits
        few = (abs(candidates) < 2**24) & (np.rint(products) != np.rint(products.astype(np.float32)))
        sums = candidates[few][:200].astype(np.int32)
        decided += len(sums)
        if len(sums) >= 2:
            padded = np.concatenate([sums[: len(sums) // 2 * 2], np.zeros(2 * LATENCY, dtype=np.int32)])
            check(2, Conversion(scale, floating=True), padded.reshape(-1, 2), rng)
    assert decided >= 20

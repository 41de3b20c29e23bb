"""Random sums and conversions of them, for tests: the extremes, ties and what is next to a tie."""

import numpy as np

from armillary.hardware.rtl.gemmini.arithmetic import Conversion

EXTREMES = (0, 1, -1, 2, -2, 2**31 - 1, -(2**31), 1 - 2**31, 2**24 - 1, 2**24, 2**24 + 1, 2**25 + 2, 2**25 + 6,
            2**30 + 1, 2**31 - 64, 2**31 - 65, 1 - 2**24, -(2**24), -1 - 2**24)  # fmt: skip


def random_conversion(rng, *, floating):
    """Return a conversion: of a plain or a random scale, between random bounds or none."""
    bounds = np.sort(rng.integers(-128, 128, size=2))
    low, high = (-128, 127) if rng.random() < 0.5 else bounds.tolist()
    if not floating:
        scale = 2 ** rng.integers(0, 16) if rng.random() < 0.3 else rng.integers(1, 65536)
        # Mostly so that a typical result is a byte; else any shift.
        shift = rng.integers(0, 64) if rng.random() < 0.3 else rng.integers(10, 42)
        return Conversion(int(scale), int(shift), low=low, high=high)
    power = 2.0 ** rng.integers(-30, 11)
    few_bits = rng.integers(1, 2 ** rng.integers(1, 8))
    mantissa = [1, 1 + rng.random(), 2 - 2.0**-23, 1 + 2.0**-23, float(few_bits)][rng.integers(5)]
    return Conversion(float(np.float32(mantissa * power)), floating=True, low=low, high=high)


def random_sums(rng, shape, how):
    """Return sums: of every magnitude, and such that they come to a half, or nearly."""
    size = int(np.prod(shape))
    factor = how.scale if how.floating else how.scale / 2.0**how.shift
    anywhere = rng.integers(-(2**31), 2**31, size=size) >> rng.integers(0, 32, size=size)
    halves = np.rint(rng.integers(-520, 520, size=size) / 2 / factor) + rng.integers(-2, 3, size=size)
    usual = np.rint(rng.uniform(-150, 150, size=size) / factor)
    kinds = [anywhere, rng.choice(EXTREMES, size=size), halves, usual]
    chosen = np.choose(rng.choice(4, size=size, p=[0.3, 0.1, 0.4, 0.2]), kinds)
    return np.clip(chosen, -(2**31), 2**31 - 1).astype(np.int32).reshape(shape)

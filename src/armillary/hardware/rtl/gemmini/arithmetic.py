"""What the hardware makes of its 32-bit sums, bit for bit, by NumPy: the reference of `blocks/convert.sv`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

LARGEST_FIXED_SCALE = 0xFFFF
LARGEST_SHIFT = 63


@dataclass(frozen=True)
class Conversion:
    """How 32-bit sums become bytes.

    Attributes:
        scale: what sums are multiplied by: an integer from 1 to 65535, or, if floating, a positive normal binary32.
        shift: the bits that the product is then shifted right by, 0 to 63; 0 if floating.
        floating: multiply in binary32, as ONNX's `Cast`, `Mul`, `Round`, `Clip` and `Cast` do.
        low: the least result, -128 or more.
        high: the greatest result, `low` to 127.

    Raises:
        ArmillaryError: if a value is not allowed.
    """

    scale: float = 1
    shift: int = 0
    floating: bool = False
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        if self.floating:
            with np.errstate(over="ignore", under="ignore"):
                rounded = np.float32(self.scale)
            normal = np.finfo(np.float32).smallest_normal <= rounded <= np.finfo(np.float32).max
            if not normal or float(rounded) != self.scale:
                raise ArmillaryError(f"scale={self.scale!r} is not allowed; choose a positive normal binary32 number")
        elif not 1 <= self.scale <= LARGEST_FIXED_SCALE or self.scale != int(self.scale):
            raise ArmillaryError(f"scale={self.scale!r} is not allowed; choose an integer from 1 to 65535")
        largest = 0 if self.floating else LARGEST_SHIFT
        if not 0 <= self.shift <= largest:
            raise ArmillaryError(f"shift={self.shift!r} is not allowed; choose 0 to {largest}")
        if not -128 <= self.low <= self.high <= 127:
            raise ArmillaryError(f"low={self.low!r}, high={self.high!r} is not allowed: -128 <= low <= high <= 127")

    @property
    def scale_bits(self) -> int:
        """The 32 bits that the hardware takes as `scale`."""
        return int(np.float32(self.scale).view(np.uint32)) if self.floating else int(self.scale)


def converted(sums: NDArray[np.int32], how: Conversion) -> NDArray[np.int8]:
    """Return sums as bytes.

    Fixed: sum * scale / 2^shift, rounded to the nearest integer, half up. Floating: the sum rounded to binary32, times
    the scale rounded to binary32, each to nearest even, then rounded to an integer, half to even. Both are clamped.

    Args:
        sums: of any shape.
        how: as the hardware is set.

    Returns:
        The bytes, of the shape of `sums`.
    """
    if how.floating:
        with np.errstate(over="ignore", under="ignore"):
            integers: NDArray[np.float32] = np.rint(sums.astype(np.float32) * np.float32(how.scale))
        return integers.clip(how.low, how.high).astype(np.int8)
    products = sums.astype(np.int64) * int(how.scale)
    rounded = (products + (1 << how.shift >> 1)) >> how.shift  # below 2^63 for every shift that there is
    return rounded.clip(how.low, how.high).astype(np.int8)

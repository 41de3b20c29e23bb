"""Integers of few bits with a sign: wrapped around, and side by side in bytes, the first in the lowest bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def wrapped(values: Integers, bits: int) -> Integers:
    """Return values as so many bits hold them."""
    half = 1 << (bits - 1)
    return np.asarray((values + half) % (1 << bits) - half)


def packed(values: Integers, bits: int) -> Bytes:
    """Return values of 2 to 32 bits, a power of two, as bytes, the last of their axes first; shape [bytes]."""
    if bits >= 8:
        return np.ascontiguousarray(values).astype(f"<i{bits // 8}").view(np.uint8).reshape(-1)
    per_byte = 8 // bits
    parts = (np.ascontiguousarray(values).reshape(-1, per_byte) % (1 << bits)) << (bits * np.arange(per_byte))
    return np.asarray(parts.sum(axis=1), dtype=np.uint8)


def unpacked(raw: Bytes, bits: int) -> Integers:
    """Return the values that bytes hold, shape [values]."""
    if bits >= 8:
        return np.ascontiguousarray(raw).view(f"<i{bits // 8}").astype(np.int64)
    parts = (raw[:, None].astype(np.int64) >> (bits * np.arange(8 // bits))) % (1 << bits)
    return wrapped(parts.reshape(-1), bits)

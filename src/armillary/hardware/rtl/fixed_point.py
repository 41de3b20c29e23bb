"""Fixed-point arithmetic by NumPy, as the hardware of the platforms has it: integers that stand for numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
WORD = 64
"""Bits of a word in which numbers of any width reach a simulator."""


def fixed(values: NDArray[np.float64], fraction: int) -> Integers:
    """Return numbers as fixed-point numbers, rounded half up, as wide as they are; of the same shape.

    Args:
        values: of any shape.
        fraction: bits after the point.
    """
    return np.floor(np.asarray(values, dtype=float) * 2.0**fraction + 0.5).astype(np.int64)


def bits_of(values: Integers) -> int:
    """Return the bits, the sign's among them, that hold every one of some integers."""
    return int(max(int(np.max(values)), -int(np.min(values)) - 1, 0)).bit_length() + 1


def saturated(values: Integers, bits: int) -> Integers:
    """Return integers, those that do not fit into some bits as the nearest that does; of the same shape."""
    return np.clip(values, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def requantized(values: Integers, drop: int, bits: int) -> Integers:
    """Return integers without their last bits, rounded half up and saturated; of the same shape.

    Args:
        values: of any shape.
        drop: bits that are left out.
        bits: of the results.
    """
    return saturated((values + (1 << drop >> 1)) >> drop, bits)


def sigmoid(values: Integers, fraction: int) -> Integers:
    """Return the logistic function by four lines, at most 0.019 beside the true one, rounding aside; of the same shape.

    Args:
        values: of any shape.
        fraction: bits after the point, of values and results, at least 4.

    Source: Amin, Curtis and Hayes-Gill, IEE Proceedings 1997, table 1 (PLAN).
    """
    one, magnitude = 1 << fraction, np.abs(values)
    lines = np.select(
        [magnitude >= 5 * one, 8 * magnitude >= 19 * one, magnitude >= one],
        [32 * one, magnitude + 27 * one, 4 * magnitude + 20 * one],
        8 * magnitude + 16 * one,
    )
    rounded = (lines + 16) >> 5
    return np.where(values < 0, one - rounded, rounded)


def words_of(bits: int) -> int:
    """Return the words that some bits take."""
    return -(-bits // WORD)


def in_words(rows: Integers, bits: int) -> Integers:
    """Return rows of numbers of some bits, shape [rows, numbers], side by side in words, shape [rows, words]."""
    of_each = (rows[:, :, None] >> np.arange(bits)) & 1
    flat = of_each.astype(np.uint8).reshape(len(rows), rows.shape[1] * bits)
    whole = np.pad(flat, ((0, 0), (0, -flat.shape[1] % WORD)))
    packed: Integers = np.packbits(whole, axis=1, bitorder="little").view(np.int64)
    return packed

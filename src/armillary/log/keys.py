"""Which designs a log holds, in eight bytes a row: what a log of a hundred million rows can be asked within a gigabyte.

A design's key is 40 bits of a hash; the other 24 say which part of the log its row is in, a row group of a fragment.
Two designs may have the same key: so the part is read before a row is believed to be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from armillary.types import ArmillaryError

_PART_BITS = 24
_PART_MASK = np.uint64((1 << _PART_BITS) - 1)
MOST_SORTED = 1 << 24
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


class Keys:
    """Keys of designs, sorted, with the number of the part that each is in.

    Arrays of about one length are merged, so that n rows make log n arrays and each row is sorted log n times. None
    grows beyond `MOST_SORTED`: while two are merged there are both and what they become.
    """

    def __init__(self) -> None:
        self._sorted: list[NDArray[np.uint64]] = []
        self._parts = 0

    def __len__(self) -> int:
        return sum(map(len, self._sorted))

    def add(self, hashes: Sequence[NDArray[np.uint64]]) -> int:
        """Take the designs of new parts; return the number of the first of these parts.

        Raises:
            ArmillaryError: if there are more parts than numbers.
        """
        first = self._parts
        self._parts += len(hashes)
        if self._parts > int(_PART_MASK):
            raise ArmillaryError(
                f"a log of more than {int(_PART_MASK):,} parts: compact it with `armillary log compact`"
            )
        packed = [(each & ~_PART_MASK) | np.uint64(first + place) for place, each in enumerate(hashes)]
        if packed:
            self._merge(np.concatenate(packed))
        return first

    def _merge(self, packed: NDArray[np.uint64]) -> None:
        while self._sorted and len(self._sorted[-1]) <= min(2 * len(packed), MOST_SORTED - len(packed)):
            packed = np.concatenate([self._sorted.pop(), packed])
        packed.sort()
        self._sorted.append(packed)

    def found(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return in which parts designs of these hashes may be.

        Returns:
            Places in `hashes`, and beside each the number of a part, both of shape [found]; a design may be in several
            parts, and more than once in one.
        """
        places, parts = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        least, most = hashes & ~_PART_MASK, hashes | _PART_MASK
        for held in self._sorted:
            first, last = np.searchsorted(held, least), np.searchsorted(held, most, side="right")
            counts = last - first
            starts = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
            places.append(np.repeat(np.arange(len(hashes)), counts))
            parts.append((held[starts + np.arange(counts.sum())] & _PART_MASK).astype(np.int64))
        return np.concatenate(places), np.concatenate(parts)


def hashes_of(design: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """Return a hash of each design given in columns, shape [designs]; numbers that are equal count as equal."""
    total = np.zeros(len(next(iter(design.values()))), dtype=np.uint64)
    for column in design.values():
        values = column if column.dtype.kind in "OU" else column.astype(np.float64) + 0.0  # -0 is 0
        total = total * _MIX + pd.util.hash_array(values, categorize=True)
    total ^= total >> np.uint64(29)
    return total * _MIX

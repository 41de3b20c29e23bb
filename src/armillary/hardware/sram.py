"""SRAM macros at 45 nm: area and access time by words, bits and ports.

A macro has at most 2,048 words of 64 bits, as compilers' have; a larger memory is several side by side, of equal size.
One port: least squares, in relative terms, to the 19 macros of at most 64 bits of OpenROAD-flow-scripts' fakeram45,
32 to 2,048 words, whose numbers the BSG black-box SRAM generator derives with CACTI. The law misses their areas by 14%
in the mean and by 37% at most, as CACTI chooses among organisations and its areas jump, and their times by 9% at most.
Two ports: as many times as large as OpenRAM's FreePDK45 bit cell of two ports, 1.175 um x 1.495 um, is larger than its
cell of one, 0.705 um x 1.345 um (openram 1.2.48); no macro of two ports has been checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_WORDS, MOST_BITS = 2048, 64
UM2_PER_BIT, UM2_PER_COLUMN, UM2_PER_ROW = 0.5650, 11.01, 0.4170
TWO_PORTS = (1.175 * 1.495) / (0.705 * 1.345)
SETUP_NS = 0.05
"""Of every input of every macro of fakeram45."""
_FJ_PER_BIT_AND_ROOT_WORD = 3.889
_ACCESS_NS, _ACCESS_NS_PER_SIDE = 0.1545, 0.0008779  # the side of a square of the macro's bits


def area_um2(words: ArrayLike, bits: ArrayLike, ports: int) -> NDArray[np.float64]:
    """Return the area of a memory's macros, of the shape of `words` and `bits`.

    Args:
        words: of the memory.
        bits: of a word.
        ports: 1, or 2 for one that reads and one that writes.
    """
    deep, wide = _macros(words, bits)
    across, down = np.asarray(bits, float), np.asarray(words, float)
    single = UM2_PER_BIT * down * across + UM2_PER_COLUMN * across * deep + UM2_PER_ROW * down * wide
    return np.asarray(single * (TWO_PORTS if ports == 2 else 1.0))


def access_ns(words: int, bits: int) -> float:
    """Return how long after the clock's edge a memory's word is there, without what chooses between macros."""
    deep, wide = _macros(words, bits)
    return float(_ACCESS_NS + _ACCESS_NS_PER_SIDE * np.sqrt(words / deep * bits / wide))


def edge_energy_fj(words: int, bits: int) -> float:
    """Return what a memory takes in a cycle in which it reads or writes a word, without what chooses between macros.

    Least squares in relative terms to the internal energies of the clock pins of the same 19 macros; the law misses
    them by 12% in the mean and by 27% at most. Of a deep memory one macro along the words works.
    """
    deep, _ = _macros(words, bits)
    return float(_FJ_PER_BIT_AND_ROOT_WORD * bits * np.sqrt(words / deep))


def _macros(words: ArrayLike, bits: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many macros lie along the words, and along the bits."""
    return np.ceil(np.asarray(words, float) / MOST_WORDS), np.ceil(np.asarray(bits, float) / MOST_BITS)

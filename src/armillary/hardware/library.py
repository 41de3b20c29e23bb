"""Energy per operation and per byte, each number with its source.

All energies are for the 45 nm node of the source and are scaled to another node by `LOGIC_SCALE`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V.
INT8_MAC_PJ = 0.2 + 0.1  # 8-bit multiply, 32-bit add
SRAM_8KB_PJ_PER_BYTE = 10.0 / 8  # 64-bit read of an 8 KB cache
SRAM_1MB_PJ_PER_BYTE = 100.0 / 8  # 64-bit read of a 1 MB cache
DRAM_PJ_PER_BYTE = 1300.0 / 8  # 64-bit access, the lower end of 1.3 to 2.6 nJ

# Energy of logic and SRAM against 45 nm: full-voltage scaling of Stillmaker and Baas, "Scaling
# equations for the accurate prediction of CMOS device performance", Integration 2017, rounded.
LOGIC_SCALE = {45: 1.0, 16: 0.25}

_SRAM_EXPONENT = np.log(SRAM_1MB_PJ_PER_BYTE / SRAM_8KB_PJ_PER_BYTE) / np.log(128)


def sram_pj_per_byte(capacity_bytes: NDArray[np.float64], node_nm: int) -> NDArray[np.float64]:
    """Return the energy of one byte read from an SRAM, shape as the capacity, in pJ.

    Source: the power law through the 8 KB and 1 MB points of Horowitz 2014, held at the 1 KB value below.
    """
    kilobytes = np.maximum(capacity_bytes, 1024.0) / 8192.0
    energy: NDArray[np.float64] = SRAM_8KB_PJ_PER_BYTE * kilobytes**_SRAM_EXPONENT * LOGIC_SCALE[node_nm]
    return energy

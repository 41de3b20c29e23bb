"""Energy of the Edge TPU template: what its work costs, and leakage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.technology import DRAM_PJ_PER_BIT, LEAKAGE_MW_PER_MM2, mac_pj, sram_pj_per_bit
from armillary.hardware.templates.edge_tpu import NODE_NM, EdgeTpuChips

_BYTE_BITS = 8  # every operand is a byte
# A byte on the array's buses costs what reading a 64 KiB memory costs: an assumption, for the wires
# of both cross a similar distance.
_BUS_EQUIVALENT_BYTES = np.array([64.0 * 1024])
_PJ_PER_MJ = 1e9


@dataclass(frozen=True)
class Traffic:
    """Work and traffic of a layer or an inference: one number of MACs, bytes of shape [designs]."""

    macs: int
    dram_bytes: NDArray[np.float64]
    onchip_bytes: NDArray[np.float64]


def energy_parts_pj(chip: EdgeTpuChips, traffic: Traffic) -> dict[str, NDArray[np.float64]]:
    """Return the dynamic energy by component, shape [designs], in pJ.

    A lane reads one weight per multiply-accumulate from its core memory; the lanes of a core share
    each input, read from the PE memory. Every byte on the buses is read or written once in a PE memory.

    Source: `armillary.hardware.technology` at the template's node, by which hierarchies are charged, too.
    """
    pe_byte, core_byte, bus_byte = (
        _BYTE_BITS * sram_pj_per_bit(capacity, NODE_NM)
        for capacity in (chip.columns["pe_memory_bytes"], chip.columns["core_memory_bytes"], _BUS_EQUIVALENT_BYTES)
    )
    return {
        "MAC": np.full(len(pe_byte), traffic.macs * mac_pj(_BYTE_BITS, NODE_NM)),
        "core memory": traffic.macs * core_byte,
        "PE memory": (traffic.macs / chip.columns["lanes"] + traffic.onchip_bytes) * pe_byte,
        "array buses": traffic.onchip_bytes * bus_byte,
        "DRAM": traffic.dram_bytes * _BYTE_BITS * DRAM_PJ_PER_BIT,
    }


def leakage_pj(chip: EdgeTpuChips, runtime_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what whole chips leak in a time, nothing switched off, each of shape [designs], in pJ."""
    return LEAKAGE_MW_PER_MM2 * chip.area_mm2() * runtime_s * _PJ_PER_MJ

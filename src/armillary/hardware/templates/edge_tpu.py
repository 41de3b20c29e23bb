"""The Edge TPU template: what the ten parameters of PRIME Table 1 build.

Organisation (Yazdanbakhsh et al., arXiv 2102.10423): an X by Y array of processing elements (PEs).
A PE has one PE memory (activations, outputs, resident parameters) and several cores. A core has a
core memory (parameters) and SIMD compute lanes; a lane multiplies and adds four pairs of 8-bit
values per cycle into one output. Instruction, parameter and activation memories of the controller
feed the array from DRAM.

**Cores and lanes.** PRIME's Tables 1 and 12 call the list 4..256 "cores" and the list 1..32
"lanes". We take the labels as swapped: 4..256 are the lanes of a core, 1..32 the cores of a PE.
Two reasons. (1) The Edge TPU paper has 1 to 8 cores per PE and 32 or 64 lanes per core, and only
this reading contains those designs. (2) Area: Table 12's evolutionary design would have, as
labelled, 4 x 8 PEs x 128 cores x 128 KiB = 512 MiB of core memory in 92 mm2; swapped, it has
24 MiB.

**The Edge TPU itself.** Of the three chips in that paper, the first (4 x 4 PEs, 4 cores, 64 lanes,
2 MiB PE memory, 32 KiB core memory, 800 MHz, 26.2 TOPS) is the baseline of PRIME's 27 mm2: with it
both designs of Table 12 follow from one area law, with the other two (8.7 TOPS) they do not.

**Constants calibrated to published numbers** (and to nothing else; none per application):

- `SRAM_MM2_PER_MIB`, `MAC_MM2`: the area of the Edge TPU is 27 mm2 (PRIME A.7); the two areas of
  Table 12, 46.78 and 92.05 mm2, have equal and opposite relative errors (-5.4%, +5.7%).
  They are not the technology table's, which at 16 nm has 0.84 mm2 per MiB, so that the SRAM of the Edge TPU alone
  would exceed its published area, and 85 um2 per multiply-accumulate unit, without the lane around it.
- `MAX_AREA_MM2`: the smallest round die that still holds the larger design of Table 12, 97.3 mm2 by
  our law. A larger design counts as not implementable.

Energies are those of `armillary.hardware.technology` at `NODE_NM`, which is an assumption.

The width of a controller memory's entry, 16 bytes, is an assumption: no source states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.spaces.space import Parameter, Space

_ARRAY = (1, 2, 4, 6, 8, 10, 12, 14, 16, 32)


def _derived(codes: NDArray[np.int64], workload: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what follows from designs and the sizes of a workload alone, logarithms of shape [designs, 10].

    First what relates the two: the time of the operations at the array's peak and that of the parameters from DRAM,
    the two roofs of Williams et al., "Roofline", CACM 2009; and how often the parameters fit into the PE memories and
    into the core memories. Then what the array has: PEs, peak, PE memory and core memory in all, core memory and lanes
    of one PE. A size that is not told counts as one.
    """
    chips = EdgeTpuChips.of(codes)
    operations, parameters = (workload.get(name, np.ones(1)) for name in ("compute_ops", "parameter_mb"))
    pe_memory = chips.pes * chips.columns["pe_memory_bytes"]
    own_memory = chips.columns["cores"] * chips.columns["core_memory_bytes"]
    quantities = (
        operations / chips.macs_per_cycle,
        parameters / chips.dram_bytes_per_s,
        pe_memory / parameters,
        chips.pes * own_memory / parameters,
        chips.pes,
        chips.macs_per_cycle,
        pe_memory,
        chips.pes * own_memory,
        own_memory,
        chips.columns["cores"] * chips.columns["lanes"],
    )
    return np.asarray(np.log2(np.stack(quantities, axis=1)))


SPACE = Space(
    "edge_tpu",
    (
        Parameter("pes_x", _ARRAY),
        Parameter("pes_y", _ARRAY),
        Parameter("lanes", (4, 8, 16, 32, 64, 128, 256)),
        Parameter("cores", _ARRAY),
        Parameter("pe_memory_bytes", tuple(2**k for k in range(18, 25)), unit="bytes"),
        Parameter("core_memory_bytes", tuple(2**k for k in range(12, 23)), unit="bytes"),
        Parameter("activation_memory_entries", tuple(2**k for k in range(8, 15)), unit="entries"),
        Parameter("instruction_memory_entries", tuple(2**k for k in range(13, 17)), unit="entries"),
        Parameter("parameter_memory_entries", tuple(2**k for k in range(11, 16)), unit="entries"),
        Parameter("dram_bandwidth_gbps", (5, 10, 16, 20, 25, 30), unit="Gbit/s"),
    ),
    _derived,
)

CLOCK_HZ = 800e6
MACS_PER_LANE = 4
ENTRY_BYTES = 16
NODE_NM = 16

SRAM_MM2_PER_MIB = 0.4291
MAC_MM2 = 7.44e-4
MAX_AREA_MM2 = 98.0
PRIME_AREA_MM2 = 29.0
"""The bound of PRIME's experiments, to which a search keeps if it is given none."""

# The first chip of arXiv 2102.10423 at the 25 Gbit/s of PRIME A.7; every value is in the space.
EDGE_TPU = SPACE.design_from(
    {
        "pes_x": 4,
        "pes_y": 4,
        "lanes": 64,
        "cores": 4,
        "pe_memory_bytes": 2 * 2**20,
        "core_memory_bytes": 32 * 2**10,
        "activation_memory_entries": 1024,
        "instruction_memory_entries": 16384,
        "parameter_memory_entries": 16384,
        "dram_bandwidth_gbps": 25,
    },
    "the published Edge TPU",
)


@dataclass(frozen=True)
class EdgeTpuChips:
    """What follows from designs, computed once: arrays of shape [designs]."""

    columns: Mapping[str, NDArray[Any]]

    @staticmethod
    def of(codes: NDArray[np.int64]) -> EdgeTpuChips:
        """Return the chips of coded designs, shape [designs, 10]."""
        return EdgeTpuChips({name: values.astype(float) for name, values in SPACE.columns(codes).items()})

    @property
    def pes(self) -> NDArray[np.float64]:
        """Processing elements."""
        return np.asarray(self.columns["pes_x"] * self.columns["pes_y"])

    @property
    def macs_per_cycle(self) -> NDArray[np.float64]:
        """Peak multiply-accumulates per cycle."""
        return np.asarray(self.pes * self.columns["cores"] * self.columns["lanes"] * MACS_PER_LANE)

    @property
    def dram_bytes_per_s(self) -> NDArray[np.float64]:
        """Peak DRAM bandwidth."""
        return np.asarray(self.columns["dram_bandwidth_gbps"] * 1e9 / 8)

    def controller_bytes(self, memory: str) -> NDArray[np.float64]:
        """Return the capacity of a controller memory: `activation`, `instruction` or `parameter`."""
        return np.asarray(self.columns[f"{memory}_memory_entries"] * ENTRY_BYTES)

    def area_parts_mm2(self) -> dict[str, NDArray[np.float64]]:
        """Return the area of each component, in mm2."""
        mib = 2.0**20
        controller = sum(self.controller_bytes(m) for m in ("activation", "instruction", "parameter"))
        return {
            "MAC lanes": MAC_MM2 * self.macs_per_cycle,
            "PE memory": SRAM_MM2_PER_MIB * self.pes * self.columns["pe_memory_bytes"] / mib,
            "core memory": SRAM_MM2_PER_MIB
            * self.pes
            * self.columns["cores"]
            * self.columns["core_memory_bytes"]
            / mib,
            "controller memories": SRAM_MM2_PER_MIB * controller / mib,
        }

    def area_mm2(self) -> NDArray[np.float64]:
        """Return the chip area, in mm2."""
        return np.asarray(np.sum(list(self.area_parts_mm2().values()), axis=0))


def area_mm2(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the area of coded designs, shape [designs], in mm2: known without evaluating anything."""
    return EdgeTpuChips.of(codes).area_mm2()


TEMPLATE = Template(
    name="edge_tpu",
    space=SPACE,
    laws={"area_mm2": area_mm2},
    limits={"area_mm2": MAX_AREA_MM2},
    budgets={"area_mm2": PRIME_AREA_MM2},
    baseline=EDGE_TPU,
    baseline_name="Edge TPU",
)

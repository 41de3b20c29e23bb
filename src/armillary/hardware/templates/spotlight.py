"""Template `spotlight`: a two-dimensional array of processing elements (PEs) with SIMD lanes, at 8 bits.

Every PE has a register file and so many multiply-accumulate lanes. All PEs share a scratchpad over a simple
interconnect that can multicast, and the scratchpad is filled from DRAM. One loop is unrolled over the rows of the
array and one over its columns; another, or the same, over the lanes of a PE.

`spotlight` is the edge-scale space of Table 4.1 and `spotlight_cloud` the cloud-scale one, whose ranges
the chapter leaves out and the public release gives.

Where the sources are silent, these are our assumptions: 28 nm and 1 GHz; the interconnect moves `bandwidth` bytes per
cycle to the PEs and as many back, over wires of 0.2 um pitch that are as long as the chip is wide, and every byte
pays for that length; DRAM moves 32 bytes per cycle at the edge and 512 in the cloud; a design may have 3.5 mm2 at the
edge and 320 mm2 in the cloud, about the middle of either space. Buffer sizes, which do nothing in the release,
decide here what fits, and its energy and area.

Sources: the Spotlight chapter, Section 4.1.1 and Table 4.1; energies and areas: `armillary.hardware.technology`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level, LevelClass
from armillary.hardware.technology import (
    access_energy,
    compute_area_mm2,
    level_area_mm2,
    mac_energy_pj,
    wire_energy_pj,
)
from armillary.hardware.template import Template
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design

TECHNOLOGY_NM = 28.0
CLOCK_GHZ = 1.0
LANES = tuple(range(2, 17))
BANDWIDTHS = tuple(range(64, 257))
EDGE_DRAM_BYTES_PER_CYCLE, CLOUD_DRAM_BYTES_PER_CYCLE = 32.0, 512.0
_WIRE_PITCH_MM = 0.2e-3
_DIRECTIONS = 2
_BITS = 8
_KIB = 1 << 10
_MEMORIES = ("scratchpad_kib", "register_file_kib")


@dataclass(frozen=True)
class Chip:
    """One accelerator of the family, of the space or not.

    Attributes:
        simd_lanes: multiply-accumulates per PE and cycle.
        bandwidth: bytes per cycle from the scratchpad to the PEs, and as many back.
        rows: of the array, its height.
        columns: of the array, its width.
        scratchpad_kib: shared by all PEs.
        register_file_kib: of all PEs together.
        dram_bandwidth: bytes per cycle.
        name: what reports call it.
    """

    simd_lanes: int
    bandwidth: int
    rows: int
    columns: int
    scratchpad_kib: int
    register_file_kib: int
    dram_bandwidth: float = EDGE_DRAM_BYTES_PER_CYCLE
    name: str = "spotlight"

    @property
    def pes(self) -> int:
        """Processing elements."""
        return self.rows * self.columns

    @property
    def register_file_bytes(self) -> int:
        """Bytes of one PE's register file, rounded down."""
        return self.register_file_kib * _KIB // self.pes

    @property
    def area_mm2(self) -> float:
        """Area with the wires, DRAM left out."""
        return float(_area_mm2(self.simd_lanes, self.bandwidth, self.pes, self.scratchpad_kib, self.register_file_kib))

    @property
    def width_mm(self) -> float:
        """Width of the chip, which is square, and length of its wires."""
        return sqrt(float(_logic_mm2(self.simd_lanes, self.pes, self.scratchpad_kib, self.register_file_kib)))

    @property
    def read_pj(self) -> tuple[float, float, float]:
        """Energy of reading a byte from a register file, from the scratchpad over the wires, and from DRAM."""
        scratchpad = _byte_pj("sram", self.scratchpad_kib * _KIB) + _wire_pj_per_mm() * self.width_mm
        return _byte_pj("regfile", self.register_file_bytes), scratchpad, _byte_pj("dram", None)

    def hierarchy(self) -> Hierarchy:
        """Return register files, scratchpad and DRAM around the lanes.

        Raises:
            ArmillaryError: if a register file is too small to hold a weight, an input and an output.
        """
        if self.register_file_bytes < 3:
            raise ArmillaryError(
                f"register_file_kib={self.register_file_kib} leaves {self.register_file_bytes} bytes to each of "
                f"{self.pes} PEs; a PE needs at least 3"
            )
        bus = float(self.bandwidth)
        scratchpad = Level(
            name="Scratchpad", capacity_words=self.scratchpad_kib * _KIB, fanout=(self.columns, self.rows)
        )
        (_, read_pj, _), fill_pj = self.read_pj, _byte_pj("sram", self.scratchpad_kib * _KIB)
        return Hierarchy(
            name=self.name,
            levels=(
                Level(name="DRAM", kind="dram", shared_bandwidth=self.dram_bandwidth),
                scratchpad.model_copy(
                    update={
                        "read_bandwidth": bus,
                        "write_bandwidth": bus,
                        "energy": AccessEnergy(read_pj=read_pj, fill_pj=fill_pj, update_pj=read_pj),
                        "area_mm2": level_area_mm2(_technology(), scratchpad) + float(_wires_mm2(bus, self.width_mm)),
                    }
                ),
                Level(
                    name="RegisterFile",
                    kind="regfile",
                    capacity_words=self.register_file_bytes,
                    fanout=(self.simd_lanes, 1),
                ),
            ),
            compute=Compute(name="lane", bits=_BITS),
            technology_nm=TECHNOLOGY_NM,
            clock_ghz=CLOCK_GHZ,
        )

    def scaled_to(
        self,
        area_mm2: float,
        *,
        simd_lanes: int,
        most_lanes: int,
        bus: Callable[[int], int],
        most_kib: tuple[int, int] | None = None,
    ) -> Chip:
        """Return the chip scaled to an area, with other lanes.

        The array grows in its aspect ratio, and the bus and the memories with it, until the area or the number of lanes
        of all PEs is reached; in what area is left both memories grow.

        Args:
            area_mm2: at most.
            simd_lanes: of a PE.
            most_lanes: of all PEs together.
            bus: bandwidth in bytes per cycle for a number of PEs.
            most_kib: scratchpad and register files at most; as large as the area allows, if not given.

        Raises:
            ArmillaryError: if even one PE does not fit.
        """
        fits = None
        for columns in count(1):
            rows = max(1, round(columns * self.rows / self.columns))
            width = bus(rows * columns)
            grown = replace(self, rows=rows, columns=columns, simd_lanes=simd_lanes, bandwidth=width)
            grown = grown._with_memories(self, rows * columns / self.pes, most_kib)
            if grown.area_mm2 > area_mm2 or grown.pes * simd_lanes > most_lanes:
                break
            fits = grown
        if fits is None:
            raise ArmillaryError(f"area_mm2={area_mm2:g} is not allowed: not even one PE of {self.name} fits")
        for share in np.arange(fits.pes / self.pes, 1e4, 0.01):
            grown = fits._with_memories(self, float(share), most_kib)
            if grown.area_mm2 > area_mm2:
                break
            fits = grown
        return fits

    def _with_memories(self, other: Chip, share: float, most_kib: tuple[int, int] | None) -> Chip:
        """Return the chip with so much of another one's memories."""
        sizes = {name: max(1, round(share * getattr(other, name))) for name in _MEMORIES}
        if most_kib is not None:
            sizes = {name: min(size, most) for (name, size), most in zip(sizes.items(), most_kib, strict=True)}
        return replace(self, **sizes)


# The release's designs for the edge: lanes, bandwidth and memories are theirs, the names the chapter's.
EYERISS_LIKE = Chip(1, 256, 15, 18, 256, 16, name="eyeriss_like")
NVDLA_LIKE = Chip(1, 256, 16, 16, 512, 32, name="nvdla_like")
MAERI_LIKE = Chip(1, 64, 22, 17, 80, 65, name="maeri_like")


def cloud(chip: Chip) -> Chip:
    """Return a hand-designed edge chip as the release scales it up for the cloud."""
    rows, columns, scratchpad_mib, register_file_mib = {
        "eyeriss_like": (60, 72, 256, 16),
        "nvdla_like": (120, 120, 16, 1),
        "maeri_like": (128, 112, 2, 1),
    }[chip.name]
    return replace(
        chip,
        rows=rows,
        columns=columns,
        scratchpad_kib=scratchpad_mib * _KIB,
        register_file_kib=register_file_mib * _KIB,
        dram_bandwidth=CLOUD_DRAM_BYTES_PER_CYCLE,
    )


def arrays(pe_counts: range) -> tuple[str, ...]:
    """Return every array `ROWSxCOLUMNS` of two rows or more of so many PEs, by PEs, then by rows."""
    return tuple(f"{rows}x{pes // rows}" for pes in pe_counts for rows in range(2, pes + 1) if pes % rows == 0)


def _space(name: str, pe_counts: range, memories_kib: range) -> Space:
    sizes = tuple(memories_kib)
    return Space(
        name,
        (
            Parameter("simd_lanes", LANES),
            Parameter("bandwidth", BANDWIDTHS, unit="bytes/cycle"),
            Parameter("pe_array", arrays(pe_counts), kind="ordinal", unit="rows x columns"),
            Parameter("scratchpad_kib", sizes, kind="ordinal", unit="KiB"),
            Parameter("register_file_kib", sizes, kind="ordinal", unit="KiB"),
        ),
    )


EDGE = _space("spotlight", range(128, 301), range(64, 257, 8))
CLOUD = _space("spotlight_cloud", range(2048, 16385, 256), range(8 * _KIB, 32 * _KIB + 1, 2 * _KIB))


def chip_of(design: Design) -> Chip:
    """Return the chip that a design of either space stands for."""
    values = design.as_dict()
    rows, columns = map(int, str(values["pe_array"]).split("x"))
    return Chip(
        simd_lanes=int(values["simd_lanes"]),
        bandwidth=int(values["bandwidth"]),
        rows=rows,
        columns=columns,
        scratchpad_kib=int(values["scratchpad_kib"]),
        register_file_kib=int(values["register_file_kib"]),
        dram_bandwidth=CLOUD_DRAM_BYTES_PER_CYCLE if design.space == CLOUD.name else EDGE_DRAM_BYTES_PER_CYCLE,
        name=design.space,
    )


def area_mm2(space: Space, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the areas of coded designs, shape [designs]; equal to `Chip.area_mm2`."""
    columns = space.columns(codes)
    pes = _pes_of_arrays(space)[codes[:, space.names.index("pe_array")]]
    return _area_mm2(
        columns["simd_lanes"], columns["bandwidth"], pes, columns["scratchpad_kib"], columns["register_file_kib"]
    )


@cache
def _pes_of_arrays(space: Space) -> NDArray[np.int64]:
    values = space.parameters[space.names.index("pe_array")].values
    return np.array([int(rows) * int(columns) for rows, columns in (str(v).split("x") for v in values)])


def _area_mm2(
    lanes: ArrayLike, bandwidth: ArrayLike, pes: ArrayLike, scratchpad_kib: ArrayLike, register_file_kib: ArrayLike
) -> NDArray[np.float64]:
    logic = _logic_mm2(lanes, pes, scratchpad_kib, register_file_kib)
    return logic + _wires_mm2(bandwidth, np.sqrt(logic))


def _logic_mm2(
    lanes: ArrayLike, pes: ArrayLike, scratchpad_kib: ArrayLike, register_file_kib: ArrayLike
) -> NDArray[np.float64]:
    """Return the area of everything but the wires."""
    lane, scratchpad, registers = _unit_areas_mm2()
    return np.asarray(
        lane * np.multiply(lanes, pes)
        + scratchpad * np.asarray(scratchpad_kib, dtype=float)
        + registers * np.asarray(register_file_kib, dtype=float)
    )


@cache
def _unit_areas_mm2() -> tuple[float, float, float]:
    """Return the area of a lane, of a KiB of scratchpad and of a KiB of registers, all linear in their number."""
    sram, regfile = (Level(name=kind, kind=kind, capacity_words=_KIB) for kind in ("sram", "regfile"))
    return compute_area_mm2(_technology()), level_area_mm2(_technology(), sram), level_area_mm2(_technology(), regfile)


@cache
def _byte_pj(kind: LevelClass, capacity: int | None) -> float:
    return access_energy(_technology(), Level(name=kind, kind=kind, capacity_words=capacity)).read_pj


@cache
def _wire_pj_per_mm() -> float:
    return wire_energy_pj(_technology(), _BITS, 1.0)


@cache
def mac_pj() -> float:
    """Return the energy of a multiply-accumulate."""
    return mac_energy_pj(_technology())


@cache
def _technology() -> Hierarchy:
    """Return a hierarchy of our technology and word length, to ask the table of."""
    return Hierarchy(
        name="units",
        levels=(Level(name="DRAM", kind="dram"),),
        compute=Compute(bits=_BITS),
        technology_nm=TECHNOLOGY_NM,
    )


def _wires_mm2(bandwidth: ArrayLike, width_mm: ArrayLike) -> NDArray[np.float64]:
    return np.multiply(bandwidth, width_mm) * (_BITS * _DIRECTIONS * _WIRE_PITCH_MM)


def _template(space: Space, baseline: str, budget_mm2: float) -> Template:
    values = {"simd_lanes": 8, "bandwidth": 128, "pe_array": baseline, "scratchpad_kib": 0, "register_file_kib": 0}
    for name in ("scratchpad_kib", "register_file_kib"):
        sizes = space.parameters[space.names.index(name)].values
        values[name] = sizes[len(sizes) // 2]
    return Template(
        name=space.name,
        space=space,
        laws={"area_mm2": partial(area_mm2, space)},
        limits={"area_mm2": float(area_mm2(space, np.array([space.cardinalities]) - 1)[0])},
        budgets={"area_mm2": budget_mm2},
        baseline=space.design_from(values, space.name),
        baseline_name="Middle of the space",
        baseline_note="the middle of every range",
    )


TEMPLATE = _template(EDGE, "14x14", 3.5)
CLOUD_TEMPLATE = _template(CLOUD, "64x64", 320.0)

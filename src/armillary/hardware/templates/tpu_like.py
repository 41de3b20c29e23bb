"""Template `tpu_like`: systolic arrays with three memories on the chip, a vector unit, and HBM, for language models.

Arrays of `array_rows` x `array_columns` multiply-accumulate units hold weights; inputs enter the rows, sums leave the
columns into accumulators, one memory per array. Two memories feed all arrays: one holds weights, the other inputs,
outputs, and the keys and values of attention where these stay on the chip. The vector unit works on the activation
memory. Units multiply in fp16 and add in fp32; narrower weights are widened where they enter an array, so that they
save traffic and capacity and no arithmetic.

A cache of keys and values stays in the activation memory from one step to the next where it takes at most half of it.
Attention then reads nothing of HBM, and the other layers have the rest of the memory.

Area and energy come from `armillary.hardware.technology` at 7 nm. The area has the arrays with their registers, the
three memories, the lanes and the HBM interfaces. Memory controllers, links between chips and the control of the cores
are left out, so that our TPUv4i has 75 mm2 where the die has less than 400. Leakage is left out, too.

Sources: Jouppi et al., "Ten Lessons From Three Generations Shaped Google's TPUv4i", ISCA 2021: the chips in its table
    1, the energies in its table 2. Zhang et al., "LLMCompass", ISCA 2024, whose released cost model has the area of an
    HBM interface.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level, LoopRules
from armillary.hardware.technology import (
    HBM_PJ_PER_BIT,
    add_pj,
    compute_area_mm2,
    float_mac_pj,
    level_area_mm2,
    multiply_pj,
    sram_pj_per_bit,
)
from armillary.hardware.template import Template
from armillary.hardware.vector_unit import VectorEnergy, VectorUnit
from armillary.spaces.space import Parameter, Space
from armillary.types import Design

TECHNOLOGY_NM = 7.0
CLOCK_GHZ = 1.05
"""Of TPUv4i."""
STACK_GB_PER_S = 307.0
"""Of one HBM stack: TPUv4i has two, of 614 GB/s together."""
STACK_INTERFACE_MM2 = 10.45
"""Of the interface of one stack, 1,024 data pins; it does not shrink with the node (LLMCompass)."""
_BITS, _SUM_BITS = 16, 32
_KIB = 1 << 10
_MIB_IN_KIB = 1 << 10
_NOWHERE = LoopRules(spatial_x="", spatial_y="")


@dataclass(frozen=True)
class Chip:
    """One accelerator of the family.

    Attributes:
        arrays: systolic arrays.
        array_rows: of each, along which inputs enter.
        array_columns: of each, along which sums leave.
        vector_lanes: additions or multiplications per cycle.
        weights_kib: memory of weights.
        activations_kib: memory of inputs, outputs, keys and values.
        accumulators_kib: memory of sums of each array.
        hbm_stacks: of DRAM.
    """

    arrays: int
    array_rows: int
    array_columns: int
    vector_lanes: int
    weights_kib: int
    activations_kib: int
    accumulators_kib: int
    hbm_stacks: int

    @property
    def hbm_bytes_per_cycle(self) -> float:
        """Bytes read and written together."""
        return self.hbm_stacks * STACK_GB_PER_S / CLOCK_GHZ

    @property
    def area_mm2(self) -> float:
        """Area of the chip; see the module for what is left out."""
        return float(sum(self.area_parts_mm2().values()))

    def area_parts_mm2(self) -> dict[str, float]:
        """Return the area of arrays, memories, lanes and interfaces."""
        columns = {name: np.array([float(getattr(self, name))]) for name in NAMES}
        return {name: float(area[0]) for name, area in _areas_mm2(columns).items()}

    def hierarchy(self, weight_bits: int, held_bytes: float = 0.0) -> Hierarchy:
        """Return HBM, the memories of weights and activations, accumulators, and a register per unit.

        Columns unroll K, rows C; arrays share K, or groups, such as the heads of attention.

        Args:
            weight_bits: of the second operand: an array takes a row of them per cycle, however wide they are.
            held_bytes: of the activation memory that hold something else.
        """
        return Hierarchy(
            name=SPACE.name,
            technology_nm=TECHNOLOGY_NM,
            clock_ghz=CLOCK_GHZ,
            bits=_WIDTHS,
            compute=_COMPUTE,
            levels=(
                Level(
                    name="HBM",
                    kind="dram",
                    shared_bandwidth=self.hbm_bytes_per_cycle,
                    rules=_NOWHERE,
                    energy=_equal(HBM_PJ_PER_BIT * 8),
                ),
                Level(
                    name="Weights",
                    keeps="W",
                    capacity_words=self.weights_kib * _KIB,
                    buffers=2,
                    read_bandwidth=self.arrays * self.array_columns * weight_bits / 8,
                    rules=_NOWHERE,
                ),
                self._activations("IO", int(self.activations_kib * _KIB - held_bytes), buffers=2),
                *self._arrays(weight_bits),
            ),
        )

    def resident_hierarchy(self, weight_bits: int) -> Hierarchy:
        """Return the levels of attention whose keys and values stay on the chip: the activation memory is outermost.

        Args:
            weight_bits: of keys and values.
        """
        return Hierarchy(
            name=f"{SPACE.name}_resident",
            technology_nm=TECHNOLOGY_NM,
            clock_ghz=CLOCK_GHZ,
            bits=_WIDTHS,
            compute=_COMPUTE,
            levels=(self._activations("WIO", self.activations_kib * _KIB, buffers=1), *self._arrays(weight_bits)),
        )

    def vector_unit(self) -> VectorUnit:
        """Return what runs operators beside the arrays, on values of 16 bits in the activation memory.

        Tensors stay there where they take no more than a quarter of it. A function is the polynomial of I-BERT (Kim et
        al., ICML 2021), as for template `gemmini`, 3 multiplications and 4 additions; an operation takes the energy of
        one in 32 bits.
        """
        rate = self.hbm_bytes_per_cycle * 8 / _BITS
        return VectorUnit(
            lanes=float(self.vector_lanes),
            function_adds=4,
            function_multiplies=3,
            behind=frozenset({"clamp", "scale", "sum"}),
            buffer_values=2.0 * self.vector_lanes,
            move_values=2.0 * self.vector_lanes,
            resident_values=self.activations_kib * _KIB * 8 / _BITS / 4,
            dram_reads=rate,
            dram_writes=rate,
            dram_values=rate,
            setup_cycles=0.0,
            value_bytes=_BITS / 8,
            energy=VectorEnergy(
                add_pj=add_pj(TECHNOLOGY_NM),
                multiply_pj=multiply_pj(TECHNOLOGY_NM),
                buffer_pj=self._activations_pj * _BITS / 8,
                dram_pj=HBM_PJ_PER_BIT * _BITS,
            ),
        )

    @property
    def _activations_pj(self) -> float:
        """Energy of a byte read from or written to the activation memory, whatever part of it tiles may take."""
        return 8 * float(sram_pj_per_bit(np.array([float(self.activations_kib * _KIB)]), TECHNOLOGY_NM)[0])

    def _activations(self, keeps: str, capacity: int, buffers: int) -> Level:
        return Level(
            name="Activations",
            keeps=keeps,
            capacity_words=capacity,
            buffers=buffers,
            read_bandwidth=self.arrays * (self.array_rows + self.array_columns) * _BITS / 8,
            write_bandwidth=self.arrays * self.array_columns * _BITS / 8,
            fanout=(self.arrays, 1),
            rules=LoopRules(spatial_x="KG", spatial_y=""),
            energy=_equal(self._activations_pj),
        )

    def _arrays(self, weight_bits: int) -> tuple[Level, Level]:
        return (
            Level(
                name="Accumulators",
                keeps="O",
                capacity_words=self.accumulators_kib * _KIB * 8 // _SUM_BITS,
                word_bits=_SUM_BITS,
                read_bandwidth=float(self.array_columns),
                write_bandwidth=float(self.array_columns),
                fanout=(self.array_columns, self.array_rows),
                rules=LoopRules(spatial_x="K", spatial_y="C"),
            ),
            Level(
                name="Registers",
                kind="regfile",
                keeps="W",
                capacity_words=2,
                buffers=2,
                word_bits=_BITS,
                # A row of weights enters an array per cycle.
                write_bandwidth=weight_bits / _BITS / self.array_rows,
                rules=LoopRules(temporal="NPQ", spatial_x="", spatial_y="", max_tile=dict.fromkeys("KCRSG", 1)),
            ),
        )


def _equal(energy_pj: float) -> AccessEnergy:
    return AccessEnergy(read_pj=energy_pj, fill_pj=energy_pj, update_pj=energy_pj)


NAMES = tuple(field.name for field in fields(Chip))
_WIDTHS = Bits(W=_BITS, I=_BITS, P=_SUM_BITS, O=_BITS, kind="float")
_COMPUTE = Compute(bits=_BITS, energy_pj=float_mac_pj(_BITS, TECHNOLOGY_NM, _SUM_BITS))

SPACE = Space(
    "tpu_like",
    (
        Parameter("arrays", (1, 2, 4, 8), kind="ordinal"),
        Parameter("array_rows", (16, 32, 64, 128, 256), kind="ordinal", unit="units"),
        Parameter("array_columns", (16, 32, 64, 128, 256), kind="ordinal", unit="units"),
        Parameter("vector_lanes", (64, 128, 256, 512, 1024, 2048), kind="ordinal", unit="operations/cycle"),
        Parameter("weights_kib", tuple(256 << n for n in range(9)), kind="ordinal", unit="KiB"),
        Parameter("activations_kib", tuple(256 << n for n in range(9)), kind="ordinal", unit="KiB"),
        Parameter("accumulators_kib", tuple(32 << n for n in range(8)), kind="ordinal", unit="KiB/array"),
        Parameter("hbm_stacks", (1, 2, 3, 4), kind="ordinal"),
    ),
)

TPUV4I_LIKE = Chip(4, 128, 128, 2048, 64 * _MIB_IN_KIB, 64 * _MIB_IN_KIB, 4 * _MIB_IN_KIB, 2)
"""TPUv4i: four arrays of 128 x 128, 614 GB/s, and 144 MiB on the chip, 128 of them common memory (halved here between
weights and activations) and 16 vector memory (here the accumulators). Its vector unit has 128 x 8 lanes of 2 units."""
TPUV3_LIKE = Chip(4, 128, 128, 2048, 8 * _MIB_IN_KIB, 8 * _MIB_IN_KIB, 4 * _MIB_IN_KIB, 3)
"""TPUv3 with both cores as one, scaled to 7 nm and our clock: four arrays of 128 x 128, 900 GB/s (here 921), 32 MiB."""
BASELINES = {"TPUv4i-like": TPUV4I_LIKE, "TPUv3-like": TPUV3_LIKE}


def chip_of(design: Design) -> Chip:
    """Return the accelerator that a design stands for."""
    return Chip(**{name: int(design[name]) for name in NAMES})


def design_of(chip: Chip) -> Design:
    """Return the design of the space that is a chip.

    Raises:
        ArmillaryError: if the space has none.
    """
    return SPACE.design_from({name: getattr(chip, name) for name in NAMES}, SPACE.name)


def area_mm2(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the areas of coded designs, shape [designs, parameters] to [designs]; equal to `Chip.area_mm2`."""
    columns = {name: column.astype(float) for name, column in SPACE.columns(codes).items()}
    return np.asarray(np.sum(list(_areas_mm2(columns).values()), axis=0))


def _areas_mm2(columns: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the area of every part, each of shape [designs]."""
    unit, lane, kib = _unit_areas_mm2()
    return {
        "Arrays": unit * columns["arrays"] * columns["array_rows"] * columns["array_columns"],
        "Weights": kib * columns["weights_kib"],
        "Activations": kib * columns["activations_kib"],
        "Accumulators": kib * columns["arrays"] * columns["accumulators_kib"],
        "Vector unit": lane * columns["vector_lanes"],
        "HBM interfaces": STACK_INTERFACE_MM2 * columns["hbm_stacks"],
    }


@cache
def _unit_areas_mm2() -> tuple[float, float, float]:
    """Return the area of a unit with its registers, of a lane, and of a KiB of memory, all linear in their number."""

    def technology(bits: int) -> Hierarchy:
        return Hierarchy(
            name="units",
            levels=(Level(name="HBM", kind="dram"),),
            compute=Compute(bits=bits),
            technology_nm=TECHNOLOGY_NM,
        )

    registers = Level(name="registers", kind="regfile", capacity_words=2, word_bits=_BITS)
    memory = Level(name="memory", capacity_words=_KIB)
    array = technology(_BITS)
    unit = compute_area_mm2(array) + level_area_mm2(array, registers)
    return unit, compute_area_mm2(technology(_SUM_BITS)), level_area_mm2(array, memory)


TEMPLATE = Template(
    name=SPACE.name,
    space=SPACE,
    laws={"area_mm2": area_mm2},
    limits={"area_mm2": float(area_mm2(np.array([SPACE.cardinalities]) - 1)[0])},
    budgets={"area_mm2": 100.0},
    baseline=design_of(TPUV4I_LIKE),
    baseline_name="TPUv4i-like",
    baseline_note="the arrays, memories and bandwidth of TPUv4i (Jouppi et al., ISCA 2021) under our model",
)

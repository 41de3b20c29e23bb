"""Energy and area of multipliers, memories and wires, by technology node, each number once, with its source.

Templates with a law of their own ask by bits, capacity and node; hierarchies are charged by the same functions.
Nodes without a published number lie on the straight line between their neighbours in a log-log plot
of the number over the node, and are told apart as interpolated by `rows`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Hierarchy, Level

NODES_NM = (45.0, 40.0, 28.0, 22.0, 16.0, 12.0, 7.0)

_HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9"
_JOUPPI = "Jouppi et al., ISCA 2021, table 2"
_KECKLER = "Keckler et al., IEEE Micro 31(5) 2011, table 1"


@dataclass(frozen=True)
class Entry:
    """A published number and where it stands."""

    value: float
    source: str


@dataclass(frozen=True)
class Quantity:
    """A quantity over technology nodes: its unit and what is published of it."""

    unit: str
    published: Mapping[float, Entry]

    def at(self, node_nm: float) -> float:
        """Return the value at a node; outside the published nodes the nearest two are extended."""
        nodes = sorted(self.published)
        if node_nm in self.published:
            return self.published[node_nm].value
        right = min(max(bisect_left(nodes, node_nm), 1), len(nodes) - 1)
        left_nm, right_nm = nodes[right - 1], nodes[right]
        return _power(node_nm, (left_nm, self.published[left_nm].value), (right_nm, self.published[right_nm].value))


def _both(unit: str, at_45: float, at_7: float) -> Quantity:
    return Quantity(unit, {45.0: Entry(at_45, _HOROWITZ), 7.0: Entry(at_7, _JOUPPI)})


TABLE: Mapping[str, Quantity] = {
    "int32_add": _both("pJ", 0.1, 0.03),
    "int8_multiply": _both("pJ", 0.2, 0.07),
    "int32_multiply": _both("pJ", 3.1, 1.48),
    "fp16_add": _both("pJ", 0.4, 0.16),
    "fp32_add": _both("pJ", 0.9, 0.38),
    "fp16_multiply": _both("pJ", 1.1, 0.34),
    "fp32_multiply": _both("pJ", 3.7, 1.31),
    "sram_8_kib_64_bit": _both("pJ", 10.0, 7.5),
    "sram_32_kib_64_bit": _both("pJ", 20.0, 8.5),
    "sram_1_mib_64_bit": _both("pJ", 100.0, 14.0),
    "wire_bit_mm": Quantity(
        "pJ", {40.0: Entry(310.0 / 256 / 10, _KECKLER), 10.0: Entry(200.0 / 256 / 10, _KECKLER + ", high frequency")}
    ),
    "sram_cell": Quantity(
        "um2",
        {
            45.0: Entry(0.346, "Mistry et al., IEDM 2007"),
            28.0: Entry(0.127, "Arnaud et al. and others, IEDM 2009 to 2011"),
            22.0: Entry(0.092, "Auth et al., VLSI Technology 2012"),
            16.0: Entry(0.070, "Wu et al., IEDM 2013"),
            7.0: Entry(0.027, "Chang et al., ISSCC 2017"),
        },
    ),
}

_SRAM_POINTS = ((8 << 10, "sram_8_kib_64_bit"), (32 << 10, "sram_32_kib_64_bit"), (1 << 20, "sram_1_mib_64_bit"))

# Off the chip, so of no logic node: the lower end of 1.3 to 2.6 nJ per 64 bits (Horowitz 2014);
# Jouppi et al. 2021 give 1.3 nJ for DDR3 and DDR4 beside both nodes.
DRAM_PJ_PER_BIT = 1300.0 / 64

LEAKAGE_MW_PER_MM2 = 25.0
"""Leakage of cells over their area: the median cell of the open 45 nm library NanGate45 (typical corner, 1.1 V, 25 C).

That other nodes leak as much per area is our assumption: smaller transistors leak less, and there are more of them.
"""

# Of HBM2, the lower end of 250 to 450 pJ per 64 bits (Jouppi et al. 2021, table 2); O'Connor et al., MICRO 2017, count
# 3.92 pJ per bit.
HBM_PJ_PER_BIT = 250.0 / 64

# Chen et al. (Eyeriss), ISCA 2016, figure 9: a word of a 0.5 KiB register file costs as much as one
# multiply-accumulate of 16 bits.
_REGFILE_BYTES, _REGFILE_BITS = 512, 16

# Horowitz 2014: areas at 45 nm. Logic shrinks as the SRAM cell does, which is our assumption.
_MULTIPLY_8_UM2, _MULTIPLY_32_UM2, _ADD_32_UM2 = 282.0, 3495.0, 137.0

# Our assumptions: the share of a macro's area that is cells, and the area of a register's bit in SRAM
# cells (the flip-flop of the open 45 nm library NanGate45 has 4.5 um2).
_CELL_SHARE = 0.7
_CELLS_PER_REGISTER_BIT = 13.0


def rows() -> list[dict[str, object]]:
    """Return the table: quantity, unit, node, value and source of every node, interpolated ones marked."""
    found: list[dict[str, object]] = []
    for name, quantity in TABLE.items():
        for node in NODES_NM:
            entry = quantity.published.get(node)
            source = entry.source if entry else f"interpolated between {_neighbours(quantity, node)} nm"
            found.append(
                {"quantity": name, "unit": quantity.unit, "node_nm": node, "value": quantity.at(node), "source": source}
            )
    return found


def _neighbours(quantity: Quantity, node_nm: float) -> str:
    nodes = sorted(quantity.published)
    right = min(max(bisect_left(nodes, node_nm), 1), len(nodes) - 1)
    return f"{nodes[right - 1]:g} and {nodes[right]:g}"


def mac_pj(bits: float, node_nm: float, sum_bits: float | None = None) -> float:
    """Return the energy of one multiply-accumulate of integers.

    Args:
        bits: of the operands; of two widths their geometric mean, as an array multiplier grows with the product.
        node_nm: of the technology.
        sum_bits: of the adder; None is four times `bits`.

    The multiplier is on the power law through 8 and 32 bits, the adder linear in its width.
    """
    multiply = _power(bits, (8, TABLE["int8_multiply"].at(node_nm)), (32, TABLE["int32_multiply"].at(node_nm)))
    return multiply + TABLE["int32_add"].at(node_nm) * (4 * bits if sum_bits is None else sum_bits) / 32


# Our assumption: the energy of a floating-point multiplier goes with the square of the significand's width, which
# is 11 bits in fp16 and 4 bits in fp8 (e4m3).
_FP8_OF_FP16 = (4 / 11) ** 2


def float_mac_pj(bits: float, node_nm: float, sum_bits: float | None = None) -> float:
    """Return the energy of one multiply-accumulate of floating-point numbers; `bits` as in `mac_pj`.

    The multiplier is on the power laws through 8, 16 and 32 bits, the adder on that through 16 and 32;
    None is an adder of 32 bits.
    """
    half, single = TABLE["fp16_multiply"].at(node_nm), TABLE["fp32_multiply"].at(node_nm)
    points = ((8, half * _FP8_OF_FP16), (16, half)) if bits < 16 else ((16, half), (32, single))
    ends = (16, TABLE["fp16_add"].at(node_nm)), (32, TABLE["fp32_add"].at(node_nm))
    return _power(bits, *points) + _power(sum_bits or 32, *ends)


def add_pj(node_nm: float) -> float:
    """Return the energy of an addition or comparison of integers of 32 bits."""
    return TABLE["int32_add"].at(node_nm)


def multiply_pj(node_nm: float) -> float:
    """Return the energy of a multiplication of integers of 32 bits."""
    return TABLE["int32_multiply"].at(node_nm)


def sram_pj_per_bit(capacity_bytes: NDArray[np.float64], node_nm: float) -> NDArray[np.float64]:
    """Return the energy of one bit read from or written to SRAMs, shape [memories].

    On the power law between the nearest two published capacities, extended below 8 KiB and above 1 MiB.

    Args:
        capacity_bytes: of one instance each, shape [memories]; equal ones are computed once, for a million designs of a
            template have a dozen.
        node_nm: of all.
    """
    capacities, which = np.unique(capacity_bytes, return_inverse=True)
    return np.array([_sram_pj_per_bit(capacity, node_nm) for capacity in capacities.tolist()])[which]


@lru_cache(maxsize=4096)
def _sram_pj_per_bit(capacity_bytes: float, node_nm: float) -> float:
    points = [(float(size), TABLE[name].at(node_nm) / 64) for size, name in _SRAM_POINTS]
    return _power(capacity_bytes, *(points[:2] if capacity_bytes < points[1][0] else points[1:]))


def access_energy(hierarchy: Hierarchy, level: Level) -> AccessEnergy:
    """Return the energy of an access to a block of a level: its own if given, else the table's.

    The sources give one energy per access; reads, fills and updates cost the same.
    """
    if level.energy is not None:
        return level.energy
    bits = level.word_bits * level.block_words
    energy = bits * _pj_per_bit(level, hierarchy.technology_nm)
    return AccessEnergy(read_pj=energy, fill_pj=energy, update_pj=energy)


def _pj_per_bit(level: Level, node_nm: float) -> float:
    if level.kind == "dram":
        return DRAM_PJ_PER_BIT
    capacity = _bytes(level)
    if level.kind == "regfile":
        at_half_kib = mac_pj(_REGFILE_BITS, node_nm) / _REGFILE_BITS
        return at_half_kib * sqrt(capacity / _REGFILE_BYTES)
    return _sram_pj_per_bit(capacity, node_nm)


def _bytes(level: Level) -> float:
    """Return the capacity of an instance; one without a bound, which only DRAM should be, counts as 1 GiB."""
    return level.capacity_words * level.word_bits / 8 if level.capacity_words else float(1 << 30)


def _power(x: float, a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the power law through two points."""
    return exp(log(a[1]) + (log(x) - log(a[0])) * (log(b[1]) - log(a[1])) / (log(b[0]) - log(a[0])))


def mac_energy_pj(hierarchy: Hierarchy) -> float:
    """Return the energy of one multiply-accumulate: its own if given, else the table's for the hierarchy's widths."""
    given = hierarchy.compute.energy_pj
    return operation_pj(*operation(hierarchy), hierarchy.technology_nm) if given is None else given


def operation(hierarchy: Hierarchy) -> tuple[int, int, int, bool]:
    """Return the bits of a weight, an input and a sum in the compute units, and whether they are floating-point.

    Operands that the hierarchy says nothing of have `compute.bits`, such a sum has 0.
    """
    bits = hierarchy.bits or Bits()
    operand = hierarchy.compute.bits
    return bits.W or operand, bits.I or operand, bits.P or 0, bits.kind == "float"


def operation_pj(weight_bits: float, input_bits: float, sum_bits: float, floating: bool, node_nm: float) -> float:
    """Return the energy of one multiply-accumulate from the table; `sum_bits` of 0 are those that suit the operands."""
    law = float_mac_pj if floating else mac_pj
    return law(sqrt(weight_bits * input_bits), node_nm, sum_bits or None)


def wire_energy_pj(hierarchy: Hierarchy, bits: int, length_mm: float) -> float:
    """Return the energy of so many bits over a wire of this length, in pJ."""
    return TABLE["wire_bit_mm"].at(hierarchy.technology_nm) * bits * length_mm


def level_area_mm2(hierarchy: Hierarchy, level: Level) -> float:
    """Return the area of one instance of a level; DRAM is off the chip and has none, nor has a part of another one."""
    if level.part_of is not None:
        return 0.0
    if level.area_mm2 is not None:
        return level.area_mm2
    if level.kind == "dram":
        return 0.0
    cell = TABLE["sram_cell"].at(hierarchy.technology_nm)
    per_bit = cell * _CELLS_PER_REGISTER_BIT if level.kind == "regfile" else cell / _CELL_SHARE
    return _bytes(level) * 8 * per_bit * 1e-6


def compute_area_mm2(hierarchy: Hierarchy) -> float:
    """Return the area of one multiply-accumulate unit."""
    if hierarchy.compute.area_mm2 is not None:
        return hierarchy.compute.area_mm2
    bits = hierarchy.compute.bits
    at_45 = _power(bits, (8, _MULTIPLY_8_UM2), (32, _MULTIPLY_32_UM2)) + _ADD_32_UM2 * 4 * bits / 32
    shrink = TABLE["sram_cell"].at(hierarchy.technology_nm) / TABLE["sram_cell"].at(45.0)
    return at_45 * shrink * 1e-6


def area_mm2(hierarchy: Hierarchy) -> float:
    """Return the area of the chip: all instances of all levels, and the compute units; wires are left out."""
    counts = hierarchy.instances()
    levels = sum(n * level_area_mm2(hierarchy, level) for n, level in zip(counts, hierarchy.levels, strict=False))
    return levels + counts[-1] * compute_area_mm2(hierarchy)

"""Template `tabla`: processing units of processing elements that walk through a dataflow graph, after TABLA.

The update rule of a learning algorithm, or a small network, is a graph of scalar operations. A compiler places them on
the elements and schedules them, and every transfer between elements, beforehand. Elements of a unit share a bus, units
share a global bus, and neighbours in the ring of all elements see each other's results.

All numbers are fixed point, half of their bits after the point: elements of inputs have `bit_width` bits, weights and
results `internal_bit_width`.

Sources: Mahajan et al., "TABLA: A Unified Template-based Framework for Accelerating Statistical Machine Learning",
HPCA 2016; Esmaeilzadeh et al. (arXiv 2308.12120), whose TABLA has the parameters PUs, PEs, bit width and internal bit
width. The hardware, its instructions and its number formats are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

MOST_ELEMENTS = 512
LEAST_WIDTH, LEAST_INTERNAL, MOST_WIDTH = 4, 8, 32
_DEPTHS = {
    "data_depth": (2, 256),
    "weight_depth": (4, 1024),
    "intermediate_depth": (4, 1024),
    "inbox_depth": (4, 1024),
    "instruction_depth": (16, 4096),
}
"""The least and the most words of each memory of an element."""
_FIXED_BITS = 24
"""Of an instruction: an enable of each read and of three writes, two sources and an operation of four bits, the source
of the inbox and the drive of two."""


@dataclass(frozen=True)
class Accelerator:
    """One accelerator of the family, of the space or not.

    Attributes:
        num_pu: processing units.
        num_pe: processing elements of a unit.
        bit_width: of elements of inputs; even.
        internal_bit_width: of weights, results and buses; even.
        axi_width: elements of inputs that come in a cycle.
        data_depth: elements of inputs that a processing element holds of a step; those of the next come in meanwhile.
        weight_depth: weights and constants that it holds.
        intermediate_depth: own results that it holds.
        inbox_depth: values from elsewhere that it holds.
        instruction_depth: cycles of a step.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    num_pu: int = 4
    num_pe: int = 8
    bit_width: int = 16
    internal_bit_width: int = 32
    axi_width: int = 8
    data_depth: int = 16
    weight_depth: int = 64
    intermediate_depth: int = 64
    inbox_depth: int = 64
    instruction_depth: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; it must be an integer")
        for name, (least, most) in _DEPTHS.items():
            depth = getattr(self, name)
            if not least <= depth <= most or depth & (depth - 1):
                raise ArmillaryError(f"{name}={depth} is not allowed; it must be a power of two, {least} to {most}")
        for allowed, name, what in (
            (1 <= self.num_pu <= MOST_ELEMENTS // 2, "num_pu", f"1 to {MOST_ELEMENTS // 2}"),
            (
                2 <= self.num_pe <= MOST_ELEMENTS // self.num_pu if self.num_pu > 0 else False,
                "num_pe",
                f"at least 2, and at most {MOST_ELEMENTS} in all of num_pu={self.num_pu} units",
            ),
            (
                LEAST_WIDTH <= self.bit_width <= MOST_WIDTH and self.bit_width % 2 == 0,
                "bit_width",
                f"even, {LEAST_WIDTH} to {MOST_WIDTH}",
            ),
            (
                LEAST_INTERNAL <= self.internal_bit_width <= MOST_WIDTH and self.internal_bit_width % 2 == 0,
                "internal_bit_width",
                f"even, {LEAST_INTERNAL} to {MOST_WIDTH}",
            ),
            (
                self.internal_bit_width >= self.bit_width,
                "internal_bit_width",
                f"at least bit_width={self.bit_width}",
            ),
            (1 <= self.axi_width <= self.elements, "axi_width", f"1 to num_pu * num_pe = {self.elements}"),
        ):
            if not allowed:
                raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be {what}")

    @property
    def elements(self) -> int:
        """Processing elements of all units."""
        return self.num_pu * self.num_pe

    @property
    def groups(self) -> int:
        """Groups of elements that a word of inputs reaches, one after another."""
        return -(-self.elements // self.axi_width)

    @property
    def fraction(self) -> int:
        """Bits after the point of weights and results."""
        return self.internal_bit_width // 2

    @property
    def input_fraction(self) -> int:
        """Bits after the point of elements of inputs."""
        return self.bit_width // 2

    @property
    def instruction_bits(self) -> int:
        """Of an instruction: intermediate results are read at two addresses and written, the others at one each."""
        address: dict[str, int] = {name: (getattr(self, name) - 1).bit_length() for name in _DEPTHS}
        own = 3 * address["intermediate_depth"] + 2 * (address["weight_depth"] + address["inbox_depth"])
        return _FIXED_BITS + own + address["data_depth"]


def _exists(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which coded designs there can be, shape [designs]: those that `Accelerator` takes."""
    columns = SPACE.columns(codes)
    elements = columns["num_pu"] * columns["num_pe"]
    return np.asarray(
        (elements <= MOST_ELEMENTS)
        & (columns["axi_width"] <= elements)
        & (columns["bit_width"] <= columns["internal_bit_width"])
    )


def _powers(least: int, most: int) -> tuple[int, ...]:
    return tuple(1 << bits for bits in range(least.bit_length() - 1, most.bit_length()))


SPACE = Space(
    "tabla",
    (
        Parameter("num_pu", _powers(1, 16), unit="processing units"),
        Parameter("num_pe", _powers(2, 128), unit="elements of a unit"),
        Parameter("bit_width", (4, 8, 16, 32), unit="bits"),
        Parameter("internal_bit_width", (8, 16, 32), unit="bits"),
        Parameter("axi_width", _powers(1, 64), unit="elements of inputs a cycle"),
        *(Parameter(name, _powers(*ends), unit="words") for name, ends in _DEPTHS.items()),
    ),
)
_DEFAULTS = {name: getattr(Accelerator(), name) for name in SPACE.names}
TEMPLATE = Template(
    name="tabla",
    space=SPACE,
    objectives=(Objective("runtime_s"),),
    exists=_exists,
    defaults=_DEFAULTS,
    baseline=SPACE.design_from(_DEFAULTS, "tabla"),
    baseline_name="TABLA",
    baseline_note="4 units of 8 elements, 16 and 32 bits",
)

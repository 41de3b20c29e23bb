"""Template `genesys`: a systolic array with a vector unit behind it, after GeneSys in VeriGOOD-ML.

A square array of multipliers holds weights and adds to 32-bit sums in a buffer of its own; a vector unit with as many
lanes as the array has columns takes the sums further: requantisation, activations, pooling, softmax, normalisation.
Inputs, weights, sums and biases have a buffer each (IBUF, WBUF, OBUF, BBUF), the vector unit has two memories (VMEM1,
VMEM2), and all of it follows instructions with loops and strided addresses.

Sources: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
Accelerators" (arXiv 2308.12120), whose GeneSys has these parameters, and the values of its simulator SimDIT: arrays of
16 to 128, buffers of 2 KiB to 4 MiB, ports of 64 to 512 bits. Smaller ones are added here, down to what a layout takes
minutes for. The hardware is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.hardware.vector_unit import VectorUnit
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design

SUM_BITS = 32
"""Of a sum, and of a lane of the vector unit."""
WIDTHS = (4, 8)
LEAST_ARRAY, MOST_ARRAY = 2, 128
LEAST_PORT, MOST_PORT = 32, 512
PIPELINE = 8
"""Cycles of the vector unit from an operand to its result."""
LEAST_WORDS = 16
"""Words that every memory has at least."""
_KIB_BITS = 8 << 10


@dataclass(frozen=True)
class Accelerator:
    """One accelerator of the family, of the space or not.

    Attributes:
        array: rows and columns of the array, a power of two; also the lanes of the vector unit.
        data_width: bits of an activation, 4 or 8.
        weight_width: bits of a weight, 4 or 8.
        ibuf_kib: input buffer, a word of `array` activations.
        wbuf_kib: weight buffer, a word of `array` weights; a block of `array` words at least.
        obuf_kib: buffer of sums, in two halves.
        bbuf_kib: buffer of biases.
        vmem_kib: each of the two memories of the vector unit.
        port_width: bits of a beat from and to DRAM, a power of two.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    array: int = 16
    data_width: int = 8
    weight_width: int = 8
    ibuf_kib: int = 64
    wbuf_kib: int = 64
    obuf_kib: int = 128
    bbuf_kib: int = 4
    vmem_kib: int = 64
    port_width: int = 128

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; it must be an integer")
        for allowed, name, what in (
            (_power_of_two(self.array, LEAST_ARRAY, MOST_ARRAY), "array", _range(LEAST_ARRAY, MOST_ARRAY)),
            (self.data_width in WIDTHS, "data_width", f"one of {list(WIDTHS)}"),
            (self.weight_width in WIDTHS, "weight_width", f"one of {list(WIDTHS)}"),
            (_power_of_two(self.port_width, LEAST_PORT, MOST_PORT), "port_width", _range(LEAST_PORT, MOST_PORT)),
        ):
            self._require(allowed, name, what)
        for name, least, most in _memories(self.array, self.data_width, self.weight_width):
            self._require(_power_of_two(getattr(self, name), least, most), name, _range(least, most))

    def _require(self, allowed: bool, name: str, what: str) -> None:
        if not allowed:
            raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be {what}")

    @property
    def input_bits(self) -> int:
        """Bits of a word of the input buffer, and of a word that the vector unit writes to DRAM."""
        return self.array * self.data_width

    @property
    def weight_bits(self) -> int:
        """Bits of a word of the weight buffer."""
        return self.array * self.weight_width

    @property
    def sum_bits(self) -> int:
        """Bits of a word of sums, biases and the vector unit's memories."""
        return self.array * SUM_BITS

    @property
    def ibuf_words(self) -> int:
        """Words of the input buffer."""
        return self.ibuf_kib * _KIB_BITS // self.input_bits

    @property
    def wbuf_words(self) -> int:
        """Words of the weight buffer."""
        return self.wbuf_kib * _KIB_BITS // self.weight_bits

    @property
    def obuf_words(self) -> int:
        """Words of the buffer of sums, both halves."""
        return self.obuf_kib * _KIB_BITS // self.sum_bits

    @property
    def bbuf_words(self) -> int:
        """Words of the buffer of biases."""
        return self.bbuf_kib * _KIB_BITS // self.sum_bits

    @property
    def vmem_words(self) -> int:
        """Words of each memory of the vector unit."""
        return self.vmem_kib * _KIB_BITS // self.sum_bits

    def vector_unit(self, latency: int) -> VectorUnit:
        """Return the vector unit as it runs operators that have no layer.

        A lane does an operation a cycle, be it a function by its table of lines, on words of which it reads two and
        writes one. Behind layers it scales, bounds, and takes functions, whose time is part of the layers' programs.
        Inputs come from DRAM by one port and results go there by another. Every operator is loaded and stored, and does
        not compute while it is loaded, as in `rtl/genesys/vector_programs`.

        Args:
            latency: cycles from a request to DRAM to its answer.
        """
        rate = float(min(self.port_width // self.data_width, self.array))
        return VectorUnit(
            lanes=float(self.array),
            function_adds=0,
            function_multiplies=1,
            behind=frozenset({"clamp", "scale", "function", "stride"}),
            buffer_values=3.0 * self.array,
            move_values=2.0 * self.array,
            resident_values=0.0,
            dram_reads=rate,
            dram_writes=rate,
            dram_values=2 * rate,
            setup_cycles=float(latency + PIPELINE),
            value_bytes=self.data_width / 8,
            overlaps=False,
        )

    def beats(self, bits: int) -> int:
        """Return the beats of a word: wide ones take several, narrow ones a part of one."""
        return max(1, bits // self.port_width)


_MOST_KIB = {"ibuf_kib": 512, "wbuf_kib": 4096, "obuf_kib": 2048, "bbuf_kib": 64, "vmem_kib": 2048}


def _memories(array: int, data_width: int, weight_width: int) -> list[tuple[str, int, int]]:
    """Return the least and most KiB of every memory: 16 words, and two blocks of weights, at least 1 KiB."""

    def least(words: int, bits: int) -> int:
        return max(1, words * array * bits // _KIB_BITS)

    every = {
        "ibuf_kib": least(LEAST_WORDS, data_width),
        "wbuf_kib": least(max(LEAST_WORDS, 2 * array), weight_width),
        **dict.fromkeys(("obuf_kib", "bbuf_kib", "vmem_kib"), least(LEAST_WORDS, SUM_BITS)),
    }
    return [(name, few, _MOST_KIB[name]) for name, few in every.items()]


def _power_of_two(value: int, least: int, most: int) -> bool:
    return least <= value <= most and value & (value - 1) == 0


def _range(least: int, most: int) -> str:
    return f"a power of two, {least} to {most}"


def accelerator_of(design: Design) -> Accelerator:
    """Return the accelerator that a design of the space stands for.

    Raises:
        ArmillaryError: if its values do not go together.
    """
    return Accelerator(**design.as_dict())  # type: ignore[arg-type]


def _exists(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which coded designs there can be, shape [designs]: those that `Accelerator` takes."""
    columns = {name: np.asarray(column) for name, column in SPACE.columns(codes).items()}
    exists = np.ones(len(codes), dtype=bool)
    shapes = np.stack([columns[name] for name in ("array", "data_width", "weight_width")], axis=1)
    for shape in np.unique(shapes, axis=0):
        these = (shapes == shape).all(axis=1)
        for name, least, _ in _memories(*shape.tolist()):
            exists &= ~these | (columns[name] >= least)
    return exists


def _powers(least: int, most: int) -> tuple[int, ...]:
    return tuple(1 << power for power in range(least.bit_length() - 1, most.bit_length()))


SPACE = Space(
    "genesys",
    (
        Parameter("array", _powers(LEAST_ARRAY, MOST_ARRAY), unit="rows and columns"),
        Parameter("data_width", WIDTHS, unit="bits"),
        Parameter("weight_width", WIDTHS, unit="bits"),
        *(Parameter(name, _powers(1, most), unit="KiB") for name, most in _MOST_KIB.items()),
        Parameter("port_width", _powers(LEAST_PORT, MOST_PORT), unit="bits"),
    ),
)
_DEFAULTS = {name: getattr(Accelerator(), name) for name in SPACE.names}
TEMPLATE = Template(
    name="genesys",
    space=SPACE,
    objectives=(Objective("runtime_s"),),
    exists=_exists,
    defaults=_DEFAULTS,
    baseline=SPACE.design_from(_DEFAULTS, "genesys"),
    baseline_name="GeneSys",
    baseline_note="a 16 x 16 array with 320 KiB of buffers",
)

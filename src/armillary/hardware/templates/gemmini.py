"""Template `gemmini`: a systolic array with a scratchpad and an accumulator, fed by commands, as in Gemmini.

A square array of 8-bit multipliers adds to 32-bit sums. Inputs and weights lie in a banked scratchpad, sums in a banked
accumulator, and load, execute and store commands run decoupled from each other. Our generator makes it as hardware
(`armillary rtl generate`), so that every parameter here is one of the hardware.

Table 5.1 varies array, scratchpad and accumulator. The other parameters are ours; their middle values are Gemmini's
defaults or, where it leaves them to the system around it, a DDR3-like memory at 1 GHz.

An array of either dataflow, chosen at run time as in Gemmini, is `dataflow: both`. The space of the template `gemmini`
has arrays of one dataflow; that of `gemmini_both` has all three kinds.

Sources: Genc et al., DAC 2021; the dissertation, Table 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import Compute, Hierarchy, Level, LoopRules
from armillary.hardware.mapping import Mapping
from armillary.hardware.technology import DRAM_PJ_PER_BIT, access_energy, add_pj, multiply_pj
from armillary.hardware.template import Template
from armillary.hardware.templates import gemmini_area
from armillary.hardware.vector_unit import VectorEnergy, VectorUnit
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design
from armillary.workloads.vector_work import WorkKind

Dataflow = Literal["weight_stationary", "output_stationary", "both"]
TECHNOLOGY_NM = 45.0
MOST_ROWS = 1 << 17
"""Rows of a memory are fewer: a command numbers them in 18 bits, with a sign where they move."""
SETUP_CYCLES = 60
"""Cycles that the commands of a tile take before its data move."""
_KIB = 1 << 10
ALONE: tuple[Dataflow, ...] = ("weight_stationary", "output_stationary")
"""Dataflows of an array that has one."""
DATAFLOWS: tuple[Dataflow, ...] = (*ALONE, "both")
_STATIONARY: dict[str, str] = {"weight_stationary": "W", "output_stationary": "O"}
_TURN_INSIDE = {"weight_stationary": "NPQ", "output_stationary": "CRS"}
_UNROLLED_OVER_ROWS = {"weight_stationary": "C", "output_stationary": "NPQ"}


class TooSmallError(ArmillaryError):
    """Something of an accelerator is too small.

    Attributes:
        resource: what, with its unit.
        needed: of it.
        available: likewise.
        layer: which needs it; empty for the whole accelerator.
    """

    def __init__(self, message: str, resource: str, needed: int, available: int, layer: str = "") -> None:
        super().__init__(message)
        self.resource, self.needed, self.available, self.layer = resource, needed, available, layer


@dataclass(frozen=True)
class Accelerator:
    """One accelerator of the family, of the space or not.

    Attributes:
        dim: rows and columns of the array, even.
        scratchpad_kib: inputs and weights.
        accumulator_kib: 32-bit sums.
        dataflow: `weight_stationary`, `output_stationary`, or `both`, of which each command says its own.
        bus_bytes: per beat, a power of two, at most a row of the array.
        scratchpad_banks: of one port each, a power of two, fewer than the scratchpad has rows.
        accumulator_banks: of a port to read and one to write each, a power of two, fewer than the accumulator has rows.
        burst_rows: most rows per request.
        outstanding: requests under way.
        queue_depth: commands per unit.
        activation_tables: 1 for a table of 256 bytes behind every lane of the store unit, for any function of a byte; 0
            for none.
        dram_latency: cycles from a request to its first beat.
        dram_bytes_per_cycle: at most `bus_bytes` count.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
        TooSmallError: if the bus is wider than a row, or a memory has no more rows than banks.
    """

    dim: int = 16
    scratchpad_kib: int = 256
    accumulator_kib: int = 64
    dataflow: Dataflow = "weight_stationary"
    bus_bytes: int = 16
    scratchpad_banks: int = 4
    accumulator_banks: int = 2
    burst_rows: int = 16
    outstanding: int = 16
    queue_depth: int = 4
    dram_latency: int = 50
    dram_bytes_per_cycle: int = 16
    activation_tables: int = 0

    def __post_init__(self) -> None:
        self._check_values()
        self._check_sizes()

    def _check_values(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "dataflow" and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; it must be an integer")
        for allowed, name, what in (
            (2 <= self.dim <= 64 and self.dim % 2 == 0, "dim", "even, 2 to 64"),
            (1 <= self.scratchpad_kib <= 1024, "scratchpad_kib", "1 to 1024"),
            (1 <= self.accumulator_kib <= 512, "accumulator_kib", "1 to 512"),
            (self.dataflow in DATAFLOWS, "dataflow", f"one of {list(DATAFLOWS)}"),
            (_power_of_two(self.bus_bytes, 1, 64), "bus_bytes", "a power of two, at most 64"),
            (_power_of_two(self.scratchpad_banks, 2, 16), "scratchpad_banks", "2, 4, 8 or 16"),
            (_power_of_two(self.accumulator_banks, 2, 16), "accumulator_banks", "2, 4, 8 or 16"),
            (1 <= self.burst_rows <= 64, "burst_rows", "1 to 64"),
            (1 <= self.outstanding <= 64, "outstanding", "1 to 64"),
            (1 <= self.queue_depth <= 16, "queue_depth", "1 to 16"),
            (0 <= self.activation_tables <= 1, "activation_tables", "0 or 1"),
            (0 <= self.dram_latency <= 10_000, "dram_latency", "0 to 10000"),
            (1 <= self.dram_bytes_per_cycle <= 256, "dram_bytes_per_cycle", "1 to 256"),
            (self.scratchpad_rows < MOST_ROWS, "scratchpad_kib", f"less than {MOST_ROWS} rows of {self.dim} bytes"),
            (
                self.accumulator_rows < MOST_ROWS,
                "accumulator_kib",
                f"less than {MOST_ROWS} rows of {4 * self.dim} bytes",
            ),
        ):
            if not allowed:
                raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be {what}")

    def _check_sizes(self) -> None:
        """Refuse what the hardware cannot be built with: a bank needs an address of a bit at least."""
        if self.bus_bytes > self.pitch:
            message = f"bus_bytes={self.bus_bytes} is not allowed; it must be at most {self.pitch}, a row of the array"
            raise TooSmallError(message, "row bytes", self.bus_bytes, self.pitch)
        for memory, rows, banks, row_bytes in (
            ("scratchpad", self.scratchpad_rows, self.scratchpad_banks, self.dim),
            ("accumulator", self.accumulator_rows, self.accumulator_banks, 4 * self.dim),
        ):
            if rows <= banks:
                least = -(-(banks + 1) * row_bytes // _KIB)
                raise TooSmallError(
                    f"{memory}_kib={getattr(self, f'{memory}_kib')} is not allowed; it must be at least {least}, "
                    f"so that {memory}_banks={banks} have more than one row of {row_bytes} bytes",
                    f"{memory} rows",
                    banks + 1,
                    rows,
                )

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next in DRAM: a row of the array, rounded up to a power of two."""
        return 1 << (self.dim - 1).bit_length()

    @property
    def scratchpad_rows(self) -> int:
        """Rows of `dim` bytes."""
        return self.scratchpad_kib * _KIB // self.dim

    @property
    def accumulator_rows(self) -> int:
        """Rows of `dim` sums."""
        return self.accumulator_kib * _KIB // (4 * self.dim)

    @property
    def clock_ghz(self) -> float:
        """The clock of the hardware, as synthesis finds it before layout."""
        return float(gemmini_area.clock_ghz(self.dim, self.dataflow)[0])

    @property
    def dataflows(self) -> tuple[Dataflow, ...]:
        """What it can do: its dataflow, or each of both."""
        return ALONE if self.dataflow == "both" else (self.dataflow,)

    @property
    def views(self) -> tuple[Accelerator, ...]:
        """The accelerator as layers are mapped onto it: with each of its dataflows alone."""
        return tuple(replace(self, dataflow=dataflow) for dataflow in self.dataflows)

    def view(self, mapping: Mapping) -> Accelerator:
        """Return the accelerator with the dataflow of a mapping, or its first one if it has not that dataflow."""
        held = mapping.levels[-1].keeps
        return next((view for view in self.views if view.stationary == held), self.views[0])

    @property
    def stationary(self) -> str:
        """The tensor that an element of the array holds, W or O.

        Raises:
            ArmillaryError: if it has both dataflows.
        """
        if self.dataflow == "both":
            raise ArmillaryError(
                "dataflow='both' holds weights or sums; take one of `views`, or the `view` of a mapping"
            )
        return _STATIONARY[self.dataflow]

    def vector_unit(self) -> VectorUnit:
        """Return what takes sums from the accumulator to bytes, `dim` a cycle, as the unit of all operators beside.

        It scales, keeps within bounds and adds a second tensor on the way out of a layer, and looks functions up where
        there are tables; loads take rows in other steps, transposed too. Tensors of an operator of its own come from
        DRAM and go there, as every layer's do, once through the accumulator for each pass.

        Our hardware has no exp, square root or one over x. They are charged as the polynomials of integers that I-BERT
        (Kim et al., ICML 2021, algorithms 1 and 3) computes on such a unit, 3 multiplications and 4 additions a value.
        What they would add to the area is not in it. `SETUP_CYCLES` is what the commands of a tile take in the RTL.
        """
        accumulator, dram = (self.views[0].hierarchy().levels[i] for i in (2, 0))
        assert dram.shared_bandwidth is not None
        assert dram.read_bandwidth is not None
        tables: tuple[WorkKind, ...] = ("function",) if self.activation_tables else ()
        return VectorUnit(
            lanes=float(self.dim),
            function_adds=4,
            function_multiplies=3,
            behind=frozenset({"clamp", "scale", "sum", "stride", *tables}),
            buffer_values=2.0 * self.dim,
            move_values=2.0 * self.dim,
            resident_values=0.0,
            dram_reads=dram.read_bandwidth,
            dram_writes=dram.shared_bandwidth,
            dram_values=dram.shared_bandwidth,
            setup_cycles=float(SETUP_CYCLES + self.dram_latency),
            value_bytes=1.0,
            energy=VectorEnergy(
                add_pj=add_pj(TECHNOLOGY_NM),
                multiply_pj=multiply_pj(TECHNOLOGY_NM),
                buffer_pj=access_energy(self.views[0].hierarchy(), accumulator).read_pj,
                dram_pj=8 * DRAM_PJ_PER_BIT,
            ),
        )

    def hierarchy(self) -> Hierarchy:
        """Return DRAM, scratchpad, an accumulator per column and a register per element, for the cost model.

        The scratchpad's columns unroll K. The rows unroll C (weight stationary) or N, P and Q (output stationary).
        DRAM can be read no faster than the requests under way come back, a full burst each (Little's law).

        Raises:
            ArmillaryError: if it has both dataflows.
        """
        stationary = self.stationary
        dram = float(min(self.bus_bytes, self.dram_bytes_per_cycle))
        burst = self.burst_rows * self.pitch
        in_flight = self.outstanding * burst / (self.dram_latency + burst / dram)
        return Hierarchy(
            name="gemmini",
            technology_nm=TECHNOLOGY_NM,
            clock_ghz=self.clock_ghz,
            levels=(
                Level(
                    name="DRAM",
                    kind="dram",
                    bits=Bits(P=32),  # unfinished sums wait there as they are
                    read_bandwidth=min(dram, in_flight),
                    shared_bandwidth=dram,
                    rules=LoopRules(spatial_x="", spatial_y=""),
                ),
                Level(
                    name="Scratchpad",
                    keeps="WI",
                    capacity_words=self.scratchpad_kib * _KIB,
                    block_words=self.dim,
                    shared_bandwidth=2.0 * self.dim,
                    fanout=(self.dim, 1),
                    rules=LoopRules(spatial_x="K", spatial_y=""),
                ),
                Level(
                    name="Accumulator",
                    keeps="O",
                    capacity_words=self.accumulator_rows,
                    word_bits=32,
                    shared_bandwidth=2.0,
                    fanout=(self.dim, 1),
                    rules=LoopRules(spatial_x=_UNROLLED_OVER_ROWS[self.dataflow], spatial_y=""),
                ),
                Level(
                    name="Registers",
                    kind="regfile",
                    keeps=stationary,
                    capacity_words=1,
                    word_bits=8 if stationary == "W" else 32,
                    rules=LoopRules(temporal=_TURN_INSIDE[self.dataflow], spatial_x="", spatial_y=""),
                ),
            ),
            compute=Compute(bits=8),
        )


def _power_of_two(value: int, least: int, most: int) -> bool:
    return least <= value <= most and value & (value - 1) == 0


def _space(name: str, dataflows: tuple[Dataflow, ...]) -> Space:
    return Space(
        name,
        (
            Parameter("dim", (4, 8, 16, 32), kind="ordinal", unit="rows and columns"),
            Parameter("scratchpad_kib", tuple(range(8, 257, 8)), unit="KiB"),
            Parameter("accumulator_kib", tuple(range(8, 257, 8)), unit="KiB"),
            Parameter("dataflow", dataflows, kind="categorical"),
            Parameter("bus_bytes", (4, 8, 16, 32), kind="ordinal", unit="bytes"),
            Parameter("scratchpad_banks", (2, 4, 8), kind="ordinal"),
            Parameter("accumulator_banks", (2, 4), kind="ordinal"),
            Parameter("burst_rows", (4, 8, 16, 32), kind="ordinal", unit="rows"),
            Parameter("outstanding", (2, 4, 8, 16, 32), kind="ordinal", unit="requests"),
            Parameter("queue_depth", (2, 4, 8), kind="ordinal", unit="commands"),
            Parameter("dram_latency", (20, 50, 100, 200), kind="ordinal", unit="cycles"),
            Parameter("dram_bytes_per_cycle", (4, 8, 16, 32), kind="ordinal", unit="bytes/cycle"),
        ),
    )


SPACE = _space("gemmini", ALONE)
BOTH_SPACE = _space("gemmini_both", DATAFLOWS)
SPACES = {space.name: space for space in (SPACE, BOTH_SPACE)}


VARIED = ("dim", "scratchpad_kib", "accumulator_kib")
"""The hardware of Tables 5.1 and 6.1 of the dissertation, 4,096 designs; its other parameters are not varied."""


def published_designs(space: Space = SPACE) -> NDArray[np.int64]:
    """Return the designs of Table 6.1 that a space has, coded, shape [designs, parameters].

    Array and memories vary. Everything else is as in the default accelerator, with a bus no wider than a row.

    Args:
        space: with the parameters of this template, all of their values or some.

    Raises:
        ArmillaryError: if the space has other parameters.
    """
    if space.names != SPACE.names:
        raise ArmillaryError(
            f"space {space.name!r} has the parameters {list(space.names)}; designs of Table 6.1 have those of "
            f"template gemmini, {list(SPACE.names)}"
        )
    default = Accelerator()
    choices = [
        [code for code, value in enumerate(p.values) if p.name in (*VARIED, "bus_bytes") or value == _of(default, p)]
        for p in space.parameters
    ]
    codes = np.array(list(product(*choices)), dtype=np.int64).reshape(-1, len(space.names))
    columns = space.columns(codes)
    return np.asarray(codes[columns["bus_bytes"] == np.minimum(columns["dim"], default.bus_bytes)])


def _of(accelerator: Accelerator, parameter: Parameter) -> object:
    return getattr(accelerator, parameter.name)


def accelerator_of(design: Design) -> Accelerator:
    """Return the accelerator that a design of either space stands for; what that does not vary is as by default.

    Raises:
        ArmillaryError: if its values do not go together.
    """
    values = design.as_dict()
    return Accelerator(**{name: values[name] for name in SPACE.names})  # type: ignore[arg-type]


def area_mm2(codes: NDArray[np.int64], space: Space = SPACE) -> NDArray[np.float64]:
    """Return the areas of coded designs of either space by laws fitted to syntheses, shape [designs]."""
    return gemmini_area.area_mm2(space.columns(codes))


def _template(space: Space) -> Template:
    values = {name: getattr(Accelerator(), name) for name in space.names}
    return Template(
        name=space.name,
        space=space,
        laws={"area_mm2": partial(area_mm2, space=space)},
        limits={"area_mm2": float(area_mm2(np.array([space.cardinalities]) - 1, space)[0])},
        budgets={"area_mm2": 3.0},
        defaults=values,
        baseline=space.design_from(values, space.name),
        baseline_name="Gemmini",
        baseline_note="Gemmini's default configuration",
    )


TEMPLATE = _template(SPACE)
BOTH_TEMPLATE = _template(BOTH_SPACE)

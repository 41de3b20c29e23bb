"""Commands of the accelerator and their encoding: 128 bits each, two words of 64 bits.

A load, a store, a product (GEMM), an operation of the ALU, and the end. All but the last name the tokens that they wait
for and send. The encoding is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

Module = Literal["load", "compute", "store"]
Memory = Literal["input", "weight", "accumulator", "uop", "output"]
Operation = Literal["min", "max", "add", "shift", "multiply"]
MEMORIES: tuple[Memory, ...] = ("input", "weight", "accumulator", "uop", "output")
OPERATIONS: tuple[Operation, ...] = ("min", "max", "add", "shift", "multiply")
PROGRAM_ALIGNMENT = 256
"""Bytes of which a program's address is a multiple; it is fetched in parts of so many, and beyond its end."""
FETCHED_AHEAD = 2 * PROGRAM_ALIGNMENT
_LOAD, _STORE, _GEMM, _ALU, _FINISH = range(5)
_MODULE_OF: Mapping[Memory, Module] = {
    "input": "load", "weight": "load", "accumulator": "compute", "uop": "compute", "output": "store",
}  # fmt: skip
_NEIGHBOURS: Mapping[Module, tuple[str, ...]] = {
    "load": ("next",),
    "compute": ("previous", "next"),
    "store": ("previous",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens that a command waits for before it starts, and sends when it is done.

    Load, compute and store stand in this order: the next module of load is compute, the previous one of store too.
    """

    takes_previous: bool = False
    takes_next: bool = False
    sends_previous: bool = False
    sends_next: bool = False

    def _check_tokens(self, module: Module) -> None:
        for field in fields(Tokens):
            if getattr(self, field.name) and field.name.partition("_")[2] not in _NEIGHBOURS[module]:
                raise ArmillaryError(f"{field.name}=True is not allowed; {module} has no such module beside it")

    @property
    def _token_bits(self) -> int:
        flags = (self.takes_previous, self.takes_next, self.sends_previous, self.sends_next)
        return sum(flag << bit for bit, flag in enumerate(flags, start=3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Tokens):
    """A block of rows of tiles between a buffer, where it lies without gaps, and DRAM.

    Attributes:
        memory: which buffer; a tile of `uop` is a beat of micro-operations.
        tile: first of the block in the buffer, its border included.
        address: of its first row in DRAM.
        rows: of it in DRAM.
        columns: tiles of a row in DRAM.
        stride: tiles from a row to the next in DRAM.
        top, bottom: rows of zeros that a load of inputs or weights puts around it in the buffer.
        left, right: likewise columns.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    memory: Memory
    tile: int
    address: int
    rows: int = 1
    columns: int
    stride: int = 0
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        _check(
            self, {"tile": 13, "address": 32, "rows": 12, "columns": 12, "stride": 16}, least_one=("rows", "columns")
        )
        bits = 4 if self.module == "load" else 0
        _check(self, dict.fromkeys(("top", "bottom", "left", "right"), bits))
        self._check_tokens(self.module)

    @property
    def module(self) -> Module:
        """Which runs it."""
        return _MODULE_OF[self.memory]

    @property
    def pitch(self) -> int:
        """Tiles from a row to the next in the buffer."""
        return self.left + self.columns + self.right

    @property
    def code(self) -> int:
        """The command's 128 bits."""
        opcode = _STORE if self.memory == "output" else _LOAD
        kind = 0 if self.memory == "output" else MEMORIES.index(self.memory)
        at = ((self.tile, 10), (self.address, 32), (self.rows, 64), (self.columns, 76), (self.stride, 88))
        border = ((self.top, 104), (self.bottom, 108), (self.left, 112), (self.right, 116))
        return opcode | self._token_bits | kind << 7 | sum(value << bit for value, bit in (*at, *border))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Tokens):
    """Micro-operations within two loops: the indices of each grow with every pass of either loop.

    Attributes:
        uop: the first micro-operation.
        uops: how many.
        outer, inner: passes of the loops.
        target: what a pass of the outer and of the inner loop adds to the tile of sums that is written.
        source: likewise to the tile of inputs, or of sums, that is read.
        writes_output: the lowest bits of what is written go to the buffer of outputs too.
    """

    uop: int
    uops: int = 1
    outer: int = 1
    inner: int = 1
    target: tuple[int, int] = (0, 0)
    source: tuple[int, int] = (0, 0)
    writes_output: bool = False

    @property
    def module(self) -> Module:
        """Which runs it."""
        return "compute"

    @property
    def passes(self) -> int:
        """Micro-operations that are done."""
        return self.outer * self.inner * self.uops

    def _check_steps(self) -> None:
        _check(self, {"uop": 13, "uops": 14, "outer": 12, "inner": 12}, least_one=("uops", "outer", "inner"))
        _check(self, {"target": 11, "source": 11})
        self._check_tokens("compute")

    @property
    def _step_bits(self) -> int:
        at = ((self.writes_output, 8), (self.uop, 9), (self.uops, 22), (self.outer, 36), (self.inner, 48))
        factors = zip((*self.target, *self.source), (60, 71, 82, 93), strict=True)
        return self._token_bits | sum(value << bit for value, bit in (*at, *factors))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm(Steps):
    """Products of tiles, added to tiles of sums; or, if it `clears`, zeros that are put there.

    `weight` is what passes of the loops add to the tile of weights.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    weight: tuple[int, int] = (0, 0)
    clears: bool = False

    def __post_init__(self) -> None:
        self._check_steps()
        _check(self, {"weight": 10})

    @property
    def cycles(self) -> int:
        """In which its steps enter the pipeline."""
        return self.passes

    @property
    def code(self) -> int:
        """The command's 128 bits."""
        return _GEMM | self._step_bits | self.clears << 7 | self.weight[0] << 104 | self.weight[1] << 114


@dataclass(frozen=True, slots=True, kw_only=True)
class Alu(Steps):
    """An operation on the sums of tiles, and on those of another tile or a constant.

    Attributes:
        operation: `min`, `max`, `add`, `shift` to the right, or `multiply` as many of the lowest bits as inputs have.
        constant: of 16 bits with a sign; None for the tile that `source` says.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    operation: Operation
    constant: int | None = None

    def __post_init__(self) -> None:
        self._check_steps()
        if self.operation not in OPERATIONS:
            raise ArmillaryError(f"operation={self.operation!r} is not allowed; choose one of {list(OPERATIONS)}")
        if self.constant is not None and not -(1 << 15) <= self.constant < 1 << 15:
            raise ArmillaryError(f"constant={self.constant} is not allowed; it must have 16 bits with a sign")

    @property
    def cycles(self) -> int:
        """In which its steps enter the pipeline, which reads one tile per cycle."""
        return self.passes * (2 if self.constant is None else 1)

    @property
    def code(self) -> int:
        """The command's 128 bits."""
        value = 0 if self.constant is None else self.constant & 0xFFFF | 1 << 16
        return _ALU | self._step_bits | value << 104 | OPERATIONS.index(self.operation) << 121


Command = Move | Gemm | Alu


def encoded(commands: Sequence[Command]) -> NDArray[np.uint64]:
    """Return the words of commands and of the end, with as many ends behind as are fetched."""
    ends = (FETCHED_AHEAD + PROGRAM_ALIGNMENT) // 16
    codes = [command.code for command in commands] + [_FINISH] * ends
    return np.frombuffer(b"".join(code.to_bytes(16, "little") for code in codes), dtype=np.uint64)


def uop_word(target: int, source: int, weight: int = 0) -> int:
    """Return the 32 bits of a micro-operation: the tiles of sums, of inputs (or of other sums), and of weights."""
    return target | source << 11 | weight << 22


def _check(command: Command | Steps, bits: Mapping[str, int], least_one: Sequence[str] = ()) -> None:
    for name, width in bits.items():
        value = getattr(command, name)
        least = int(name in least_one)
        for number in value if isinstance(value, tuple) else (value,):
            if not least <= number < 1 << width:
                raise ArmillaryError(f"{name}={number} is not allowed; it must be {least} to {(1 << width) - 1}")

"""Commands of the accelerator: load, execute and store, each with an affine loop nest.

A batch of commands of one kind is a matrix of 64-bit words, one row per command. The words' fields are described in
`blocks/accelerator.sv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
LOAD, EXECUTE, STORE = 1, 2, 3
HEADER = 8
MOST_LOOPS = 12
_BITS = 18
_MASK = (1 << _BITS) - 1
LIMIT = 1 << (_BITS - 1)
"""Rows, iterations and coordinates are below this."""


@dataclass(frozen=True)
class NestLoop:
    """One loop of a nest.

    Attributes:
        count: iterations.
        deltas: how far each address moves when the loop advances, by address name.
    """

    count: int
    deltas: Mapping[str, int]


def merged(loops: Sequence[NestLoop]) -> list[NestLoop]:
    """Return loops, the innermost first, without those that turn once, and with neighbours joined that can be."""
    found: list[NestLoop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        inner = found[-1] if found else None
        if inner and all(delta == inner.count * inner.deltas[name] for name, delta in loop.deltas.items()):
            found[-1] = NestLoop(inner.count * loop.count, inner.deltas)
        else:
            found.append(loop)
    return found


def jumps(loops: Sequence[NestLoop], name: str) -> list[int]:
    """Return what to add to an address when each loop advances and those inside it begin anew."""
    found, inside = [], 0
    for loop in loops:
        found.append(loop.deltas[name] - inside)
        inside += loop.deltas[name] * (loop.count - 1)
    return found


def field(value: int | Integers, first: int, bits: int = _BITS) -> Words:
    """Return a value, negative or not, in the bits of a word from `first` on."""
    masked = np.asarray(value, dtype=np.int64) & ((1 << bits) - 1)
    return np.asarray(masked.astype(np.uint64) << np.uint64(first))


def _matrix(n: int, opcode: int, loops: int, ranges: Sequence[tuple[Integers, Integers]]) -> Words:
    words = np.zeros((n, HEADER + 2 * loops), dtype=np.uint64)
    words[:, 0] = opcode | loops << 4
    for number, (first, end) in enumerate(ranges):
        words[:, 1 + number] = field(first, 0) | field(end, _BITS)
    return words


def moves(
    opcode: int,
    loops: Sequence[NestLoop],
    run: int,
    rows: Integers,
    addresses: Integers,
    ranges: Sequence[tuple[Integers, Integers]],
    flags: int = 0,
) -> Words:
    """Return load or store commands, one per row and address, shape [n, words].

    Args:
        opcode: `LOAD` or `STORE`.
        loops: over runs, the innermost first, with the deltas `row` and `address`.
        run: rows that lie together.
        rows: first row in the scratchpad or accumulator, shape [n].
        addresses: in DRAM, bytes, shape [n].
        ranges: rows that hazards watch: scratchpad a and b, accumulator; from and to, each [n].
        flags: of word 0 from bit 8 on.
    """
    words = _matrix(len(rows), opcode, len(loops), ranges)
    words[:, 0] |= np.uint64(flags << 8)
    words[:, 4] = field(rows, 0) | field(run, _BITS)
    words[:, 5] = field(addresses, 0, 32)
    for number, (loop, row, address) in enumerate(
        zip(loops, jumps(loops, "row"), jumps(loops, "address"), strict=True)
    ):
        words[:, HEADER + 2 * number] = field(loop.count - 1, 0) | field(row, _BITS, 32)
        words[:, HEADER + 2 * number + 1] = field(address, 0, 32)
    return words


@dataclass(frozen=True)
class Executes:
    """What varies between execute commands of one loop nest, each of shape [n]."""

    inputs: Integers
    weights: Integers
    outputs: Integers
    y: Integers
    x: Integers
    height: Integers
    width: Integers
    fresh: Integers


def executes(
    loops: Sequence[NestLoop],
    masks: Sequence[int],
    channels: int,
    these: Executes,
    ranges: Sequence[tuple[Integers, Integers]],
) -> Words:
    """Return execute commands, shape [n, words].

    Args:
        loops: the innermost first, with the deltas `weight`, `input`, `output`, `y` and `x`.
        masks: loops that do not index the stationary tensor, loops that reduce, and loops of a block; bit 0 is loop 0.
        channels: of a step of the output-stationary array.
        these: what varies.
        ranges: rows that hazards watch: inputs, weights, accumulator; from and to, each [n].
    """
    words = _matrix(len(these.inputs), EXECUTE, len(loops), ranges)
    words[:, 0] |= field(these.fresh, 8, 1)
    words[:, 4] = field(these.inputs, 0) | field(these.weights, _BITS) | field(these.outputs, 2 * _BITS)
    words[:, 5] = field(these.y, 0) | field(these.x, _BITS)
    words[:, 6] = field(these.height, 0) | field(these.width, _BITS)
    words[:, 7] = np.uint64(sum(mask << (MOST_LOOPS * place) for place, mask in enumerate([*masks, channels])))
    by_name = {name: jumps(loops, name) for name in ("weight", "input", "output", "y", "x")}
    for number, loop in enumerate(loops):
        first, second = HEADER + 2 * number, HEADER + 2 * number + 1
        words[:, first] = field(loop.count - 1, 0) | field(by_name["weight"][number], _BITS)
        words[:, first] |= field(by_name["input"][number], 2 * _BITS)
        words[:, second] = field(by_name["output"][number], 0) | field(by_name["y"][number], _BITS)
        words[:, second] |= field(by_name["x"][number], 2 * _BITS)
    return words

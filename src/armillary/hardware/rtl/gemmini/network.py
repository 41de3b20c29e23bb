"""A whole integer network as one program: its steps one after another, each reading what others have written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import (
    ENTRIES,
    EXECUTE,
    HEADER,
    LOAD,
    STORE,
    Integers,
    Moves,
    Scaled,
    Window,
    Words,
    barrier,
    end,
    table_load,
    tables_of,
)
from armillary.hardware.rtl.gemmini.compiler import MOST_DRAM_BYTES, compile_layer
from armillary.hardware.rtl.gemmini.layout import (
    FETCHED,
    Padding,
    Placement,
    Shape,
    aligned,
    program_bytes,
    weight_rows,
)
from armillary.hardware.rtl.gemmini.placement import Convolution, Place, padded
from armillary.hardware.rtl.gemmini.pooling import Load, Store, added, pooled
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import LOWEST, IntegerNetwork, Multiplier, Step, TensorInfo
from armillary.workloads.quantized.step import Window as PoolWindow

Bytes = NDArray[np.uint8]
MappingOf = Callable[[Layer, PoolWindow | None, str], Mapping]
UNITS = (LOAD, EXECUTE, STORE)
"""Opcodes of the commands that a unit carries out, in the order in which simulations count the units."""


@dataclass(frozen=True, eq=False)
class NetworkProgram:
    """A network's commands and what DRAM holds before they run.

    Attributes:
        words: the commands, the end among them.
        address: where they lie in DRAM.
        dram_bytes: that the program touches.
        dram: its first bytes: weights, biases and what stands around pooled tensors; zeros for tensors.
        places: of every tensor, by name.
        mappings: of every step that is a convolution, by the name of its output.
        commands: of every step, those of the load, execute and store unit.
    """

    words: Words
    address: int
    dram_bytes: int
    dram: Bytes
    places: dict[str, Place]
    mappings: dict[str, Mapping]
    commands: tuple[tuple[int, int, int], ...]


def compile_network(network: IntegerNetwork, accelerator: Accelerator, mapping_of: MappingOf) -> NetworkProgram:
    """Return the program of a network. Steps wait until all before is done and written.

    Args:
        network: in int8.
        accelerator: that runs it.
        mapping_of: returns how a layer with channels padded to whole rows is mapped, and, if windows are
            given, so that every tile has whole ones, and, if operands of "IW" lie transposed, so that every tile
            begins where a row does; blocks of channels and of outputs must be such rows.

    Raises:
        TooSmallError: if a memory is too small for a step, or DRAM for all of them; names it.
        ArmillaryError: if a mapping has other blocks, a scale is none that the hardware holds, or a step has a table
            and the accelerator none; names the step.
    """
    lowering = _Lowering(network, accelerator, mapping_of)
    return lowering.program()


class _Lowering:
    """Gives every tensor a place of its own in DRAM, behind those before."""

    def __init__(self, network: IntegerNetwork, accelerator: Accelerator, mapping_of: MappingOf) -> None:
        self._network, self._accelerator, self._mapping_of = network, accelerator, mapping_of
        self._across = {step.inputs.name for step in network.steps if step.transposed}
        self._end = 0
        self._held: list[tuple[int, Bytes]] = []
        self._places: dict[str, Place] = {}
        self._mappings: dict[str, Mapping] = {}
        row = np.zeros(accelerator.pitch, dtype=np.int8)
        row[: accelerator.dim] = LOWEST
        self._around = {"max_pool": self._hold(row.view(np.uint8)), "average_pool": self._hold(np.zeros_like(row))}

    def program(self) -> NetworkProgram:
        """Return the program."""
        self._place(self._network.inputs)
        parts, commands = [], []
        for step in self._network.steps:
            self._place(step.output)
            words = self._words(step)
            parts += [words, barrier()]
            commands.append(_commands(words))
        words = np.concatenate([*parts, end()])
        address = self._end
        dram_bytes = address + program_bytes(len(words))
        if dram_bytes > MOST_DRAM_BYTES:
            message = f"{self._network.name}: DRAM bytes overflow: {dram_bytes:,} needed, {MOST_DRAM_BYTES:,} there"
            raise TooSmallError(message, "DRAM bytes", dram_bytes, MOST_DRAM_BYTES)
        dram = np.zeros(address, dtype=np.uint8)
        for first, held in self._held:
            dram[first : first + len(held)] = held
        return NetworkProgram(words, address, dram_bytes, dram, self._places, self._mappings, tuple(commands))

    def _words(self, step: Step) -> Words:
        try:
            if step.table is not None and not self._accelerator.activation_tables:
                raise ArmillaryError("activation_tables=0 is not allowed for a step with a table; it must be 1")
            return self._convolution(step) if step.kind == "conv" else self._moved(step)
        except TooSmallError:
            raise
        except ArmillaryError as fault:
            raise ArmillaryError(f"{step.name}: {fault}") from fault

    def _reserve(self, size: int) -> int:
        """Return the address of so many bytes that nothing else uses."""
        address = self._end
        self._end = aligned(address + size, FETCHED)
        return address

    def _hold(self, values: NDArray[np.generic]) -> int:
        """Return the address of bytes that DRAM holds before the program runs."""
        held = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        address = self._reserve(len(held))
        self._held.append((address, held))
        return address

    def _place(self, tensor: TensorInfo) -> None:
        place = Place(tensor, 0, self._accelerator.dim, self._accelerator.pitch)
        # What is read transposed is so in whole rows of channels: behind its last line come others, of no weight.
        lines = aligned(tensor.shape[0], place.dim) if tensor.name in self._across else tensor.shape[0]
        self._places[tensor.name] = Place(tensor, self._reserve(lines * place.strides[0]), place.dim, place.pitch)

    def _convolution(self, step: Step) -> Words:
        run = padded(step, self._accelerator.dim)
        mapping = self._mapping_of(run.layer, step.pool, "I" if step.transposed else "")
        self._mappings[step.output.name] = mapping
        program = compile_layer(
            run.layer,
            mapping,
            self._accelerator,
            padding=_padding(step, run.layer),
            conversion=_conversion(step),
            placement=self._placement(step, run),
            pool=step.pool,
        )
        rows = weight_rows(program, run.weights)
        self._held.append((program.weights.address, rows.view(np.uint8).reshape(-1)))
        self._reserve(program.address - self._end)
        return program.words[:-1]  # the end of all is still to come

    def _placement(self, step: Step, run: Convolution) -> Placement:
        """Return where a convolution's tensors lie; its weights and unfinished sums come behind all others."""
        accelerator, layer = self._accelerator, run.layer
        bias = np.zeros((layer.K // accelerator.dim, accelerator.pitch), dtype=np.int32)
        bias[:, : accelerator.dim] = run.bias.reshape(-1, accelerator.dim)
        padding = _padding(step, layer)
        height = layer.input_height - padding.top - padding.bottom
        width = layer.input_width - padding.left - padding.right
        output = _shape(self._places[step.output.name], layer.groups, *step.output.shape[2:])
        added = scaled = None
        if step.residual is not None:
            added = _shape(self._places[step.residual.name], layer.groups, layer.P, layer.Q)
            scaled = _scaled(step.residual_multiplier)
        given = self._places[step.inputs.name]
        return Placement(
            inputs=_lines(given, layer) if step.transposed else _shape(given, layer.groups, height, width),
            transposed="I" if step.transposed else "",
            outputs=output,
            bias=self._hold(bias),
            added=added,
            scaled=scaled,
            table=None if step.table is None else self._hold_table(step.table),
            address=self._end,
        )

    def _hold_table(self, table: NDArray[np.int8]) -> int:
        """Return the address of a table as the hardware loads it: the same entry for all lanes in every row."""
        return self._hold(np.repeat(table.reshape(ENTRIES, 1), self._accelerator.pitch, axis=1))

    def _moved(self, step: Step) -> Words:
        """Return the commands of a step without the array."""
        source, output = self._places[step.inputs.name], self._places[step.output.name]
        rows = self._accelerator.accumulator_rows
        moves: Iterable[Load | Store]
        if step.kind in ("add", "lookup"):
            residual = self._places[step.residual.name] if step.residual else None
            moves = added(step, source, residual, output, rows)
        else:
            moves = pooled(step, source, output, self._around[step.kind], rows)
        conversion, scratchpad = _conversion(step), self._accelerator.scratchpad_rows
        words = [_encoded(move, conversion, None if step.table is None else scratchpad) for move in moves]
        if step.table is not None:
            words.insert(0, table_load(self._hold_table(step.table), scratchpad, rows))
        return np.concatenate(words)


def _padding(step: Step, layer: Layer) -> Padding:
    """Return the zeros around the input that the outputs reach."""
    _, _, height, width = step.inputs.shape
    top, left, _, _ = step.window.pads
    bottom, right = layer.input_height - height - top, layer.input_width - width - left
    return Padding(top, left, max(0, bottom), max(0, right))


def _shape(place: Place, groups: int, height: int, width: int) -> Shape:
    """Return a tensor as the compiler counts it: groups, blocks of a group, batch, height, width."""
    blocks = place.blocks // groups
    apart = (blocks * place.pitch, place.pitch, *place.strides)
    return Shape(place.address, (groups, blocks, place.tensor.shape[0], height, width), place.pitch, apart)


def _lines(place: Place, layer: Layer) -> Shape:
    """Return a matrix that is read transposed as the compiler counts it: one group, channels, rows of a channel."""
    return Shape(place.address, (1, layer.C, place.blocks), place.pitch, (0, place.strides[0], place.pitch))


def _scaled(multiplier: Multiplier) -> Scaled:
    return Scaled(multiplier.mantissa, multiplier.exponent)


def _conversion(step: Step) -> Conversion:
    return Conversion(step.scale, floating=True, low=step.low, high=step.high)


def _encoded(move: Load | Store, conversion: Conversion, scratchpad_rows: int | None) -> Words:
    """Return the words of one load or store; a store looks its bytes up if the scratchpad's rows are given."""
    nothing = _one(0), _one(0)
    held = _one(move.held[0]), _one(move.held[1])
    looks = scratchpad_rows is not None and isinstance(move, Store)
    first = tables_of(scratchpad_rows, _one(0)) if looks and scratchpad_rows is not None else nothing
    moves = Moves(move.loops, move.run, _one(move.row), _one(move.address), [first, nothing, held])
    if isinstance(move, Load):
        scaled = _scaled(move.multiplier)
        return moves.loads(to_accumulator=True, scaled=scaled, adds=move.adds, repeats=move.repeats).reshape(-1)
    return moves.stores(conversion, Window((1 << move.window) - 1, move.totals), looks_up=looks).reshape(-1)


def _one(value: int) -> Integers:
    return np.array([value], dtype=np.int64)


def _commands(words: Words) -> tuple[int, int, int]:
    """Return how many commands of each unit a stream has."""
    counts, at, heads = dict.fromkeys(UNITS, 0), 0, words.tolist()
    while at < len(heads):
        counts[heads[at] & 0xF] += 1
        at += HEADER + 2 * (heads[at] >> 4 & 0xF)
    return counts[LOAD], counts[EXECUTE], counts[STORE]

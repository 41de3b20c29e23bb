"""The command compiler: a layer and its mapping become commands for the accelerator.

The mapping is the cost model's, on the hierarchy of the `gemmini` template. Its loops at DRAM and in the scratchpad
become commands, one execute command per tile of the accumulator; its loops inside become the hardware's loop nest.

Tensors lie in DRAM as rows of one array width, in the order of these dimensions, outer first:

    inputs   groups, channel blocks, batch, height, width     a row has the channels of one pixel
    weights  groups, output blocks, R, S, channels            a row has the outputs of one channel
    outputs  groups, output blocks, batch, P, Q               a row has the outputs of one pixel

A block is as wide as the mapping unrolls its dimension; the rest of a row is zero. A caller may give inputs and outputs
other strides, e.g. those of a tensor whose channels lie together.

Imperfect factors make the last tile of a dimension a short one: it runs fewer iterations, moves fewer rows, and what
its innermost loops compute beyond the bound is not stored. Weights beyond a bound are zeros in DRAM.
"""

from __future__ import annotations

from math import prod

import numpy as np

from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import ADDRESS_BITS, HEADER, LIMIT, MOST_LOOPS, FieldError, end
from armillary.hardware.rtl.gemmini.layout import (
    FETCHED,
    NO_PADDING,
    Padding,
    Placement,
    Program,
    RefusedError,
    Requantization,
    Shape,
    aligned,
    program_bytes,
)
from armillary.hardware.rtl.gemmini.sequence import TileSequence
from armillary.hardware.rtl.gemmini.tiling import Tiling
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import Window

__all__ = [
    "MOST_DRAM_BYTES", "MOST_TILES", "NO_PADDING", "Padding", "Placement", "Program", "RefusedError", "Requantization",
    "Shape", "check_layer", "compile_layer", "program_bytes",
]  # fmt: skip

MOST_TILES = 1 << 19
MOST_DRAM_BYTES = 1 << ADDRESS_BITS
_COMMANDS_OF_A_TILE = 5  # loads of inputs, weights and sums, execute, store


def compile_layer(
    layer: Layer,
    mapping: Mapping,
    accelerator: Accelerator,
    *,
    padding: Padding | None = None,
    requantization: Requantization | None = None,
    conversion: Conversion | None = None,
    placement: Placement | None = None,
    reload: bool = False,
    pool: Window | None = None,
) -> Program:
    """Return the commands of a layer.

    Args:
        layer: its input includes the padding, unless that is given.
        mapping: onto the hierarchy of one of the accelerator's views, whose dataflow its commands have.
        accelerator: whose memories the tiles must fit.
        padding: zeros around the input that the accelerator makes up.
        requantization: of the outputs; not beside `conversion`.
        conversion: likewise.
        placement: of the tensors in DRAM, if they are to lie elsewhere, and of what the sums begin with.
        reload: inputs and weights are loaded for every tile of the scratchpad, also those that the tile before has
            loaded, as Gemmini's loop instructions do.
        pool: windows of the outputs, without dilation, of which the largest goes out, so that the outputs are those of
            the pool; None for all outputs.

    Raises:
        RefusedError: if a memory, the array, the loop nest or a command's field is too small; names it, and what is
            needed. Or if a tile of the accumulator holds no whole windows.
        ArmillaryError: if this is no mapping of the layer onto the hierarchy, or a given tensor has other counts.
    """
    view = accelerator.view(mapping)
    _check_mapping(layer, mapping, view)
    made = conversion or (requantization or Requantization()).conversion
    tiling = Tiling(layer, mapping, view, padding or Padding(), made, placement or Placement(), reload, pool)
    try:
        return _program(tiling)
    except FieldError as fault:
        raise RefusedError(layer, f"command field {fault.name}", fault.value, fault.most, str(fault)) from None


def check_layer(layer: Layer, mapping: Mapping, accelerator: Accelerator) -> None:
    """Refuse what `compile_layer` refuses, much faster: commands are written only where a field might overflow.

    Args:
        layer: its input includes the padding.
        mapping: onto `accelerator.hierarchy()`.
        accelerator: whose memories the tiles must fit.

    Raises:
        RefusedError, ArmillaryError: see `compile_layer`.
    """
    view = accelerator.view(mapping)
    _check_mapping(layer, mapping, view)
    tiling = Tiling(layer, mapping, view, NO_PADDING, Requantization().conversion, Placement())
    tiles = _tiles(tiling)
    tiling.nest(tiling.inner)  # a shorter tile has no more loops
    command_bytes = 8 * (HEADER + 2 * MOST_LOOPS)
    # Rows on chip are numbered in a field that holds all of a memory's. What else may be large: coordinates, addresses.
    small = max(layer.input_height, layer.input_width) < LIMIT
    if not small or tiling.partial.end + (_COMMANDS_OF_A_TILE * tiles + 1) * command_bytes > MOST_DRAM_BYTES:
        compile_layer(layer, mapping, accelerator)


def _check_mapping(layer: Layer, mapping: Mapping, accelerator: Accelerator) -> None:
    faults = list(mapping.faults(accelerator.hierarchy(), layer))
    if faults:
        raise ArmillaryError(f"layer {layer.name}: {faults[0]}")


def _tiles(tiling: Tiling) -> int:
    """Return the tiles of the accumulator, if there are not too many."""
    tiles = prod(loop.factor for loop in (*tiling.dram.temporal, *tiling.scratchpad.temporal))
    if tiles > MOST_TILES:
        raise RefusedError(tiling.layer, "execute commands", tiles, MOST_TILES, "a tile of the accumulator each")
    return tiles


def _program(tiling: Tiling) -> Program:
    outer = [(loop, "dram") for loop in tiling.dram.temporal] + [(loop, "sp") for loop in tiling.scratchpad.temporal]
    tiles = _tiles(tiling)
    sequence = TileSequence(tiling, outer, tiles)
    words = np.concatenate([*sequence.words(), end()])
    touched = [tiling.inputs.end, tiling.weights.end, tiling.outputs.end, tiling.placement.address]
    address = aligned(max([*touched, tiling.partial.end] if sequence.spills else touched), FETCHED)
    dram_bytes = address + program_bytes(len(words))
    if dram_bytes > MOST_DRAM_BYTES:
        raise RefusedError(tiling.layer, "DRAM bytes", dram_bytes, MOST_DRAM_BYTES, f"{ADDRESS_BITS}-bit addresses")
    return Program(
        words=words,
        address=address,
        inputs=tiling.inputs,
        weights=tiling.weights,
        outputs=tiling.outputs,
        dram_bytes=dram_bytes,
        channel_block=tiling.cx,
        output_block=tiling.kx,
        tiles=tiles,
        transposed=tiling.placement.transposed,
        line_row=tiling.accelerator.dim if tiling.placement.transposed else 0,
    )

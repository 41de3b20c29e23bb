"""How a layer is best cut: all tilings by a bound of their cycles, the best few by the schedule of their programs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.vta.schedule import Schedule, scheduled
from armillary.evaluators.vta.simulation import Dram
from armillary.hardware.rtl.vta.compiler import (
    Program,
    Tiling,
    check,
    choices,
    compile_layer,
    layer_patch,
    requirements,
)
from armillary.hardware.rtl.vta.shape import Requantization, Shape

_COMPILED = 3
_COMMAND_BYTES = 16
_COMMAND_CYCLES = 3
"""In which a module is not at work between two commands."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scheduled:
    """A layer's program and what it takes by its schedule."""

    program: Program
    schedule: Schedule


def best_program(
    shape: Shape, requantization: Requantization, memory: Dram, *, threads: int | None = None
) -> Scheduled:
    """Return the program of a layer with the fewest cycles among the best few tilings by their estimates.

    Args:
        shape: the layer's.
        requantization: of its sums.
        memory: behind the accelerator.
        threads: virtual threads, 1 or 2; the better, if None.

    Raises:
        TooLargeError: if no tiling fits; says what even the smallest lacks.
    """
    grid = fitting(shape, (1, 2) if threads is None else (threads,))
    if not len(grid):
        check(shape, Tiling(1, 1, 1, 1, threads=1 if threads is None else threads))
    estimates = estimated_cycles(shape, grid, requantization, memory)
    found = []
    for k, c, rows, columns, number, inputs_stay in grid[np.argsort(estimates, kind="stable")[:_COMPILED]].tolist():
        tiling = Tiling(k, c, rows, columns, "input" if inputs_stay else "weight", number)
        program = compile_layer(shape, tiling, requantization)
        found.append(Scheduled(program, scheduled(shape.accelerator, program.commands, memory)))
    return min(found, key=lambda one: one.schedule.cycles)


def fitting(shape: Shape, threads: tuple[int, ...]) -> NDArray[np.int64]:
    """Return all tilings that fit, shape [tilings, 6]: the fields of `Tiling`, threads, and whether inputs stay."""
    axes = [*choices(shape), threads, (0, 1)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(np.int64)
    fits = np.ones(len(grid), dtype=bool)
    for _, needed, available in requirements(shape, *grid.T[:5]):
        fits &= needed <= available
    return grid[fits]


def estimated_cycles(shape: Shape, grid: NDArray[np.int64], how: Requantization, memory: Dram) -> Floats:
    """Return about how many cycles tilings take, shape [tilings]: their work, their traffic, and what these share.

    Args:
        shape: the layer's.
        grid: the tilings, see `fitting`.
        how: sums become outputs.
        memory: behind the accelerator.
    """
    layer, accelerator = shape.layer, shape.accelerator
    k, c, rows, cols, threads, inputs_stay = grid.T.astype(float)
    tiles_k, parts = np.ceil(shape.blocks_out / k), np.ceil(shape.blocks_in / c)
    places = shape.images * np.ceil(shape.rows / rows) * np.ceil(shape.columns / cols)
    height, width = layer_patch(layer, grid[:, 2], grid[:, 3])
    whole = parts == 1
    again_input = np.where(whole & ((inputs_stay == 1) | (places == 1)), 1, tiles_k)
    again_weight = np.where(whole & ((inputs_stay == 0) | (tiles_k == 1)), 1, places)
    tiles, steps = places * tiles_k, places * tiles_k * parts
    commands = steps * (c + 2) + tiles * (6 + k)
    outputs = shape.images * shape.blocks_out * shape.rows * shape.columns
    size = accelerator.tile_bytes
    traffic = (
        places * shape.blocks_in * height * width * again_input * size["input"]
        + shape.blocks_out * shape.blocks_in * shape.taps * again_weight * size["weight"]
        + outputs * size["output"]
        + commands * _COMMAND_BYTES
    )
    passes = 3 + 2 * (how.shift > 0) + 2 * layer.bias
    work = outputs * (shape.blocks_in * shape.taps + passes) + commands * _COMMAND_CYCLES
    bus = traffic / accelerator.bus_bytes * memory.pace(accelerator.bus_bytes)
    together = np.maximum(work, bus) + np.minimum(work, bus) / (shape.groups * steps)
    alone = work + bus + steps * memory.latency
    return np.asarray(shape.groups * np.where(threads == 2, together, alone) + 2 * memory.latency)

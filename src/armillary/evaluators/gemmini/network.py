"""Integer networks on simulated accelerators of the `gemmini` template, in one simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import gcd

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.cost_model.cost import evaluate
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.layers import BUDGET, best_of_views
from armillary.evaluators.gemmini.sampling import fitting
from armillary.evaluators.gemmini.simulation import MOST_CYCLES, UNITS, Event, Job, Simulated, simulate
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.hardware.rtl.gemmini.compiler import Placement, compile_layer
from armillary.hardware.rtl.gemmini.network import compile_network
from armillary.hardware.rtl.gemmini.placement import Place, padded
from armillary.hardware.rtl.gemmini.windows import along, whole
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.mapping.search import NoLegalMappingError, search
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import IntegerNetwork, Window

Tensor = NDArray[np.int8]
_SCRATCHPAD, _ACCUMULATOR, _REGISTERS = 1, 2, 3
_OUTSIDE = 2  # the levels outside the accumulator, counted from the innermost
_CYCLES_OF_A_TILE = 128  # of work; its commands take about ninety
_MORE_TILES, _STEPS = 16, 5  # how the limit grows until a mapping is found


@dataclass(frozen=True, eq=False)
class Placed:
    """A network that has run.

    Attributes:
        network: as it ran, some pools as part of the convolutions before.
        result: of the simulation.
        mappings: of every step, as text; empty where there is none.
        cycles: of every step, from the end of the one before to its own.
        tensors: that the hardware wrote, by name, and the input.
    """

    network: IntegerNetwork
    result: Simulated
    mappings: tuple[str, ...]
    cycles: tuple[int, ...]
    tensors: dict[str, Tensor]


def run_network(
    accelerator: Accelerator,
    network: IntegerNetwork,
    inputs: Tensor,
    *,
    full: bool = False,
    seed: int = 0,
    most_cycles: int = MOST_CYCLES,
    backpressure: int = 0,
) -> Placed:
    """Run a network in one simulation.

    Args:
        accelerator: on which.
        network: in int8.
        inputs: shape [N, C, H, W].
        full: simulate every multiplier.
        seed: of the search for mappings.
        most_cycles: after which the run has failed.
        backpressure: see `Job`.

    Raises:
        TooSmallError: if a memory is too small for a step; names it.
        NoLegalMappingError: if no mapping of a layer was found.
        SimulationError: if the simulation ends without a result.
        BuildError: if the simulator cannot be built.
        AccidentError: if a signal ended a tool.
    """
    network = pooled_on_the_way(accelerator, network, seed=seed)
    program = compile_network(network, accelerator, partial(mapping_in_whole_rows, accelerator, seed=seed))
    place = program.places[network.inputs.name]
    dram = program.dram.copy()
    dram[place.address : place.end] = place.packed(inputs)
    job = Job(accelerator, program, dram, most_cycles, wants_dram=True, wants_events=True, backpressure=backpressure)
    result = simulate(simulator(accelerator, full=full), job)
    tensors = {name: at.unpacked(result.dram) for name, at in program.places.items()}
    mappings = tuple(str(program.mappings.get(step.output.name, "")) for step in network.steps)
    cycles = step_cycles(program.commands, result.events, result.cycles)
    return Placed(network, replace(result, dram=result.dram[:0]), mappings, cycles, tensors)


def step_cycles(commands: Sequence[tuple[int, int, int]], events: Sequence[Event], cycles: int) -> tuple[int, ...]:
    """Return the cycles of every step, from the end of the one before to its own.

    Args:
        commands: of every step, those of the load, execute and store unit.
        events: when commands ran.
        cycles: of the program, which the last step ends with.
    """
    ends = np.zeros(len(commands), dtype=np.int64)
    for number, unit in enumerate(UNITS):
        finished = np.array([event.last for event in events if event.unit == unit], dtype=np.int64)
        done = np.cumsum([own[number] for own in commands])
        there = done > 0
        ends[there] = np.maximum(ends[there], finished[done[there] - 1])
    ends[-1] = cycles
    return tuple(np.diff(ends, prepend=0).tolist())


@dataclass(frozen=True)
class _Chosen:
    """A mapping with whole rows, its delay by the cost model before it had those, and at which try it was found."""

    mapping: Mapping
    delay_cycles: float
    number: int


def mapping_in_whole_rows(
    accelerator: Accelerator,
    layer: Layer,
    pool: Window | None = None,
    transposed: str = "",
    *,
    seed: int = 0,
    budget: int = BUDGET,
) -> Mapping:
    """Return a good mapping by the cost model whose blocks of channels and of outputs are rows of the array.

    The cost model knows no commands. A tile of the accumulator takes one to execute it and others to move it, which
    are hidden only behind as many cycles of work; so the search sees no mappings with more tiles than such work
    allows, unless it finds none.

    Args:
        accelerator: onto which.
        layer: with channels and outputs of a group that are multiples of the array.
        pool: windows that each lie in one tile of the accumulator; None for any tiles.
        transposed: operands that lie transposed, see `Placement`.
        seed: of the search.
        budget: mappings that it evaluates.

    Raises:
        NoLegalMappingError: if none was found that fits.
        TooSmallError: if none was found that still fits with whole rows.
    """
    return _chosen(accelerator, layer, pool, transposed, seed, budget).mapping


@lru_cache(maxsize=10_000)
def _chosen(
    accelerator: Accelerator, layer: Layer, pool: Window | None, transposed: str, seed: int, budget: int
) -> _Chosen:
    most_tiles = max(1, layer.macs // accelerator.dim**2 // _CYCLES_OF_A_TILE)
    limits = [(most_tiles * _MORE_TILES**step, twice) for step in range(_STEPS) for twice in (True, False)]
    for number, (most, twice) in enumerate(limits, start=1):
        fits = partial(_fitting, pool, transposed, most, twice)
        find = partial(_found, layer, pool, transposed, fits, seed, budget)
        try:
            whole, delay, _ = best_of_views(accelerator, find, lambda found: found[2])
        except (NoLegalMappingError, TooSmallError):
            if number == len(limits):
                raise
            continue
        break
    return _Chosen(whole, delay, number)


def _found(
    layer: Layer,
    pool: Window | None,
    transposed: str,
    fits: Callable[[Accelerator, Layer, MappingBatch], NDArray[np.bool_]],
    seed: int,
    budget: int,
    view: Accelerator,
) -> tuple[Mapping, float, float]:
    """Return the best mapping onto an accelerator of one dataflow.

    Returns:
        The mapping with whole rows, its delay in cycles before it had those, and its energy-delay product with them.
    """
    hierarchy = view.hierarchy()
    found = search(hierarchy, layer, budget=budget, seed=seed, perfect=True, fits=partial(fits, view, layer))
    whole = in_whole_rows(found.mapping, view)
    compile_layer(layer, whole, view, placement=Placement(transposed=transposed), pool=pool)
    costs = evaluate(hierarchy, layer, whole)
    return whole, found.delay_cycles, float(costs.delay_cycles * costs.energy_pj)


def pooled_on_the_way(accelerator: Accelerator, network: IntegerNetwork, *, seed: int = 0) -> IntegerNetwork:
    """Return a network whose maxima over windows are taken of a convolution's sums where that costs no time.

    That needs a mapping whose tiles hold whole windows, found as early as the one for the convolution alone, that is
    slower by no more than the pool would take to move its tensors, by the cost model. Other pools stay steps of their
    own.

    Args:
        accelerator: that runs it.
        network: in int8.
        seed: of the search for mappings.

    Raises:
        NoLegalMappingError: if no mapping of a convolution alone was found.
        TooSmallError: likewise, with whole rows.
    """
    rate = min(accelerator.bus_bytes, accelerator.dram_bytes_per_cycle)
    for conv, pool in network.poolable():
        layer = padded(conv, accelerator.dim).layer
        if not _may_be_whole(accelerator, layer, pool.window):
            continue
        alone = _chosen(accelerator, layer, None, "", seed, BUDGET)
        try:
            together = _chosen(accelerator, layer, pool.window, "", seed, BUDGET)
        except (NoLegalMappingError, TooSmallError):
            continue
        moved = (Place(tensor, 0, accelerator.dim, accelerator.pitch).end for tensor in (pool.inputs, pool.output))
        if together.number <= alone.number and together.delay_cycles <= alone.delay_cycles + sum(moved) / rate:
            network = network.pooled(conv, pool)
    return network


def _may_be_whole(accelerator: Accelerator, layer: Layer, pool: Window) -> bool:
    """Return whether some tile that the accumulator holds has whole windows, which saves a search that finds none."""
    least = [int(np.flatnonzero(_whole_tiles(pool, axis, size))[0]) for axis, size in enumerate((layer.P, layer.Q))]
    return least[0] * least[1] <= accelerator.accumulator_rows


@lru_cache(maxsize=1_000)
def _whole_tiles(pool: Window, axis: int, size: int) -> NDArray[np.bool_]:
    """Return for every tile of 0 to `size` outputs along an axis whether all windows lie in one tile."""
    needed = len(along(pool, axis, size))
    return np.array([False, *(whole(pool, axis, size, tile) == needed for tile in range(1, size + 1))])


def _fitting(
    pool: Window | None,
    transposed: str,
    most_tiles: int,
    twice: bool,
    accelerator: Accelerator,
    layer: Layer,
    batch: MappingBatch,
) -> NDArray[np.bool_]:
    """Return which mappings fit, `twice` beside the next tile, and have so few tiles of the accumulator, shape [n].

    If there is a pool, its windows must not lie in several tiles. Tiles of what lies transposed begin where rows do.
    """
    temporal = batch.temporal.numpy().astype(np.int64)
    outside = temporal[_OUTSIDE:]
    fits: NDArray[np.bool_] = outside.prod(axis=(0, 1)) <= most_tiles
    for axis, d in enumerate("PQ" if pool else ""):
        assert pool is not None
        number, size = DIMENSIONS.index(d), loop_bounds(layer)[d]
        tiles = size // outside[:, number].prod(axis=0)  # all factors divide
        fits = fits & _whole_tiles(pool, axis, size)[tiles]
    for d in ("NPQ" if "I" in transposed else "") + ("C" if "W" in transposed else ""):
        number, size = DIMENSIONS.index(d), loop_bounds(layer)[d]
        split = temporal[-1, number]
        fits = fits & ((split == 1) | (size // split % accelerator.dim == 0))
    return fitting(accelerator, layer, batch, twice=twice) & fits


def in_whole_rows(mapping: Mapping, accelerator: Accelerator) -> Mapping:
    """Return a mapping with whole rows of the array: what they lack comes from other loops, the innermost first."""
    temporal = [{loop.dimension: loop.factor for loop in level.temporal} for level in mapping.levels]
    spatial = [{loop.dimension: loop for loop in level.spatial} for level in mapping.levels]
    _widen(temporal, _SCRATCHPAD, spatial[_SCRATCHPAD], "K", accelerator.dim)
    if accelerator.stationary == "W":
        _widen(temporal, _ACCUMULATOR, spatial[_ACCUMULATOR], "C", accelerator.dim)
    else:
        here = temporal[_REGISTERS].pop("C", 1)
        lacking = accelerator.dim // gcd(here, accelerator.dim)
        _take(temporal, "C", lacking)
        temporal[_REGISTERS]["C"] = here * lacking
    levels = [
        LevelMapping(
            level.keeps, tuple(Loop(d, factor) for d, factor in loops.items() if factor > 1), tuple(across.values())
        )
        for level, loops, across in zip(mapping.levels, temporal, spatial, strict=True)
    ]
    return Mapping(tuple(levels))


def _widen(temporal: list[dict[str, int]], level: int, across: dict[str, Loop], d: str, dim: int) -> None:
    """Unroll a dimension over all of the array, in place."""
    here = across[d].factor if d in across else 1
    kept = gcd(here, dim)
    temporal[level][d] = temporal[level].get(d, 1) * (here // kept)
    _take(temporal, d, dim // kept)
    across[d] = Loop(d, dim, "X")


def _take(temporal: list[dict[str, int]], d: str, factor: int) -> None:
    """Divide the loops over a dimension by a factor between them, the innermost first, in place."""
    for loops in reversed(temporal):
        shared = gcd(loops.get(d, 1), factor)
        if shared > 1:
            loops[d] //= shared
            factor //= shared
    assert factor == 1, f"the bound of {d} is no multiple of the array"

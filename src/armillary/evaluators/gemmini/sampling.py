"""Random layers on random accelerators with random mappings, all of which run: what a surrogate of RTL learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT, Mapping
from armillary.hardware.rtl.gemmini.compiler import Program, RefusedError, compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.walk import TEMPORAL
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_AT_ONCE = 1_000
_ROUNDS = 200


@dataclass(frozen=True)
class Sample:
    """A layer's mapping onto an accelerator, what runs, and its delay and energy by the cost model."""

    layer: Layer
    mapping: Mapping
    program: Program
    delay_cycles: float
    energy_pj: float


def random_sample(
    accelerator: Accelerator, layers: Sequence[Layer], most_cycles: float, rng: np.random.Generator
) -> Sample:
    """Return a random layer with a random mapping that runs.

    The array is used as far as the layer's bounds divide, as in the dissertation (Section 6.1.2): of random
    mappings that leave most of it idle there are too many to learn from.

    Args:
        accelerator: on which.
        layers: of which one is drawn.
        most_cycles: by the cost model, so that simulations end.
        rng: decides.

    Raises:
        ArmillaryError: if none was found.
    """
    for _ in range(_ROUNDS):
        layer = layers[int(rng.integers(len(layers)))]
        space = map_space(accelerator, layer)
        codes = space.random(_AT_ONCE, rng)
        codes[:, : len(space.splits)] = np.stack(
            [wide[rng.integers(len(wide), size=_AT_ONCE)] for wide in widest(space)], axis=1
        )
        batch = space.decode(codes)
        codes = codes[fitting(accelerator, layer, batch)]
        if not len(codes):
            continue
        found = summaries(HierarchyBatch.of([space.hierarchy]), LayerBatch.of([layer]), space.decode(codes))
        delay, energy = found.delay_cycles.numpy(), found.energy_pj.numpy()
        for number in np.flatnonzero(found.feasible.numpy() & (delay <= most_cycles)).tolist():
            mapping = space.mapping(codes[number])
            try:
                program = compile_layer(layer, mapping, accelerator)
            except RefusedError:
                continue
            return Sample(layer, mapping, program, float(delay[number]), float(energy[number]))
    raise ArmillaryError(f"no mapping of {len(layers)} layers runs within {most_cycles:,.0f} cycles on {accelerator}")


def fitting(accelerator: Accelerator, layer: Layer, batch: MappingBatch, *, twice: bool = False) -> NDArray[np.bool_]:
    """Return which mappings fit by rows, as the compiler counts them, shape [n].

    Args:
        accelerator: whose memories they fit.
        layer: that is mapped.
        batch: mappings of it.
        twice: whether a tile must fit beside the one that is used, so that loads and stores hide behind the array.
    """
    temporal, spatial = batch.temporal.numpy().astype(np.int64), batch.spatial.numpy().astype(np.int64)
    inner = temporal[:2].prod(axis=0) * spatial[:3].prod(axis=0)
    held = dict(zip(DIMENSIONS, inner * temporal[2], strict=True))
    outputs = dict(zip(DIMENSIONS, inner, strict=True))
    k, c = DIMENSIONS.index("K"), DIMENSIONS.index("C")
    k_block = spatial[2, k]
    c_block = spatial[1, c] if accelerator.stationary == "W" else _divisors_within(temporal[0, c], accelerator.dim)
    height = (held["P"] - 1) * layer.stride_h + (held["R"] - 1) * layer.dilation_h + 1
    width = (held["Q"] - 1) * layer.stride_w + (held["S"] - 1) * layer.dilation_w + 1
    inputs = held["G"] * held["C"] // c_block * held["N"] * height * width
    weights = held["G"] * held["K"] // k_block * held["R"] * held["S"] * held["C"]
    sums = outputs["G"] * outputs["K"] // k_block * outputs["N"] * outputs["P"] * outputs["Q"]
    if twice:
        outside = {t: [DIMENSIONS.index(d) for d in RELEVANT[t]] for t in "WIO"}
        inputs = inputs * np.where((temporal[3, outside["I"]] > 1).any(axis=0), 2, 1)
        weights = weights * np.where((temporal[3, outside["W"]] > 1).any(axis=0), 2, 1)
        sums = sums * np.where((temporal[2:4, outside["O"]] > 1).any(axis=(0, 1)), 2, 1)
    fits = (inputs + weights <= accelerator.scratchpad_rows) & (sums <= accelerator.accumulator_rows)
    return np.asarray(fits)


def _divisors_within(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the largest divisor of each value that is at most so much, shape [n]."""
    found = np.ones_like(values)
    for divisor in range(2, most + 1):
        found[values % divisor == 0] = divisor
    return found


@lru_cache(maxsize=256)
def map_space(accelerator: Accelerator, layer: Layer) -> MapSpace:
    """Return the mappings of a layer onto an accelerator."""
    return MapSpace(accelerator.hierarchy(), layer)


def widest(space: MapSpace) -> list[NDArray[np.intp]]:
    """Return, for each dimension, the splits that unroll it as far as any does."""
    found = []
    for splits in space.splits:
        across = [i for i, slot in enumerate(splits.slots) if slot.kind != TEMPORAL]
        used = splits.factors[:, across].prod(axis=1)
        found.append(np.flatnonzero(used == used.max()))
    return found

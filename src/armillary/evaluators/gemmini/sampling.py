"""Random layers on random accelerators with random mappings, all of which run: what a surrogate of RTL learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.evaluators.gemmini.full_array import Dividing
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT, Mapping
from armillary.hardware.rtl.gemmini.compiler import Program, RefusedError, compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.mapspace import MapSpace
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Rows = NDArray[np.int64]
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

    The array is used as far as the layer's bounds divide, see `full_array`.

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
        full = _full(accelerator, layer)
        space = full.space
        codes = full.codes(rng.random((_AT_ONCE, full.width)))
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
    factors = batch.temporal.numpy().astype(np.int64), batch.spatial.numpy().astype(np.int64)
    held, sums = rows_of_tiles(accelerator, layer, factors, twice=twice)
    return np.asarray((held <= accelerator.scratchpad_rows) & (sums <= accelerator.accumulator_rows))


def rows_of_tiles(
    accelerator: Accelerator, layer: Layer, factors: tuple[Rows, Rows], *, twice: bool = False
) -> tuple[Rows, Rows]:
    """Return the rows of the scratchpad and of the accumulator that mappings need, as the compiler counts them.

    Args:
        accelerator: of which the array and the dataflow count, not the memories.
        layer: that is mapped.
        factors: temporal and spatial ones, the innermost level first, shape [levels, dimensions, n].
        twice: see `fitting`.

    Returns:
        Two arrays of shape [n].
    """
    temporal, spatial = factors
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
    return inputs + weights, sums


def _divisors_within(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the largest divisor of each value that is at most so much, shape [n]."""
    found = np.ones_like(values)
    for divisor in range(2, most + 1):
        found[values % divisor == 0] = divisor
    return found


@lru_cache(maxsize=256)
def _full(accelerator: Accelerator, layer: Layer) -> Dividing:
    return Dividing(MapSpace(accelerator.hierarchy(), layer))

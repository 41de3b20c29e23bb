"""What is known of a mapped layer before it is simulated: of design, layer and mapping, and by a closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import Mapping
from armillary.spaces.space import Space
from armillary.surrogates.layers import Prior
from armillary.surrogates.starlight.encoding import LEVELS, inputs_of, logarithms_of
from armillary.types import MappedLayer

Values = NDArray[np.float64]
_OF_LAYER = ("stride_h", "dilation_h", "groups")


def features_of(space: Space, codes: NDArray[np.int64], mapped: Sequence[MappedLayer], prior: Prior) -> Values:
    """Return the features of mapped layers that can run by the prior, shape [rows, features].

    Amounts are logarithms. Metrics of the prior stand as they are, and each over the delay: which of the units
    it is that takes the time matters more than how long. The delay also stands over the tiles: what a closed form
    gets wrong of a tile's beginning and end weighs most where tiles are short.

    Args:
        space: of the designs.
        codes: of the designs, shape [rows, parameters].
        mapped: likewise.
        prior: of the same rows, all feasible.
    """
    batch = MappingBatch.of([Mapping.parse(one.mapping) for one in mapped])
    columns = space.columns(codes)
    amounts = [np.asarray(columns[p.name], dtype=float) for p in space.parameters if p.kind != "categorical"]
    names = [codes[:, i].astype(float) for i, p in enumerate(space.parameters) if p.kind == "categorical"]
    layers = [[float(getattr(one.layer, name)) for one in mapped] for name in _OF_LAYER]
    told = [prior.metrics[name] for name in sorted(prior.metrics)]
    logs = np.log2(np.maximum(np.array([*amounts, *_extents(batch), *layers, *told]), 1e-9))
    delay = np.log2(prior.metrics["delay_cycles"])
    shares = np.log2(np.maximum(np.array(told), 1e-9)) - delay
    tiles = _tiles(batch)
    encoded = logarithms_of(inputs_of(columns, batch)).T
    parts = [logs, np.array(names).reshape(-1, len(mapped)), shares, tiles, delay - tiles, encoded]
    return np.concatenate(parts).T.copy()


def _tiles(batch: MappingBatch) -> Values:
    """Return the logarithms of how many tiles the scratchpad and the accumulator hold in turn, shape [2, rows]."""
    of_scratchpad = batch.temporal[LEVELS.index("dram")].prod(dim=0).numpy()
    of_accumulator = of_scratchpad * batch.temporal[LEVELS.index("scratchpad")].prod(dim=0).numpy()
    return np.asarray(np.log2(np.stack([of_scratchpad, of_accumulator])))


def _extents(batch: MappingBatch) -> list[Values]:
    """Return how far the tiles of each level go over each dimension, and the whole layer, shape [rows] each."""
    inside = np.ones((len(DIMENSIONS), len(batch)))
    found = []
    for temporal, spatial in zip(batch.temporal.numpy(), batch.spatial.numpy(), strict=True):
        inside = inside * temporal * spatial
        found += list(inside)
    return found

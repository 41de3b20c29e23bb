"""Batches as the compiled kernel takes them: the candidate first, so that one mapping lies together in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch, RemainderBatch
from armillary.cost_model.kernel.nest import Array, Chip, Nest, Work
from armillary.cost_model.widths import with_layer_macs


def chips_of(hierarchies: HierarchyBatch, layers: LayerBatch) -> Chip:
    """Return hierarchies as they run layers, stacked along a first axis [n], which is 1 where all share both."""
    h = with_layer_macs(hierarchies, layers)
    bits = torch.where(layers.bits > 0, layers.bits, h.bits) if layers.bits.any() else h.bits
    n = max(len(h), bits.shape[-1])
    return Chip(
        capacity=_first(h.capacity, n),
        part=_first(h.part, n),
        able=_first(h.keeps.double(), n),
        bandwidth=np.stack([_first(b, n) for b in (h.read_bandwidth, h.write_bandwidth, h.shared_bandwidth)], axis=2),
        fanout=_first(h.fanout, n),
        shares=np.stack([_first(h.multicast, n), _first(h.reduction, n)], axis=2),
        block=_first(h.block, n),
        access_pj=_first(h.access_pj, n),
        words=_first(bits / h.word_bits[:, None], n),
        mac_pj=_first(h.mac_pj[None], n),
    )


def works_of(layers: LayerBatch) -> Work:
    """Return layers, stacked along a first axis [n]."""
    n = len(layers)
    return Work(_first(layers.bounds, n), _first(layers.stride, n), _first(layers.dilation, n))


def nests_of(mappings: MappingBatch) -> Nest:
    """Return mappings, stacked along a first axis [n]."""
    n = len(mappings)
    temporal, spatial = _first(mappings.temporal, n), _first(mappings.spatial, n)
    last = (temporal, spatial)
    if isinstance(mappings, RemainderBatch):
        last = (_first(mappings.temporal_last, n), _first(mappings.spatial_last, n))
    places = _first(mappings.spatial_place, n)
    return Nest(
        temporal=temporal,
        temporal_last=last[0],
        spatial=spatial,
        spatial_last=last[1],
        along_y=_first(mappings.along_y, n),
        order=_order(_first(mappings.place, n)),
        order_x=_order(places[:, :, 0]),
        order_y=_order(places[:, :, 1]),
        keeps=_first(mappings.keeps.double(), n),
    )


def mappings_of(nests: Nest) -> MappingBatch:
    """Return stacked mappings as a batch; perfect ones if all are."""

    def last(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 0, -1)))

    orders = np.stack([nests.order_x, nests.order_y], axis=2)
    batch = MappingBatch(
        temporal=last(nests.temporal),
        spatial=last(nests.spatial),
        along_y=last(nests.along_y),
        place=last(np.argsort(nests.order, axis=-1).astype(float)),
        spatial_place=last(np.argsort(orders, axis=-1).astype(float)),
        keeps=last(nests.keeps > 0),
    )
    if (nests.temporal == nests.temporal_last).all() and (nests.spatial == nests.spatial_last).all():
        return batch
    return RemainderBatch(**vars(batch), temporal_last=last(nests.temporal_last), spatial_last=last(nests.spatial_last))


def first_chip(chips: Chip) -> Chip:
    """Return the first of stacked hierarchies."""
    return Chip(*(array[0] for array in chips))


def first_work(works: Work) -> Work:
    """Return the first of stacked layers."""
    return Work(*(array[0] for array in works))


def _first(tensor: Tensor, n: int) -> Array:
    array = tensor.detach().numpy()
    whole = np.broadcast_to(array, (*array.shape[:-1], n))
    return np.ascontiguousarray(np.moveaxis(whole, -1, 0))


def _order(places: Array) -> Array:
    """Return the dimensions by place, the innermost first."""
    return np.argsort(places, axis=-1).astype(float)

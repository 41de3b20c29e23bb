"""Hierarchies, layers and mappings as tensors; the last axis is always the candidate.

A tensor's candidate axis has length 1 where all candidates share the value, and broadcasts. Levels
are innermost first; dimensions, tensors and mesh axes are in the order of `DIMENSIONS` (N K C P Q R S
G), `TENSORS` (W I O) and (X, Y), roles in that of `ROLES` (W I P O: P are partial sums, O final outputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.hardware.bits import ROLES
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy, Level
from armillary.hardware.mapping import Mapping, loop_bounds, rounds
from armillary.hardware.technology import access_energy, area_mm2, mac_energy_pj, operation
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer


def pick(tensor: Tensor, candidates: Tensor | slice) -> Tensor:
    """Return a tensor of some candidates; one that all candidates share stays as it is."""
    return tensor if tensor.shape[-1] == 1 else tensor[..., candidates]


class _Batch:
    """Tensors whose last axis is the candidate."""

    def __len__(self) -> int:
        return max(int(getattr(self, f.name).shape[-1]) for f in fields(self))  # type: ignore[arg-type]

    def select(self, candidates: Tensor | slice) -> Self:
        """Return some candidates; what all share stays shared."""
        return type(self)(**{f.name: pick(getattr(self, f.name), candidates) for f in fields(self)})  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class HierarchyBatch(_Batch):
    """Hierarchies of one number of levels.

    Attributes:
        capacity: words that the tiles of one instance may take, shape [levels, n]; infinite if unlimited.
        part: 1 where a level is part of the memory of the next outer one, else 0, shape [levels, n].
        keeps: which tensors each level can hold, bool, shape [levels, tensors, n].
        read_bandwidth: words per cycle and instance, shape [levels, n]; infinite if unlimited.
        write_bandwidth: likewise.
        shared_bandwidth: likewise.
        fanout: instances below one instance, shape [levels, axes, n].
        multicast: 1 where one read serves many, else 0, shape [levels, n].
        reduction: 1 where partial sums are added on their way, else 0, shape [levels, n].
        block: words per access, shape [levels, n].
        access_pj: energy of a read, a fill and an update of a block, shape [levels, 3, n].
        mac_pj: energy per multiply-accumulate, shape [n]; see `widths.with_layer_macs`.
        area_mm2: of the whole chip, DRAM left out, shape [n].
        word_bits: bits per word, shape [levels, n].
        bits: bits per element of each role, where a layer has none of its own, shape [levels, roles, n].
        operation: what `mac_pj` follows from: bits of a weight, an input and a sum (0 if not set), 1 for
            floating-point numbers, the node in nm, and 1 if the energy is given instead, shape [6, n].
    """

    capacity: Tensor
    part: Tensor
    keeps: Tensor
    read_bandwidth: Tensor
    write_bandwidth: Tensor
    shared_bandwidth: Tensor
    fanout: Tensor
    multicast: Tensor
    reduction: Tensor
    block: Tensor
    access_pj: Tensor
    mac_pj: Tensor
    area_mm2: Tensor
    word_bits: Tensor
    bits: Tensor
    operation: Tensor

    @staticmethod
    def of(hierarchies: Sequence[Hierarchy]) -> HierarchyBatch:
        """Return hierarchies as tensors.

        Raises:
            ArmillaryError: if their numbers of levels differ.
        """
        counts = sorted({len(h.levels) for h in hierarchies})
        if len(counts) > 1:
            raise ArmillaryError(f"hierarchies of {counts} levels cannot share a batch; evaluate them apart")
        every = [h.inner_first for h in hierarchies]

        def column(values: list[list[float]]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64).T.contiguous()

        def limit(value: float | None) -> float:
            return float("inf") if value is None else float(value)

        energies = [[_access_pj(h, level) for level in h.inner_first] for h in hierarchies]
        return HierarchyBatch(
            capacity=column([[level.tile_words for level in levels] for levels in every]),
            part=column([[float(level.part_of is not None) for level in levels] for levels in every]),
            keeps=torch.tensor([[[t in level.keeps for t in TENSORS] for level in levels] for levels in every])
            .permute(1, 2, 0)
            .contiguous(),
            read_bandwidth=column([[limit(level.read_bandwidth) for level in levels] for levels in every]),
            write_bandwidth=column([[limit(level.write_bandwidth) for level in levels] for levels in every]),
            shared_bandwidth=column([[limit(level.shared_bandwidth) for level in levels] for levels in every]),
            fanout=torch.tensor([[level.fanout for level in levels] for levels in every], dtype=torch.float64)
            .permute(1, 2, 0)
            .contiguous(),
            multicast=column([[float(level.multicast) for level in levels] for levels in every]),
            reduction=column([[float(level.spatial_reduction) for level in levels] for levels in every]),
            block=column([[float(level.block_words) for level in levels] for levels in every]),
            access_pj=torch.tensor(energies, dtype=torch.float64).permute(1, 2, 0).contiguous(),
            mac_pj=torch.tensor([mac_energy_pj(h) for h in hierarchies], dtype=torch.float64),
            area_mm2=torch.tensor([area_mm2(h) for h in hierarchies], dtype=torch.float64),
            word_bits=column([[float(level.word_bits) for level in levels] for levels in every]),
            bits=torch.tensor([[h.widths(level) for level in h.inner_first] for h in hierarchies], dtype=torch.float64)
            .permute(1, 2, 0)
            .contiguous(),
            operation=column([_operation(h) for h in hierarchies]),
        )


def _access_pj(hierarchy: Hierarchy, level: Level) -> tuple[float, float, float]:
    energy = access_energy(hierarchy, level)
    return energy.read_pj, energy.fill_pj, energy.update_pj


def _operation(hierarchy: Hierarchy) -> list[float]:
    given = hierarchy.compute.energy_pj is not None
    return [float(value) for value in (*operation(hierarchy), hierarchy.technology_nm, given)]


@dataclass(frozen=True)
class LayerBatch(_Batch):
    """Layers.

    Attributes:
        bounds: how far each loop runs, shape [dimensions, n].
        stride: input rows per output row, and columns per column, shape [2, n].
        dilation: input rows per filter row, and columns per column, shape [2, n].
        bits: bits per element of each role, 0 where the layer has none of its own, shape [roles, n].
        floating: 1 for floating-point numbers, 0 for integers, NaN where the hierarchy decides, shape [n].
    """

    bounds: Tensor
    stride: Tensor
    dilation: Tensor
    bits: Tensor
    floating: Tensor

    @staticmethod
    def of(layers: Sequence[Layer]) -> LayerBatch:
        """Return layers as tensors."""
        return LayerBatch(
            bounds=torch.tensor([list(loop_bounds(la).values()) for la in layers], dtype=torch.float64).T.contiguous(),
            stride=torch.tensor([(la.stride_h, la.stride_w) for la in layers], dtype=torch.float64).T.contiguous(),
            dilation=torch.tensor(
                [(la.dilation_h, la.dilation_w) for la in layers], dtype=torch.float64
            ).T.contiguous(),
            bits=torch.tensor([_own_bits(la) for la in layers], dtype=torch.float64).T.contiguous(),
            floating=torch.tensor([_floating(la) for la in layers], dtype=torch.float64),
        )


def _own_bits(layer: Layer) -> list[int]:
    return [getattr(layer.bits, role, None) or 0 for role in ROLES]


def _floating(layer: Layer) -> float:
    kind = None if layer.bits is None else layer.bits.kind
    return float("nan") if kind is None else float(kind == "float")


@dataclass(frozen=True)
class MappingBatch(_Batch):
    """Mappings of one number of levels.

    Attributes:
        temporal: factors, shape [levels, dimensions, n]; real numbers where they are relaxed.
        spatial: likewise, over both mesh axes together.
        along_y: that part of the spatial factors which lies along Y, likewise.
        place: where a temporal loop stands in its level, 0 the innermost, a permutation of 0..7 in
            each level, shape [levels, dimensions, n]; of the factors' type, which compares fastest.
        spatial_place: likewise of the spatial loops of each axis, shape [levels, axes, dimensions, n].
        keeps: which tensors are held, bool, shape [levels, tensors, n].
    """

    temporal: Tensor
    spatial: Tensor
    along_y: Tensor
    place: Tensor
    spatial_place: Tensor
    keeps: Tensor

    @staticmethod
    def joined(batches: Sequence[MappingBatch]) -> MappingBatch:
        """Return the candidates of several batches of perfect mappings, none shared."""
        names = [field.name for field in fields(MappingBatch)]
        return MappingBatch(*(torch.cat([getattr(b, name) for b in batches], dim=-1) for name in names))

    @staticmethod
    def of(mappings: Sequence[Mapping]) -> MappingBatch:
        """Return mappings as tensors; a `RemainderBatch` if one of them has an imperfect factor.

        Raises:
            ArmillaryError: if their numbers of levels differ.
        """
        counts = sorted({len(m.levels) for m in mappings})
        if len(counts) > 1:
            raise ArmillaryError(f"mappings of {counts} levels cannot share a batch; evaluate them apart")
        shape = (len(mappings), counts[0], len(DIMENSIONS))
        temporal, spatial, along_y = np.ones(shape), np.ones(shape), np.ones(shape)
        place, spatial_place = np.empty(shape), np.empty((*shape[:2], 2, shape[2]))
        keeps = np.zeros((*shape[:2], len(TENSORS)), dtype=bool)
        for i, mapping in enumerate(mappings):
            for number, level in enumerate(mapping.inner_first):
                place[i, number] = loop_places(tuple(loop.dimension for loop in reversed(level.temporal)))
                for axis in range(2):
                    along = tuple(loop.dimension for loop in level.spatial if loop.axis == "XY"[axis])
                    spatial_place[i, number, axis] = loop_places(along)
                for loop in level.temporal:
                    temporal[i, number, DIMENSIONS.index(loop.dimension)] = loop.factor
                for loop in level.spatial:
                    spatial[i, number, DIMENSIONS.index(loop.dimension)] *= loop.factor
                    if loop.axis == "Y":
                        along_y[i, number, DIMENSIONS.index(loop.dimension)] = loop.factor
                keeps[i, number] = [tensor in level.keeps for tensor in TENSORS]
        batch = MappingBatch(*map(_candidates_last, (temporal, spatial, along_y, place, spatial_place, keeps)))
        if any(m.imperfect for m in mappings):
            return RemainderBatch.after(batch, mappings)
        return batch


@dataclass(frozen=True)
class RemainderBatch(MappingBatch):
    """Mappings of which some have imperfect factors.

    Attributes:
        temporal_last: iterations of a loop in the last round of the loops outside it over its dimension,
            shape [levels, dimensions, n]; the factor where it is perfect.
        spatial_last: likewise.
    """

    temporal_last: Tensor
    spatial_last: Tensor

    @staticmethod
    def after(batch: MappingBatch, mappings: Sequence[Mapping]) -> RemainderBatch:
        """Return the batch of mappings with the remainders beside it."""
        temporal_last, spatial_last = batch.temporal.clone(), batch.spatial.clone()
        for i, mapping in enumerate(mappings):
            for number, level in enumerate(mapping.inner_first):
                for loop in level.temporal:
                    temporal_last[number, DIMENSIONS.index(loop.dimension), i] = loop.last
                for dimension in {loop.dimension for loop in level.spatial}:
                    across = [loop for loop in reversed(level.spatial) if loop.dimension == dimension]
                    spatial_last[number, DIMENSIONS.index(dimension), i] = rounds(across)
        return RemainderBatch(**vars(batch), temporal_last=temporal_last, spatial_last=spatial_last)

    @property
    def imperfect(self) -> Tensor:
        """Which candidates have an imperfect factor, bool, shape [n]."""
        return ((self.temporal_last != self.temporal) | (self.spatial_last != self.spatial)).flatten(0, 1).any(dim=0)

    def perfect(self) -> MappingBatch:
        """Return the candidates without their remainders."""
        return MappingBatch(**{f.name: getattr(self, f.name) for f in fields(MappingBatch)})


def encode(
    hierarchies: Hierarchy | Sequence[Hierarchy] | HierarchyBatch,
    layers: Layer | Sequence[Layer] | LayerBatch,
    mappings: Mapping | Sequence[Mapping] | MappingBatch,
) -> tuple[HierarchyBatch, LayerBatch, MappingBatch]:
    """Return the three as tensors that broadcast against each other.

    Raises:
        ArmillaryError: if their numbers of candidates or of levels do not match.
    """
    chips = _batch(hierarchies, Hierarchy, HierarchyBatch)
    work = _batch(layers, Layer, LayerBatch)
    mapped = _batch(mappings, Mapping, MappingBatch)
    sizes = {"hierarchies": len(chips), "layers": len(work), "mappings": len(mapped)}
    if len(set(sizes.values()) - {1}) > 1:
        raise ArmillaryError(f"a batch of {sizes} does not match; give one of a kind, or one per candidate")
    if chips.capacity.shape[0] != mapped.temporal.shape[0]:
        raise ArmillaryError(
            f"the mappings have {mapped.temporal.shape[0]} levels, the hierarchies {chips.capacity.shape[0]}"
        )
    return chips, work, mapped


def _batch(items: Any, kind: type, batch: Any) -> Any:
    if isinstance(items, batch):
        return items
    if isinstance(items, kind):
        return batch.of([items])
    if not len(items):
        raise ArmillaryError(f"no {kind.__name__.lower()} to evaluate")
    return batch.of(items)


@lru_cache(maxsize=1 << 14)  # mappings of a batch share most of their orders
def loop_places(dimensions: tuple[str, ...]) -> tuple[int, ...]:
    """Return the place of every dimension, those that have no loop after those that have one."""
    order = [*dimensions, *(d for d in DIMENSIONS if d not in dimensions)]
    return tuple(order.index(d) for d in DIMENSIONS)


def _candidates_last(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 0, -1)))

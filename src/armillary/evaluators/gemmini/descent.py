"""Gradient descent on the mappings of all layers of a network at once; the hardware is the least that holds them.

Source: Hong et al., "DOSA", MICRO 2023, Sections 4 and 5. As there, the array is 16 x 16; tile factors descend through
a differentiable cost model; the memories are as large as the largest tiles need, so that the energy of an access
follows the factors; factors are rounded to divisors; loop orders are chosen when they are rounded. A learned correction
of the delay may stand in the cost model. What is left out: the loss terms for latency of other operators, rounding on
the way (here once, in the end), and the correction's network, for which a ridge regression on the logarithms of the
factors and of the delay stands here, so that its gradient is there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import Costs, batch_costs
from armillary.cost_model.summaries import summaries
from armillary.evaluators.gemmini.layers import packed
from armillary.evaluators.gemmini.sampling import fitting, rows_of_tiles
from armillary.evaluators.sampling import Descending
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator, accelerator_of
from armillary.mapping.gradient import ORDERS, logits_of, nearest_splits, relaxed
from armillary.mapping.mapspace import MapSpace
from armillary.spaces.space import Space
from armillary.types import Candidate, LayerRun
from armillary.workloads.layer import LayerUse, Workload

DIM = 16
"""The array, which DOSA does not vary either."""
_ACCUMULATOR, _SCRATCHPAD = 1, 2
_STEP_KIB, _MOST_KIB = 8, 256
_RATE, _PENALTY, _RIDGE = 0.1, 10.0, 1.0
_DRAWN, _LEAST_ROWS = 512, 12
_MOST_ERROR = 1.5
"""Of the logarithm of the delay, so that the correction is not trusted far from what it learned."""


@dataclass(frozen=True)
class _Task:
    """A network on the largest accelerator of the array's size.

    Attributes:
        accelerator: the largest.
        uses: of the layers, as it runs them.
        spaces: of their mappings.
    """

    accelerator: Accelerator
    uses: tuple[LayerUse, ...]
    spaces: tuple[MapSpace, ...]

    @staticmethod
    def of(workload: Workload) -> _Task:
        largest = Accelerator(dim=DIM, scratchpad_kib=_MOST_KIB, accumulator_kib=_MOST_KIB)
        uses = tuple(replace(use, layer=packed(use.layer, DIM)) for use in workload.layers)
        return _Task(largest, uses, tuple(MapSpace(largest.hierarchy(), use.layer) for use in uses))


def descended(space: Space, workload: Workload, descending: Descending) -> list[Candidate]:
    """Return designs with mappings of a network; see `DescendsNetworks`.

    Args:
        space: of the designs.
        workload: the network.
        descending: how.
    """
    task, rng = _Task.of(workload), np.random.default_rng([descending.seed, 2])
    judge = _Judge(descending.weights, _correction_of(descending.known))
    starts = [_starts(own, task.accelerator, descending.starts, rng) for own in task.spaces]
    shares = _descent(task, starts, descending, judge)
    each = [
        _with_orders(own, task.accelerator, nearest_splits(own, share, codes), codes, rng, judge)
        for own, share, codes in zip(task.spaces, shares, starts, strict=True)
    ]
    found = []
    for codes in zip(*each, strict=True):
        mappings = [own.mapping(code) for own, code in zip(task.spaces, codes, strict=True)]
        accelerator = _least(task, mappings)
        if accelerator is not None:
            names = {use.layer.name: str(mapping) for use, mapping in zip(task.uses, mappings, strict=True)}
            values = {name: getattr(accelerator, name) for name in space.names}
            candidate = Candidate(space.design_from(values, "descent"), names)
            found.append((judge.network(accelerator, task.uses, mappings), candidate))
    found.sort(key=lambda one: one[0])
    return [candidate for _, candidate in found]


@dataclass(frozen=True)
class _Judge:
    """What is minimised.

    Attributes:
        weights: powers of delay and energy.
        correction: of the logarithm of the delay: weights of `_inputs`, None for none.
    """

    weights: tuple[int, int]
    correction: Tensor | None

    def delay(self, costs: Costs, batch: MappingBatch) -> Tensor:
        """Return the delay of mappings, shape [n]."""
        if self.correction is None:
            return costs.delay_cycles
        error = (self.correction @ _inputs(costs, batch)).clamp(-_MOST_ERROR, _MOST_ERROR)
        return costs.delay_cycles * error.exp()

    def layers(self, costs: Costs, batch: MappingBatch) -> NDArray[np.float64]:
        """Return the logarithm of what mappings cost, infinite where they are not legal, shape [n]."""
        logs = self.weights[0] * self.delay(costs, batch).log() + self.weights[1] * costs.energy_pj.log()
        return np.where(costs.feasible.numpy(), logs.numpy(), np.inf)

    def sums(self, delays: Tensor, energies: Tensor, uses: Sequence[LayerUse]) -> Tensor:
        """Return the logarithm of what networks cost from their layers, shape [layers, n] to [n]."""
        runs = torch.tensor([float(use.count) for use in uses], dtype=torch.float64)[:, None]
        delay, energy = (runs * delays).sum(dim=0), (runs * energies).sum(dim=0)
        return self.weights[0] * delay.log() + self.weights[1] * energy.log()

    def network(self, accelerator: Accelerator, uses: Sequence[LayerUse], mappings: Sequence[Mapping]) -> float:
        """Return the logarithm of what a network costs on an accelerator."""
        batch = MappingBatch.of(list(mappings))
        chip = HierarchyBatch.of([accelerator.hierarchy()])
        costs = batch_costs(chip, LayerBatch.of([use.layer for use in uses]), batch)
        return float(self.sums(self.delay(costs, batch)[:, None], costs.energy_pj[:, None], uses))


def _starts(own: MapSpace, accelerator: Accelerator, starts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return random mappings of a layer among the better ones that fit, shape [starts, codes]."""
    codes = own.random(_DRAWN, rng)
    fits = fitting(accelerator, own.layer, own.decode(codes), twice=True)
    costs = summaries(HierarchyBatch.of([own.hierarchy]), LayerBatch.of([own.layer]), own.decode(codes))
    value = np.where(fits, (costs.delay_cycles.log() + costs.energy_pj.log()).numpy(), np.inf)
    best = np.argsort(value, kind="stable")[: 2 * starts]
    return np.asarray(codes[np.resize(rng.permutation(best), starts)])


def _descent(
    task: _Task, starts: Sequence[NDArray[np.int64]], descending: Descending, judge: _Judge
) -> list[list[Tensor]]:
    """Return per layer and dimension the share of its bound's logarithm that each loop takes, shape [slots, starts]."""
    fixed = [own.decode(codes) for own, codes in zip(task.spaces, starts, strict=True)]
    logits = [
        [logits_of(splits.factors[codes[:, d]]).requires_grad_() for d, splits in enumerate(own.splits)]
        for own, codes in zip(task.spaces, starts, strict=True)
    ]
    adam = torch.optim.Adam([x for of_layer in logits for x in of_layer], lr=_RATE)
    work = LayerBatch.of([use.layer for use in task.uses for _ in range(descending.starts)])
    for _ in range(descending.steps):
        batch = _joined([relaxed(*one) for one in zip(task.spaces, logits, fixed, strict=True)])
        adam.zero_grad()
        _loss(task, work, batch, judge).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    return [[torch.softmax(x.detach(), dim=0) for x in of_layer] for of_layer in logits]


def _joined(parts: Sequence[MappingBatch]) -> MappingBatch:
    return MappingBatch(
        **{f.name: torch.cat([getattr(one, f.name) for one in parts], dim=-1) for f in fields(parts[0])}
    )


def _loss(task: _Task, work: LayerBatch, batch: MappingBatch, judge: _Judge) -> Tensor:
    """Return the logarithm of what the network costs, and what of it does not fit, shape [starts]."""
    layers, chip = len(task.uses), HierarchyBatch.of([task.accelerator.hierarchy()])
    held = batch_costs(chip, work, batch, relaxed=True).tile_words.sum(dim=1).clamp_min(1e-9)
    costs = batch_costs(_with_memories(chip, _kib(held, layers), layers), work, batch, relaxed=True)
    sums = judge.sums(judge.delay(costs, batch).reshape(layers, -1), costs.energy_pj.reshape(layers, -1), task.uses)
    over = (held.log() - (chip.capacity / 2).log())[[_ACCUMULATOR, _SCRATCHPAD]].clamp_min(0).sum(dim=0)
    wide = ((costs.over_fanout + chip.fanout).log() - chip.fanout.log()).clamp_min(0).sum(dim=(0, 1))
    return sums + _PENALTY * (over + wide).reshape(layers, -1).sum(dim=0)


def _kib(held: Tensor, layers: int) -> Tensor:
    """Return how large accumulator and scratchpad must be, for two tiles each, shape [2, starts]."""
    bytes_ = 2 * held[[_ACCUMULATOR, _SCRATCHPAD]] * torch.tensor([[4.0 * DIM], [1.0]], dtype=torch.float64)
    return (bytes_ / 1024).reshape(2, layers, -1).amax(dim=1).clamp(_STEP_KIB, _MOST_KIB)


def _with_memories(chip: HierarchyBatch, kib: Tensor, layers: int) -> HierarchyBatch:
    """Return the chip with the energies of memories of so many KiB, between those of the sizes that there are."""
    place = (kib / _STEP_KIB - 1).clamp(0, len(_sizes()) - 1.001)
    low = place.detach().floor().long()
    part = place - low
    levels = list(chip.access_pj.expand(-1, -1, kib.shape[1]))
    for row, level in enumerate((_ACCUMULATOR, _SCRATCHPAD)):
        every = _energies_of_sizes()[level]
        levels[level] = every[:, low[row]] * (1 - part[row]) + every[:, low[row] + 1] * part[row]
    return replace(chip, access_pj=torch.stack(levels).repeat(1, 1, layers))


def _sizes() -> range:
    return range(_STEP_KIB, _MOST_KIB + 1, _STEP_KIB)


@cache
def _energies_of_sizes() -> Tensor:
    """Return the energies of accesses with both memories of each size, shape [levels, 3, sizes]."""
    every = [Accelerator(dim=DIM, scratchpad_kib=size, accumulator_kib=size) for size in _sizes()]
    return HierarchyBatch.of([accelerator.hierarchy() for accelerator in every]).access_pj


def _with_orders(
    own: MapSpace,
    accelerator: Accelerator,
    rounded: NDArray[np.int64],
    starts: NDArray[np.int64],
    rng: np.random.Generator,
    judge: _Judge,
) -> NDArray[np.int64]:
    """Return rounded mappings with the best of some loop orders that fit, else where they started, shape of both."""
    tried = np.repeat(rounded, ORDERS + 2, axis=0)
    orders = slice(len(DIMENSIONS), len(DIMENSIONS) + len(own.levels))
    tried[:, orders] = own.random(len(tried), rng)[:, orders]
    tried[:: ORDERS + 2] = rounded
    tried[1 :: ORDERS + 2] = starts
    batch = own.decode(tried)
    costs = batch_costs(HierarchyBatch.of([own.hierarchy]), LayerBatch.of([own.layer]), batch)
    fits = fitting(accelerator, own.layer, batch, twice=True)
    value = np.where(fits, judge.layers(costs, batch), np.inf).reshape(len(rounded), -1)
    return np.asarray(tried.reshape(len(rounded), ORDERS + 2, -1)[np.arange(len(rounded)), value.argmin(axis=1)])


def _least(task: _Task, mappings: Sequence[Mapping]) -> Accelerator | None:
    """Return the accelerator of the least memories that hold two tiles of each layer; None if there is none."""
    batch = MappingBatch.of(list(mappings))
    factors = batch.temporal.numpy().astype(np.int64), batch.spatial.numpy().astype(np.int64)
    rows = np.zeros(2, dtype=np.int64)
    for number, use in enumerate(task.uses):
        own = factors[0][..., number : number + 1], factors[1][..., number : number + 1]
        rows = np.maximum(rows, np.array(rows_of_tiles(task.accelerator, use.layer, own, twice=True))[:, 0])
    kib = -(-rows * DIM * np.array([1, 4]) // (1024 * _STEP_KIB)) * _STEP_KIB
    if (kib > _MOST_KIB).any():
        return None
    held, sums = np.maximum(kib, _STEP_KIB).tolist()
    return replace(task.accelerator, scratchpad_kib=held, accumulator_kib=sums)


def _inputs(costs: Costs, batch: MappingBatch) -> Tensor:
    """Return what the correction sees, shape [features, n]."""
    temporal, spatial = batch.temporal.flatten(0, 1).log(), batch.spatial.flatten(0, 1).log()
    delay = costs.delay_cycles.log()[None]
    return torch.cat([temporal, spatial, delay, torch.ones_like(delay)])


def _correction_of(known: Sequence[LayerRun]) -> Tensor | None:
    """Return the weights of a ridge regression of the cost model's error on `_inputs`; None of too few runs."""
    runs = [run for run in known if run.failure is None and run.mapping]
    if len(runs) < _LEAST_ROWS:
        return None
    batch = MappingBatch.of([Mapping.parse(run.mapping) for run in runs])
    chips = HierarchyBatch.of([accelerator_of(run.design).hierarchy() for run in runs])
    costs = batch_costs(chips, LayerBatch.of([run.layer for run in runs]), batch)
    inputs = _inputs(costs, batch)
    delays = torch.tensor([run.metrics["delay_cycles"] for run in runs], dtype=torch.float64)
    error = delays.log() - costs.delay_cycles.log()
    moments = inputs @ inputs.T + _RIDGE * torch.eye(len(inputs), dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(moments, inputs @ error)
    return weights

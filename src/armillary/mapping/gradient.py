"""Gradient descent on relaxed tile factors, rounded to mappings as it goes.

Source: Hong et al., "DOSA", MICRO 2023, Sections 4 and 5: differentiable tile factors, penalties for
what does not fit, rounding to divisors, and a choice of loop orders at every rounding. We differ in
that each dimension's factors always multiply to its bound, because their logarithms are shares of
the bound's, and in that many starts descend side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import batch_costs
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.walk import ON_Y, TEMPORAL

Judge = Callable[[NDArray[np.int64]], NDArray[np.float64]]

STARTS = 64
STEPS = 20
ORDERS = 8
_RATE = 0.1
_PENALTY = 1.0


def descend(space: MapSpace, judge: Judge, goal: str, is_over: Callable[[], bool], rng: np.random.Generator) -> None:
    """Descend from random starts until it is over; every rounded mapping is judged.

    A round takes 20 steps with 64 starts, rounds them to the nearest split of every dimension, judges
    these with eight orders each, and goes on from the best order. Starts that did not improve
    begin anew elsewhere. A step of a start counts as no evaluation of a mapping; its rounding does.
    """
    codes = _good_starts(space, judge, rng)
    best = judge(codes)
    while not is_over():
        shares = _descended(space, codes, goal)
        rounded = nearest_splits(space, shares, codes)
        tried = np.repeat(rounded, ORDERS, axis=0)
        orders = slice(len(DIMENSIONS), len(DIMENSIONS) + len(space.levels))
        fresh = space.random(len(tried), rng)[:, orders]
        fresh[::ORDERS] = rounded[:, orders]
        tried[:, orders] = fresh
        values = judge(tried).reshape(len(codes), ORDERS)
        chosen = values.argmin(axis=1)
        found = values[np.arange(len(codes)), chosen]
        moved = tried.reshape(len(codes), ORDERS, -1)[np.arange(len(codes)), chosen]
        better = found < best
        codes = np.where(better[:, None], moved, _elsewhere(space, judge, codes, rng))
        best = np.where(better, found, np.inf)


def _good_starts(space: MapSpace, judge: Judge, rng: np.random.Generator) -> NDArray[np.int64]:
    codes = space.random(8 * STARTS, rng)
    return codes[np.argsort(judge(codes), kind="stable")[:STARTS]]


def _elsewhere(space: MapSpace, judge: Judge, codes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a good random code for each, of which those are taken that stand still."""
    fresh = _good_starts(space, judge, rng)
    return np.resize(fresh, codes.shape)


def _descended(space: MapSpace, codes: NDArray[np.int64], goal: str) -> list[Tensor]:
    """Return, per dimension, the share of its bound's logarithm that each loop takes, shape [slots, n]."""
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([space.layer])
    fixed = space.decode(codes)
    logits = [logits_of(splits.factors[codes[:, d]]).requires_grad_() for d, splits in enumerate(space.splits)]
    adam = torch.optim.Adam(logits, lr=_RATE)
    for _ in range(STEPS):
        costs = batch_costs(chip, layer, relaxed(space, logits, fixed), relaxed=True)
        delay, energy = costs.delay_cycles.log(), costs.energy_pj.log()
        loss = {"edp": delay + energy, "delay": delay, "energy": energy}[goal]
        held = costs.tile_words.sum(dim=1).clamp_min(1e-9).log() - chip.capacity.log()
        unrolled = (costs.over_fanout + chip.fanout).log() - chip.fanout.log()
        loss = loss + _PENALTY * (held.clamp_min(0).sum(dim=0) + unrolled.clamp_min(0).sum(dim=(0, 1)))
        adam.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    return [torch.softmax(x.detach(), dim=0) for x in logits]


def logits_of(factors: NDArray[np.int64]) -> Tensor:
    """Return logits whose shares are close to those of given factors, shape [slots, n]."""
    logs = np.log(factors.T.astype(float))
    total = logs.sum(axis=0)
    shares = np.divide(logs, total, out=np.full_like(logs, 1 / len(logs)), where=total > 0)
    return torch.from_numpy(np.log(shares + 0.02))


def relaxed(space: MapSpace, logits: list[Tensor], fixed: MappingBatch) -> MappingBatch:
    """Return the mappings with real factors, those of logits; orders, axes and bypasses as they are."""
    one = torch.ones_like(fixed.temporal[0, 0])
    temporal = [[one] * len(DIMENSIONS) for _ in space.levels]
    spatial = [[one] * len(DIMENSIONS) for _ in space.levels]
    along_y = [[one] * len(DIMENSIONS) for _ in space.levels]
    for d, splits in enumerate(space.splits):
        bound = float(splits.factors[0].prod())
        factors = torch.exp(torch.softmax(logits[d], dim=0) * float(np.log(bound)))
        for slot, factor in zip(splits.slots, factors, strict=True):
            if slot.kind == TEMPORAL:
                temporal[slot.level][d] = factor
            else:
                spatial[slot.level][d] = spatial[slot.level][d] * factor
                if slot.kind == ON_Y:
                    along_y[slot.level][d] = factor
    return MappingBatch(
        torch.stack([torch.stack(row) for row in temporal]),
        torch.stack([torch.stack(row) for row in spatial]),
        torch.stack([torch.stack(row) for row in along_y]),
        fixed.place,
        fixed.spatial_place,
        fixed.keeps,
    )


def nearest_splits(space: MapSpace, shares: list[Tensor], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the codes of the nearest splits in the logarithms of the factors; orders and bypasses as they are."""
    found = codes.copy()
    for d, splits in enumerate(space.splits):
        if len(splits.factors) == 1:
            continue
        logs = torch.from_numpy(np.log(splits.factors.astype(float)))
        wanted = shares[d].T * float(np.log(splits.factors[0].prod()))
        found[:, d] = torch.cdist(wanted, logs).argmin(dim=1).numpy()
    return found

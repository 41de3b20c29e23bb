"""Mappings of small layers onto accelerators of the `gemmini` template, and their EDP by the cost model."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from scipy.stats import spearmanr

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.evaluators.gemmini.full_array import fullest
from armillary.hardware.templates.gemmini import SPACE, Accelerator
from armillary.mapping.mapspace import MapSpace
from armillary.problems.problem import Problem
from armillary.surrogates.starlight.encoding import HARDWARE, inputs_of
from armillary.surrogates.starlight.low import Schedule, StarlightLow
from armillary.workloads.layer import Layer

PROBLEM = Problem.minimising(SPACE, "edp_pj_cycles")
MOMENT = Schedule(epochs=40, batch=100, learning_rate=1e-2)
LAYERS = (
    Layer("early", "conv", K=16, C=8, P=16, Q=16, R=3, S=3),
    Layer("late", "conv", K=64, C=32, P=4, Q=4, R=3, S=3),
    Layer("dense", "gemm", K=64, C=64, P=32),
)
ACCELERATORS = (
    Accelerator(dim=4, scratchpad_kib=64, accumulator_kib=16, bus_bytes=4),
    Accelerator(dim=8, scratchpad_kib=128, accumulator_kib=64, bus_bytes=4),
    Accelerator(dim=16, scratchpad_kib=256, accumulator_kib=128, bus_bytes=4),
)


@dataclass(frozen=True)
class Rows:
    """Mappings in random order.

    Attributes:
        columns: of the accelerators.
        batch: the mappings.
        inputs: as Starlight takes them.
        low: log EDP by the cost model.
        high: likewise with a DRAM that has few requests under way: another fidelity, in effect.
    """

    columns: dict[str, np.ndarray]
    batch: MappingBatch
    inputs: np.ndarray
    low: np.ndarray
    high: np.ndarray


@cache
def rows(each=150, seed=0):
    """Return so many random mappings of every layer onto every accelerator."""
    rng, batches, values, names = np.random.default_rng(seed), [], [], []
    for layer in LAYERS:
        for accelerator in ACCELERATORS:
            space = MapSpace(accelerator.hierarchy(), layer)
            batches.append(space.decode(codes(space, each, rng)))
            values.append([_log_edp(one, layer, batches[-1]) for one in (accelerator, _slow(accelerator))])
            names += [accelerator] * each
    order = rng.permutation(len(names))
    columns = {name: np.array([getattr(a, name) for a in names])[order] for name in (*HARDWARE, "bus_bytes")}
    batch = MappingBatch.joined(batches).select(torch.from_numpy(order))
    low, high = np.concatenate(values, axis=1)[:, order]
    return Rows(columns, batch, inputs_of(columns, batch), low, high)


def codes(space, n, rng):
    """Return n random mappings that fill the array, shape [n, codes] of their space."""
    found = space.random(n, rng)
    (way,) = fullest(space)  # of a weight-stationary array
    found[:, : len(space.splits)] = np.stack([wide[rng.integers(len(wide), size=n)] for wide in way], axis=1)
    return found


def _slow(accelerator):
    return replace(accelerator, outstanding=2, burst_rows=4, dram_latency=200)


def _log_edp(accelerator, layer, batch):
    found = summaries(HierarchyBatch.of([accelerator.hierarchy()]), LayerBatch.of([layer]), batch)
    return np.log(found.delay_cycles.numpy() * found.energy_pj.numpy())


LOW, UNSEEN = slice(0, 1000), slice(1000, None)
"""Of `rows`: those that Starlight-Low learns from, and those that nothing does."""


@cache
def low():
    """Return a Starlight-Low that learned for a moment."""
    sampled = rows()
    return StarlightLow.learned(sampled.inputs[LOW], sampled.low[LOW], seed=1, schedule=MOMENT)


def few(n, seed):
    """Return inputs and high values of n of the rows that may be learned from."""
    sampled = rows()
    chosen = np.random.default_rng(seed).permutation(LOW.stop)[:n]
    return sampled.inputs[chosen], sampled.high[chosen]


def rank_correlation(model):
    """Return Spearman's rho of a model's mean and the high values of the unseen rows."""
    sampled = rows()
    predicted = model.predict(sampled.inputs[UNSEEN])
    return spearmanr(predicted[0] if isinstance(predicted, tuple) else predicted, sampled.high[UNSEEN]).statistic

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import evaluate
from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.spotlight.mapspace import (
    ARRAY,
    EYERISS,
    LANES,
    NOTHING,
    NVDLA,
    REGISTERS,
    SCRATCHPAD,
    SHIDIANNAO,
    Maps,
    UnrolledSpace,
    largest_divisors,
    size_of,
)
from armillary.workloads.layer import Layer

CHIP = Chip(4, 128, 12, 10, 64, 64)
CHIPS = Chip(16, 64, 40, 40, 64, 64), Chip(2, 64, 3, 2, 64, 64)
LAYERS = [
    Layer("conv", "conv", K=8, C=4, P=6, Q=6, R=3, S=3),
    Layer("strided", "conv", K=8, C=4, P=6, Q=4, R=3, S=3, stride_h=2, stride_w=2),
    Layer("depthwise", "depthwise", K=8, C=8, groups=8, P=6, Q=6, R=3, S=3),
    Layer("gemm", "gemm", K=32, C=16, P=12),
    Layer("batch", "conv", N=2, K=8, C=4, P=6, Q=6),
    Layer("one", "gemm"),
]
NAMED = pytest.mark.parametrize("layer", LAYERS, ids=lambda la: la.name)


def costs_of(space, maps):
    chip, layer = HierarchyBatch.of([space.chip.hierarchy()]), LayerBatch.of([space.layer])
    return summaries(chip, layer, space.decode(maps))


@NAMED
def test_random_mappings_count_every_multiply_accumulate_once(layer):
    space = UnrolledSpace(CHIP, layer)
    maps = space.random(500, np.random.default_rng(0))
    assert (maps.factors.prod(axis=2) == space.bounds).all()
    mappings = [space.mapping(maps, i) for i in range(20)]
    assert (evaluate(CHIP.hierarchy(), layer, mappings).macs == layer.macs).all()


@NAMED
def test_at_most_one_dimension_is_unrolled_over_each_axis_and_fits(layer):
    space = UnrolledSpace(CHIP, layer)
    maps = space.random(500, np.random.default_rng(1))
    dims = np.arange(len(DIMENSIONS))
    array, lanes = maps.factors[:, :, ARRAY], maps.factors[:, :, LANES]
    for axis, most in ((maps.rows, CHIP.rows), (maps.columns, CHIP.columns)):
        assert (array[axis[:, None] == dims] <= most).all()
    assert (array[(maps.rows[:, None] != dims) & (maps.columns[:, None] != dims)] == 1).all()
    assert (lanes[maps.lanes[:, None] != dims] == 1).all()
    assert (lanes <= CHIP.simd_lanes).all()
    assert ((maps.rows != maps.columns) | (maps.rows == NOTHING)).all()


@NAMED
def test_a_mapping_as_text_costs_what_the_coded_one_does(layer):
    space = UnrolledSpace(CHIP, layer)
    maps, _ = space.draw(40, np.random.default_rng(2))
    coded = costs_of(space, maps)
    spelt = evaluate(CHIP.hierarchy(), layer, [space.mapping(maps, i) for i in range(40)])
    assert torch.equal(coded.delay_cycles, spelt.delay_cycles.double())
    assert torch.allclose(coded.energy_pj, spelt.energy_pj.double(), rtol=1e-12)


@NAMED
def test_legal_is_what_the_cost_model_finds_feasible(layer):
    space = UnrolledSpace(Chip(4, 128, 12, 10, 1, 4), layer)
    maps = space.random(1500, np.random.default_rng(3))
    assert np.array_equal(costs_of(space, maps).feasible.numpy(), space.legal(maps))


@NAMED
def test_the_few_orders_cost_as_little_as_all_orders(layer):
    every, few = UnrolledSpace(CHIP, layer), UnrolledSpace(CHIP, layer, every_order=False)
    assert len(few.orders) <= 14
    rng = np.random.default_rng(4)
    pairs = np.array(list(product(range(len(every.orders)), repeat=2)))
    pairs = pairs if len(pairs) < 30_000 else pairs[rng.choice(len(pairs), 30_000, replace=False)]
    some = np.array(list(product(range(len(few.orders)), repeat=2)))
    for _ in range(2):
        one, _illegal = every.draw(1, rng)

        def best(space, orders, one=one):
            many = one.select(np.zeros(len(orders), dtype=np.intp))
            found = costs_of(space, Maps(many.factors, many.rows, many.columns, many.lanes, orders))
            edp = found.delay_cycles * found.energy_pj
            return float(found.delay_cycles.min()), float(found.energy_pj.min()), float(edp.min())

        assert best(few, some) == pytest.approx(best(every, pairs), rel=1e-12)


@pytest.mark.parametrize("flow", [EYERISS, NVDLA, SHIDIANNAO], ids=lambda f: f.name)
@NAMED
def test_a_dataflow_unrolls_nothing_else(flow, layer):
    maps = UnrolledSpace(CHIP, layer, flow).random(200, np.random.default_rng(5))
    for axis, allowed in ((maps.rows, flow.rows), (maps.columns, flow.columns), (maps.lanes, flow.lanes)):
        assert {DIMENSIONS[d] for d in axis if d != NOTHING} <= set(allowed)


def test_where_nothing_random_fits_everything_turns_in_dram():
    layer = Layer("large", "gemm", K=4096, C=4096, P=4096)
    space = UnrolledSpace(Chip(2, 64, 2, 64, 1, 1), layer)
    maps, illegal = space.draw(20, np.random.default_rng(6))
    assert len(maps) == 20
    assert illegal > 0
    assert costs_of(space, maps).feasible.all()


def test_a_mapping_of_another_chip_is_repaired():
    layer = LAYERS[0]
    large, small = UnrolledSpace(Chip(16, 64, 40, 40, 64, 64), layer), UnrolledSpace(Chip(2, 64, 3, 2, 64, 64), layer)
    maps = small.repaired(large.random(300, np.random.default_rng(7)))
    assert (maps.factors.prod(axis=2) == small.bounds).all()
    assert not costs_of(small, maps).feasible.logical_not().logical_and(torch.from_numpy(small.legal(maps))).any()


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 16]), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_what_another_chip_did_fits_and_fills_this_one(rows, columns, lanes, seed):
    layer = LAYERS[0]
    other, space = (UnrolledSpace(c, layer) for c in (CHIPS[seed % 2], Chip(lanes, 64, rows, columns, 64, 64)))
    maps = space.adopted(other.random(100, np.random.default_rng(seed)))
    assert (maps.factors.prod(axis=2) == space.bounds).all()
    assert costs_of(space, maps).feasible.all() if len(maps) else True
    for dims, most, time, place in ((maps.rows, rows, SCRATCHPAD, ARRAY), (maps.lanes, lanes, REGISTERS, LANES)):
        unrolled, left = (maps.factors[np.arange(len(maps)), dims, which] for which in (place, time))
        assert (unrolled <= most).all()
        assert (most // unrolled < np.where(left > 1, left, np.inf)).all()  # the whole rest would not fit


@given(st.integers(1, 5000), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_largest_divisors(value, most):
    found = int(largest_divisors(np.array([value]), np.array([most]))[0])
    assert found == max(d for d in range(1, most + 1) if value % d == 0)


def test_size_counts_splits_axes_and_orders():
    space = UnrolledSpace(CHIP, Layer("small", "gemm", K=4, C=2))
    # K: 6 splits, C: 3; rows and columns K C or C K; lanes K or C; 2 orders at two levels
    assert size_of(space) == 6 * 3 * 2 * 2 * 2 * 2

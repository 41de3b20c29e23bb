"""Random mappings that use the array as far as the layer allows."""

from math import prod

import numpy as np
import pytest

from armillary.evaluators.gemmini.full_array import Dividing, full_array_mappings, fullest
from armillary.evaluators.gemmini.sampling import fitting, rows_of_tiles
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.mapspace import MapSpace
from armillary.workloads.layer import Layer

CONV = Layer("conv", "conv", K=24, C=6, P=14, Q=7, R=3, S=3, stride_h=2)
PRIME = Layer("prime", "conv", K=23, C=11, P=13, Q=5)
BOTH = ("weight_stationary", "output_stationary")


def accelerator(dataflow, dim=4):
    return Accelerator(dim=dim, bus_bytes=4, dataflow=dataflow)


def drawn(mappings, n=200, seed=0):
    return mappings.codes(np.random.default_rng(seed).random((n, mappings.width)))


def across(mapping):
    """Return the columns and the rows of the array that a mapping uses."""
    return mapping.levels[1].unrolled("X"), mapping.levels[2].unrolled("X")


@pytest.mark.parametrize(
    ("dim", "layer", "dataflow", "used"),
    [
        (4, CONV, "weight_stationary", (4, 3)),  # K 24, C 6
        (8, CONV, "weight_stationary", (8, 6)),
        (16, PRIME, "weight_stationary", (1, 11)),
        (4, CONV, "output_stationary", (4, 2)),  # P 14, Q 7
        (16, CONV, "output_stationary", (12, 14)),
        (32, PRIME, "output_stationary", (23, 13)),
    ],
)
def test_dividing_factors_fill_the_array_as_far_as_any(dim, layer, dataflow, used):
    mappings = full_array_mappings(accelerator(dataflow, dim), layer)
    for code in drawn(mappings, 50):
        assert across(mappings.mapping(code)) == used


@pytest.mark.parametrize(
    ("dim", "layer", "dataflow", "columns", "rows"),
    [
        (4, CONV, "weight_stationary", 4, {4}),
        (16, PRIME, "weight_stationary", 16, {11}),
        (4, PRIME, "output_stationary", 4, {4}),  # four of either side of the image
        (16, PRIME, "output_stationary", 16, {13, 15}),  # 13 x 1, or 5 x 3
    ],
)
def test_remainders_fill_the_array_further(dim, layer, dataflow, columns, rows):
    mappings = full_array_mappings(accelerator(dataflow, dim), layer, remainders=True)
    found = [across(mappings.mapping(code)) for code in drawn(mappings, 100)]
    assert {used for used, _ in found} == {columns}
    assert {used for _, used in found} == rows


@pytest.mark.parametrize("remainders", [False, True])
@pytest.mark.parametrize("dataflow", BOTH)
@pytest.mark.parametrize("layer", [CONV, PRIME], ids=lambda layer: layer.name)
def test_all_are_mappings_of_the_layer(layer, dataflow, remainders):
    array = accelerator(dataflow)
    mappings = full_array_mappings(array, layer, remainders=remainders)
    found = [mappings.mapping(code) for code in drawn(mappings)]
    assert all(not list(one.faults(array.hierarchy(), layer)) for one in found)
    assert any(one.imperfect for one in found) == remainders
    assert len(set(map(str, found))) > 150


@pytest.mark.parametrize("remainders", [False, True])
@pytest.mark.parametrize("dataflow", BOTH)
def test_factors_and_rows_are_those_of_the_mapping(dataflow, remainders):
    array = accelerator(dataflow)
    mappings = full_array_mappings(array, CONV, remainders=remainders)
    codes = drawn(mappings, 100)
    temporal, spatial = mappings.factors(codes)
    fits = fitting(array, CONV, mappings.batch(codes))
    held, sums = rows_of_tiles(array, CONV, (temporal, spatial))
    for number, code in enumerate(codes):
        for level, mapped in enumerate(mappings.mapping(code).inner_first):
            for loops, factors in ((mapped.temporal, temporal), (mapped.spatial, spatial)):
                for d, name in enumerate(DIMENSIONS):
                    assert factors[level, d, number] == prod(loop.factor for loop in loops if loop.dimension == name)
        assert fits[number] == (held[number] <= array.scratchpad_rows and sums[number] <= array.accumulator_rows)


def test_dimensions_that_share_a_side_fill_it_in_every_way():
    layer = Layer("image", "conv", K=4, N=2, P=4, Q=4)
    space = MapSpace(accelerator("output_stationary").hierarchy(), layer)
    ways = fullest(space)
    mappings = Dividing(space)
    found = {
        tuple(sorted(loop.dimension for loop in mappings.mapping(code).levels[2].spatial))
        for code in drawn(mappings, 300)
    }
    assert len(ways) == 5  # P4, Q4, P2 Q2, N2 P2, N2 Q2
    assert found == {("P",), ("Q",), ("P", "Q"), ("N", "P"), ("N", "Q")}


def test_every_coordinate_counts_and_points_are_all_that_does():
    mappings = full_array_mappings(accelerator("weight_stationary"), CONV)
    points = np.random.default_rng(1).random((64, mappings.width))
    codes = mappings.codes(points)
    assert (mappings.codes(points[:5]) == codes[:5]).all()
    assert (codes < mappings.space.sizes).all()
    free = mappings.space.sizes > 1
    assert (np.ptp(codes, axis=0)[free] > 0).sum() >= free.sum() - 2  # K and C are bound by the array


def test_what_fits_compiles():
    array = Accelerator(dim=4, bus_bytes=4, scratchpad_kib=8, accumulator_kib=8)
    mappings = full_array_mappings(array, CONV)
    codes = drawn(mappings, 60)
    fits = fitting(array, CONV, mappings.batch(codes))
    assert 5 < fits.sum() < 60
    for code in codes[fits]:
        compile_layer(CONV, mappings.mapping(code), array)

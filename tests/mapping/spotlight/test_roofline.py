from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.evaluators.spotlight import map_network
from armillary.hardware.templates.spotlight import CLOUD_TEMPLATE, TEMPLATE, Chip, area_mm2, chip_of
from armillary.mapping.spotlight.mappers import THOROUGH
from armillary.mapping.spotlight.mapspace import ARRAY, LANES, NOTHING, UnrolledSpace
from armillary.mapping.spotlight.roofline import Roofline, least_of_all
from armillary.mapping.spotlight.search import RANDOM, Mapper
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

CHIPS = st.builds(
    Chip,
    simd_lanes=st.integers(2, 16),
    bandwidth=st.integers(64, 256),
    rows=st.integers(1, 30),
    columns=st.integers(1, 20),
    scratchpad_kib=st.just(256),
    register_file_kib=st.just(256),
    dram_bandwidth=st.sampled_from([32.0, 512.0]),
)
SIZES = st.integers(1, 24)


@st.composite
def convolutions(draw):
    """Draw convolutions with groups, strides and dilations."""
    groups, few = draw(st.integers(1, 3)), st.integers(1, 3)
    sizes = {d: draw(SIZES) for d in "NPQ"} | {d: groups * draw(SIZES) for d in "KC"} | {d: draw(few) for d in "RS"}
    steps = {f"{kind}_{axis}": draw(few) for kind in ("stride", "dilation") for axis in "hw"}
    return Layer("l", "conv", groups=groups, **sizes, **steps)


def network(*layers):
    return Workload("w", tuple(LayerUse(layer, 2) for layer in layers))


@settings(max_examples=60, deadline=None)
@given(CHIPS, convolutions())
def test_no_mapping_is_faster_than_the_roofline(chip, layer):
    workload = network(layer)
    least = Roofline.of(workload.layers).least_cycles(chip)
    found = map_network(
        chip, workload.layers, mapper=Mapper("random", RANDOM.make, samples=200, batch=200), goal="delay"
    )
    assert found.delay_cycles >= least * (1 - 1e-9)


def every_unrolling(layer, chip):
    """Return the most lanes that any mapping keeps busy, one unrolling after another."""
    space = UnrolledSpace(chip, layer)
    pairs, lanes = space.axes
    best = 1
    for (row, column), lane in product(pairs.tolist(), lanes.tolist()):
        for across in product(*(range(1, n + 1) for n in (chip.rows, chip.columns, chip.simd_lanes))):
            factors = np.ones((8, 5), dtype=np.int64)
            for d, place, share in zip((row, column, lane), (ARRAY, ARRAY, LANES), across, strict=True):
                if d != NOTHING:
                    factors[d, place] = share
            if (space.bounds % factors.prod(axis=1) == 0).all():
                best = max(best, int(factors.prod()))
    return best


@pytest.mark.parametrize(
    "bounds", [{"K": 12, "C": 10, "P": 7}, {"K": 36}, {"K": 5, "P": 18, "Q": 6, "R": 3}, {"C": 8, "K": 8}]
)
def test_lanes_that_can_be_busy_are_those_of_an_enumeration(bounds):
    layer = Layer("l", "conv", **{"K": 1, "C": 1, "P": 1, "Q": 1, "R": 1, "S": 1, **bounds})
    for rows, columns, lanes in ((4, 6, 4), (5, 3, 2), (1, 7, 6)):
        chip = Chip(lanes, 10**9, rows, columns, 128, 64, dram_bandwidth=1e18)
        cycles = Roofline.of(network(layer).layers).least_cycles(chip) / 2
        assert layer.macs / cycles == every_unrolling(layer, chip)


EDGE = Chip(16, 160, 14, 16, scratchpad_kib=256, register_file_kib=128)
CLOUD = Chip(16, 160, 112, 128, scratchpad_kib=16384, register_file_kib=16384, dram_bandwidth=512.0)


@pytest.mark.parametrize("chip", [EDGE, CLOUD], ids=["edge", "cloud"])
@pytest.mark.parametrize("model", ["resnet50", "transformer"])
def test_a_thorough_search_reaches_the_roofline(model, chip):
    layers = zoo.build(model).layers
    least = Roofline.of(layers).least_cycles(chip)
    found = [map_network(chip, layers, goal="delay", seed=seed).delay_cycles for seed in range(3)]
    assert min(found) >= least
    assert np.median(found) <= 1.02 * least


@pytest.mark.parametrize("model", ["vgg16", "mobilenet_v2"])
def test_the_usual_energy_is_about_that_of_good_mappings(model):
    layers, mapper = zoo.build(model).layers, THOROUGH.with_samples(300)
    for chip in (EDGE, CLOUD, replace(EDGE, register_file_kib=256, scratchpad_kib=64)):
        good = map_network(chip, layers, mapper=mapper, goal="energy").energy_pj
        assert 0.7 < good / Roofline.of(layers).usual_energy_pj(chip) < 1.3


@pytest.mark.parametrize(
    ("template", "budget", "layer"),
    [
        (TEMPLATE, 1.6, Layer("lanes decide", "conv", K=96, C=64, P=28, Q=28, R=3, S=3)),
        (CLOUD_TEMPLATE, 140.0, Layer("the port decides", "gemm", K=512, C=512, P=512)),
    ],
    ids=["lanes", "port"],
)
def test_the_least_of_all_designs_is_that_of_an_enumeration(template, budget, layer):
    few = {"simd_lanes": 5, "bandwidth": 4, "pe_array": 40, "scratchpad_kib": 2, "register_file_kib": 2}
    parts = tuple(replace(p, values=p.values[:: -(-len(p.values) // few[p.name])]) for p in template.space.parameters)
    space = replace(template.space, parameters=parts)
    laws = {"area_mm2": partial(area_mm2, space)}
    small = replace(template, space=space, laws=laws, budgets={"area_mm2": budget}, baseline=None)
    codes = np.array(list(product(*map(range, space.cardinalities))))
    within = small.area_mm2(codes) <= budget
    roofline = Roofline.of(network(layer).layers)
    cycles = np.array([roofline.least_cycles(chip_of(design)) for design in space.designs(codes)])
    assert least_of_all(small, network(layer)) == cycles[within].min() > cycles.min()

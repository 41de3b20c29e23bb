"""The registered searches of mappings, and mappings as text that one chip's search hands to another's."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.spotlight.fixed import FixedSpace
from armillary.mapping.spotlight.local import DISTINCT
from armillary.mapping.spotlight.mappers import MAPPERS
from armillary.mapping.spotlight.mapspace import EYERISS, NVDLA, SHIDIANNAO, UnrolledSpace, nearest_order, places
from armillary.mapping.spotlight.search import Judge, Mapper
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

CHIP = Chip(8, 128, rows=12, columns=14, scratchpad_kib=128, register_file_kib=64)
LAYER = Layer("conv", "conv", K=32, C=16, P=14, Q=14, R=3, S=3)
SPACES = {
    "every order": UnrolledSpace,
    "distinct orders": DISTINCT,
    "eyeriss": partial(UnrolledSpace, dataflow=EYERISS),
    "nvdla": partial(UnrolledSpace, dataflow=NVDLA),
    "shidiannao": partial(UnrolledSpace, dataflow=SHIDIANNAO),
    "fixed": FixedSpace,
}
CHIPS = st.builds(
    Chip,
    simd_lanes=st.sampled_from([1, 2, 4, 7, 16]),
    bandwidth=st.just(64),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    scratchpad_kib=st.sampled_from([1, 4, 64]),
    register_file_kib=st.sampled_from([2, 16, 256]),
)


@st.composite
def layers(draw):
    """Draw layers of every kind, many of whose loops do not turn."""
    bounds = st.sampled_from([1, 1, 2, 3, 4, 6, 12, 16])
    few, groups = st.integers(1, 3), draw(st.sampled_from([1, 1, 2, 6]))
    sizes = {d: draw(bounds) for d in "NPQ"} | {d: groups * draw(bounds) for d in "KC"} | {d: draw(few) for d in "RS"}
    return Layer("l", "conv", groups=groups, **sizes, stride_h=draw(few), dilation_w=draw(few))


def one_legal(space, seed):
    """Return a random mapping that fits."""
    return space.draw(1, np.random.default_rng(seed))[0]


def costs_of(space, maps):
    chip, layer = HierarchyBatch.of([space.chip.hierarchy()]), LayerBatch.of([space.layer])
    return summaries(chip, layer, space.decode(maps))


@pytest.mark.parametrize("name", MAPPERS.names())
def test_every_mapper_loads_under_its_own_name(name):
    mapper = MAPPERS.load(name)
    assert isinstance(mapper, Mapper)
    assert mapper.name == name


def test_a_wrong_name_hints_at_the_near_one():
    with pytest.raises(ArmillaryError, match=r"mapper 'dabo-al' is unknown; did you mean 'dabo-all'\?"):
        MAPPERS.load("dabo-al")


def test_another_number_of_samples_leaves_the_search_itself():
    dabo = MAPPERS.load("dabo")
    assert dabo.with_samples(7) == replace(dabo, samples=7)
    assert MAPPERS.load("dabo").samples == 100


WARM = ("dabo", "dabo-all", "dabo-vanilla", "exact", "thorough")


@pytest.mark.parametrize("name", MAPPERS.names())
def test_warm_searches_begin_where_they_are_told_and_the_others_as_ever(name):
    mapper = MAPPERS.load(name).with_samples(10)
    good = MAPPERS.load("thorough").with_samples(500).map(CHIP, [LAYER], "edp", 0)[0].mapping
    (cold,) = mapper.map(CHIP, [LAYER], "edp", 1)
    (warm,) = mapper.map(CHIP, [LAYER], "edp", 1, starts={LAYER: [good]})
    assert mapper.warm == (name in WARM)
    if mapper.warm:
        space = mapper.space(CHIP, LAYER)
        assert warm.value <= Judge([space], "edp")([space.adopted(space.maps_of(good))])[0][0] < cold.value
    else:
        assert (warm.mapping, warm.value) == (cold.mapping, cold.value)


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
@settings(max_examples=60, deadline=None)
@given(chip=CHIPS, layer=layers(), seed=st.integers(0, 2**32 - 1))
def test_a_mapping_comes_back_from_its_text(make, chip, layer, seed):
    space = make(chip, layer)
    maps = one_legal(space, seed)
    text = str(space.mapping(maps, 0))
    again = space.maps_of(Mapping.parse(text))
    assert str(space.mapping(again, 0)) == text
    assert (again.factors == maps.factors).all()
    assert space.legal(again).all()
    before, after = costs_of(space, maps), costs_of(space, again)
    assert (before.delay_cycles == after.delay_cycles).all()
    assert (before.energy_pj == after.energy_pj).all()


@pytest.mark.parametrize("make", [UnrolledSpace, DISTINCT], ids=["every order", "distinct orders"])
@settings(max_examples=60, deadline=None)
@given(chip=CHIPS, other=CHIPS, layer=layers(), seed=st.integers(0, 2**32 - 1))
def test_another_chip_adopts_what_it_has_memory_for(make, chip, other, layer, seed):
    """What its array has no room for turns in time, and what turned there is unrolled: no tile is another one."""
    theirs, ours = make(other, layer), make(chip, layer)
    told = ours.maps_of(theirs.mapping(one_legal(theirs, seed), 0))
    fits = ours.legal(told)
    adopted = ours.adopted(told)
    assert len(adopted) == fits.sum()
    if fits.all():
        assert (adopted.factors.prod(axis=2) == ours.bounds).all()
        for level in (0, 1, 2):
            assert (adopted.tile(level) == told.tile(level)).all()
        assert (adopted.orders == told.orders).all()
        assert costs_of(ours, adopted).feasible.all()


@settings(max_examples=40, deadline=None)
@given(chip=CHIPS, layer=layers(), seed=st.integers(0, 2**32 - 1))
def test_the_axes_of_a_mapping_are_those_that_the_space_has(chip, layer, seed):
    """Also of axes over which nothing is unrolled, whose dimension no text tells."""
    space = UnrolledSpace(chip, layer)
    maps = space.maps_of(space.mapping(one_legal(space, seed), 0))
    pairs, lanes = space.axes
    assert [maps.rows[0], maps.columns[0]] in pairs.tolist()
    assert maps.lanes[0] in lanes


def test_a_mapping_written_by_hand():
    space = UnrolledSpace(CHIP, Layer("l", "conv", K=8, C=12, P=6, R=3))
    maps = space.maps_of(Mapping.parse("L2[WIO] K2 P3 - L1[WIO] C2 K4X P2Y - L0[WIO] R3 C2 C3X"))
    k, c, p, r = (DIMENSIONS.index(d) for d in "KCPR")
    turning = {d: maps.factors[0, d].tolist() for d in (k, c, p, r)}  # registers, lanes, array, scratchpad, DRAM
    assert turning == {k: [1, 1, 4, 1, 2], c: [2, 3, 1, 2, 1], p: [1, 1, 2, 1, 3], r: [3, 1, 1, 1, 1]}
    assert (maps.rows.tolist(), maps.columns.tolist(), maps.lanes.tolist()) == ([p], [k], [c])
    inside, outside = space.orders[maps.orders[0]]
    assert outside[p] < outside[k]
    assert len(inside) == len(DIMENSIONS)


def test_of_orders_that_differ_the_one_with_the_same_innermost_loops_stands_for_an_order():
    orders = places(["QPCKNRSG", "KCPQNRSG", "KPQCNRSG", "PKCQNRSG"])  # innermost first
    assert nearest_order(orders, "QCPK") == 2  # K and P are innermost, in this order
    assert nearest_order(orders, "QPCK") == 1
    assert nearest_order(orders, "CK") == 1  # loops that do not turn do not matter
    assert nearest_order(orders, "QCKP") == 3
    assert nearest_order(orders, "") == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1[WIO] K8 - L0[WIO] N1", "has 2 levels, not 3"),
        ("L2[WIO] K8X - L1[WIO] N1 - L0[WIO] N1", "unrolls K at DRAM, which has no fan-out"),
        ("L2[WIO] K4 - L1[WIO] N1 - L0[WIO] N1", "does not split the bounds of layer l"),
        ("L2[WIO] K8 C2 - L1[WIO] N1 - L0[WIO] N1", "does not split the bounds of layer l"),
        ("L2[WIO] K2 - L1[WIO] K5,3X - L0[WIO] N1", "does not split the bounds of layer l"),
    ],
)
def test_a_mapping_of_something_else_is_refused(text, message):
    space = UnrolledSpace(CHIP, Layer("l", "gemm", K=8))
    with pytest.raises(ArmillaryError, match=rf"mapping L.* {message}"):
        space.maps_of(Mapping.parse(text))

"""The proof beside exhaustion: every small space, and what it says of larger ones."""

from math import prod

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import DIMENSIONS, Hierarchy, Level, LoopRules
from armillary.mapping.exhaustive import Enumeration
from armillary.mapping.genes import GeneSpace
from armillary.mapping.goals import GOALS, value_of
from armillary.mapping.judge import Judge
from armillary.mapping.proven import proof
from armillary.mapping.proven.proof import Proof
from armillary.mapping.search import NoLegalMappingError, search
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

MOST_SPLITS = 20_000
WIDTHS = st.sampled_from([None, "W=4,I=8,P=32,O=8"])
RATES = st.sampled_from([None, 1.0, 4.0])
RULES = st.builds(
    LoopRules,
    may_bypass=st.sampled_from(["", "W", "O"]),
    temporal=st.sampled_from([DIMENSIONS, "KCP"]),
    innermost=st.sampled_from(["", "K", "CP"]),
    max_tile=st.sampled_from([{}, {"K": 2}]),
    spatial_x=st.sampled_from([DIMENSIONS, "K", "PC"]),
    spatial_y=st.sampled_from(["", "C", "R"]),
)


@st.composite
def hierarchies(draw, uneven=False):
    dram = Level(name="DRAM", kind="dram", block_words=draw(st.sampled_from([1, 4])), shared_bandwidth=draw(RATES))
    levels = [
        Level(
            name=f"L{number}",
            keeps=draw(st.sampled_from(["WIO", "W", "I", "O", "WI", "IO"])),
            capacity_words=draw(st.sampled_from([2, 8, 16, 64])),
            shared_bandwidth=draw(RATES),
            read_bandwidth=draw(RATES),
            fanout=draw(st.sampled_from([(1, 1), (3, 1), (2, 2), (4, 1)])),
            multicast=draw(st.booleans()),
            spatial_reduction=draw(st.booleans()),
            bits=draw(WIDTHS),
            rules=draw(RULES),
        )
        for number in range(draw(st.integers(1, 2 if uneven else 3)))
    ]
    if uneven:
        at = draw(st.integers(0, len(levels) - 1))
        keeps = draw(st.sampled_from(["WIO", "WI", "WO", "IO"]))
        levels[at] = levels[at].model_copy(update={"keeps": keeps, "uneven": True})
    return Hierarchy(name="h", levels=(dram, *levels), technology_nm=28.0)


GEMMS = st.builds(Layer, st.just("g"), st.just("gemm"), K=st.integers(1, 7), C=st.integers(1, 6), P=st.integers(1, 7))
CONVS = st.builds(
    Layer,
    st.just("c"),
    st.just("conv"),
    K=st.integers(1, 3),
    C=st.integers(1, 2),
    P=st.integers(2, 5),
    R=st.integers(2, 3),
    stride_h=st.integers(1, 2),
    dilation_h=st.integers(1, 2),
)


def small(hierarchy, layer, *, perfect):
    """Tell whether exhaustion of a space takes no time."""
    try:
        every = Enumeration(Judge(GeneSpace(hierarchy, layer, perfect=perfect), "edp"))
    except ArmillaryError:  # the rules leave no split
        return False
    return prod(map(len, every._splits)) * len(every._keeps) <= MOST_SPLITS


def agrees(hierarchy, layer, goal, perfect):
    assume(layer.macs > 1 and small(hierarchy, layer, perfect=perfect))
    try:
        best = search(hierarchy, layer, method="exhaustive", goal=goal, perfect=perfect)
    except NoLegalMappingError:
        return
    found = search(hierarchy, layer, method="proven", goal=goal, perfect=perfect, budget=40_000)
    assert found.bound <= best.value * (1 + 1e-9)
    assert found.value >= best.value * (1 - 1e-9)
    if found.optimal:
        assert found.value == pytest.approx(best.value, rel=1e-8)
    costs = evaluate(hierarchy, layer, found.mapping)
    assert costs.feasible.item()
    assert found.value == pytest.approx(value_of(goal, float(costs.delay_cycles), float(costs.energy_pj)), rel=1e-12)


FEW = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FEW
@given(hierarchies(), GEMMS, st.sampled_from(GOALS), st.booleans())
def test_exhaustion_of_small_products_finds_nothing_better(hierarchy, layer, goal, perfect):
    agrees(hierarchy, layer, goal, perfect)


@FEW
@given(hierarchies(), CONVS, st.sampled_from(GOALS), st.booleans())
def test_exhaustion_of_small_convolutions_finds_nothing_better(hierarchy, layer, goal, perfect):
    agrees(hierarchy, layer, goal, perfect)


@FEW
@given(hierarchies(uneven=True), st.one_of(GEMMS, CONVS), st.sampled_from(GOALS), st.booleans())
def test_exhaustion_finds_no_better_uneven_tiles(hierarchy, layer, goal, perfect):
    agrees(hierarchy, layer, goal, perfect)


@settings(FEW, max_examples=5)
@given(hierarchies(), st.one_of(GEMMS, CONVS), st.sampled_from(GOALS))
def test_parts_that_are_halved_at_once_lose_no_mapping(hierarchy, layer, goal):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "_PART_NODES", 30)
        patch.setattr(proof, "_BUILT", 0)
        agrees(hierarchy, layer, goal, perfect=False)


@FEW
@given(hierarchies(), st.one_of(GEMMS, CONVS), st.sampled_from(GOALS), st.booleans())
def test_what_holds_before_anything_is_decided_holds_for_every_mapping(hierarchy, layer, goal, perfect):
    assume(small(hierarchy, layer, perfect=perfect))
    try:
        best = search(hierarchy, layer, method="exhaustive", goal=goal, perfect=perfect)
    except NoLegalMappingError:
        return
    judge = Judge(GeneSpace(hierarchy, layer, perfect=perfect), goal)
    judge.judge(judge.space.outermost())
    started = Proof(judge)
    started.run(1)
    assert started.bound <= best.value * (1 + 1e-9)


CHIP = Hierarchy(
    name="array",
    levels=(
        Level(name="DRAM", kind="dram", shared_bandwidth=4.0),
        Level(
            name="Buffer", keeps="WI", capacity_words=4_096, fanout=(8, 1), rules=LoopRules(spatial_x="K", spatial_y="")
        ),
        Level(name="Sums", keeps="O", capacity_words=64, rules=LoopRules(spatial_x="C", spatial_y=""), fanout=(8, 1)),
        Level(name="Reg", kind="regfile", keeps="W", capacity_words=1),
    ),
)


@pytest.mark.parametrize("goal", GOALS)
def test_a_product_too_large_to_exhaust_is_proven_within_a_hundredth(goal):
    layer = Layer("g", "gemm", K=64, C=64, P=50)
    found = search(CHIP, layer, method="proven", goal=goal, budget=400_000)
    assert found.gap < 0.01
    assert found.value <= search(CHIP, layer, goal=goal, budget=50_000).value * (1 + 1e-9)


@pytest.mark.parametrize("goal", GOALS)
def test_a_convolution_whose_windows_overlap_is_proven_within_a_hundredth(goal):
    layer = Layer("c", "conv", K=16, C=16, P=14, Q=14, R=3, S=3)
    found = search(CHIP, layer, method="proven", goal=goal, budget=800_000)
    assert found.gap < 0.01
    assert found.value <= search(CHIP, layer, goal=goal, budget=50_000).value * (1 + 1e-9)


@FEW
@given(hierarchies(), CONVS, st.sampled_from(GOALS))
def test_exhaustion_of_perfect_convolutions_finds_nothing_better(hierarchy, layer, goal):
    agrees(hierarchy, layer, goal, perfect=True)


def test_a_short_budget_leaves_a_gap_and_says_so():
    found = search(CHIP, Layer("g", "gemm", K=64, C=64, P=50), method="proven", goal="energy", budget=400)
    assert not found.optimal
    assert found.stopped == "budget"
    assert 0 < found.bound < found.value
    assert found.gap == pytest.approx(1 - found.bound / found.value)

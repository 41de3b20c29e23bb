import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from armillary.cost_model import evaluate
from armillary.cost_model.explain import as_text, explain
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, Mapping
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from cost_model.remainder_walk import RemainderWalk

ENERGY = AccessEnergy(read_pj=1.0, fill_pj=2.0, update_pj=3.0)


@st.composite
def cases(draw, imperfect=True):
    """A small layer, a hierarchy of 2 to 4 levels, and a mapping whose factors may have remainders."""
    levels = draw(st.integers(2, 4))
    factors, residuals = {}, {}
    size = 1
    for dimension in draw(st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=4, unique=True)):
        places = draw(
            st.lists(st.tuples(st.integers(0, levels - 1), st.booleans()), min_size=1, max_size=3, unique=True)
        )
        outermost = True
        for number, spatial in sorted(places, key=lambda place: (-place[0], place[1])):
            factor = draw(st.sampled_from([2, 2, 3, 4, 5]))
            if size * factor > 300:
                continue
            size *= factor
            factors[number, spatial, dimension] = factor
            last = factor if outermost or not imperfect else draw(st.integers(1, factor))
            residuals[number, spatial, dimension] = 0 if last == factor else last
            outermost = False
    mapped, chips = [], []
    for number in range(levels):

        def loops(spatial, axes, number=number):
            here = draw(st.permutations(sorted(d for n, s, d in factors if (n, s) == (number, spatial))))
            found = [(d, factors[number, spatial, d], residuals[number, spatial, d]) for d in here]
            return tuple(Loop(d, f, axis, r) for (d, f, r), axis in zip(found, axes(len(found)), strict=True))

        keeps = TENSORS if number == levels - 1 else "".join(t for t in TENSORS if draw(st.integers(0, 3)))
        mapped.append(LevelMapping(keeps, loops(False, lambda n: [""] * n), loops(True, lambda n: ["X"] * n)))
        chips.append(
            Level(
                name=f"L{number}",
                capacity_words=draw(st.integers(1, 300)),
                fanout=(draw(st.integers(1, 16)), 1),
                multicast=draw(st.integers(0, 3)) > 0,
                spatial_reduction=draw(st.integers(0, 3)) > 0,
                energy=ENERGY,
            )
        )
    mapping = Mapping(tuple(mapped[::-1]))
    bounds = mapping.extents()
    sliding = {name: draw(st.integers(1, 3)) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    groups = bounds["G"]
    sizes = {d: bounds[d] * (groups if d in "KC" else 1) for d in DIMENSIONS if d != "G"}
    layer = Layer("small", "conv", **sizes, groups=groups, **sliding)
    chip = Hierarchy(name="h", levels=tuple(chips[::-1]), compute=Compute(energy_pj=0.5))
    return chip, layer, mapping, bounds


@settings(max_examples=120, deadline=None)
@given(cases(), st.booleans())
def test_every_count_is_that_of_a_walk_over_all_iterations(case, count_first_fill):
    hierarchy, layer, mapping, bounds = case
    assume(mapping.imperfect)
    costs = evaluate(hierarchy, layer, mapping, count_first_fill=count_first_fill)
    walk = RemainderWalk(hierarchy, layer, mapping, bounds)
    for kind, (what, walked) in enumerate(walk.count(count_first_fill).items()):
        ours = {
            (number, tensor): costs.accesses[number, t, kind, 0].item()
            for number in range(len(costs.accesses))
            for t, tensor in enumerate(TENSORS)
        }
        assert {k: v for k, v in ours.items() if v} == pytest.approx({k: v for k, v in walked.items() if v}), what
    assert costs.compute_cycles.item() == walk.cycles()
    assert costs.macs.item() == layer.macs
    for number, level in enumerate(mapping.inner_first):
        for tensor in level.keeps:
            assert costs.tile_words[number, TENSORS.index(tensor), 0] == walk.tile(tensor, number)


@settings(max_examples=50, deadline=None)
@given(st.lists(cases(), min_size=1, max_size=1), cases(imperfect=False))
def test_perfect_mappings_beside_imperfect_ones_keep_their_costs(imperfect, perfect):
    hierarchy, layer, mapping, _ = perfect
    other = next(m for _, _, m, _ in imperfect)
    assume(len(other.levels) == len(mapping.levels))
    alone = evaluate(hierarchy, layer, mapping)
    together = evaluate(hierarchy, layer, [mapping, other])
    for name, value in vars(alone).items():
        torch.testing.assert_close(getattr(together, name)[..., 0], value[..., 0])


CHIP = Hierarchy(
    name="h",
    levels=(
        Level(name="DRAM", kind="dram", shared_bandwidth=8.0, energy=ENERGY),
        Level(name="Buf", capacity_words=4096, fanout=(14, 1), energy=ENERGY),
        Level(name="Reg", kind="regfile", energy=ENERGY),
    ),
)
LAYER = Layer("conv", "conv", K=27, C=4, P=4, Q=4)


def test_a_remainder_fills_an_array_that_no_divisor_fits():
    whole, cut = (
        evaluate(CHIP, LAYER, Mapping.parse(text))
        for text in (
            "L2[WIO] K3 - L1[WIO] C4 P4 Q4 K9X - L0[W] N1",
            "L2[WIO] K2 - L1[WIO] C4 P4 Q4 K14,13X - L0[W] N1",
        )
    )
    assert (whole.compute_cycles.item(), cut.compute_cycles.item()) == (192, 128)
    assert whole.macs.item() == cut.macs.item() == LAYER.macs
    assert bool(cut.feasible)


def test_a_dimension_that_is_not_covered_is_infeasible():
    costs = evaluate(CHIP, LAYER, Mapping.parse("L2[WIO] K2 - L1[WIO] C4 P4 Q4 K14,12X - L0[W] N1"))
    assert "the factors of K miss the layer's bound by -1" in str(costs.failure(0, CHIP))


def test_relaxed_costs_of_remainders_are_refused():
    with pytest.raises(ArmillaryError, match="imperfect factors have no relaxed costs"):
        evaluate(CHIP, LAYER, Mapping.parse("L2[WIO] K2 - L1[WIO] C4 P4 Q4 K14,13X - L0[W] N1"), relaxed=True)


def test_the_explanation_counts_real_runs():
    text = as_text(explain(CHIP, LAYER, Mapping.parse("L2[WIO] K2 - L1[WIO] C4 P4 Q4 K14,13X - L0[W] N1")))
    assert "spread K in 0..13 (last 0..12) over X" in text
    assert f"{27 * 64:,}" in text

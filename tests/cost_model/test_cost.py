from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import batch_costs, evaluate, summary
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, Mapping
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from cost_model.simulator import simulate

ENERGY = AccessEnergy(read_pj=1.0, fill_pj=2.0, update_pj=3.0)
COMPUTE = Compute(energy_pj=0.5)
THREE_LEVELS = Hierarchy(
    name="three",
    levels=(
        Level(name="DRAM", kind="dram", shared_bandwidth=8.0, energy=ENERGY),
        Level(name="Buf", capacity_words=100, fanout=(4, 1), energy=ENERGY),
        Level(name="Reg", kind="regfile", energy=ENERGY),
    ),
    compute=COMPUTE,
)


@st.composite
def cases(draw):
    """A small layer, a hierarchy of 2 to 4 levels, and a mapping of the one onto the other."""
    levels = draw(st.integers(2, 4))
    busy = draw(st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=5, unique=True))
    temporal = [{} for _ in range(levels)]
    spatial = [{} for _ in range(levels)]
    bounds = dict.fromkeys(DIMENSIONS, 1)
    size = 1
    for dimension in busy * 2:
        factor = draw(st.sampled_from([2, 2, 3, 4, 5]))
        if size * factor > 240:
            continue
        size *= factor
        where = draw(st.integers(0, levels - 1))
        kind = draw(st.sampled_from([temporal, temporal, spatial]))
        kind[where][dimension] = kind[where].get(dimension, 1) * factor
        bounds[dimension] *= factor
    mapped, chips = [], []
    for number in range(levels):
        order = draw(st.permutations(sorted(temporal[number])))
        across = draw(st.permutations(sorted(spatial[number])))
        cut = draw(st.integers(0, len(across)))
        outermost = number == levels - 1
        keeps = TENSORS if outermost else "".join(t for t in TENSORS if draw(st.integers(0, 3)))
        mapped.append(
            LevelMapping(
                keeps,
                tuple(Loop(d, temporal[number][d]) for d in order),
                tuple(Loop(d, spatial[number][d], "X" if i < cut else "Y") for i, d in enumerate(across)),
            )
        )
        chips.append(
            Level(
                name=f"L{number}",
                capacity_words=draw(st.integers(1, 300)),
                fanout=(draw(st.integers(1, 16)), draw(st.integers(1, 16))),
                multicast=draw(st.integers(0, 7)) > 0,
                spatial_reduction=draw(st.integers(0, 7)) > 0,
                buffers=draw(st.integers(1, 2)),
                energy=ENERGY,
            )
        )
    groups = bounds.pop("G")
    sliding = {name: draw(st.integers(1, 3)) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    layer = Layer(
        "small", "conv", **{**bounds, "K": bounds["K"] * groups, "C": bounds["C"] * groups}, groups=groups, **sliding
    )
    return Hierarchy(name="h", levels=tuple(chips[::-1]), compute=COMPUTE), layer, Mapping(tuple(mapped[::-1]))


def counts(costs, i=0):
    reads, fills, updates = (
        {
            (number, tensor): costs.accesses[number, t, kind, i].item()
            for number in range(len(costs.accesses))
            for t, tensor in enumerate(TENSORS)
        }
        for kind in range(3)
    )
    return reads, fills, updates


@settings(max_examples=150, deadline=None)
@given(cases(), st.booleans())
def test_every_count_is_that_of_a_walk_over_the_loops(case, count_first_fill):
    hierarchy, layer, mapping = case
    costs = evaluate(hierarchy, layer, mapping, count_first_fill=count_first_fill)
    walked = simulate(hierarchy, layer, mapping, count_first_fill)
    reads, fills, updates = counts(costs)
    for ours, theirs, what in (
        (reads, walked.reads, "reads"),
        (fills, walked.fills, "fills"),
        (updates, walked.updates, "updates"),
    ):
        assert {k: v for k, v in ours.items() if v} == {k: v for k, v in theirs.items() if v}, (what, mapping, layer)
    assert costs.instances[:, 0].tolist() == walked.instances
    assert costs.compute_cycles.item() == walked.compute_cycles
    for (number, tensor), words in walked.tile.items():
        assert costs.tile_words[number, TENSORS.index(tensor), 0] == words
    names = [level.name for level in hierarchy.inner_first]
    assert [n for n, over in zip(names, costs.over_capacity[:, 0], strict=True) if over > 0] == walked.too_large
    wide = [n for n, over in zip(names, costs.over_fanout[..., 0], strict=True) if (over > 0).any()]
    assert wide == walked.too_wide
    assert bool(costs.feasible) == (not walked.too_large and not walked.too_wide)
    assert (costs.failure(0, hierarchy) is None) == bool(costs.feasible)


def test_a_batch_costs_what_its_members_cost_alone():
    layer = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3)
    texts = [
        "L2[WIO] K2 C2 P4 - L1[WIO] Q8 R3 S3 K4X - L0[W] C4 P2",
        "L2[WIO] P4 K2 C2 - L1[WIO] Q8 R3 S3 P2X - L0[W] C4 K4",
        "L2[WIO] P8 K2 C2 - L1[WI] Q8 S3 R3X - L0[WO] C4 K4",
    ]
    mappings = [Mapping.parse(text) for text in texts]
    together = evaluate(THREE_LEVELS, layer, mappings)
    for i, mapping in enumerate(mappings):
        alone = evaluate(THREE_LEVELS, layer, mapping)
        for name, value in vars(together).items():
            assert torch.equal(value[..., i], getattr(alone, name)[..., 0]), name


def test_the_summary_is_that_of_the_costs_or_says_it_is_not_exact():
    layer = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3)
    mappings = MappingBatch.of(
        [
            Mapping.parse("L2[WIO] K2 C2 P4 - L1[WIO] Q8 R3 S3 K4X - L0[W] C4 P2"),
            Mapping.parse("L2[WIO] P8 K2 C2 - L1[WI] Q8 S3 R3X - L0[WO] C4 K4"),
        ]
    )
    chips, work = HierarchyBatch.of([THREE_LEVELS]), LayerBatch.of([layer])
    short, full = summary(chips, work, mappings), batch_costs(chips, work, mappings)
    assert short.exact.tolist() == [True, False]
    for name in ("delay_cycles", "energy_pj", "feasible"):
        assert getattr(short, name)[0] == getattr(full, name)[0]


def test_relaxed_costs_have_gradients_in_the_factors():
    layer = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3)
    batch = MappingBatch.of([Mapping.parse("L2[WIO] K2 C2 P4 - L1[WIO] Q8 R3 S3 K4X - L0[W] C4 P2")])
    temporal = batch.temporal.clone().requires_grad_()
    relaxed = replace(batch, temporal=temporal)
    costs = batch_costs(HierarchyBatch.of([THREE_LEVELS]), LayerBatch.of([layer]), relaxed, relaxed=True)
    (costs.energy_pj * costs.delay_cycles).sum().backward()
    assert torch.isfinite(temporal.grad).all()
    turning = batch.temporal[..., 0] > 1
    assert (temporal.grad[..., 0][turning] != 0).all()
    shifted = replace(batch, temporal=(batch.temporal + 1e-6 * turning[..., None]))
    again = batch_costs(HierarchyBatch.of([THREE_LEVELS]), LayerBatch.of([layer]), shifted, relaxed=True)
    predicted = (temporal.grad[..., 0] * turning).sum() * 1e-6
    change = again.energy_pj * again.delay_cycles - (costs.energy_pj * costs.delay_cycles).detach()
    assert change.item() == pytest.approx(predicted.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("L2[WIO] K8 C8 P8 Q8 - L1[WIO] R3 - L0[WIO] N1", "the factors of S miss the layer's bound by -2"),
        ("L2[WIO] K8 C8 P8 - L1[WIO] R3 S3 Q8X - L0[WIO] N1", "Buf.fanout_x needs 8, has 4"),
        ("L2[WIO] K8 C8 - L1[WIO] P8 Q8 R3 S3 - L0[WIO] N1", "Buf.capacity_words needs 173, has 100"),
        ("L2[WI] K8 C8 P8 Q8 - L1[WIO] R3 S3 - L0[WIO] N1", "level DRAM cannot keep or must keep O"),
    ],
)
def test_an_infeasible_mapping_says_what_is_exceeded(text, reason):
    layer = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3)
    costs = evaluate(THREE_LEVELS, layer, Mapping.parse(text))
    assert not costs.feasible.item()
    assert reason in str(costs.failure(0, THREE_LEVELS)) + (costs.failure(0, THREE_LEVELS).detail)


def test_what_does_not_fit_together_is_refused():
    layer = Layer("conv", "conv", K=8)
    two = Mapping.parse("L1[WIO] K8 - L0[WIO] N1")
    with pytest.raises(ArmillaryError, match="the mappings have 2 levels, the hierarchies 3"):
        evaluate(THREE_LEVELS, layer, two)
    three = Mapping.parse("L2[WIO] K8 - L1[WIO] N1 - L0[WIO] N1")
    with pytest.raises(ArmillaryError, match=r"mappings of \[2, 3\] levels cannot share a batch"):
        evaluate(THREE_LEVELS, layer, [two, three])
    with pytest.raises(ArmillaryError, match=r"a batch of .*'layers': 3, 'mappings': 2.* does not match"):
        evaluate(THREE_LEVELS, [layer] * 3, [three] * 2)
    with pytest.raises(ArmillaryError, match="no mapping to evaluate"):
        evaluate(THREE_LEVELS, layer, [])


def test_an_absurd_unrolling_is_infeasible_and_takes_no_memory():
    layer = Layer("conv", "conv", P=1 << 30, R=4, Q=1)
    mapping = Mapping.parse(f"L2[WIO] N1 - L1[WIO] R4 P{1 << 30}X - L0[WIO] N1")
    costs = evaluate(THREE_LEVELS, layer, mapping)
    assert str(costs.failure(0, THREE_LEVELS)) == "Buf.fanout_x needs 1.07374e+09, has 4"

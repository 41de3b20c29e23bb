from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import evaluate
from armillary.cost_model.packed import mappings_of
from armillary.hardware.hierarchy import DIMENSIONS, Hierarchy, Level, LoopRules
from armillary.mapping.genes import GeneSpace
from armillary.mapping.judge import Judge
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from mapping.test_mapspace import LAYER, hierarchy

RULES = {
    "DRAM": {"temporal": "KPQ", "factors": {"P": 2}},
    "Buf": {"spatial_x": "KC", "spatial_y": "KC", "max_tile": {"Q": 2}, "innermost": "RC", "may_bypass": "I"},
    "Reg": {"temporal": "CKRSP"},
}
FREE = Hierarchy(
    name="free",
    levels=(
        Level(name="DRAM", kind="dram"),
        Level(name="Buf", fanout=(6, 5)),
        Level(name="Reg", kind="regfile", fanout=(3, 1)),
    ),
)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 12), st.booleans(), st.integers(0, 99))
def test_every_row_is_a_mapping_of_the_layer_and_costs_what_it_says(k, c, p, perfect, seed):
    layer = Layer("l", "conv", K=k, C=c, P=p, Q=5, R=3, S=2, stride_h=2)
    space = GeneSpace(FREE, layer, perfect=perfect)
    judge = Judge(space, "edp")
    rows = judge.judge(space.random(30, np.random.default_rng(seed)), soften=True)
    assert np.isfinite(rows.scores).all()
    for gene, (delay, energy) in zip(rows.genes, rows.costs, strict=True):
        mapping = space.mapping(gene)
        assert not list(mapping.faults(FREE, layer))
        assert not (perfect and mapping.imperfect)
        costs = evaluate(FREE, layer, mapping)
        assert costs.feasible.item()
        assert (costs.delay_cycles.item(), costs.energy_pj.item()) == pytest.approx((delay, energy), rel=1e-12)


UNEVEN = Hierarchy(
    name="uneven",
    levels=(
        Level(name="DRAM", kind="dram"),
        Level(name="Buf", fanout=(20_000, 1), uneven=True, rules=LoopRules(may_bypass="O", innermost="S")),
        Level(name="Reg", kind="regfile", keeps="WO", uneven=True),
    ),
)


def test_each_part_of_a_memory_holds_a_tensor_in_random_rows_and_after_steps():
    space = GeneSpace(UNEVEN, Layer("l", "conv", K=12, C=6, P=7, Q=5, R=3, S=2))
    genes = space.random(500, np.random.default_rng(0))
    rows = Judge(space, "edp").judge(genes)
    assert np.isfinite(rows.scores).all()  # everything fits, so that only what is held could be wrong
    Judge(space, "edp").walk(rows, steps=20, heat=1.0, seed=1)
    for batch in (genes, rows.genes):
        found = {tuple(level.keeps for level in space.mapping(gene).levels[1:]) for gene in batch}
        for outer, inner, *registers in found:
            assert outer
            assert inner
            assert sorted(outer + inner) in (["I", "W"], ["I", "O", "W"])
            assert sorted(registers) == ["O", "W"]
        assert len(found) == (6 + 2) * 2  # all that there are
    assert len(space.keeps()) == len({space.held(keeps) for keeps in space.keeps()}) == (6 + 2) * 2


@pytest.mark.parametrize("chip", [FREE, UNEVEN], ids=lambda chip: chip.name)
@pytest.mark.parametrize("perfect", [True, False])
def test_a_row_is_found_again_by_its_mapping(chip, perfect):
    space = GeneSpace(chip, Layer("l", "conv", K=12, C=6, P=7, Q=5, R=3, S=2), perfect=perfect)
    for gene in space.random(100, np.random.default_rng(3)):
        mapping = space.mapping(gene)
        assert space.mapping(space.row(mapping)[0]) == mapping


@pytest.mark.parametrize("perfect", [True, False])
def test_rules_are_kept(perfect):
    space = GeneSpace(hierarchy(**RULES), LAYER, perfect=perfect)
    nests, sound = space.nests(space.random(2_000, np.random.default_rng(0)))
    assert sound.any()
    batch = mappings_of(type(nests)(*(array[sound] for array in nests)))
    k, c, p, q, r, s = range(1, 7)
    temporal, spatial = batch.temporal.numpy(), batch.spatial.numpy()
    assert (temporal[2, [c, r, s]] == 1).all()
    assert (temporal[2, p] == 2).all()
    assert (spatial[:, [p, q, r, s]] == 1).all()
    assert (temporal[:2, q].prod(axis=0) <= 2).all()
    assert set(np.unique(batch.place[1, r].numpy())) == {0}
    assert set(np.unique(batch.place[1, c].numpy())) == {1}
    assert {bool(kept) for kept in batch.keeps[1, 1]} == {True, False}
    assert (batch.along_y[1, k] > 1).any()
    assert ((spatial[1, k] > batch.along_y[1, k].numpy()) & (batch.along_y[1, k].numpy() > 1)).any()


def test_a_step_reaches_every_split_order_and_bypass():
    """From one row, ever hotter, every perfect split of K over the loops is met, and every order of three loops."""
    layer = Layer("l", "gemm", K=12, C=2, P=2)
    chip = Hierarchy(name="h", levels=(Level(name="DRAM", kind="dram"), Level(name="Buf", fanout=(4, 1))))
    judge = Judge(GeneSpace(chip, layer, perfect=True), "edp")
    rows = judge.judge(np.repeat(judge.space.outermost(), 64, axis=0))
    met = set()
    for seed in range(60):
        judge.walk(rows, 5, 50.0, seed)
        met |= {str(judge.space.mapping(gene)) for gene in rows.genes}
    mappings = [text.split(" - ") for text in met]
    inside = {part for _, inner in mappings for part in inner.split()[1:] if part.startswith("K")}
    assert inside >= {f"K{n}" for n in (2, 3, 4, 6, 12)} | {"K2X", "K3X", "K4X"}
    orders = {tuple(part[0] for part in outer.split()[1:]) for outer, _ in mappings}
    assert {"".join(order) for order in orders} >= {"KCP", "KPC", "CKP", "CPK", "PKC", "PCK"}


def test_a_walk_is_the_same_on_any_number_of_threads(monkeypatch):
    found = []
    for cores in ("1", "3"):
        monkeypatch.setenv("ARMILLARY_CORES", cores)
        judge = Judge(GeneSpace(hierarchy(), LAYER), "edp")
        with judge.working():
            rows = judge.judge(judge.space.random(64, np.random.default_rng(0)), soften=True)
            judge.walk(rows, 20, 0.3, 5, perfect=20)
        found.append((rows.genes.tolist(), rows.scores.tolist(), judge.evaluated))
    assert found[0] == found[1]


def test_a_row_that_does_not_fit_loses_factors_until_it_does():
    chip = hierarchy()
    space = GeneSpace(chip, Layer("big", "conv", K=256, C=256, P=28, Q=28, R=3, S=3))
    judge = Judge(space, "edp")
    genes = space.random(200, np.random.default_rng(3))
    assert np.isfinite(judge.judge(genes).scores).mean() < 0.5
    assert np.isfinite(judge.judge(genes, soften=True).scores).all()


def test_a_dimension_without_a_loop_is_named():
    rules = {"temporal": "KCPR", "spatial_x": "", "spatial_y": ""}
    with pytest.raises(ArmillaryError, match=r"layer conv: the rules leave no way to split Q=5 over levels"):
        GeneSpace(hierarchy(DRAM=rules, Buf=rules, Reg=rules), LAYER)


def test_columns_belong_to_dimensions_orders_and_bypasses():
    space = GeneSpace(hierarchy(), LAYER)
    counts = np.bincount(space.parts)
    assert counts.sum() == space.width
    assert counts[len(DIMENSIONS) :].tolist() == [8] * 3 + [1] * 3
    assert prod(counts.shape) == 8 + 6


def test_a_walk_keeps_every_loop_where_the_rules_fix_some():
    """Two dimensions do not change places where one of them has a fixed place: a loop would be lost."""
    rules = LoopRules(innermost="K")
    chip = Hierarchy(
        name="h", levels=(Level(name="DRAM", kind="dram"), Level(name="L0", capacity_words=64, rules=rules))
    )
    space = GeneSpace(chip, Layer("g", "gemm", K=4, C=4))
    judge = Judge(space, "delay")
    rows = judge.judge(np.repeat(space.outermost(), 64, axis=0))
    judge.walk(rows, steps=200, heat=1.0, seed=3)
    orders = rows.genes[:, space.slots : -2].reshape(-1, 8)
    assert (np.sort(orders, axis=1) == np.arange(8)).all()

from itertools import product
from math import prod

import numpy as np
import pytest
from scipy.stats import chisquare

from armillary.cost_model import batch_costs
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level, LoopRules
from armillary.mapping.mapspace import MapSpace
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

ENERGY = AccessEnergy(read_pj=1.0, fill_pj=1.0, update_pj=1.0)
LAYER = Layer("conv", "conv", K=12, C=4, P=6, Q=5, R=3, S=1)


def hierarchy(**rules):
    """Return DRAM, a buffer with a mesh of 4 x 2 below it, registers; with rules per level."""
    levels = (
        Level(name="DRAM", kind="dram", energy=ENERGY, rules=LoopRules(**rules.get("DRAM", {}))),
        Level(name="Buf", capacity_words=200, fanout=(4, 2), energy=ENERGY, rules=LoopRules(**rules.get("Buf", {}))),
        Level(name="Reg", capacity_words=8, energy=ENERGY, rules=LoopRules(**rules.get("Reg", {}))),
    )
    return Hierarchy(name="h", levels=levels, compute=Compute(energy_pj=1.0))


def test_every_code_is_a_mapping_of_the_layer_and_decodes_to_it():
    space = MapSpace(hierarchy(Buf={"may_bypass": "WO"}), LAYER)
    codes = space.random(200, np.random.default_rng(0))
    batch = space.decode(codes)
    texts = [space.mapping(code) for code in codes]
    assert not [fault for mapping in texts for fault in mapping.faults(space.hierarchy, LAYER)]
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([LAYER])
    coded, printed = (batch_costs(chip, layer, b) for b in (batch, MappingBatch.of(texts)))
    for name, value in vars(coded).items():
        assert (value == getattr(printed, name)).all(), name


def test_the_space_holds_every_split_once():
    space = MapSpace(hierarchy(), LAYER)
    for splits, bound in zip(space.splits, (1, 12, 4, 6, 5, 3, 1, 1), strict=True):
        rows = {tuple(row) for row in splits.factors}
        assert len(rows) == len(splits.factors)
        limits = [4 if s.kind == 1 else 2 if s.kind == 2 else bound for s in splits.slots]
        every = product(*(range(1, most + 1) for most in limits))
        wanted = {f for f in every if prod(f) == bound}
        assert rows == wanted


def test_random_codes_are_uniform_over_splits():
    space = MapSpace(hierarchy(), LAYER)
    codes = space.random(20_000, np.random.default_rng(1))[:, 1]
    assert chisquare(np.bincount(codes, minlength=space.sizes[1])).pvalue > 1e-3


def test_all_codes_are_the_space():
    rules = {"temporal": "K", "spatial_x": "K", "spatial_y": ""}
    tiny = MapSpace(hierarchy(Buf=rules, Reg={"temporal": "C"}), Layer("l", "gemm", K=4, C=3))
    codes = tiny.all(0, tiny.size)
    assert len(np.unique(codes, axis=0)) == tiny.size
    assert (codes < tiny.sizes).all()


def test_sobol_codes_spread_evenly():
    space = MapSpace(hierarchy(), LAYER)
    codes = space.sobol(4096, seed=3)
    assert codes.shape == (4096, len(space.sizes))
    counts = np.bincount(codes[:, 1], minlength=space.sizes[1])
    assert counts.max() - counts.min() <= 4


def test_rules_are_kept():
    rules = {
        "DRAM": {"temporal": "KPQ", "factors": {"P": 2}},
        "Buf": {"spatial_x": "K", "spatial_y": "C", "max_tile": {"Q": 1}, "innermost": "RC"},
        "Reg": {"temporal": "CKRP"},
    }
    space = MapSpace(hierarchy(**rules), LAYER)
    batch = space.decode(space.random(500, np.random.default_rng(0)))
    k, c, p, q, r, s = range(1, 7)
    assert (batch.temporal[2, [c, r]] == 1).all()
    assert (batch.temporal[2, p] == 2).all()
    assert (batch.spatial[:, [p, q, r, s]] == 1).all()
    assert (batch.along_y[:, k] == 1).all()
    assert (batch.temporal[:2, q] == 1).all()
    assert (batch.place[1, r] == 0).all()
    assert (batch.place[1, c] == 1).all()


def test_a_dimension_without_a_way_is_named():
    rules = {"temporal": "KCPR", "spatial_x": "", "spatial_y": ""}
    with pytest.raises(ArmillaryError, match=r"layer conv: the rules leave no way to split Q=5 over levels"):
        MapSpace(hierarchy(**dict.fromkeys(("DRAM", "Buf", "Reg"), rules)), LAYER)

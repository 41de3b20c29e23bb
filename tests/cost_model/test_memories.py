"""Two levels that are one memory: what they share, and what follows for a mapping."""

import pytest
import torch
from hypothesis import given, settings

from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Mapping
from armillary.workloads.layer import Layer
from cost_model import test_cost

DRAM = Level(name="DRAM", kind="dram", energy=AccessEnergy(read_pj=100, fill_pj=100, update_pj=100))


def chip(**changes):
    """Return a buffer of 4 words below DRAM."""
    one = AccessEnergy(read_pj=1, fill_pj=1, update_pj=1)
    buffer = Level(name="Buf", capacity_words=4, energy=one, area_mm2=0.5, uneven=True).model_copy(update=changes)
    return Hierarchy(name="h", levels=(DRAM, buffer), compute=Compute(energy_pj=1, area_mm2=0.25))


LAYER = Layer("outer product", "gemm", K=4, P=4)
EVEN = Mapping.parse("L1[WIO] K4 P4 - L0[WIO] N1")
UNEVEN = Mapping.parse("L2[WIO] P2 K4 - L1[I] P2 - L0[WO] N1")
"""Two inputs stay while weights come one by one: each input comes once, each weight twice."""


def test_uneven_tiles_cost_what_a_hand_counts():
    """Four weights and sixteen inputs come where both have a tile of one, or eight and four; sixteen sums leave."""
    even = evaluate(chip().even(), LAYER, EVEN)
    uneven = evaluate(chip(), LAYER, UNEVEN)
    assert even.feasible.item()
    assert uneven.feasible.item()
    works = 16 + 16 + 16 + 16  # reads of both operands, sums, multiplications
    assert even.energy_pj.item() == 100 * (4 + 16 + 16) + (4 + 16) + works
    assert uneven.energy_pj.item() == 100 * (8 + 4 + 16) + (8 + 4) + works
    assert uneven.area_mm2.item() == 0.5 + 0.25


def test_the_parts_share_the_room():
    wide = Mapping.parse("L2[WIO] K4 - L1[I] P4 - L0[WO] N1")
    costs = evaluate(chip(), LAYER, wide)
    assert costs.tile_words[:, :, 0].tolist()[:2] == [[1, 0, 1], [0, 4, 0]]
    assert costs.over_capacity[:2, 0].tolist() == [2 - 4, 6 - 4]
    failure = costs.failure(0, chip())
    assert str(failure) == "Buf.capacity_words needs 6, has 4"
    assert failure.detail == "the largest tile is that of I, 4 words"
    assert evaluate(chip(capacity_words=6), LAYER, wide).feasible.item()


@pytest.mark.parametrize(
    ("rate", "cycles"), [("read_bandwidth", 32 / 0.5), ("write_bandwidth", (12 + 16) / 0.5), ("shared_bandwidth", 120)]
)
def test_the_parts_share_the_ports(rate, cycles):
    costs = evaluate(chip(**{rate: 0.5}), LAYER, UNEVEN)
    assert costs.bandwidth_cycles[1].item() == costs.delay_cycles.item() == cycles
    assert costs.bandwidth_cycles[0].item() < cycles


@settings(max_examples=60, deadline=None)
@given(test_cost.cases())
def test_a_part_without_loops_changes_nothing(case):
    """Wherever a tensor is held, its tile and what moves is that of the whole level."""
    hierarchy, layer, mapping = case
    levels = [*hierarchy.levels]
    levels[1] = levels[1].model_copy(update={"uneven": True})
    uneven = Hierarchy(name="uneven", levels=tuple(levels), compute=hierarchy.compute)
    whole = mapping.levels[1]
    keeps = "I" if "I" in whole.keeps else whole.keeps[:1]  # inputs at the outer part: neighbours may hand them on
    rest = "".join(t for t in whole.keeps if t not in keeps)
    parts = LevelMapping(keeps), LevelMapping(rest, whole.temporal, whole.spatial)
    split = Mapping((mapping.levels[0], *parts, *mapping.levels[2:]))
    one, two = evaluate(uneven.even(), layer, mapping), evaluate(uneven, layer, split)
    assert uneven.even() == uneven.model_copy(update={"levels": hierarchy.levels})
    for name in ("delay_cycles", "energy_pj", "area_mm2", "feasible"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-12, atol=0)

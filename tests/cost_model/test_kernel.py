"""The compiled kernel is held against the tensors' sums, which `simulator` and `remainder_walk` prove."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import batch_costs, evaluate
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Mapping
from armillary.workloads.layer import Layer
from cost_model import test_cost, test_remainders

WIDTHS = st.none() | st.builds(
    Bits, W=st.integers(1, 16), I=st.integers(1, 16), P=st.integers(8, 32), O=st.integers(1, 16)
)
ENERGY = AccessEnergy(read_pj=1.0, fill_pj=1.0, update_pj=1.0)
UNLIMITED = {"capacity_words": None, "fanout": (300, 300)}


def agrees(hierarchies, layers, mappings):
    """Assert that both give the same answers, to the last digits of a sum of energies."""
    fast = summaries(HierarchyBatch.of(hierarchies), LayerBatch.of(layers), MappingBatch.of(mappings))
    full = batch_costs(HierarchyBatch.of(hierarchies), LayerBatch.of(layers), MappingBatch.of(mappings))
    assert torch.equal(fast.feasible, full.feasible)
    fits = full.feasible
    assert torch.equal(fast.delay_cycles[fits], full.delay_cycles[fits])
    torch.testing.assert_close(fast.energy_pj[fits], full.energy_pj[fits], rtol=1e-12, atol=0)
    return bool(fits.any())


def roomy(hierarchy):
    """Return a hierarchy on which everything fits."""
    return hierarchy.model_copy(
        update={"levels": tuple(level.model_copy(update=UNLIMITED) for level in hierarchy.levels)}
    )


@st.composite
def in_parts(draw, case):
    """Return a case one of whose levels holds its tensors at two places among its loops."""
    hierarchy, layer, mapping = case
    at = draw(st.integers(1, len(mapping.levels) - 1))
    whole = mapping.levels[at]
    cut = draw(st.integers(0, len(whole.temporal)))
    keeps = "".join(t for t in whole.keeps if draw(st.booleans()))
    rest = "".join(t for t in whole.keeps if t not in keeps)
    parts = LevelMapping(keeps, whole.temporal[:cut]), LevelMapping(rest, whole.temporal[cut:], whole.spatial)
    levels = [*hierarchy.levels]
    rates = {name: draw(st.sampled_from([None, 0.5, 3.0])) for name in ("read_bandwidth", "shared_bandwidth")}
    levels[at] = levels[at].model_copy(update={"uneven": True, **rates})
    chip = Hierarchy(name="uneven", levels=tuple(levels), compute=hierarchy.compute)
    return chip, layer, Mapping((*mapping.levels[:at], *parts, *mapping.levels[at + 1 :]))


@settings(max_examples=100, deadline=None, derandomize=True)
@given((test_cost.cases() | test_remainders.cases().map(lambda case: case[:3])).flatmap(in_parts), WIDTHS)
def test_parts_of_a_memory_cost_what_the_tensors_say(case, bits):
    hierarchy, layer, mapping = case
    hierarchy = hierarchy.model_copy(update={"bits": bits})
    assert not list(mapping.faults(hierarchy, layer))
    agrees([hierarchy], [layer], [mapping])
    assert agrees([roomy(hierarchy)], [layer], [mapping])


@settings(max_examples=150, deadline=None)
@given(test_cost.cases() | test_remainders.cases().map(lambda case: case[:3]), WIDTHS)
def test_every_mapping_costs_what_the_tensors_say(case, bits):
    hierarchy, layer, mapping = case
    hierarchy = hierarchy.model_copy(update={"bits": bits})
    agrees([hierarchy], [layer], [mapping])
    assert agrees([roomy(hierarchy)], [layer], [mapping])


def test_thirds_of_a_block_add_up_to_whole_ones_in_both():
    """Of seven rounds the last has one of three instances, and sums take 3.5 words: a mean of thirds can be whole."""
    chip = Hierarchy(
        name="h",
        levels=tuple(Level(name=name, word_bits=8, fanout=(3, 1), energy=ENERGY) for name in ("L1", "L0")),
        bits=Bits(W=1, I=1, P=28, O=4),
    )
    for count in range(2, 40):
        layer = Layer("l", "conv", K=1, N=7, C=3, P=count, R=3)
        mapping = Mapping.parse(f"L1[WIO] N3 N3,1X - L0[O] C3 P{count} R3")
        assert agrees([chip], [layer], [mapping])


def test_each_candidate_has_its_own_chip_and_layer():
    layers = [Layer("a", "conv", K=4, C=4, P=4), Layer("b", "conv", K=4, C=4, P=4, stride_h=2)]
    chips = [test_remainders.CHIP, roomy(test_remainders.CHIP)]
    mappings = [Mapping.parse(f"L2[WIO] K4 - L1[WIO] C4 P{p} - L0[WIO] P{4 // p}") for p in (1, 2)]
    pairs = [(chip, layer, mapping) for chip in chips for layer in layers for mapping in mappings]
    assert agrees(*map(list, zip(*pairs, strict=True)))


def test_a_dimension_on_both_axes_uses_them_together():
    """K over 4 x 2 instances is a cube of them; one round less on the outer axis where the last is short."""
    chip = roomy(test_remainders.CHIP)
    layer = Layer("l", "conv", K=7, C=3, P=4)
    both = Mapping.parse("L2[WIO] C3 P4 - L1[WIO] K4,3X K2Y - L0[W] N1")
    assert not list(both.faults(chip, layer))
    costs = evaluate(chip, layer, both)
    assert costs.compute_cycles.item() == 12
    assert costs.instances[0].item() == 8
    assert agrees([chip], [layer], [both])
    narrow = chip.levels[1].model_copy(update={"fanout": (4, 1)})
    chip = chip.model_copy(update={"levels": (chip.levels[0], narrow, chip.levels[2])})
    assert str(evaluate(chip, layer, both).failure(0, chip)) == "Buf.fanout_y needs 2, has 1"

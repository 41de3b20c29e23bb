import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import batch_costs, evaluate
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.explain import as_text, explain
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.cost_model.summaries import summaries
from armillary.cost_model.widths import with_layer_macs
from armillary.hardware.bits import ROLES, Bits
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import Mapping
from armillary.hardware.technology import mac_energy_pj
from armillary.workloads.layer import Layer
from cost_model import test_cost, test_remainders
from cost_model.simulator import _Walk

READS, FILLS, UPDATES = range(3)
WEIGHTS, INPUTS, OUTPUTS = range(3)
BITS = st.builds(Bits, *[st.none() | st.sampled_from([1, 3, 4, 8, 16, 24, 32])] * 4)


def with_levels(hierarchy, **changes):
    """Return the hierarchy with fields of its levels changed, each to what a function of the level says."""
    levels = [level.model_copy(update={k: f(level) for k, f in changes.items()}) for level in hierarchy.levels]
    return hierarchy.model_copy(update={"levels": tuple(levels)})


def cases():
    """Perfect mappings and such with remainders, on hierarchies of words and blocks of several widths."""
    either = test_cost.cases() | test_remainders.cases().map(lambda case: case[:3])
    sizes = st.tuples(st.sampled_from([4, 8, 12, 32]), st.sampled_from([1, 4, 7]), st.sampled_from([None, 1.5]))
    return st.tuples(either, st.lists(sizes, min_size=4, max_size=4)).map(lambda pair: _sized(*pair))


def _sized(case, sizes):
    hierarchy, layer, mapping = case
    of = {level.name: size for level, size in zip(hierarchy.levels, sizes, strict=False)}
    sized = with_levels(
        hierarchy,
        word_bits=lambda level: of[level.name][0],
        block_words=lambda level: of[level.name][1],
        shared_bandwidth=lambda level: of[level.name][2],
    )
    return sized, layer, mapping


def same(one, other):
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name)), name


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans())
def test_to_set_what_holds_anyhow_changes_no_bit(case, by_layer):
    hierarchy, layer, mapping = case
    if by_layer:
        hierarchy = with_levels(hierarchy, word_bits=lambda _: 12)
        told, work = hierarchy, replace(layer, bits=Bits(12, 12, 12, 12))
    else:
        told, work = with_levels(hierarchy, bits=lambda level: Bits(*[level.word_bits] * 4)), layer
    same(evaluate(hierarchy, layer, mapping), evaluate(told, work, mapping))
    if not mapping.imperfect:
        same(evaluate(hierarchy, layer, mapping, relaxed=True), evaluate(told, work, mapping, relaxed=True))


@settings(max_examples=50, deadline=None)
@given(cases(), st.integers(1, 20))
def test_doubling_every_width_doubles_the_bits_moved_and_held(case, width):
    hierarchy, layer, mapping = case
    once, twice = (
        evaluate(hierarchy.model_copy(update={"bits": Bits(*[bits] * 4)}), layer, mapping)
        for bits in (width, 2 * width)
    )
    for name in ("accesses", "tile_elements"):
        assert torch.equal(getattr(once, name), getattr(twice, name))
    for name in ("words_moved", "tile_words"):
        assert torch.equal(2 * getattr(once, name), getattr(twice, name))


@settings(max_examples=80, deadline=None)
@given(cases(), BITS, BITS, BITS)
def test_words_energy_and_cycles_follow_from_the_elements_and_their_widths(case, of_layer, of_levels, of_all):
    """Everything is worked out anew, level by level, from the elements counted and from who adds to which outputs."""
    hierarchy, layer, mapping = case
    hierarchy = with_levels(hierarchy, bits=lambda _: of_levels).model_copy(update={"bits": of_all})
    costs = evaluate(hierarchy, replace(layer, bits=of_layer), mapping)
    set_by = (of_layer, of_levels, of_all)
    for number, level in enumerate(hierarchy.inner_first):
        bits = {
            role: next(filter(None, (getattr(b, role) for b in set_by)), level.word_bits) / level.word_bits
            for role in ROLES
        }
        elements = costs.accesses[number, :, :, 0].tolist()
        updates = elements[OUTPUTS][UPDATES]
        final = finals(hierarchy, layer, mapping, costs, number) if "O" in mapping.inner_first[number].keeps else 0
        words = [
            [bits["W"] * count for count in elements[WEIGHTS]],
            [bits["I"] * count for count in elements[INPUTS]],
            [
                bits["P"] * elements[OUTPUTS][READS],
                bits["P"] * elements[OUTPUTS][FILLS],
                bits["O"] * final + bits["P"] * (updates - final),
            ],
        ]
        for got, wanted in zip(costs.words_moved[number, :, :, 0].tolist(), words, strict=True):
            assert got == pytest.approx(wanted)
        wide = (bits["W"], bits["I"], bits["O"] if updates == final else bits["P"])
        tile = [b * held for b, held in zip(wide, costs.tile_elements[number, :, 0].tolist(), strict=True)]
        assert costs.tile_words[number, :, 0].tolist() == pytest.approx(tile)
        assert costs.over_capacity[number, 0] == pytest.approx(sum(tile) - level.tile_words)
        pj = (level.energy.read_pj, level.energy.fill_pj, level.energy.update_pj)
        got = costs.words_moved[number, :, :, 0]
        blocks = torch.ceil(got / level.block_words)
        energy = (blocks * torch.tensor(pj)).sum(dim=1) * costs.instances[number, 0]
        assert costs.access_energy_pj[number, :, 0].tolist() == pytest.approx(energy.tolist())
        limit = math.inf if level.shared_bandwidth is None else level.shared_bandwidth
        assert costs.bandwidth_cycles[number, 0] == pytest.approx(math.ceil(got.sum().item() / limit), abs=1)


def finals(hierarchy, layer, mapping, costs, number):
    """Return the final updates of one instance: of the outputs it is in charge of, unless another one adds to them."""
    outside = mapping.levels[: len(mapping.levels) - 1 - number]
    if any(loop.dimension in "CRS" and loop.factor > 1 for level in outside for loop in level.spatial):
        return 0
    if mapping.imperfect:
        walk = test_remainders.RemainderWalk(hierarchy, layer, mapping, mapping.extents())
        return walk.outputs(number) / costs.instances[number, 0].item()
    return _Walk(hierarchy, layer, mapping).outputs_of_one(number)


ENERGY = AccessEnergy(read_pj=1.0, fill_pj=1.0, update_pj=1.0)
CHIP = Hierarchy(
    name="two",
    levels=(
        Level(name="DRAM", kind="dram", shared_bandwidth=8.0, energy=ENERGY),
        Level(name="Buf", capacity_words=64, energy=ENERGY),
    ),
    compute=Compute(energy_pj=0.0),
)
GEMM = Layer("gemm", "gemm", K=4, C=4, P=4)
SPILLING = Mapping.parse("L1[WIO] C2 K4 - L0[WIO] C2 P4")
STAYING = Mapping.parse("L1[WIO] K4 C2 - L0[WIO] C2 P4")


def on(bits, chip=CHIP):
    return chip.model_copy(update={"bits": bits})


def test_partial_sums_spilled_to_dram_cost_their_own_width():
    """By hand: K turns inside C, so that 4 outputs at a time go to DRAM and come back for the second half of C.

    32 updates, of which 16 are final, and 16 reads of partial sums; 16 weights and 16 inputs.
    """
    narrow, wide = (evaluate(on(Bits(P=sums)), GEMM, SPILLING) for sums in (8, 32))
    assert narrow.accesses[1, OUTPUTS, :, 0].tolist() == [16, 0, 32]
    assert narrow.access_energy_pj[1, :, 0].tolist() == [16, 16, 16 + 32]
    assert wide.access_energy_pj[1, :, 0].tolist() == [16, 16, 4 * 16 + (16 + 4 * 16)]
    assert narrow.bandwidth_cycles[1].item() == 80 / 8
    assert wide.bandwidth_cycles[1].item() == 176 / 8
    assert layer_metrics(narrow, 0, CHIP)["dram_bytes"] == 80
    assert layer_metrics(wide, 0, CHIP)["dram_bytes"] == 176


def test_partial_sums_matter_only_where_they_are():
    narrow, wide = (evaluate(on(Bits(P=sums)), GEMM, STAYING) for sums in (8, 32))
    assert torch.equal(narrow.words_moved[1], wide.words_moved[1])
    assert torch.equal(narrow.tile_words[1], wide.tile_words[1])
    assert narrow.words_moved[0, OUTPUTS].sum() < wide.words_moved[0, OUTPUTS].sum()
    assert torch.equal(narrow.words_moved[0, :OUTPUTS], wide.words_moved[0, :OUTPUTS])


def test_final_outputs_leave_at_their_own_width():
    whole, half = (evaluate(on(Bits(P=32, O=out)), GEMM, STAYING) for out in (8, 4))
    assert whole.words_moved[1, OUTPUTS, :, 0].tolist() == [0, 0, 16]
    assert half.words_moved[1, OUTPUTS, :, 0].tolist() == [0, 0, 8]
    assert half.tile_words[1, OUTPUTS].item() == 8
    assert half.tile_words[0, OUTPUTS].item() == 16  # 4 outputs that are still added to
    assert half.words_moved[0, OUTPUTS, UPDATES].item() == (64 - 16) * 4 + 16 / 2


def test_instances_that_add_to_the_same_outputs_have_partial_sums_only():
    chip = with_levels(CHIP, fanout=lambda level: (4, 1) if level.name == "DRAM" else (1, 1))
    apart, together = (
        evaluate(on(Bits(P=32), chip), GEMM, Mapping.parse(text))
        for text in ("L1[WIO] K1 C4X - L0[WIO] K4 P4", "L1[WIO] C4 K4X - L0[WIO] P4")
    )
    assert apart.words_moved[0, OUTPUTS, UPDATES].item() == 4 * 16
    assert apart.tile_words[0, OUTPUTS].item() == 4 * 16
    assert apart.words_moved[1, OUTPUTS, UPDATES].item() == 16
    assert together.words_moved[0, OUTPUTS, UPDATES].item() == 4 + 4 * 12


@pytest.mark.parametrize("where", ["hierarchy", "level", "layer"])
def test_weights_of_half_the_width_fit_twice_as_often(where):
    chip = with_levels(CHIP, capacity_words=lambda level: 8 if level.name == "Buf" else None)
    mapping = Mapping.parse("L1[WIO] P4 - L0[W] K4 C4")
    failure = evaluate(chip, GEMM, mapping).failure(0, chip)
    assert (failure.resource, failure.needed, failure.available) == ("Buf.capacity_words", 16, 8)
    four = Bits(W=4)
    chip = {
        "hierarchy": on(four, chip),
        "level": with_levels(chip, bits=lambda level: four if level.name == "Buf" else None),
        "layer": chip,
    }[where]
    found = evaluate(chip, replace(GEMM, bits=four if where == "layer" else None), mapping)
    assert found.tile_words[0].flatten().tolist() == [8, 0, 0]
    assert bool(found.feasible)
    assert found.words_moved[1, WEIGHTS, READS].item() == (16 if where == "level" else 8)


def test_relaxed_costs_know_final_outputs_and_have_gradients():
    mappings = MappingBatch.of([STAYING])
    temporal = (mappings.temporal * 1.001).requires_grad_()
    chip = HierarchyBatch.of([on(Bits(P=32, O=4))])
    costs = batch_costs(chip, LayerBatch.of([GEMM]), replace(mappings, temporal=temporal), relaxed=True)
    assert costs.words_moved[1, OUTPUTS, UPDATES].item() == pytest.approx(8, rel=0.05)
    assert costs.tile_words[1, OUTPUTS].item() == pytest.approx(8, rel=0.05)
    costs.energy_pj.sum().backward()
    assert torch.isfinite(temporal.grad).all()


TABLE = Hierarchy(name="t", levels=(Level(name="DRAM", kind="dram"), Level(name="Buf", capacity_words=4096)))
LAYERS = [replace(GEMM, bits=bits) for bits in (None, Bits(W=4), Bits(kind="float"), Bits.parse("fp16"), Bits(P=16))]


@pytest.mark.parametrize("of_all", [None, Bits(I=16, P=24), Bits.parse("fp8")])
def test_a_layer_is_computed_at_its_own_width(of_all):
    chip, batch = on(of_all, TABLE), LayerBatch.of(LAYERS)
    wanted = [mac_energy_pj(on((la.bits or Bits()).over(of_all), TABLE)) for la in LAYERS]
    found = with_layer_macs(HierarchyBatch.of([chip]), batch)
    assert found.mac_pj.tolist() == wanted
    assert len(set(wanted)) == 5 if of_all is None else len(set(wanted)) > 2
    costs = evaluate(chip, LAYERS, [SPILLING] * 5)
    assert costs.mac_energy_pj.tolist() == pytest.approx([GEMM.macs * pj for pj in wanted])
    short = summaries(HierarchyBatch.of([chip]), batch, MappingBatch.of([SPILLING] * 5))
    torch.testing.assert_close(short.energy_pj, costs.energy_pj, rtol=1e-12, atol=0)


def test_plain_layers_and_given_energies_are_left_alone():
    chips = HierarchyBatch.of([TABLE])
    assert with_layer_macs(chips, LayerBatch.of([GEMM])) is chips
    given = TABLE.model_copy(update={"compute": Compute(energy_pj=7.0)})
    mixed = with_layer_macs(HierarchyBatch.of([TABLE, given]), LayerBatch.of([LAYERS[1]]))
    assert mixed.mac_pj[1] == 7.0
    assert mixed.mac_pj[0] == mac_energy_pj(on(Bits(W=4), TABLE))


def test_tensors_of_widths():
    chips = HierarchyBatch.of([on(Bits(W=4, P=32), with_levels(CHIP, bits=lambda _: Bits(P=24)))])
    assert chips.word_bits[..., 0].tolist() == [8, 8]
    assert chips.bits[..., 0].tolist() == [[4, 8, 24, 8]] * 2
    layers = LayerBatch.of([GEMM, replace(GEMM, bits=Bits(O=2))])
    assert layers.bits.T.tolist() == [[0, 0, 0, 0], [0, 0, 0, 2]]


def test_the_explanation_shows_widths_and_bits():
    plain, wide = (explain(on(bits), GEMM, SPILLING) for bits in (None, Bits(W=4, P=32)))
    assert plain.levels[0].bits_moved == (16 * 8, 16 * 8, 48 * 8)
    assert wide.levels[0].bits_moved == (16 * 4, 16 * 8, 16 * 32 + 16 * 32 + 16 * 8)
    assert wide.levels[0].widths == (4, 8, 32, 8)
    assert wide.levels[1].tile_elements == plain.levels[1].tile_elements == (2, 8, 4)
    assert wide.levels[1].tile_words == (1, 8, 16)
    assert "holds 25 of 64 words of 8 bits; elements have W 4, I 8, P 32, O 8 bits" in as_text(wide)
    assert "O: tile 16, 16 read, 0 filled, 32 updated, 1,152 bits" in as_text(wide)
    assert "elements have" not in as_text(plain)

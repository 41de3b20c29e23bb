"""Mappings that an optimizer may choose from."""

import numpy as np
import pytest

from armillary.evaluators import for_template
from armillary.evaluators.gemmini.layers import best_mapping
from armillary.evaluators.sampling import ProposesMappings, Proposing
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import check_layer
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, accelerator_of
from armillary.types import Candidate, Fidelity, MappedLayer
from armillary.workloads.layer import Layer, LayerUse, Workload

DESIGN = SPACE.design_from({**TEMPLATE.defaults, "scratchpad_kib": 16, "accumulator_kib": 8}, "test")
LAYER = Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3)
EVALUATOR = for_template("gemmini", Fidelity.ANALYTICAL)


def test_they_fit_and_fill_the_array():
    assert isinstance(EVALUATOR, ProposesMappings)
    texts = EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(128, 128))
    assert len(texts) == len(set(texts)) > 30
    for text in texts:
        check_layer(LAYER, Mapping.parse(text), accelerator_of(DESIGN))
        assert "K16X" in text
        assert "C16X" in text


def test_those_that_are_kept_are_the_best_by_the_cost_model():
    bound = for_template("gemmini", Fidelity.ANALYTICAL, {"timing": "roofline"})
    every = EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(128, 128, seed=3))
    kept = EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(128, 5, seed=3))
    runs = dict(bound.run_mapped([MappedLayer(DESIGN, LAYER, text) for text in every]))
    value = [runs[i].metrics["energy_pj"] * runs[i].metrics["delay_cycles"] for i in range(len(every))]
    assert kept == [every[i] for i in np.argsort(value, kind="stable")[:5]]


def test_a_seed_decides_and_remainders_are_an_option():
    def drawn(**options):
        return EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(32, 32, **options))

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn(remainders=True) != drawn()


def test_the_best_of_a_search_comes_first():
    found = EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(32, 4, seed=1, searched=200))
    best = best_mapping(accelerator_of(DESIGN), LAYER, seed=1, budget=200, choice="physics")
    assert found == [str(best), *EVALUATOR.propose_mappings(DESIGN, LAYER, Proposing(32, 4, seed=1))]


def test_where_nothing_fits_there_is_none():
    small = SPACE.design_from({**TEMPLATE.defaults, "scratchpad_kib": 8}, "test")
    wide = Layer("wide", "conv", K=16, C=16, P=1, Q=1, R=127, S=127)
    found = EVALUATOR.propose_mappings(small, wide, Proposing(16, 16))
    assert all(check_layer(wide, Mapping.parse(text), accelerator_of(small)) is None for text in found)


@pytest.mark.parametrize("count", [1, 3])
def test_layers_add_up_to_what_evaluates_them_together(count):
    net = Workload("net", (LayerUse(LAYER, count), LayerUse(Layer("dense", "gemm", K=32, C=64))))
    texts = {use.layer.name: EVALUATOR.propose_mappings(DESIGN, use.layer, Proposing(16, 1))[0] for use in net.layers}
    candidate = Candidate(DESIGN, texts)
    (whole,) = EVALUATOR.evaluate([candidate], net)
    runs = dict(EVALUATOR.run_mapped([MappedLayer(DESIGN, use.layer, texts[use.layer.name]) for use in net.layers]))
    found = EVALUATOR.added_up(candidate, net, [runs[0], runs[1]])
    assert found.metrics == whole.metrics
    assert [run.runs for run in found.layers] == [count, 1]
    assert (found.workload, found.fidelity, found.feasible) == ("net", Fidelity.ANALYTICAL, True)

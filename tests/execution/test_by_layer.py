"""Networks added up from mapped layers that ran alone."""

from dataclasses import replace

import pytest

from armillary import evaluators
from armillary.evaluators.sampling import Proposing
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from execution.fakes import WORKLOAD, make, spec

SPEC = evaluators.spec_of("gemmini", Fidelity.ANALYTICAL)
NET = Workload(
    "net",
    (LayerUse(Layer("conv", "conv", K=16, C=16, P=6, Q=6, R=3, S=3), 2), LayerUse(Layer("dense", "gemm", K=32, C=64))),
)
EVALUATOR = evaluators.make(SPEC)


def candidate(number):
    texts = {
        use.layer.name: EVALUATOR.propose_mappings(TEMPLATE.baseline, use.layer, Proposing(32, 8)) for use in NET.layers
    }
    return Candidate(TEMPLATE.baseline, {"conv": texts["conv"][number], "dense": texts["dense"][0]})


def ran(executor, *candidates):
    return list(executor.run_by_layer(SPEC, candidates, NET))


def test_a_network_is_what_its_layers_add_up_to(log):
    (found,) = ran(LocalExecutor(log), candidate(0))
    (whole,) = EVALUATOR.evaluate([candidate(0)], NET)
    assert found.metrics == whole.metrics
    assert found.options["mappings"] == "given"
    assert [run.runs for run in found.layers] == [2, 1]
    rows = log.evaluations(SPACE.name)
    assert rows.row(0).metrics == whole.metrics


def test_no_mapped_layer_runs_twice_and_no_row_is_logged_twice(log):
    executor = LocalExecutor(log)
    first, second = ran(executor, candidate(0), candidate(1))
    assert executor.evaluated == 3  # the second shares a layer
    again = LocalExecutor(log)
    assert [e.metrics for e in ran(again, candidate(0), candidate(1))] == [first.metrics, second.metrics]
    assert again.evaluated == 0
    assert len(log.evaluations(SPACE.name)) == 2
    ran(again, candidate(2))
    assert len(log.evaluations(SPACE.name)) == 3


def test_a_layer_that_does_not_fit_is_why_the_network_does_not(log):
    small = SPACE.design_from({**TEMPLATE.defaults, "scratchpad_kib": 8, "accumulator_kib": 8}, "test")
    heavy = Layer("conv", "conv", K=64, C=64, P=64, Q=64)
    texts = EVALUATOR.propose_mappings(TEMPLATE.baseline, heavy, Proposing(64, 64))
    net = Workload("net", (LayerUse(heavy),))
    found = list(LocalExecutor(log).run_by_layer(SPEC, [Candidate(small, {"conv": text}) for text in texts], net))
    refused = next(evaluation for evaluation in found if not evaluation.feasible)
    assert (refused.failure.kind, refused.failure.layer) == ("infeasible", "conv")
    assert "area_mm2" in refused.metrics


def test_a_mapping_that_is_missing_is_named(log):
    whole = candidate(0)
    with pytest.raises(ArmillaryError, match="no mapping of layer 'dense'"):
        ran(LocalExecutor(log), replace(whole, mappings={"conv": whole.mappings["conv"]}))


def test_an_evaluator_that_adds_up_nothing_is_refused(tmp_path):
    with pytest.raises(ArmillaryError, match="adds up no layers"):
        list(LocalExecutor(make=make).run_by_layer(spec(tmp_path, "mapped"), [], WORKLOAD))

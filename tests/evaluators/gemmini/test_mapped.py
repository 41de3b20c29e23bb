"""Mapped layers on accelerators, by the cost model and simulated."""

from dataclasses import replace

import pytest

from armillary.evaluators import for_template
from armillary.evaluators.gemmini import rtl as rtl_module
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.gemmini.simulation import SimulationError
from armillary.evaluators.sampling import LayerSampling, SamplesLayers
from armillary.hardware.templates.gemmini import TEMPLATE
from armillary.tools.verilator import BuildError
from armillary.types import ArmillaryError, Candidate, EvaluatesMappedLayers, Fidelity, MappedLayer
from armillary.workloads.layer import Layer, LayerUse, Workload

NET = Workload(
    "net",
    (
        LayerUse(Layer("conv", "conv", K=8, C=4, P=6, Q=6, R=3, S=3)),
        LayerUse(Layer("dw", "depthwise", K=12, C=12, P=6, Q=6, R=3, S=3, groups=12)),
        LayerUse(Layer("dense", "gemm", K=12, C=12)),
    ),
)
ONE_SIMULATOR = {"dim": (4,)}
FIDELITIES = (Fidelity.ANALYTICAL, Fidelity.RTL)


def evaluator(fidelity, **options):
    return for_template("gemmini", fidelity, options)


def rows(samples=12, **options):
    sampling = LayerSampling(samples, knobs=ONE_SIMULATOR, most_cycles=20_000, **options)
    return list(sample_layers([NET], sampling, lambda _: None).rows)


def ran(fidelity, wanted, **options):
    return dict(evaluator(fidelity, **options).run_mapped(wanted))


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_each_is_as_if_it_ran_alone_on_its_design(fidelity):
    wanted = rows(12 if fidelity is Fidelity.ANALYTICAL else 6)
    found = ran(fidelity, wanted)
    assert sorted(found) == list(range(len(wanted)))
    for number, one in enumerate(wanted):
        candidate = Candidate(one.design, {one.layer.name: one.mapping})
        (alone,) = evaluator(fidelity).run_layers([candidate], [one.layer])
        run = found[number]
        assert run.metrics == pytest.approx(alone.metrics)
        assert replace(run, metrics={}) == replace(alone, metrics={}, network="net")
    assert any(run.layer.groups == 3 for run in found.values())  # of twelve, four side by side


def test_the_energy_of_rtl_is_the_cost_models():
    wanted = rows(6)
    simulated, modelled = (ran(fidelity, wanted) for fidelity in reversed(FIDELITIES))
    for number, run in simulated.items():
        assert run.metrics["energy_pj"] == modelled[number].metrics["energy_pj"]
        assert run.metrics["delay_cycles"] > modelled[number].metrics["compute_cycles"]


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_what_cannot_work_is_data(fidelity):
    whole = "L3[WIO] N1 - L2[WI] N1 K4X - L1[O] K2 R3 S3 C4X - L0[W] P6 Q6"
    good = MappedLayer(
        TEMPLATE.baseline, NET.layers[0].layer, "L3[WIO] N1 - L2[WI] K8X - L1[O] R3 S3 C4X - L0[W] P6 Q6"
    )
    tiny = {**TEMPLATE.baseline.as_dict(), "dim": 4, "bus_bytes": 4, "scratchpad_kib": 8}
    large = Layer("large", "conv", K=8, C=4, P=66, Q=66, R=3, S=3)
    too_large = MappedLayer(
        TEMPLATE.space.design_from(tiny, "test"), large, whole.replace("P6 Q6", "P66 Q66"), network="net"
    )
    no_such = MappedLayer(TEMPLATE.space.design_from({**tiny, "bus_bytes": 32}, "test"), large, whole)
    found = ran(fidelity, [too_large, no_such])
    assert (found[0].failure.kind, found[0].failure.resource) == ("infeasible", "scratchpad rows")
    assert found[0].failure.needed > found[0].failure.available == 2048
    assert (found[0].mapping, found[0].network, found[0].metrics) == (too_large.mapping, "net", {})
    assert found[1].failure.resource == "row bytes"
    assert evaluator(fidelity).mapping_fault(no_such) is None
    assert evaluator(fidelity).mapping_fault(good) is None


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_mapping_of_another_layer_is_a_wrong_request(fidelity):
    (one, *_) = rows(1)
    other = replace(one, layer=replace(one.layer, K=one.layer.K * 5))
    fault = ran(fidelity, [other])[0]
    assert isinstance(fault, ArmillaryError)
    assert "the factors of K multiply to" in str(fault)
    assert evaluator(fidelity).mapping_fault(other).startswith("the factors of K multiply to")


def test_both_have_the_capabilities():
    for fidelity in FIDELITIES:
        assert isinstance(evaluator(fidelity), EvaluatesMappedLayers)
        assert isinstance(evaluator(fidelity), SamplesLayers)


def test_a_simulation_that_breaks_leaves_the_others(monkeypatch):
    wanted = rows(4, unfit_share=0.0)
    simulate_all = rtl_module.simulate_all

    def broken(simulator_of, jobs):
        results = simulate_all(simulator_of, jobs)
        return [SimulationError("left its memory"), *results[1:]]

    monkeypatch.setattr(rtl_module, "simulate_all", broken)
    found = ran(Fidelity.RTL, wanted)
    broken_ones = [number for number, run in found.items() if isinstance(run, SimulationError)]
    assert broken_ones == [0]
    assert all(found[number].metrics["delay_cycles"] > 0 for number in (1, 2, 3))


def test_work_is_done_simulator_by_simulator(monkeypatch):
    sampling = LayerSampling(9, knobs={"dim": (4, 8), "bus_bytes": (4,)}, unfit_share=0.0)
    wanted = list(sample_layers([NET], sampling, lambda _: None).rows)
    groups = []

    def seen(simulator_of, jobs):
        groups.append({(job.accelerator.dim, job.accelerator.bus_bytes) for job in jobs})
        return [BuildError("no compiler") for _ in jobs]

    monkeypatch.setattr(rtl_module, "simulate_all", seen)
    found = ran(Fidelity.RTL, wanted)
    assert groups == [{(4, 4)}, {(8, 4)}]
    assert all(isinstance(fault, BuildError) for fault in found.values())
    assert len(found) == 9

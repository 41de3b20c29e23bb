"""Trials are the product's own loop; the analytical evaluator stands for the RTL, which needs simulators."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import evaluators
from armillary.benchmarks.polaris import bound, runs
from armillary.benchmarks.polaris.runs import METHODS, QUICK, Method, _row_of, _run_of, design_of, trial
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.gemmini import SPACE, published_designs
from armillary.optimizers import polaris
from armillary.types import Fidelity, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

NET = Workload(
    "net",
    (LayerUse(Layer("conv", "conv", K=16, C=8, P=7, Q=7, R=3, S=3), 2), LayerUse(Layer("dense", "gemm", K=32, C=16))),
)
TINY = replace(QUICK, hardware=2, software=2, judged=(4, 8), mapped=50, descent=(4, 3))


@pytest.fixture
def options(tmp_path, monkeypatch):
    for name, value in {
        "_POINTS": 6,
        "POINTS_NEAR": 2,
        "SCOUTED": 16,
        "_DRAWN": 64,
        "_KEPT": 16,
        "_SEARCHED": 50,
    }.items():
        monkeypatch.setattr(polaris, name, value)
    real = evaluators.spec_of

    def analytical(template, fidelity, *told, **more):
        options = {"timing": "roofline"} if fidelity is Fidelity.RTL else dict(*told)
        return real(template, Fidelity.ANALYTICAL, options, **more)

    monkeypatch.setattr(runs.evaluators, "spec_of", analytical)
    monkeypatch.setattr(runs, "network_of", lambda name, sizes: replace(NET, name=name))
    monkeypatch.setattr(bound, "network_of", lambda name, sizes: replace(NET, name=name))
    return BenchOptions(None, True, 0, tmp_path / "figure", lambda *_: None)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_spends_the_same_and_its_best_falls(options, name):
    found = trial(METHODS[name], "bert", TINY, 0, options)
    assert len(found["values"]) == TINY.evaluations == 4
    assert found["values"] == sorted(found["values"], reverse=True)
    assert np.isfinite(found["values"][-1])
    best = found["best"]
    assert best["delay_cycles"] * best["energy_pj"] == pytest.approx(found["values"][-1])
    assert len(found["runs"]) == 4 * len(NET.layers)
    assert trial(METHODS[name], "bert", TINY, 0, options) == found


def test_a_trial_on_one_design_maps_no_other(options):
    design = {"dim": 8, "scratchpad_kib": 64, "accumulator_kib": 32}
    found = trial(METHODS["polaris"], "bert", replace(TINY, hardware=1, software=4), 0, options, design)
    assert {tuple(run[name] for name in design) for run in found["runs"]} == {(8, 64, 32)}
    assert len({run["mapping"] for run in found["runs"] if run["layer"]["name"] == "conv"}) == 4


def test_a_warm_start_learns_of_the_other_network(options, monkeypatch):
    told = []
    made = Method.made

    def watched(self, problem, sizes, seed):
        optimizer = made(self, problem, sizes, seed)
        learn = optimizer.learn
        optimizer.learn = lambda runs: (told.extend(runs), learn(runs))
        return optimizer

    monkeypatch.setattr(Method, "made", watched)
    trial(METHODS["spotlight, warm"], "bert", TINY, 0, options)
    others = trial(METHODS["random"], "unet", TINY, 0, options)["runs"]
    assert [_row_of(run) for run in told] == others


def test_runs_survive_being_kept():
    design = SPACE.design(published_designs()[1234])
    run = LayerRun(design, NET.layers[0].layer, "L0 P2", {"delay_cycles": 3.0, "energy_pj": 4.0}, runs=2)
    assert _run_of(_row_of(run)) == run
    assert design_of(_row_of(run)) == design


def test_the_bound_is_the_least_of_the_grid(options):
    text = bound.bound_of("bert", TINY, options)
    assert text.startswith("bert: of 18 designs on a grid")
    found = bound._measured("bert", TINY, options)
    assert len(found["rtl"]) == 3
    assert all(value > 0 for value in found["rtl"])
    source = runs.AnalyticalSource("gemmini")
    (one,) = source.networks(
        [design_of({"dim": 32, "scratchpad_kib": 64, "accumulator_kib": 64})], NET, "edp_pj_cycles",
        searched=TINY.mapped, seed=0,
    )  # fmt: skip
    assert found["least"] <= one.metrics["delay_cycles"] * one.metrics["energy_pj"] * (1 + 1e-9)

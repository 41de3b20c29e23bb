"""Polaris on small networks; what it tells of is learned of the analytical evaluator's other delay."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators import for_template
from armillary.evaluators.gemmini.build import simulator
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, accelerator_of, published_designs
from armillary.log.store import Log
from armillary.optimizers import design_table
from armillary.optimizers import polaris as module
from armillary.optimizers.polaris import Polaris, PolarisRandom, PolarisScratch
from armillary.problems.criteria import Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.studies.design_file import read_design
from armillary.studies.layer_source import AnalyticalSource
from armillary.studies.search import SearchRequest, load_search, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.surrogates.layers import Prior
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError, Fidelity, MappedLayer
from armillary.workloads.layer import Layer, LayerUse, Workload

NET = Workload(
    "net",
    (
        LayerUse(Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3), 2),
        LayerUse(Layer("late", "conv", K=128, C=128, P=7, Q=7)),
        LayerUse(Layer("dense", "gemm", K=96, C=64, P=16)),
    ),
)
PART = {"dim": (16, 32), "scratchpad_kib": (8, 32, 64, 128, 256), "accumulator_kib": (8, 16, 32, 64, 128, 256)}
SMALL = replace(
    SPACE,
    parameters=tuple(replace(p, values=PART.get(p.name, (TEMPLATE.defaults[p.name],))) for p in SPACE.parameters),
)  # 60 designs, as many as the contract's own space
REQUEST = SearchRequest(
    source="net", digest="d", template="gemmini", optimizer="polaris", budget=9, seed=3,
    objectives=(Objective("edp_pj_cycles"),), options={"timing": "roofline"},
)  # fmt: skip


class Told:
    """A source for which every layer has two mappings, of which designs with larger arrays are faster."""

    def mappings(self, *_, **__):
        return ["L0 P1", "L0 P2"]

    def prior(self, mapped):
        delay = np.array([1000.0 / one.design["dim"] + one.design["scratchpad_kib"] for one in mapped])
        metrics = {"delay_cycles": delay, "energy_pj": np.ones(len(mapped))}
        return Prior(metrics, np.ones(len(mapped), dtype=bool), "told")


class OfPolaris(OptimizerContract):
    kind = Polaris

    @pytest.fixture
    def space(self):
        return SMALL

    @pytest.fixture
    def make(self, problem):
        asked = replace(problem, workloads=(NET,))
        return lambda seed: self.kind(asked, layers=Told(), seed=seed, software=1)


class TestPolaris(OfPolaris):
    kind = Polaris


class TestPolarisScratch(OfPolaris):
    kind = PolarisScratch


class TestPolarisRandom(OfPolaris):
    kind = PolarisRandom


@pytest.fixture
def few(monkeypatch):
    """Fewer points and mappings than in earnest."""
    for name, value in {
        "_POINTS": 6,
        "POINTS_NEAR": 2,
        "SCOUTED": 16,
        "_SCOUTS": 2,
        "_DRAWN": 64,
        "_KEPT": 16,
        "_SEARCHED": 100,
    }.items():
        monkeypatch.setattr(module, name, value)


def problem(metric="edp_pj_cycles", net=NET):
    return Problem.minimising(SPACE, metric, workloads=(net,))


def searched(optimizer, evaluator, amount):
    """Ask and tell so often, and return the candidates."""
    asked = []
    for _ in range(amount):
        asked += optimizer.ask(1)
        optimizer.tell(asked[-1:], Outcomes.of_each(evaluator.evaluate(asked[-1:], NET)))
    return asked


BOUND = for_template("gemmini", Fidelity.ANALYTICAL, {"timing": "roofline"})


def test_the_first_choices_are_the_best_by_the_prior(few):
    source = AnalyticalSource("gemmini")
    optimizer = Polaris(problem(), layers=source, seed=1)
    (candidate,) = optimizer.ask(1)
    assert candidate.design in SPACE.designs(published_designs())
    for use in NET.layers:
        texts = source.mappings(candidate.design, use.layer, drawn=64, kept=16, seed=1, searched=100)
        prior = source.prior([_mapped(candidate.design, use.layer, text) for text in texts])
        value = prior.metrics["delay_cycles"] * prior.metrics["energy_pj"]
        assert candidate.mappings[use.layer.name] == texts[int(value.argmin())]


def _mapped(design, layer, text):
    return MappedLayer(design, layer, text)


def test_each_design_has_its_turns_with_a_new_mapping_of_each_layer(few):
    asked = searched(Polaris(problem(), layers=AnalyticalSource("gemmini"), software=3), BOUND, 6)
    assert [one.design for one in asked] == [asked[0].design] * 3 + [asked[3].design] * 3
    assert asked[0].design != asked[3].design
    for first in (0, 3):
        for use in NET.layers:
            assert len({one.mappings[use.layer.name] for one in asked[first : first + 3]}) == 3


class Slow:
    """Runs take a hundred times as long on the largest array as on others, which the prior knows nothing of."""

    def evaluate(self, candidates, workload):
        found = []
        for one in BOUND.evaluate(candidates, workload):
            factor = 100.0 if one.design["dim"] == 32 else 1.0
            layers = [
                replace(run, metrics={**run.metrics, "delay_cycles": factor * run.metrics["delay_cycles"]})
                for run in one.layers
            ]
            metrics = {**one.metrics, "delay_cycles": factor * one.metrics["delay_cycles"]}
            found.append(replace(one, layers=tuple(layers), metrics=metrics))
        return found


def test_it_learns_what_the_prior_gets_wrong(few):
    """From designs that others asked for, of all sizes."""
    source = AnalyticalSource("gemmini")
    optimizer, other = Polaris(problem(), layers=source, seed=1), PolarisRandom(problem(), layers=source, software=1)
    known = other.ask(24)
    optimizer.tell(known, Outcomes.of_each(Slow().evaluate(known, NET)))
    (learned,), (alone,) = optimizer.ask(1), Polaris(problem(), layers=source, seed=1).ask(1)
    assert {32} < {one.design["dim"] for one in known}
    assert (learned.design["dim"], alone.design["dim"]) == (16, 32)


def test_layers_get_the_best_of_their_measured_mappings(few):
    optimizer = Polaris(problem(), layers=AnalyticalSource("gemmini"), software=3)
    asked = searched(optimizer, BOUND, 6)
    made = optimizer.recombined()
    assert [one.design for one in made] == [asked[0].design, asked[3].design]
    rows = problem().values(Outcomes.of_each(BOUND.evaluate([*asked, *made], NET)))
    assert rows[6] <= rows[:3].min() * (1 + 1e-9)
    assert rows[7] <= rows[3:6].min() * (1 + 1e-9)
    for one, several in zip(made, (asked[:3], asked[3:]), strict=True):
        for name, text in one.mappings.items():
            assert text in {other.mappings[name] for other in several}


@pytest.mark.parametrize("metric", ["delay_cycles", "energy_pj"])
def test_the_objective_decides_between_mappings(metric, few):
    optimizer = Polaris(problem(metric), layers=AnalyticalSource("gemmini"), software=3)
    asked = searched(optimizer, BOUND, 3)
    (made,) = optimizer.recombined()
    for use in NET.layers:
        runs = [
            dict(BOUND.run_mapped([_mapped(one.design, use.layer, one.mappings[use.layer.name])]))[0] for one in asked
        ]
        best = min(runs, key=lambda run: run.metrics[metric])
        assert made.mappings[use.layer.name] == best.mapping


def test_a_design_on_which_nothing_fits_comes_without_mappings(few):
    class Nothing(Told):
        def mappings(self, *_, **__):
            return []

    (candidate,) = Polaris(problem(), layers=Nothing()).ask(1)
    assert candidate.mappings is None


@pytest.mark.parametrize(
    ("asked", "source", "fault"),
    [
        (problem(), None, "told of layers"),
        (problem("dram_bytes"), Told(), "'dram_bytes' is not allowed"),
        (Problem.minimising(SPACE, "edp_pj_cycles"), Told(), "maps one workload; the problem has 0"),
    ],
)
def test_what_it_cannot_do_is_refused(asked, source, fault):
    with pytest.raises(ArmillaryError, match=fault):
        Polaris(asked, layers=source)


@pytest.mark.parametrize("name", ["polaris", "polaris-scratch", "polaris-random"])
def test_a_search_ends_with_design_and_mappings(name, few, tmp_path):
    request = replace(REQUEST, optimizer=name)
    found = run_search(request, TEMPLATE, NET, StudyFolder(tmp_path), command="armillary search")
    rows = Log(tmp_path / "log").evaluations("gemmini")
    edp = rows.metrics["delay_cycles"] * rows.metrics["energy_pj"]
    best = found.best.metrics["delay_cycles"] * found.best.metrics["energy_pj"]
    assert best == pytest.approx(edp.min())
    assert read_design(tmp_path / "design.yaml", SPACE) == found.best.design
    assert {path.name for path in found.files} == {"design.yaml", "mappings.yaml"}
    assert load_search(StudyFolder(tmp_path), TEMPLATE, NET).winner.design == found.best.design


def test_a_search_that_was_interrupted_runs_nothing_twice(few, tmp_path):
    whole = run_search(REQUEST, TEMPLATE, NET, StudyFolder(tmp_path / "whole"))

    def stop(_what, done, _total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(REQUEST, TEMPLATE, NET, StudyFolder(tmp_path / "two"), on_progress=stop)
    before = len(_alone(tmp_path / "two"))
    again = run_search(REQUEST, TEMPLATE, NET, StudyFolder(tmp_path / "two"))
    assert again.best.metrics == whole.best.metrics
    every = _alone(tmp_path / "two")
    assert 0 < before < len(every) == len(set(every))
    assert len(every) == len(_alone(tmp_path / "whole"))


def _alone(folder):
    runs = Log(folder / "log").layer_runs("gemmini")
    runs = runs.select(runs.workload == "")
    return [(run.design, run.layer.name, run.mapping) for run in runs.to_list()]


def test_a_search_simulates_what_it_chooses(few, tmp_path, monkeypatch):
    """One simulator, of the smallest array."""
    small = published_designs()
    monkeypatch.setattr(design_table, "published_designs", lambda space: small[space.columns(small)["dim"] == 4])
    net = Workload("tiny", (LayerUse(Layer("a", "conv", K=8, C=8, P=6, Q=6)), LayerUse(Layer("b", "gemm", K=8, C=16))))
    request = replace(REQUEST, fidelity="rtl", options={}, budget=2)
    found = run_search(request, TEMPLATE, net, StudyFolder(tmp_path))
    assert simulator(accelerator_of(found.best.design)).exists()
    assert found.best.fidelity is Fidelity.RTL
    assert "busy_cycles" in found.best.metrics
    assert set(_alone(tmp_path)) >= {(found.best.design, run.layer.name, run.mapping) for run in found.best.layers}


def test_what_is_told_of_other_networks_is_no_candidate(few):
    source = AnalyticalSource("gemmini")
    optimizer = Polaris(problem(), layers=source, seed=1)
    known = PolarisRandom(problem(), layers=source, software=1).ask(24)
    optimizer.learn([run for one in BOUND.evaluate(known, NET) for run in one.layers])
    assert optimizer.recombined() == []


def test_they_are_registered():
    assert {"polaris", "polaris-scratch", "polaris-random"} <= set(optimizers.names())

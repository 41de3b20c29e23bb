from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators.spotlight import SpotlightEvaluator
from armillary.hardware import templates
from armillary.hardware.templates.spotlight import EDGE, TEMPLATE, chip_of
from armillary.log.store import Log
from armillary.mapping.spotlight.roofline import Roofline
from armillary.mapping.spotlight.search import Mapper
from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.studies.design_file import read_design
from armillary.studies.map_network import map_as_given, read_hierarchy, read_mappings
from armillary.studies.search import SearchRequest, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.testing.evaluators import EvaluatorContract
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError, Objective
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

VARIANTS = [name for name in optimizers.names() if name.startswith("spotlight")]
WORK = Workload("part", zoo.build("mobilenet_v2").layers[:3])
REQUEST = SearchRequest(
    source="w", digest="d", template="spotlight", optimizer="spotlight", area_mm2=3.5, budget=14, metric="edp_pj_cycles"
)
# 3 lanes x 1 bandwidth x 4 arrays x 5 memories: as many designs as the contract's own space
SMALL = Space(
    "spotlight",
    tuple(
        replace(p, values=p.values[:: len(p.values) // n][:n])
        for p, n in zip(EDGE.parameters, (3, 1, 4, 5, 1), strict=True)
    ),
)


SAMPLE = sample(EDGE, 5, "random", 0)


class TestSpotlight(OptimizerContract):
    @pytest.fixture
    def tiny_space(self):
        return SMALL

    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: optimizers.load("spotlight")(space=tiny_space, objective=objective, seed=seed)


class TestSpotlightEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return SpotlightEvaluator(EDGE, mapper=Mapper("few", optimizers.load("spotlight-r").mapper.make, samples=5))

    @pytest.fixture
    def space(self):
        return EDGE

    @pytest.fixture
    def workload(self):
        return WORK


def small_steps(monkeypatch):
    """Let every variant look at ten mappings per layer."""
    monkeypatch.setattr(Mapper, "samples", 10, raising=False)
    init = Mapper.__init__

    def few(self, *arguments, **options):
        init(self, *arguments, **{**options, "samples": 10})

    monkeypatch.setattr(Mapper, "__init__", few)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_searches_and_logs(variant, tmp_path, monkeypatch):
    small_steps(monkeypatch)
    found = run_search(replace(REQUEST, optimizer=variant), TEMPLATE, WORK, StudyFolder(tmp_path))
    assert found.evaluated == found.feasible == 14
    rows = Log(tmp_path / "log").evaluations("spotlight")
    assert (rows.metrics["area_mm2"] <= 3.5).all()
    assert found.best.metrics["edp_pj_cycles"] == pytest.approx(
        found.best.metrics["energy_pj"] * found.best.metrics["delay_cycles"]
    )


def test_the_winner_is_written_so_that_it_can_be_evaluated_again(tmp_path, monkeypatch):
    small_steps(monkeypatch)
    found = run_search(REQUEST, TEMPLATE, WORK, StudyFolder(tmp_path))
    assert [path.name for path in found.files] == ["design.yaml", "hierarchy.yaml", "mappings.yaml"]
    assert read_design(tmp_path / "design.yaml", EDGE) == found.best.design
    hierarchy = read_hierarchy(tmp_path / "hierarchy.yaml")
    mappings = read_mappings(str(tmp_path / "mappings.yaml"), WORK, hierarchy)
    layers = map_as_given(hierarchy, WORK, mappings)
    energy = sum(layer.use.count * layer.energy_pj for layer in layers)
    delay = sum(layer.use.count * layer.delay_cycles for layer in layers)
    assert delay == found.best.metrics["delay_cycles"]
    assert energy == pytest.approx(found.best.metrics["energy_pj"])


def test_a_power_budget_makes_designs_infeasible(tmp_path, monkeypatch):
    small_steps(monkeypatch)
    free = run_search(REQUEST, TEMPLATE, WORK, StudyFolder(tmp_path / "free"))
    power = free.best.metrics["energy_pj"] / free.best.metrics["delay_cycles"]
    bound = run_search(replace(REQUEST, power_mw=0.8 * power), TEMPLATE, WORK, StudyFolder(tmp_path / "bound"))
    assert bound.feasible < bound.evaluated
    assert bound.best is None or bound.best.metrics["power_mw"] <= 0.8 * power


def test_what_cannot_be_searched_is_refused(tmp_path):
    edge_tpu = replace(REQUEST, template="edge_tpu", area_mm2=29.0)
    template, workload = templates.load("edge_tpu"), zoo.build("mobilenet_v2")
    with pytest.raises(ArmillaryError, match="choose --template spotlight"):
        run_search(edge_tpu, template, workload, StudyFolder(tmp_path / "a"))
    with pytest.raises(ArmillaryError, match="metric 'area_mm2' does not say"):
        run_search(replace(REQUEST, metric="area_mm2"), TEMPLATE, WORK, StudyFolder(tmp_path / "b"))


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in ("spotlight-r", "spotlight-ga")])
def test_no_design_outside_a_known_constraint_is_asked(variant):
    search = optimizers.load(variant)(space=EDGE, objective=Objective("runtime_s"), seed=0)
    search.within = lambda codes: TEMPLATE.area_mm2(codes) <= 2.0
    for _ in range(5):
        codes = search.ask_codes(6)
        assert (TEMPLATE.area_mm2(codes) <= 2.0).all()
        search.tell_batch(codes, codes.sum(axis=1) + 1.0)


def test_the_hardware_search_learns():
    search = optimizers.load("spotlight")(space=EDGE, objective=Objective("runtime_s"), seed=0)
    lanes = EDGE.names.index("simd_lanes")
    for _ in range(40):
        codes = search.ask_codes(1)
        search.tell_batch(codes, 1.0 / np.array([chip_of(d).simd_lanes for d in EDGE.designs(codes)]))
    assert EDGE.parameters[lanes].values[search.best_codes[lanes]] == 16


METRICS = ("delay_cycles", "edp_pj_cycles", "energy_pj")


def told(variant, metric, network=None):
    """Return a search that heard twelve results, the same ones whether it knows the network or not."""
    search = optimizers.load(variant)(space=EDGE, objective=Objective(metric), seed=0)
    search.within = lambda codes: TEMPLATE.area_mm2(codes) <= 3.5
    if network is not None:
        search.for_workload(network)
    codes = search.ask_codes(12)
    search.tell_batch(codes, 1.0 + codes.sum(axis=1))
    return search


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("variant", "uses"),
    [(v, True) for v in ("spotlight", "spotlight-a", "spotlight-f", "spotlight-exact")]
    + [(v, False) for v in ("spotlight-v", "hasco")],
)
def test_a_known_network_changes_what_is_asked(variant, uses, metric):
    blind, knowing = told(variant, metric), told(variant, metric, zoo.build("transformer"))
    assert (blind.ask_codes(10).tolist() != knowing.ask_codes(10).tolist()) == uses


def test_what_is_expected_of_a_chip_is_what_the_metric_says():
    chips, network = [chip_of(design) for design in EDGE.designs(SAMPLE)], zoo.build("transformer")
    roofline = Roofline.of(network)
    delay = np.array([roofline.least_cycles(chip) for chip in chips])
    energy = np.array([roofline.usual_energy_pj(chip) for chip in chips])
    for metric, expected in (
        ("delay_cycles", delay),
        ("runtime_s", delay),
        ("energy_pj", energy),
        ("edp_pj_cycles", delay * energy),
    ):
        np.testing.assert_allclose(told("spotlight", metric, network)._expected_of(chips), expected)
    search = optimizers.load("spotlight")(space=EDGE, objective=Objective("area_mm2"), seed=0)
    search.for_workload(network)
    assert search._expected_of(chips) is None


def test_a_network_is_told_before_the_first_result():
    with pytest.raises(ArmillaryError, match="tell it first"):
        told("spotlight", "delay_cycles").for_workload(zoo.build("transformer"))


def test_other_optimizers_search_the_template_with_thorough_mappings(tmp_path):
    small = replace(REQUEST, optimizer="random", budget=2, area_mm2=templates.load("spotlight").area_budget_mm2)
    found = run_search(small, TEMPLATE, WORK, StudyFolder(tmp_path))
    assert found.best.evaluator == "spotlight/thorough/edp"

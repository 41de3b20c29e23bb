from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators.spotlight import EDGE_KIND
from armillary.hardware import templates
from armillary.hardware.templates.spotlight import EDGE, TEMPLATE, chip_of
from armillary.mapping.spotlight.roofline import Roofline
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.spotlight import Spotlight
from armillary.problems.criteria import Bound, Objective, upper_bounds
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.studies.design_file import read_design
from armillary.studies.map_network import map_as_given, read_hierarchy, read_mappings
from armillary.studies.search import SearchRequest, load_search, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.testing.evaluators import EvaluatorContract
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

VARIANTS = [name for name in optimizers.names() if name.startswith("spotlight")]
WORK = Workload("part", zoo.build("mobilenet_v2").layers[:3])
REQUEST = SearchRequest(
    source="w", digest="d", template="spotlight", optimizer="spotlight", budget=14,
    bounds=upper_bounds({"area_mm2": 3.5}),    objectives=(Objective("edp_pj_cycles"),), options={"samples": 10},
)  # fmt: skip
# 3 lanes x 1 bandwidth x 4 arrays x 5 memories: as many designs as the contract's own space
SMALL = Space(
    "spotlight",
    tuple(
        replace(p, values=p.values[:: len(p.values) // n][:n])
        for p, n in zip(EDGE.parameters, (3, 1, 4, 5, 1), strict=True)
    ),
)
SAMPLE = sample(EDGE, 5, "random", 0)


class OfSpotlight(OptimizerContract):
    @pytest.fixture
    def space(self):
        return SMALL


class TestSpotlight(OfSpotlight):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Spotlight(problem, seed=seed, candidates=100)


class TestSpotlightRandom(OfSpotlight):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: optimizers.load("spotlight-r")(problem, seed=seed)


class TestSpotlightGenetic(OfSpotlight):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: optimizers.load("spotlight-ga")(problem, seed=seed)


class TestConfuciux(OfSpotlight):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: optimizers.load("confuciux")(problem, seed=seed)


class TestSpotlightEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return EDGE_KIND.evaluator(EDGE_KIND.spec({"mapper": "random", "samples": 5}))

    @pytest.fixture
    def space(self):
        return EDGE

    @pytest.fixture
    def workload(self):
        return WORK


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_searches_and_logs(variant, tmp_path):
    found = run_search(replace(REQUEST, optimizer=variant), TEMPLATE, WORK, StudyFolder(tmp_path))
    assert found.evaluated == found.feasible == 14
    study = load_search(StudyFolder(tmp_path), TEMPLATE, WORK)
    assert (study.log.metrics["area_mm2"] <= 3.5).all()
    assert study.winner.design == found.best.design
    assert study.winner.metrics["edp_pj_cycles"] == study.measured(study.log).min()
    assert study.winner.metrics["edp_pj_cycles"] == pytest.approx(
        found.best.metrics["energy_pj"] * found.best.metrics["delay_cycles"]
    )


def test_the_winner_is_written_so_that_it_can_be_evaluated_again(tmp_path):
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


def test_a_power_budget_makes_designs_infeasible(tmp_path):
    request = replace(REQUEST, optimizer="spotlight-r")
    free = run_search(request, TEMPLATE, WORK, StudyFolder(tmp_path / "free"))
    power = free.best.metrics["energy_pj"] / free.best.metrics["delay_cycles"]
    bounds = (*request.bounds, Bound("power_mw", at_most=0.8 * power))
    bound = run_search(replace(request, bounds=bounds), TEMPLATE, WORK, StudyFolder(tmp_path / "bound"))
    assert bound.feasible < bound.evaluated
    best = bound.best
    assert best is None or best.metrics["energy_pj"] / best.metrics["delay_cycles"] <= 0.8 * power


def test_what_cannot_be_searched_is_refused(tmp_path):
    edge_tpu = replace(REQUEST, template="edge_tpu", bounds=upper_bounds({"area_mm2": 29.0}), options={})
    template, workload = templates.load("edge_tpu"), zoo.build("mobilenet_v2")
    with pytest.raises(ArmillaryError, match="choose --template spotlight"):
        run_search(edge_tpu, template, workload, StudyFolder(tmp_path / "a"))
    with pytest.raises(ArmillaryError, match="metric 'area_mm2' does not say"):
        run_search(replace(REQUEST, objectives=(Objective("area_mm2"),)), TEMPLATE, WORK, StudyFolder(tmp_path / "b"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_design_outside_a_known_constraint_is_asked(variant):
    search = optimizers.load(variant)(TEMPLATE.problem("runtime_s", {"area_mm2": 2.0}), seed=0)
    for _ in range(5):
        codes = search.ask_codes(6)
        assert (TEMPLATE.area_mm2(codes) <= 2.0).all()
        search.tell_values(codes, 1000.0 / (1 + codes.sum(axis=1)))


def size_of(codes):
    """Return the product of all that a chip has over the most it may have, shape [designs]."""
    chips = [chip_of(design) for design in EDGE.designs(codes)]
    most = chip_of(EDGE.design(np.array(EDGE.cardinalities) - 1))
    names = ("simd_lanes", "bandwidth", "pes", "scratchpad_kib", "register_file_kib")
    return np.array([np.prod([getattr(chip, name) / getattr(most, name) for name in names]) for chip in chips])


def last_sizes(search):
    """Return the mean size of the last of 20 chips that a search asks for, where size is all it wants."""
    codes = []
    for _ in range(20):
        codes.append(search.ask_codes(1))
        search.tell_values(codes[-1], 1.0 / size_of(codes[-1]))
    return size_of(np.concatenate(codes[-8:])).mean()


def test_the_hardware_search_learns():
    makes = (lambda problem, seed: Spotlight(problem, seed=seed, candidates=200)), RandomSearch
    found, chance = (
        np.median([last_sizes(make(Problem.minimising(EDGE), seed=s)) for s in range(3)]) for make in makes
    )
    assert found > 3 * chance


METRICS = ("delay_cycles", "edp_pj_cycles", "energy_pj")
NETWORK = zoo.build("transformer")


def told(variant, metric, *networks):
    """Return a search that was told twelve results, the same ones whatever networks it is for."""
    search = optimizers.load(variant)(TEMPLATE.problem(metric, {"area_mm2": 3.5}, workloads=networks), seed=0)
    codes = search.ask_codes(12)
    search.tell_values(codes, 1.0 + codes.sum(axis=1))
    return search


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("variant", "uses"),
    [(v, True) for v in ("spotlight", "spotlight-a", "spotlight-f", "spotlight-exact")]
    + [(v, False) for v in ("spotlight-v", "hasco")],
)
def test_a_known_network_changes_what_is_asked(variant, uses, metric):
    blind, knowing = told(variant, metric), told(variant, metric, NETWORK)
    assert (blind.ask_codes(10).tolist() != knowing.ask_codes(10).tolist()) == uses


def expected(metric, *networks):
    """Return what a search expects of some chips."""
    search = optimizers.load("spotlight")(TEMPLATE.problem(metric, workloads=networks), seed=0)
    return search._expected_of([chip_of(design) for design in EDGE.designs(SAMPLE)])


def test_what_is_expected_of_a_chip_is_what_the_metric_says():
    chips = [chip_of(design) for design in EDGE.designs(SAMPLE)]
    roofline = Roofline.of(NETWORK.layers)
    delay = np.array([roofline.least_cycles(chip) for chip in chips])
    energy = np.array([roofline.usual_energy_pj(chip) for chip in chips])
    for metric, values in (
        ("delay_cycles", delay), ("runtime_s", delay), ("energy_pj", energy), ("edp_pj_cycles", delay * energy),
    ):  # fmt: skip
        np.testing.assert_allclose(expected(metric, NETWORK), values)
        assert expected(metric) is None
    assert expected("area_mm2", NETWORK) is None


def test_what_is_expected_for_several_networks_is_their_sum():
    other = zoo.build("mobilenet_v2")
    each = expected("delay_cycles", NETWORK), expected("delay_cycles", other)
    np.testing.assert_allclose(expected("delay_cycles", NETWORK, other), sum(each))


def test_other_optimizers_search_the_template_with_thorough_mappings(tmp_path):
    small = replace(REQUEST, optimizer="random", budget=2, bounds=upper_bounds(templates.load("spotlight").budgets))
    found = run_search(small, TEMPLATE, WORK, StudyFolder(tmp_path))
    assert found.best.options == {"mapper": "thorough", "goal": "edp", "samples": 10}

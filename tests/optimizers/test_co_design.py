"""Searches for hardware and mappings together: what a candidate says of how its mappings are to be found."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators.spotlight import EDGE_KIND
from armillary.hardware.templates.spotlight import EDGE, TEMPLATE
from armillary.mapping.spotlight.mappers import MAPPERS
from armillary.optimizers.co_design import CoDesign
from armillary.problems.criteria import Bound
from armillary.problems.outcomes import Outcomes
from armillary.testing.optimizers import evaluation
from armillary.types import LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

MAPPER_OF = {
    "confuciux": "dataflows",
    "hasco": "intrinsic",
    "spotlight": "dabo",
    "spotlight-a": "dabo-all",
    "spotlight-exact": "exact",
    "spotlight-f": "dabo-fixed",
    "spotlight-ga": "genetic",
    "spotlight-r": "random",
    "spotlight-v": "dabo-vanilla",
}
PROBLEM = TEMPLATE.problem("runtime_s", {"area_mm2": 3.5})
WORK = Workload("two", tuple(LayerUse(Layer(name, "gemm", K=k, C=32, P=16)) for name, k in (("a", 48), ("b", 36))))
NAMED = pytest.mark.parametrize("name", MAPPER_OF)


def told(candidate, runtime, mappings, **more):
    """Return an evaluation of a candidate whose layers ran under these mappings, by layer."""
    metrics = {"runtime_s": runtime, "area_mm2": 1.0, **more}
    runs = tuple(LayerRun(candidate.design, Layer(name, "gemm"), text, {}) for name, text in mappings.items())
    return replace(evaluation(candidate.design, metrics), layers=runs)


def tell(search, runtimes, mappings):
    """Ask for as many candidates, and tell what became of them."""
    asked = search.ask(len(runtimes))
    search.tell(asked, Outcomes.of_each([told(*row) for row in zip(asked, runtimes, mappings, strict=True)]))


def starts(search):
    """Return where the search has the mappings of the next candidates begin; all of a batch in the same place."""
    first, second = search.ask(2)
    assert first.search.starts == second.search.starts
    return dict(first.search.starts)


def test_the_list_is_of_all_that_search_mappings_too():
    of_template = (n for n in optimizers.names() if n.startswith(("confuciux", "hasco", "spotlight")))
    assert set(of_template) == set(MAPPER_OF)


@NAMED
def test_candidates_name_a_mapper_that_there_is(name):
    search = optimizers.load(name)(PROBLEM, seed=0)
    assert isinstance(search, CoDesign)
    (candidate,) = search.ask(1)
    assert candidate.search.mapper == MAPPER_OF[name]
    assert candidate.search.mapper in MAPPERS.names()
    assert candidate.search.starts == {}
    assert candidate.mappings is None


@NAMED
def test_candidates_begin_with_the_mappings_of_the_best_designs(name):
    search = optimizers.load(name)(PROBLEM, seed=0)
    tell(search, [3.0, 1.0, 2.0], [{"a": "A3", "b": "B3"}, {"a": "A1", "b": "B1"}, {"a": "A2", "b": "B2"}])
    assert starts(search) == {"a": ("A1", "A2", "A3"), "b": ("B1", "B2", "B3")}
    tell(search, [1.5, 0.5], [{"a": "A4", "b": "B4"}, {"a": "A5", "b": "B5"}])
    assert starts(search) == {"a": ("A5", "A1", "A4", "A2", "A3"), "b": ("B5", "B1", "B4", "B2", "B3")}


@pytest.fixture
def search():
    return optimizers.load("spotlight-r")(PROBLEM, seed=0)


def test_those_of_eight_designs_are_kept(search):
    runtimes = [float(r) for r in np.random.default_rng(0).permutation(20)]
    for some in (runtimes[:3], runtimes[3:12], runtimes[12:]):
        tell(search, some, [{"a": f"A{runtime:.0f}"} for runtime in some])
    assert starts(search) == {"a": tuple(f"A{i}" for i in range(8))}


def test_a_mapping_is_named_once(search):
    tell(search, [1.0, 2.0, 3.0], [{"a": "A1", "b": "B1"}, {"a": "A1", "b": "B2"}, {"a": "A3", "b": "B1"}])
    assert starts(search) == {"a": ("A1", "A3"), "b": ("B1", "B2")}


def test_layers_without_a_mapping_are_left_out(search):
    tell(search, [1.0, 2.0], [{"a": "", "b": "B1"}, {"a": "A2"}])
    assert starts(search) == {"a": ("A2",), "b": ("B1",)}


def test_designs_out_of_bounds_are_the_worst():
    bounded = replace(PROBLEM, bounds=(*PROBLEM.bounds, Bound("energy_pj", at_most=5.0)))
    search = optimizers.load("spotlight-r")(bounded, seed=0)
    asked = search.ask(2)
    rows = [told(asked[0], 1.0, {"a": "A1"}, energy_pj=9.0), told(asked[1], 2.0, {"a": "A2"}, energy_pj=5.0)]
    search.tell(asked, Outcomes.of_each(rows))
    assert starts(search) == {"a": ("A2", "A1")}


def test_outcomes_that_tell_no_layers_leave_the_mappings_as_they_were(search):
    tell(search, [2.0], [{"a": "A1"}])
    asked = search.ask(3)
    search.tell(asked, Outcomes.of_each([evaluation(c.design, {"runtime_s": 1.0, "area_mm2": 1.0}) for c in asked]))
    search.tell_codes(EDGE.encode([c.design for c in asked]), Outcomes({}, np.zeros(3, dtype=bool)))
    assert starts(search) == {"a": ("A1",)}
    assert search.best_value == 1.0


@NAMED
def test_a_search_told_the_same_outcomes_asks_the_same(name):
    """Here those of the evaluator, which are mapped as the candidates say."""
    evaluator = EDGE_KIND.evaluator(EDGE_KIND.spec({"samples": 4}))
    one, two = (optimizers.load(name)(PROBLEM, seed=3) for _ in range(2))
    found = []
    for n in (6, 6, 4):
        asked = one.ask(n)
        assert two.ask(n) == asked
        outcomes = Outcomes.of_each(evaluator.evaluate(asked, WORK))
        one.tell(asked, outcomes)
        two.tell(asked, outcomes)
        found += zip(PROBLEM.values(outcomes), outcomes.layers, strict=True)
    (last,) = one.ask(1)
    assert two.ask(1) == [last]
    best = sorted(found, key=lambda mapped: mapped[0])[:8]
    for i, use in enumerate(WORK.layers):
        assert last.search.starts[use.layer.name] == tuple(dict.fromkeys(runs[i].mapping for _, runs in best))


def test_starts_make_what_the_evaluator_answers_depend_on_the_candidate_alone():
    evaluator = EDGE_KIND.evaluator(EDGE_KIND.spec({"samples": 6, "mapper": "dabo"}))
    search = optimizers.load("spotlight")(PROBLEM, seed=0)
    first = search.ask(4)
    search.tell(first, Outcomes.of_each(evaluator.evaluate(first, WORK)))
    later = search.ask(2)
    alone = EDGE_KIND.evaluator(EDGE_KIND.spec({"samples": 6, "mapper": "dabo"})).evaluate(later, WORK)
    assert [(e.metrics, e.layers) for e in evaluator.evaluate(later, WORK)] == [(e.metrics, e.layers) for e in alone]
    assert set(later[0].search.starts) == {"a", "b"}

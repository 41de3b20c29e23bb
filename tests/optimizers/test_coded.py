from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.hardware.templates import edge_tpu
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.deep_ensemble import Setting
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Candidate

LINE = Problem.minimising(Space("line", (Parameter("x", (1, 2, 3, 4, 5)),)), "runtime_s", {"area_mm2": 29.0})

# they search one template only; their own tests hold them to the same
OF_ONE_TEMPLATE = ("closed-form", "confuciux", "dosa", "hasco", "polaris", "spotlight")
FEW = Setting(members=2, hidden=32, steps=30, more_steps=10, batch=32)
FEWER = {"mins": {"steps": 50, "hidden": 32}, "bayesian": {"refit": 1.0}, "portfolio": {"setting": FEW}}


def line(*metrics):
    """Return the designs of the line and what became of them."""
    designs = LINE.space.designs(np.arange(len(metrics))[:, None])
    told = [evaluation(design, found) for design, found in zip(designs, metrics, strict=True)]
    return [Candidate(design) for design in designs], Outcomes.of_each(told)


TOLD = line(
    {"runtime_s": 3.0, "area_mm2": 29.0}, None, {"runtime_s": 1.0, "area_mm2": 30.0}, {"area_mm2": 1.0},
    {"runtime_s": 2.0, "area_mm2": 9.0},
)  # fmt: skip


def test_the_best_is_feasible_and_within_the_bounds():
    search = RandomSearch(LINE)
    search.tell(*TOLD)
    assert search.best_codes.tolist() == [4]
    assert search.best_value == 2.0
    search.tell(*line({"runtime_s": 2.5, "area_mm2": 1.0}))
    assert search.best_codes.tolist() == [4]


def test_codes_are_told_as_candidates_are():
    by_codes, by_candidates = RandomSearch(LINE), RandomSearch(LINE)
    candidates, outcomes = TOLD
    by_candidates.tell(candidates, outcomes)
    by_codes.tell_codes(LINE.space.encode([candidate.design for candidate in candidates]), outcomes)
    assert by_codes.best_codes.tolist() == by_candidates.best_codes.tolist()
    assert by_codes.ask(3) == by_candidates.ask(3)


SEVERAL = ["motpe", "nsga2", "pareto", "ppa-ladder", "ppa-motpe", "qnehvi", "random"]


def test_those_that_take_several_objectives_are_found():
    assert optimizers.for_several() == SEVERAL


def test_of_what_is_to_be_maximised_the_most_is_the_best():
    search = RandomSearch(replace(LINE, objectives=(Objective("runtime_s", "maximize"),)))
    search.tell(*TOLD)
    assert search.best_codes.tolist() == [0]


@pytest.mark.parametrize("name", [n for n in optimizers.names() if not n.startswith(OF_ONE_TEMPLATE)])
def test_several_objectives_are_taken_by_those_that_the_others_name(name):
    several = replace(LINE, objectives=(Objective("runtime_s"), Objective("energy_pj")))
    if name in SEVERAL:
        assert len(optimizers.load(name)(several).ask_codes(2)) == 2
        return
    takes = "the objectives runtime_s, energy_pj are several; this method takes one; choose one of .*'nsga2'"
    with pytest.raises(ArmillaryError, match=takes):
        optimizers.load(name)(several)


def test_more_than_four_objectives_are_refused():
    names = ("runtime_s", "energy_pj", "area_mm2", "dram_bytes", "utilization")
    with pytest.raises(ArmillaryError, match="are several; this method takes at most 4"):
        RandomSearch(replace(LINE, objectives=tuple(map(Objective, names))))


@pytest.mark.parametrize("name", [n for n in optimizers.names() if not n.startswith(OF_ONE_TEMPLATE)])
def test_no_design_outside_a_known_constraint_is_asked(name):
    """Though the best designs lie there, by all that the optimizer knows."""
    problem = edge_tpu.TEMPLATE.problem("runtime_s", {"area_mm2": 2.0})
    optimizer = optimizers.load(name)(problem, seed=0, **FEWER.get(name, {}))
    codes = RandomSearch(problem, seed=1).ask_codes(200)
    for _ in range(3):
        optimizer.tell_values(codes, 1000.0 / (1 + codes.sum(axis=1)))
        codes = optimizer.ask_codes(30)
        assert len(codes) == 30
        assert (edge_tpu.area_mm2(codes) <= 2.0).all()


def test_a_constraint_that_next_to_nothing_meets_is_met():
    smallest = float(edge_tpu.area_mm2(np.zeros((1, 10), dtype=np.int64))[0])
    some, none = (edge_tpu.TEMPLATE.problem("runtime_s", {"area_mm2": share * smallest}) for share in (1.2, 0.9))
    assert (edge_tpu.area_mm2(RandomSearch(some).ask_codes(5)) <= 1.2 * smallest).all()
    with pytest.raises(ArmillaryError, match="no design of space edge_tpu was found"):
        RandomSearch(none).ask_codes(5)


def test_a_law_bounds_from_below_too():
    large = replace(edge_tpu.TEMPLATE.problem(), bounds=(Bound("area_mm2", at_least=60.0),))
    assert (edge_tpu.area_mm2(RandomSearch(large).ask_codes(50)) >= 60.0).all()


@pytest.mark.parametrize("name", SEVERAL)
def test_of_a_list_every_candidate_is_asked_once(name):
    """Though they are next to none of the space, so that no draw from it meets one."""
    problem = edge_tpu.TEMPLATE.problem("runtime_s", {"area_mm2": 98.0})
    listed = RandomSearch(problem, seed=1).ask_codes(16)
    problem = replace(problem, candidates=np.concatenate([listed, np.array([[9, 9, 6, 9, 6, 10, 6, 3, 4, 5]])]))
    optimizer = optimizers.load(name)(problem, seed=0)
    asked = []
    for _ in range(4):
        codes = optimizer.ask_codes(4)
        optimizer.tell_values(codes, 1.0 + codes.sum(axis=1))
        asked += codes.tolist()
    assert sorted(asked) == sorted(listed.tolist())


def test_first_batches_are_small():
    search = RandomSearch(LINE)
    assert [search.asks_after(told) for told in (0, 64, 800, 10**6)] == [8, 8, 100, 256]

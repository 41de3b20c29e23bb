import numpy as np
import pytest

from armillary.evaluators.edge_tpu.enumeration import Enumeration, Optimum, Scenario
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, area_mm2
from armillary.types import ArmillaryError
from armillary.workloads import zoo

AREA = 0.9
NAMES = ("m6_like", "t_rnn_enc")


@pytest.fixture(scope="module")
def workloads():
    return {name: zoo.build(name) for name in NAMES}


@pytest.fixture(scope="module")
def part():
    """Every design of the part with 2 x 1 processing elements."""
    inside = np.indices(SPACE.cardinalities[2:]).reshape(len(SPACE.names) - 2, -1).T
    codes = np.concatenate([np.tile([[1, 0]], (len(inside), 1)), inside], axis=1)
    return codes[area_mm2(codes) <= AREA]


@pytest.mark.parametrize("names", [pytest.param(("t_rnn_enc",), marks=pytest.mark.slow), NAMES])
def test_a_part_has_the_optimum_that_the_evaluator_finds(names, workloads, part):
    space = Enumeration(workloads, [Scenario(names, AREA)], compiled=False)
    (found,) = space.part(10)
    runs = [EdgeTpuEvaluator().evaluate_codes(part, workloads[name]) for name in names]
    runtime = np.mean([r.metrics["runtime_s"] for r in runs], axis=0)
    legal = np.isfinite(runtime)
    assert found.legal == legal.sum() > 0
    fastest_dram = part[:, -1] == SPACE.cardinalities[-1] - 1
    assert runtime[legal].min() == runtime[legal & fastest_dram].min()
    best = np.sort(runtime[legal & fastest_dram])[: len(found.runtime_s)]
    np.testing.assert_allclose(found.runtime_s, best, rtol=1e-12)
    again = [EdgeTpuEvaluator().evaluate_codes(found.codes, workloads[name]).metrics["runtime_s"] for name in names]
    np.testing.assert_allclose(np.mean(again, axis=0), found.runtime_s, rtol=1e-12)


def test_the_parts_make_the_space():
    space = Enumeration({}, [])
    inside = np.prod(SPACE.cardinalities[2:])
    assert space.parts * inside == SPACE.size == 452_760_000


def test_joining_keeps_the_best_and_adds_the_rest():
    one = Optimum(np.array([[0] * 10, [1] * 10]), np.array([1.0, 3.0]), 5)
    two = Optimum(np.array([[2] * 10]), np.array([2.0]), 7)
    both = one.joined(two)
    assert both.runtime_s.tolist() == [1.0, 2.0, 3.0]
    assert both.legal == 12
    assert Optimum.nothing().joined(one).codes.tolist() == one.codes.tolist()


def test_a_scenario_of_unknown_workloads_is_refused():
    with pytest.raises(ArmillaryError, match=r"scenarios name workloads \['other'\]"):
        Enumeration({}, [Scenario(("other",), AREA)])

from types import SimpleNamespace

import numpy as np
import pytest

from armillary.evaluators import for_template
from armillary.spaces.space import Parameter, Space
from armillary.studies.bounds import check_area, smallest_legal_area_mm2
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload


@pytest.fixture(scope="module")
def evaluator():
    return for_template("edge_tpu", Fidelity.ANALYTICAL)


def test_no_smaller_design_is_legal(template, evaluator):
    workload = zoo.build("unet")
    least = smallest_legal_area_mm2(template, evaluator, workload, 29.0)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 3, (20_000, 10))
    small = small[template.area_mm2(small) < least - 1e-9]
    assert len(small) > 100
    assert not evaluator.evaluate_codes(small, workload).feasible.any()


def test_says_how_small_a_legal_design_can_be(template, evaluator, workload):
    with pytest.raises(ArmillaryError, match=r"the smallest legal design for mobilenet_v2 has 0\.2\d mm2"):
        check_area(template, evaluator, workload, 0.1)
    check_area(template, evaluator, workload, 0.5)


@pytest.mark.parametrize("area", [-3.0, 0.0, float("nan")])
def test_refuses_an_area_that_is_not_positive(template, evaluator, workload, area):
    with pytest.raises(ArmillaryError, match="must be a positive number"):
        check_area(template, evaluator, workload, area)


def test_gives_up_where_nothing_is_legal(template, evaluator):
    endless = Workload("endless", (LayerUse(Layer("l", "gemm", K=1, C=10**9)),))
    assert smallest_legal_area_mm2(template, evaluator, endless, 29.0) is None


def test_designs_are_met_in_order_of_area():
    space = Space("two", (Parameter("a", tuple(range(10))), Parameter("b", tuple(range(10)))))
    template = SimpleNamespace(space=space, area_mm2=lambda codes: 1.0 + codes @ [10.0, 1.0], max_area_mm2=100.0)
    legal = lambda codes: (codes[:, 0] == 1) | (codes[:, 1] == 2)  # noqa: E731
    evaluator = SimpleNamespace(evaluate_codes=lambda codes, _: SimpleNamespace(feasible=legal(codes)))
    assert smallest_legal_area_mm2(template, evaluator, None, 5.0) == 3.0

import numpy as np
import pytest

from armillary.hardware import templates
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.studies.bounds import check_bounds, least_of
from armillary.types import ArmillaryError
from armillary.workloads import zoo


@pytest.mark.parametrize("name", ["edge_tpu", "gemmini", "spotlight", "spotlight_cloud", "nvdla"])
def test_no_design_of_a_template_is_smaller_than_the_least(name):
    template = templates.load(name, zoo.build("mobilenet_v2"))
    least = least_of(template.area_mm2, template.space)
    assert least == template.area_mm2(np.zeros((1, len(template.space.names)), dtype=np.int64))[0]
    assert least <= template.area_mm2(sample(template.space, 5000, "random", 0)).min()


def test_the_least_of_few_designs_is_that_of_all():
    space = Space("two", (Parameter("a", tuple(range(30))), Parameter("b", tuple(range(30)))))

    def rugged(codes):
        return 2.0 + np.sin(codes @ np.array([12.9898, 78.233]))

    assert least_of(rugged, space) == rugged(space.at(np.arange(900))).min()


def test_a_law_that_falls_with_a_parameter_is_followed_down():
    space = Space("many", tuple(Parameter(f"p{i}", tuple(range(8))) for i in range(8)))
    assert least_of(lambda codes: 100.0 - codes[:, :4].sum(axis=1) + codes[:, 4:].sum(axis=1), space) == 72.0


def test_says_how_small_a_design_can_be(template):
    least = least_of(template.area_mm2, template.space)
    with pytest.raises(ArmillaryError, match=r"area_mm2=0\.001 cannot be met: the least .* of edge_tpu is 0\.\d+ mm2"):
        check_bounds(template.problem("runtime_s", {"area_mm2": 0.001}))
    check_bounds(template.problem("runtime_s", {"area_mm2": least}))


def test_what_no_law_tells_is_not_judged(template):
    check_bounds(Problem.minimising(template.space, "runtime_s", {"area_mm2": 1e-9}))

import math

import numpy as np
import pytest

from armillary.hardware.template import Template
from armillary.hardware.templates.edge_tpu import MAX_AREA_MM2, TEMPLATE
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError
from armillary.workloads import zoo

SPACE = Space("sizes", (Parameter("size", (1, 2, 3)),))


def twice(codes):
    return 2.0 + 2.0 * codes[:, 0]


def test_a_template_is_a_problem_with_laws_and_limits():
    workload = zoo.build("unet")
    problem = TEMPLATE.problem("energy_pj", {"runtime_s": 1e-3}, workloads=(workload,))
    assert (problem.space, problem.metric, problem.workloads) == (TEMPLATE.space, "energy_pj", (workload,))
    assert problem.upper_bounds == {"area_mm2": MAX_AREA_MM2, "runtime_s": 1e-3}
    assert problem.laws == TEMPLATE.laws


@pytest.mark.parametrize(("asked", "bound"), [(3.0, 3.0), (5.0, 4.0)])
def test_a_bound_beyond_a_limit_is_the_limit(asked, bound):
    template = Template("sizes", SPACE, laws={"area_mm2": twice}, limits={"area_mm2": 4.0})
    problem = template.problem("runtime_s", {"area_mm2": asked})
    assert problem.upper_bounds == {"area_mm2": bound}
    assert problem.keep(np.array([[0], [1], [2]])).tolist() == [True, bound == 4.0, False]


def test_a_template_may_know_nothing_of_the_area():
    bare = Template("sizes", SPACE)
    assert bare.max_area_mm2 == math.inf
    assert bare.problem().bounds == ()
    with pytest.raises(ArmillaryError, match=r"template 'sizes' has no law of the area; its laws are \[\]"):
        _ = bare.area_mm2

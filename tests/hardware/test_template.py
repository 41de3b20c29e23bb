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


def test_a_narrowed_template_knows_of_its_designs_what_it_knew():
    sizes = Space("sizes", SPACE.parameters, derived=lambda codes, _: 10.0 * codes)
    template = Template(
        "sizes", sizes, laws={"area_mm2": twice}, limits={"area_mm2": 4.0}, exists=lambda codes: codes[:, 0] != 1,
        candidates=np.array([[0], [2]]), defaults={"size": 1}, baseline=SPACE.design([0]),
    )  # fmt: skip
    narrow = template.narrowed({"size": (3, 2)}, "test")
    codes = np.array([[0], [1]])
    assert narrow.space.parameters[0].values == (2, 3)
    assert narrow.laws["area_mm2"](codes).tolist() == [4.0, 6.0]
    assert narrow.exists(codes).tolist() == [False, True]
    assert narrow.space.derived(codes, {}).tolist() == [[10.0], [20.0]]
    assert narrow.candidates.tolist() == [[1]]
    assert (narrow.defaults, narrow.baseline) == ({}, None)
    assert template.narrowed({"size": (1, 3)}, "test").baseline == template.baseline
    with pytest.raises(ArmillaryError, match=r"test: size can have none of \[7\]; choose of \[1, 2, 3\]"):
        template.narrowed({"size": (7,)}, "test")
    with pytest.raises(ArmillaryError, match="test: 'sise' is no parameter of sizes"):
        template.narrowed({"sise": (1,)}, "test")


def test_a_template_may_know_nothing_of_the_area():
    bare = Template("sizes", SPACE)
    assert bare.max_area_mm2 == math.inf
    assert bare.problem().bounds == ()
    with pytest.raises(ArmillaryError, match=r"template 'sizes' has no law of the area; its laws are \[\]"):
        _ = bare.area_mm2

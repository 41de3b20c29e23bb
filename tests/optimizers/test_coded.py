import numpy as np
import pytest

from armillary import optimizers
from armillary.hardware.templates import edge_tpu
from armillary.optimizers.coded import objective_values
from armillary.optimizers.random_search import RandomSearch
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Evaluations, Objective

SPACE = Space("line", (Parameter("x", (1, 2, 3, 4)),))

# they search one template only; their own tests hold them to the same
OF_SPOTLIGHT = ("spotlight", "confuciux", "hasco")


def rows(*metrics):
    designs = SPACE.designs(np.arange(len(metrics))[:, None])
    return Evaluations.from_list([evaluation(d, m) for d, m in zip(designs, metrics, strict=True)])


def test_infeasible_and_out_of_bounds_are_infinite():
    found = rows({"runtime_s": 1.0, "area_mm2": 9.0}, None, {"runtime_s": 2.0, "area_mm2": 30.0}, {"area_mm2": 1.0})
    values = objective_values(found, Objective("runtime_s", {"area_mm2": 29.0}))
    np.testing.assert_array_equal(values, [1.0, np.inf, np.inf, np.inf])


def test_a_batch_without_any_feasible_row_is_infinite():
    assert np.isinf(objective_values(rows(None, None), Objective("runtime_s", {"area_mm2": 29.0}))).all()


def test_a_bound_without_its_metric_is_refused():
    with pytest.raises(ArmillaryError, match="no metric 'area_mm2'"):
        objective_values(rows({"runtime_s": 1.0}), Objective("runtime_s", {"area_mm2": 29.0}))


@pytest.mark.parametrize("name", [n for n in optimizers.names() if not n.startswith(OF_SPOTLIGHT)])
def test_no_design_outside_a_known_constraint_is_asked(name):
    fewer = {"steps": 100} if name == "mins" else {}
    objective = Objective("runtime_s", {"area_mm2": 2.0})
    optimizer = optimizers.load(name)(space=edge_tpu.SPACE, objective=objective, seed=0, **fewer)
    optimizer.within = lambda codes: edge_tpu.area_mm2(codes) <= 2.0
    for _ in range(6):
        codes = optimizer.ask_codes(40)
        assert len(codes) == 40
        assert (edge_tpu.area_mm2(codes) <= 2.0).all()
        optimizer.tell_batch(codes, 1.0 + codes.sum(axis=1))


def test_a_constraint_that_next_to_nothing_meets_is_met():
    optimizer = RandomSearch(space=edge_tpu.SPACE, objective=Objective("runtime_s"), seed=0)
    smallest = edge_tpu.area_mm2(np.zeros((1, 10), dtype=np.int64))[0]
    optimizer.within = lambda codes: edge_tpu.area_mm2(codes) <= 1.2 * smallest
    assert (edge_tpu.area_mm2(optimizer.ask_codes(5)) <= 1.2 * smallest).all()
    optimizer.within = lambda codes: np.zeros(len(codes), dtype=bool)
    with pytest.raises(ArmillaryError, match="no design of space edge_tpu was found"):
        optimizer.ask_codes(5)

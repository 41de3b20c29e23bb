import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.spaces.samplers import sample
from armillary.studies.propose import Limit, propose
from armillary.types import ArmillaryError, Prediction
from armillary.workloads import zoo
from armillary.workloads.context import context_of

FIRST, SECOND = (context_of(zoo.build(name)) for name in ("mobilenet_v2", "unet"))
WIDE = TEMPLATE.problem("runtime_s", {"area_mm2": 98.0})
MIDDLE = (np.array(SPACE.cardinalities) - 1) / 2


class Bowl:
    """Predicts a bowl around a point that depends on the workload."""

    def __init__(self, centres):
        self.centres = centres

    def predict(self, codes, context):
        value = 1.0 + ((codes - self.centres[context]) ** 2).sum(axis=1)
        return Prediction(mean=value, std=np.zeros(len(codes)), p_feasible=np.full(len(codes), 0.5))


def test_several_workloads_are_served_by_their_mean():
    low, high = np.floor(MIDDLE) - 1, np.floor(MIDDLE) + 1
    low[0] = high[0] = 1
    found = propose(Bowl({FIRST: low, SECOND: high}), WIDE, [FIRST, SECOND], top=20)
    spread = ((found.codes - low) ** 2).sum(axis=1) / 2 + ((found.codes - high) ** 2).sum(axis=1) / 2
    assert found.predicted == pytest.approx(1.0 + spread)
    assert (np.diff(found.predicted) >= 0).all()
    assert found.p_feasible == pytest.approx(0.25)


def test_designs_beyond_a_limit_are_left_out():
    bowl = Bowl({FIRST: np.zeros(10)})
    power = Bowl({FIRST: MIDDLE})
    limit = float(np.quantile(power.predict(sample(SPACE, 1000, "random", 0), FIRST).mean, 0.2))
    free = propose(bowl, WIDE, FIRST, top=10)
    held = propose(bowl, WIDE, FIRST, top=10, limits=[Limit(power, limit)])
    assert power.predict(free.codes, FIRST).mean.max() > limit
    assert power.predict(held.codes, FIRST).mean.max() <= limit


def test_no_workload_is_refused():
    with pytest.raises(ArmillaryError, match="no workload to propose designs for"):
        propose(Bowl({}), WIDE, [])


def test_few_designs_are_sought_as_well_as_many():
    def rugged(codes, _):
        value = 2.0 + np.sin(codes @ np.arange(3, 13)) + ((codes - MIDDLE) ** 2).sum(axis=1) / 50
        return Prediction(mean=value, std=np.zeros(len(codes)), p_feasible=np.ones(len(codes)))

    model = Bowl({})
    model.predict = rugged
    few, many = (propose(model, WIDE, FIRST, top=top) for top in (10, 256))
    np.testing.assert_array_equal(few.codes[0], many.codes[0])
    assert len(few.codes) == 10
    assert {tuple(c) for c in few.codes} < {tuple(c) for c in many.codes}


def test_no_proposal_exceeds_a_bound_that_a_law_tells_and_the_bound_itself_is_met():
    bowl = Bowl({FIRST: MIDDLE})
    free = propose(bowl, WIDE, FIRST, top=40)
    most = float(np.median(TEMPLATE.area_mm2(free.codes)))
    held = propose(bowl, TEMPLATE.problem("runtime_s", {"area_mm2": most}), FIRST, top=40)
    areas = TEMPLATE.area_mm2(held.codes)
    assert TEMPLATE.area_mm2(free.codes).max() > most
    assert areas.max() == most  # a design that meets the bound exactly is kept, and the largest are not left out


def test_of_several_workloads_the_largest_counts_for_a_limit():
    """A design must keep to the limit on every workload, not on the kindest."""
    bowl = Bowl({FIRST: np.zeros(10), SECOND: np.zeros(10)})
    power = Bowl({FIRST: np.zeros(10), SECOND: MIDDLE})
    limit = float(np.quantile(power.predict(sample(SPACE, 1000, "random", 0), SECOND).mean, 0.2))
    held = propose(bowl, WIDE, [FIRST, SECOND], top=10, limits=[Limit(power, limit)])
    assert power.predict(held.codes, SECOND).mean.max() <= limit

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.problems.criteria import Objective
from armillary.spaces.samplers import sample
from armillary.studies.propose import Limit, propose, rounded
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


class Bowls(Bowl):
    """Members with bowls of their own; some designs are likely feasible, of some there is hope."""

    least_chance, least_hope = 0.5, 0.7

    def __init__(self, centre, members=(), likely=None, hopeful=None):
        super().__init__({FIRST: centre})
        self.members = [Bowl({FIRST: member}) for member in members or [centre]]
        self.likely, self.hoped = (mask or (lambda codes: codes[:, 0] >= 0) for mask in (likely, hopeful))

    def predict(self, codes, context):
        told = super().predict(codes, context)
        return Prediction(told.mean, told.std, np.where(self.likely(codes), 0.9, 0.1))

    def hopeful(self, codes, context):
        told = super().predict(codes, context)
        return Prediction(told.mean, told.std, np.where(self.hoped(codes), 0.8, 0.0))

    def opinions(self, codes, context):
        return np.stack([member.predict(codes, context).mean for member in self.members])


LISTED = replace(WIDE, candidates=np.unique(sample(SPACE, 3000, "random", 5), axis=0))
KEPT = LISTED.candidates[WIDE.keep(LISTED.candidates)]


def test_candidates_are_all_scored_and_nothing_else_is_proposed():
    bowl = Bowl({FIRST: MIDDLE})
    found = propose(bowl, LISTED, FIRST, top=12)
    value = bowl.predict(KEPT, FIRST).mean
    assert {tuple(code) for code in found.codes} <= {tuple(code) for code in KEPT}
    assert found.predicted[0] == value.min()
    assert len(found.codes) == 12
    every = propose(bowl, LISTED, FIRST, top=5000)
    assert len(every.codes) == len(KEPT)


def test_candidates_of_which_none_is_left_are_refused():
    with pytest.raises(ArmillaryError, match=r"none of the [\d,]+ candidates is new and passes the constraint"):
        propose(Bowl({FIRST: MIDDLE}), LISTED, FIRST, keep=lambda codes: np.zeros(len(codes), dtype=bool))


@pytest.mark.parametrize("asked", [WIDE, LISTED], ids=["searched", "listed"])
def test_the_greatest_is_proposed_where_more_is_better(asked):
    more = replace(asked, objectives=(Objective("utilization", "maximize"),))
    found = propose(Bowl({FIRST: MIDDLE}), more, FIRST, top=6)
    assert (np.diff(found.predicted) <= 0).all()
    drawn = Bowl({FIRST: MIDDLE}).predict(KEPT, FIRST).mean
    assert found.predicted[0] >= drawn.max()


@pytest.mark.parametrize("asked", [WIDE, LISTED], ids=["searched", "listed"])
def test_some_are_likely_and_some_hoped_for(asked):
    def left(codes):
        return codes[:, 0] < 3

    def even(codes):
        return codes[:, 1] % 2 == 0

    found = propose(Bowls(MIDDLE + 2, likely=left, hopeful=even), asked, FIRST, top=16)
    likely, hoped = left(found.codes), even(found.codes)
    assert (likely | hoped).all()
    assert likely.sum() >= 13  # three may be bold
    assert (hoped & ~likely).any()
    assert likely[: likely.sum()].all()  # those that are likely come first


def test_where_nothing_is_likely_or_hoped_for_the_least_unlikely_are_proposed():
    model = Bowls(MIDDLE, likely=lambda codes: codes[:, 0] < 0, hopeful=lambda codes: codes[:, 0] < 0)
    assert len(propose(model, LISTED, FIRST, top=16).codes) == 16


def test_members_choose_in_turn_half_of_the_likely_designs():
    far = [np.zeros(10), np.array(SPACE.cardinalities) - 1]
    found = propose(Bowls(MIDDLE, far), LISTED, FIRST, top=16)
    together = propose(Bowls(MIDDLE), LISTED, FIRST, top=16)
    chosen = {tuple(code) for code in found.codes} - {tuple(code) for code in together.codes}
    assert chosen
    pool = propose(Bowl({FIRST: MIDDLE}), LISTED, FIRST, top=8 * 16).codes
    for centre in far:
        values = Bowl({FIRST: centre}).predict(pool, FIRST).mean
        first = pool[np.argsort(values, kind="stable")[0]]
        assert tuple(first) in {tuple(code) for code in found.codes}


class Noisy:
    """Predicts few different values, with a little noise, as the same network does on other processors."""

    def __init__(self, seed):
        self.seed = seed

    def predict(self, codes, context):  # noqa: ARG002
        noise = np.sin(codes @ np.arange(1.0, 11.0) * 12.9898 + self.seed)
        value = (1.0 + (codes.sum(axis=1) // 8)) * (1 + 3e-5 * noise)
        return Prediction(mean=value, std=np.zeros(len(codes)), p_feasible=0.5 + 1e-6 * noise)


def test_what_differs_by_noise_alone_is_ranked_by_its_code():
    one, other = (propose(Noisy(seed), WIDE, FIRST, top=40) for seed in (1, 2))
    assert one.codes.tolist() == other.codes.tolist()
    assert not np.array_equal(one.predicted, other.predicted)


def test_predictions_are_rounded_to_four_digits():
    given = np.array([0.0, 1.00004, -1.00004, 9.9996, 12340.4, 1.23456e-7, np.inf, np.nan])
    assert rounded(given) == pytest.approx([0.0, 1.0, -1.0, 10.0, 12340.0, 1.235e-7, np.inf, np.nan], nan_ok=True)
    assert rounded(np.array([1.00004]))[0] == rounded(np.array([0.99996]))[0]

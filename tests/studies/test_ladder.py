"""What a climb pays, on rows that tell the seconds of their steps."""

import numpy as np
import pytest

from armillary.problems.rung import Rung, Work
from armillary.spaces.space import Parameter, Space
from armillary.studies.ladder import Climbs, Ledger, climbing, mean_s
from armillary.testing.optimizers import evaluation
from armillary.types import Evaluations, EvaluatorSpec, Fidelity

SPACE = Space("line", (Parameter("place", tuple(range(40))),))
SPEC = EvaluatorSpec("line", Fidelity.PHYSICAL, "line", "1")
RUNG = Rung("first", SPEC)


def rows(places, **steps):
    """Return rows of designs; seconds of steps by name, the place added as thousandths."""
    told = [{f"{step}_cpu_s": s + place / 1000 for step, s in steps.items()} | {"area_mm2": 1.0} for place in places]
    return Evaluations.from_list(
        [evaluation(SPACE.design(np.array([place])), metrics)
         for place, metrics in zip(places, told, strict=True)]
    )  # fmt: skip


def test_every_step_is_paid_once():
    ledger = Ledger()
    first = ledger.pay(rows([1, 2], early=1.0, look=0.5), RUNG)
    assert first == pytest.approx([1.502, 3.006])
    assert ledger.pay(rows([1, 2], early=1.0, look=0.5), RUNG) == pytest.approx([3.006, 3.006])
    assert ledger.pay(rows([2], early=1.0, late=3.0), None) == pytest.approx([3.006 + 3.002])
    assert ledger.spent_s == pytest.approx(6.008)


def test_work_says_what_whole_evaluations_do_not_do_again():
    ledger = Ledger()
    ledger.pay(rows([2], early=1.0, late=3.0), None)
    told = ledger.work(rows([1, 2], early=1.0, look=0.5))
    assert told.all_s == pytest.approx([1.502, 1.504])
    assert told.kept_s == pytest.approx([1.001, 1.002])


def test_rows_without_steps_are_paid_by_the_clock_on_the_wall():
    found = rows([1, 2])
    found.seconds[:] = [2.0, 3.0]
    ledger = Ledger()
    assert ledger.pay(found, None) == pytest.approx([2.0, 5.0])
    assert ledger.work(found).all_s.tolist() == [2.0, 3.0]
    assert ledger.work(found).kept_s.tolist() == [0.0, 0.0]


def test_a_whole_evaluation_takes_the_mean_of_those_that_ended_well():
    good, bad = rows([1, 3], early=1.0, late=3.0), rows([5], early=1.0)
    bad.feasible[:] = False
    assert mean_s(Evaluations.concat([good, bad]), Ledger()) == pytest.approx(4.004)
    assert mean_s(bad, Ledger()) == pytest.approx(1.005)


class Plan:
    """An optimizer that asks what it was told to, and remembers what it was left and told."""

    rungs = (RUNG,)

    def __init__(self, steps):
        self.steps, self.left, self.told = list(steps), [], []

    def ask_rung(self, left_s):
        self.left.append(left_s)
        places, number = self.steps.pop(0)
        return np.array(places)[:, None], number

    def tell_rung(self, codes, number, outcomes, work):
        assert isinstance(work, Work)
        self.told.append((codes[:, 0].tolist(), number, len(outcomes), float(work.all_s.sum())))


def answer(rung, codes):
    places = codes[:, 0].tolist()
    return rows(places, early=1.0, late=3.0) if rung is None else rows(places, early=1.0, look=0.5)


def test_a_climb_spends_what_so_many_whole_evaluations_take():
    plan = Plan([([1, 3], 1), ([1], 0), ([7], 0), ([7, 9], 1), ([11], 1), ([13], 1)])
    assert isinstance(plan, Climbs)
    steps = list(climbing(plan, answer, 4.5))
    whole_s = 4.004  # the mean of the first two
    spent = [8.008, 8.509, 10.023, 13.030, 17.048, 21.070]
    assert np.concatenate([step.spent for step in steps])[1:] * whole_s == pytest.approx(spent)
    assert [step.rung for step in steps] == [None, RUNG, RUNG, None, None]
    assert plan.steps == [([13], 1)]  # more than 4.5 were spent
    assert plan.left == pytest.approx([np.inf, *(4.5 * whole_s - x for x in (8.008, 8.509, 10.023, 17.048))])
    assert [told[:3] for told in plan.told] == [([1, 3], 1, 2), ([1], 0, 1), ([7], 0, 1), ([7, 9], 1, 2), ([11], 1, 1)]


def test_a_climb_goes_on_from_what_was_spent_before():
    ledger = Ledger()
    ledger.pay(rows([1, 3], early=1.0, late=3.0), None)
    plan = Plan([([5], 0), ([5], 1), ([9], 1)])
    steps = list(climbing(plan, answer, 3.0, ledger=ledger, whole_s=4.0))
    assert [float(step.spent[-1]) * 4.0 for step in steps] == pytest.approx(
        [8.008 + 1.510 - 0.0, 8.008 + 1.510 + 3.005]
    )

import numpy as np
import pytest

from armillary.optimizers.ppa_motpe import PpaMotpe, reference_of
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.several import boxes, expected_gain
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import hypervolume
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto.process import Process
from armillary.surrogates.ppa import stack
from armillary.surrogates.ppa.surrogate import Ppa
from armillary.testing.optimizers import SeveralObjectivesContract, bowl
from armillary.types import ArmillaryError, Candidate, Failure

LINES = Space("lines", tuple(Parameter(f"p{i}", tuple(range(12))) for i in range(4)))
TRADE = Problem(LINES, (Objective("runtime_s"), Objective("energy_pj")))


@pytest.fixture(autouse=True)
def one_member(monkeypatch):
    """Let the ensemble have one member and few folds: its weights are not what is tested here."""
    monkeypatch.setattr(Ppa, "members", (Process,))
    monkeypatch.setattr(stack, "_MANY_FOLDS", 2)


class TestPpaMotpe(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: PpaMotpe(problem, seed=seed, initial=50, trials=32)


def volume(optimizer, amount):
    """Return the hypervolume after so many evaluations of `bowl`, in logarithms, up to what no value exceeds."""
    found, done = [], 0
    while done < amount:
        codes = optimizer.ask_codes(min(optimizer.asks_after(done), amount - done))
        outcomes = bowl([Candidate(design) for design in LINES.designs(codes)], LINES)
        optimizer.tell_codes(codes, outcomes)
        found.append(TRADE.matrix(outcomes))
        done += len(codes)
    return hypervolume(np.log(np.concatenate(found)), np.log([485.0, 485.0]))


def test_dominates_more_than_random_search_does_with_four_times_the_evaluations():
    random = [volume(RandomSearch(TRADE, seed=seed), 160) for seed in range(3)]
    assert volume(PpaMotpe(TRADE, seed=0, initial=16, trials=64), 40) > max(random)


def test_the_first_designs_are_asked_together_and_fill_every_parameter():
    optimizer = PpaMotpe(TRADE, seed=3, initial=12)
    assert (optimizer.asks_after(0), optimizer.asks_after(5), optimizer.asks_after(12)) == (12, 7, 6)
    codes = optimizer.ask_codes(12)
    assert all(len(set(column)) == 12 for column in codes.T.tolist())  # a Latin hypercube


def test_learns_which_designs_keep_to_a_bound_on_another_metric():
    """Of designs asked after the first, nearly all keep to a bound that most random ones break."""
    problem = Problem(LINES, (Objective("runtime_s"),), (Bound("power_mw", at_most=12.0),))
    optimizer = PpaMotpe(problem, seed=1, initial=24, trials=64)

    def told(codes):
        metrics = {"runtime_s": 50.0 - codes.sum(axis=1), "power_mw": 1.0 + 1.0 * codes[:, 0] + codes[:, 1]}
        return Outcomes(metrics, np.ones(len(codes), dtype=bool))

    first = optimizer.ask_codes(24)
    optimizer.tell_codes(first, told(first))
    later = optimizer.ask_codes(6)
    kept = told(later).metrics["power_mw"] <= 12.0
    assert kept.mean() > 0.8
    assert told(later).metrics["runtime_s"].min() < np.min(problem.values(told(first)))


def test_evaluations_that_broke_are_left_out():
    """What is not known of a design moves no other's results to it."""
    optimizer, whole = (PpaMotpe(TRADE, seed=2, initial=12, trials=32) for _ in range(2))
    codes = optimizer.ask_codes(16)
    told = bowl([Candidate(design) for design in LINES.designs(codes)], LINES)
    broken = np.arange(16) < 4
    failures = tuple(Failure("error") if out else None for out in broken)
    optimizer.tell_codes(codes, Outcomes(told.metrics, ~broken, failures))
    whole.tell_codes(codes[4:], Outcomes({n: c[4:] for n, c in told.metrics.items()}, np.ones(12, dtype=bool)))
    whole.avoid(codes)
    assert optimizer.ask_codes(6).tolist() == whole.ask_codes(6).tolist()


@pytest.mark.parametrize("name", ["initial", "trials", "batch"])
def test_refuses_less_than_one(name):
    with pytest.raises(ArmillaryError, match=f"{name}=0 must be at least 1"):
        PpaMotpe(TRADE, **{name: 0})


def test_refuses_an_unknown_surrogate():
    with pytest.raises(ArmillaryError, match="ppq"):
        PpaMotpe(TRADE, surrogate="ppq")


@pytest.mark.parametrize("seed", range(3))
def test_where_few_are_feasible_those_are_asked_for_that_are_most_likely(seed):
    """A sixth of all designs is feasible; of those asked for after the first twenty, most are."""
    optimizer = PpaMotpe(TRADE, seed=seed, initial=20)
    feasible = []
    for amount in (20, 6, 6):
        codes = optimizer.ask_codes(amount)
        good = codes[:, 1] < 2
        feasible.append(good.mean())
        values = bowl([Candidate(design) for design in LINES.designs(codes)], LINES).metrics
        failures = [None if fine else Failure("infeasible", detail="no tracks") for fine in good]
        optimizer.tell_codes(codes, Outcomes(values, good, failures))
    assert feasible[0] < 0.3
    assert np.mean(feasible[1:]) >= 0.6


def test_a_design_beyond_one_end_of_the_front_adds_volume():
    """Two results are the front, a third is dominated; what lies beyond an end is worth more than the middle."""
    known = np.log([[2.5, 2.8], [3.7, 1.8], [6.0, 4.0]])
    cells = boxes(known, reference_of(known))
    beyond, middle = np.log([[4.9, 1.5]]), np.log([[3.1, 2.75]])
    gains = [expected_gain(mean, np.zeros((1, 2)), cells)[0] for mean in (beyond, middle)]
    assert gains[0] > gains[1] > 0

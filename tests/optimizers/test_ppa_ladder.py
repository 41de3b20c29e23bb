import numpy as np
import pytest

from armillary.optimizers.ppa_ladder import PpaLadder, rate
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import hypervolume
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung, Work
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import SeveralObjectivesContract
from armillary.types import EvaluatorSpec, Failure, Fidelity
from surrogates.ppa.members import with_one_member

NAMES = ("p0", "p1", "p2", "p3", "late")
LINES = Space("lines", tuple(Parameter(name, tuple(range(12))) for name in NAMES))
TRADE = Problem(LINES, (Objective("runtime_s"), Objective("energy_pj")))
SPEC = EvaluatorSpec("lines", Fidelity.PHYSICAL, "lines", "1")
FIRST, SECOND = Rung("first", SPEC, ("late",)), Rung("second", SPEC)
COSTS = {"first": 0.05, "second": 0.6, "whole": 1.0}
ROUGH = np.random.default_rng(0).uniform(0, 1, (3, 12, 12))


@pytest.fixture(autouse=True)
def one_member(monkeypatch):
    with_one_member(monkeypatch)


class TestPpaLadder(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: PpaLadder(problem, seed=seed, initial=50, trials=32)


def whole(codes):
    """Return metrics at odds, with what no surrogate foresees: the first rung sees it, but for the last parameter."""
    unit = codes / 11
    rough = 2.0 * np.mean([ROUGH[i][codes[:, i], codes[:, i + 1]] for i in range(3)], axis=0)
    late = 1.0 + 0.1 * unit[:, 4]
    apart = {"runtime_s": 0.2, "energy_pj": 0.8}
    return {n: late * (1 + rough + 3 * ((unit[:, :2] - at) ** 2).sum(axis=1)) for n, at in apart.items()}


def first(codes):
    early = codes * np.array([1, 1, 1, 1, 0])
    return {name: 0.8 * values for name, values in whole(early).items()}


def noise(codes):
    """Return figures that say nothing."""
    rng = np.random.default_rng(int(codes.sum()))
    return {name: rng.uniform(1, 5, len(codes)) for name in ("runtime_s", "energy_pj")}


class Tower:
    """What rungs say, and what was spent."""

    def __init__(self, optimizer, says):
        self.optimizer, self.says = optimizer, says
        self.spent, self.asked, self.found = 0.0, [], []

    def name(self, number):
        rungs = self.optimizer.rungs
        return rungs[number].name if number < len(rungs) else "whole"

    def climb(self, amount):
        while self.spent < amount:
            codes, number = self.optimizer.ask_rung(amount - self.spent)
            name = self.name(number)
            metrics = {"whole": whole, **self.says}[name](codes)
            feasible = np.ones(len(codes), dtype=bool)
            seconds = np.full(len(codes), COSTS[name])
            self.pay(codes, name)
            self.optimizer.tell_rung(codes, number, Outcomes(metrics, feasible), Work(seconds, 0.8 * seconds))
            if name == "whole":
                self.found.append(TRADE.matrix(Outcomes(metrics, feasible)))
        return self

    def pay(self, codes, name):
        for code in codes.tolist():
            below = [COSTS[other] for other, known in self.asked if known[:4] == code[:4] and other != name]
            self.spent += COSTS[name] - 0.8 * max([c for c in below if c < COSTS[name]], default=0.0)
            self.asked.append((name, code))

    def count(self, name):
        return sum(asked == name for asked, _ in self.asked)

    @property
    def volume(self):
        return hypervolume(np.log(np.concatenate(self.found)), np.log([6.0, 6.0]))


def tower(seed, rungs, says):
    return Tower(PpaLadder(TRADE, seed=seed, initial=12, trials=32, rungs=rungs), says)


@pytest.fixture(scope="module")
def ladders():
    """Searches by a rung that sees most, until as much is spent as 20 whole evaluations take."""
    with pytest.MonkeyPatch.context() as patch:
        with_one_member(patch)
        return [tower(seed, (FIRST,), {"first": first}).climb(20) for seed in range(3)]


def test_finds_more_for_the_same_seconds_where_the_first_rung_says_most(ladders):
    plain = [tower(seed, (), {}).climb(20) for seed in range(3)]
    assert np.mean([one.volume for one in ladders]) > 1.1 * np.mean([one.volume for one in plain])
    for one in ladders:
        assert 20 <= one.spent < 21
        assert one.count("first") > 2 * one.count("whole")


def test_whole_evaluations_are_of_designs_that_were_on_the_first_rung_and_among_the_best_there(ladders):
    for one in ladders:
        later = [tuple(code) for name, code in one.asked[12:] if name == "whole"]
        assert later
        for code in later:
            before = one.asked[: one.asked.index(("whole", list(code)))]
            assert list(code[:4]) in [known[:4] for name, known in before if name == "first"]
        fresh = np.array([code for name, code in one.asked[24:] if name == "first"])
        middle = [np.median(np.log(np.stack(list(first(np.array(some)).values()))).sum(axis=0))
                  for some in (later, fresh)]  # fmt: skip
        assert middle[0] < middle[1]


def test_a_rung_that_says_nothing_is_hardly_climbed():
    deaf = tower(1, (FIRST, SECOND), {"first": first, "second": noise}).climb(22)
    assert deaf.count("second") <= 14  # of the twelve first, to learn from


def test_designs_that_share_their_figures_are_asked_once(ladders):
    one = ladders[2]
    keys = [tuple(code[:4]) for name, code in one.asked if name == "first"]
    assert len(keys) == len(set(keys))
    wholes = [tuple(code) for name, code in one.asked if name == "whole"]
    assert len(wholes) == len(set(wholes))


def test_failures_on_a_rung_end_a_design_and_broken_tools_do_not_end_the_search():
    problem = Problem(LINES, TRADE.objectives, (Bound("power_mw", at_most=8.0),))
    optimizer = PpaLadder(problem, seed=0, initial=14, trials=32, rungs=(FIRST,))
    ended = set()
    for _ in range(9):
        codes, number = optimizer.ask_rung(100.0)
        assert len(codes)
        if number == 1:
            assert not ended & {tuple(code[:4]) for code in codes.tolist()}
        bad = codes[:, 0] == 3
        broken = np.array([code[1] % 5 == 0 and number == 0 for code in codes.tolist()])
        failures = tuple(
            Failure("error") if out else Failure("infeasible") if unfit else None
            for unfit, out in zip(bad, broken, strict=True)
        )
        ended |= {tuple(code[:4]) for code in codes[bad | broken].tolist()} if number == 0 else set()
        metrics = {**whole(codes), "power_mw": 1.0 + codes[:, 1].astype(float)}
        seconds = np.full(len(codes), (0.05, 1.0)[number])
        outcomes = Outcomes(metrics, ~bad & ~broken, failures)
        optimizer.tell_rung(codes, number, outcomes, Work(seconds, 0.8 * seconds))


def test_the_same_seed_climbs_the_same():
    one, two = (tower(3, (FIRST, SECOND), {"first": first, "second": whole}).climb(24) for _ in range(2))
    assert one.asked == two.asked


def test_what_a_rung_is_worth_is_the_best_rate_of_going_on_where_it_pays():
    gains = np.random.default_rng(0).exponential(size=(6, 3)) ** 2
    there, rest = np.array([1.0, 0.1, 10.0]), np.array([2.0, 5.0, 0.5])
    every = []
    for chosen in range(1, 2**6):
        going = np.array([chosen >> place & 1 for place in range(6)], dtype=bool)
        every.append(gains[going].sum(axis=0) / (6 * there + going.sum() * rest))
    assert rate(gains, there, rest) == pytest.approx(np.max(every, axis=0))


def test_rungs_are_not_climbed_when_too_little_is_left_to_go_on(ladders):
    codes, number = ladders[0].optimizer.ask_rung(0.9)
    assert number == 1
    assert len(codes) == 1

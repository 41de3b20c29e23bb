"""The contract that every optimizer meets, ours and those of other packages.

Inherit from `OptimizerContract` in a test module and override the fixture `make`; and `space`, for an optimizer of
one space alone. One that takes several objectives meets `SeveralObjectivesContract`, too:

    class TestMine(OptimizerContract):
        @pytest.fixture
        def make(self, problem):
            return lambda seed: Mine(problem, seed=seed)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import hypervolume
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.types import AsksCodes, Candidate, Design, Evaluation, Failure, Fidelity, Optimizer

Make = Callable[..., Optimizer]
OBJECTIVES = ("runtime_s", "energy_pj", "power_mw", "dram_bytes")
_ENUMERABLE = 1000


def evaluation(design: Design, metrics: Mapping[str, float] | None) -> Evaluation:
    """Return a record of these metrics, infeasible if there are none."""
    return Evaluation(
        design=design,
        workload="contract",
        context={},
        evaluator="contract",
        version="1",
        fidelity=Fidelity.ANALYTICAL,
        metrics=metrics or {},
        feasible=metrics is not None,
        failure=None if metrics is not None else Failure(kind="infeasible", resource="contract"),
        seconds=0.0,
        seed=0,
        time=datetime(2026, 1, 1),
    )


def bowl(candidates: Sequence[Candidate], space: Space) -> Outcomes:
    """Return the outcomes of a smooth function that is least in the middle of every parameter.

    Energy, power and traffic are least at other designs, so that several objectives are at odds.
    """
    designs = [candidate.design for candidate in candidates]
    codes = space.encode(designs)
    last = np.array(space.cardinalities) - 1
    centres = {"runtime_s": last // 2, "energy_pj": 0 * last, "power_mw": last, "dram_bytes": last - last // 2}
    columns = {name: 1.0 + ((codes - centre) ** 2).sum(axis=1) for name, centre in centres.items()}
    rows = [{"area_mm2": 1.0, **{n: float(c[i]) for n, c in columns.items()}} for i in range(len(codes))]
    return Outcomes.of_each([evaluation(design, row) for design, row in zip(designs, rows, strict=True)])


def failed(candidates: Sequence[Candidate]) -> Outcomes:
    """Return outcomes in which nothing was feasible."""
    return Outcomes.of_each([evaluation(candidate.design, None) for candidate in candidates])


class OptimizerContract:
    """What holds for every optimizer."""

    @pytest.fixture
    def space(self) -> Space:
        """A space of 60 designs with every kind of parameter."""
        return Space(
            "tiny",
            (
                Parameter("width", (1, 2, 4, 8, 16)),
                Parameter("rank", (0, 1, 2, 3), kind="ordinal"),
                Parameter("order", ("row", "column", "zigzag"), kind="categorical"),
            ),
        )

    @pytest.fixture
    def problem(self, space: Space) -> Problem:
        """Runtime under an area bound."""
        return Problem.minimising(space, "runtime_s", {"area_mm2": 29.0})

    @pytest.fixture
    def make(self, problem: Problem) -> Make:
        """A function from a seed to a new optimizer of the problem."""
        raise NotImplementedError("override the fixture make")

    def test_asks_as_many_as_wanted(self, make: Make, space: Space) -> None:
        for n in (1, 5, 40):
            asked = make(seed=7).ask(n)
            assert len(asked) == n
            assert (space.encode([c.design for c in asked]) < space.cardinalities).all()

    def test_same_seed_asks_the_same(self, make: Make, space: Space) -> None:
        one, two = make(seed=7), make(seed=7)
        for _ in range(3):
            asked = one.ask(4)
            assert asked == two.ask(4)
            one.tell(asked, bowl(asked, space))
            two.tell(asked, bowl(asked, space))

    def test_other_seed_asks_other(self, make: Make) -> None:
        assert make(seed=7).ask(8) != make(seed=8).ask(8)

    def test_keeps_asking_when_everything_failed(self, make: Make) -> None:
        optimizer = make(seed=7)
        for _ in range(5):
            asked = optimizer.ask(4)
            assert len(asked) == 4
            optimizer.tell(asked, failed(asked))

    def test_asks_no_design_twice_before_all_were_asked(self, make: Make, space: Space) -> None:
        if space.size > _ENUMERABLE:
            pytest.skip("too many designs to ask for all")
        optimizer = make(seed=7)
        seen: list[Design] = []
        while len(seen) < space.size:
            asked = optimizer.ask(min(7, space.size - len(seen)))
            seen += [candidate.design for candidate in asked]
            optimizer.tell(asked, bowl(asked, space))
        assert len(set(seen)) == space.size
        assert len(optimizer.ask(3)) == 3

    def test_asks_no_design_that_it_was_told_unasked(self, make: Make, space: Space) -> None:
        optimizer = make(seed=7)
        known = [Candidate(design) for design in space.designs(space.at(np.arange(0, min(space.size, 60), 2)))]
        optimizer.tell(known, bowl(known, space))
        assert not {c.design for c in optimizer.ask(min(30, space.size - len(known)))} & {c.design for c in known}

    def test_is_told_nothing(self, make: Make) -> None:
        optimizer = make(seed=7)
        optimizer.tell([], Outcomes.of_each([]))
        assert len(optimizer.ask(2)) == 2

    def test_batches_ask_what_single_designs_ask(self, make: Make, space: Space) -> None:
        optimizer = make(seed=7)
        if not isinstance(optimizer, AsksCodes):
            pytest.skip("asks no codes")
        assert space.designs(optimizer.ask_codes(4)) == [candidate.design for candidate in make(seed=7).ask(4)]


class SeveralObjectivesContract(OptimizerContract):
    """What holds for every optimizer that takes several objectives, with one to four of them.

    Override `make_for` instead of `make`.
    """

    @pytest.fixture(params=[1, 2, 3, 4], ids="{} objectives".format)
    def problem(self, space: Space, request: pytest.FixtureRequest) -> Problem:
        """So many objectives under an area bound."""
        objectives = tuple(Objective(metric) for metric in OBJECTIVES[: request.param])
        return Problem(space, objectives, (Bound("area_mm2", at_most=29.0),))

    @pytest.fixture
    def make_for(self) -> Make:
        """A function from a problem and a seed to a new optimizer."""
        raise NotImplementedError("override the fixture make_for")

    @pytest.fixture
    def make(self, problem: Problem, make_for: Make) -> Make:
        return lambda seed: make_for(problem, seed)

    def test_asks_no_design_that_there_cannot_be(self, problem: Problem, make_for: Make) -> None:
        """Neither by the rule of what exists, nor by a law, nor by a list: though the best designs lie there."""
        low = problem.space.at(np.arange(problem.space.size))
        few = replace(
            problem,
            exists=lambda codes: codes[:, 0] > 0,
            laws={"area_mm2": lambda codes: (10.0 * codes[:, 1]).astype(np.float64)},
            candidates=low[low[:, 2] < 2],
        )
        optimizer = make_for(few, 7)
        for _ in range(4):
            asked = optimizer.ask(5)
            codes = problem.space.encode([candidate.design for candidate in asked])
            assert (codes[:, 0] > 0).all()
            assert (codes[:, 1] < 3).all()
            assert (codes[:, 2] < 2).all()
            optimizer.tell(asked, bowl(asked, problem.space))

    def test_goes_on_when_some_results_are_out_of_bounds(self, problem: Problem, make_for: Make) -> None:
        optimizer = make_for(replace(problem, bounds=(Bound("runtime_s", at_least=2.0, at_most=8.0),)), 7)
        for _ in range(5):
            asked = optimizer.ask(4)
            optimizer.tell(asked, bowl(asked, problem.space))
        assert len(set(asked)) == 4

    def test_goes_on_from_a_log(self, make: Make, space: Space) -> None:
        first = make(seed=7)
        known = first.ask(12)
        one, two = make(seed=3), make(seed=3)
        for optimizer in (one, two):
            optimizer.tell(known, bowl(known, space))
        asked = one.ask(5)
        assert asked == two.ask(5)
        assert not set(asked) & set(known)


def dominated_volume(optimizer: AsksCodes, problem: Problem, amount: int) -> float:
    """Return the share that so many evaluations of `bowl` dominate, of all up to what no value of it exceeds."""
    worst = 1.0 + ((np.array(problem.space.cardinalities) - 1) ** 2).sum()
    found: list[NDArray[np.float64]] = []
    while sum(map(len, found)) < amount:
        codes = optimizer.ask_codes(8)
        outcomes = bowl([Candidate(design) for design in problem.space.designs(codes)], problem.space)
        optimizer.tell_codes(codes, outcomes)
        found.append(problem.matrix(outcomes))
    matrix = np.concatenate(found)[:amount] / worst
    return hypervolume(matrix, np.ones(matrix.shape[1]))

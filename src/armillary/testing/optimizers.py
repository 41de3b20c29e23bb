"""The contract that every optimizer meets, ours and those of other packages.

Inherit from `OptimizerContract` in a test module and override the fixture `make`; and `space`, for an optimizer of
one space alone:

    class TestMine(OptimizerContract):
        @pytest.fixture
        def make(self, problem):
            return lambda seed: Mine(problem, seed=seed)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import pytest

from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.types import AsksCodes, Candidate, Design, Evaluation, Failure, Fidelity, Optimizer

Make = Callable[..., Optimizer]
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
    """Return the outcomes of a smooth function that is least in the middle of every parameter."""
    designs = [candidate.design for candidate in candidates]
    codes = space.encode(designs)
    middle = (np.array(space.cardinalities) - 1) // 2
    runtime = 1.0 + ((codes - middle) ** 2).sum(axis=1)
    return Outcomes.of_each(
        [evaluation(d, {"runtime_s": float(r), "area_mm2": 1.0}) for d, r in zip(designs, runtime, strict=True)]
    )


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

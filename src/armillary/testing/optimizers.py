"""The contract that every optimizer meets, ours and those of other packages.

Inherit from `OptimizerContract` in a test module and override the fixture `make`:

    class TestMine(OptimizerContract):
        @pytest.fixture
        def make(self, tiny_space, objective):
            return lambda seed: Mine(space=tiny_space, objective=objective, seed=seed)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import pytest

from armillary.optimizers.coded import AsksCodes
from armillary.spaces.space import Parameter, Space
from armillary.types import Design, Evaluation, Failure, Fidelity, Objective, Optimizer

Make = Callable[..., Optimizer]


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


def bowl(designs: Sequence[Design], space: Space) -> list[Evaluation]:
    """Return evaluations of a smooth function that is least in the middle of every parameter."""
    codes = space.encode(designs)
    middle = (np.array(space.cardinalities) - 1) // 2
    runtime = 1.0 + ((codes - middle) ** 2).sum(axis=1)
    return [evaluation(d, {"runtime_s": float(r), "area_mm2": 1.0}) for d, r in zip(designs, runtime, strict=True)]


class OptimizerContract:
    """What holds for every optimizer."""

    @pytest.fixture
    def tiny_space(self) -> Space:
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
    def objective(self) -> Objective:
        """Runtime under an area bound."""
        return Objective("runtime_s", {"area_mm2": 29.0})

    @pytest.fixture
    def make(self, tiny_space: Space, objective: Objective) -> Make:
        """A function from a seed to a new optimizer of `tiny_space`."""
        raise NotImplementedError("override the fixture make")

    def test_asks_as_many_as_wanted(self, make: Make, tiny_space: Space) -> None:
        for n in (1, 5, 40):
            designs = make(seed=7).ask(n)
            assert len(designs) == n
            assert (tiny_space.encode(designs) < tiny_space.cardinalities).all()

    def test_same_seed_asks_the_same(self, make: Make, tiny_space: Space) -> None:
        one, two = make(seed=7), make(seed=7)
        for _ in range(3):
            asked = one.ask(4)
            assert asked == two.ask(4)
            one.tell(bowl(asked, tiny_space))
            two.tell(bowl(asked, tiny_space))

    def test_other_seed_asks_other(self, make: Make) -> None:
        assert make(seed=7).ask(8) != make(seed=8).ask(8)

    def test_keeps_asking_when_everything_failed(self, make: Make) -> None:
        optimizer = make(seed=7)
        for _ in range(5):
            designs = optimizer.ask(4)
            assert len(designs) == 4
            optimizer.tell([evaluation(design, None) for design in designs])

    def test_asks_no_design_twice_before_all_were_asked(self, make: Make, tiny_space: Space) -> None:
        optimizer = make(seed=7)
        seen: list[Design] = []
        while len(seen) < tiny_space.size:
            designs = optimizer.ask(min(7, tiny_space.size - len(seen)))
            seen += designs
            optimizer.tell(bowl(designs, tiny_space))
        assert len(set(seen)) == tiny_space.size
        assert len(optimizer.ask(3)) == 3

    def test_asks_no_design_that_it_was_told_unasked(self, make: Make, tiny_space: Space) -> None:
        optimizer = make(seed=7)
        known = tiny_space.designs(tiny_space.at(np.arange(0, 60, 2)))
        optimizer.tell(bowl(known, tiny_space))
        assert not set(optimizer.ask(30)) & set(known)

    def test_is_told_nothing(self, make: Make) -> None:
        optimizer = make(seed=7)
        optimizer.tell([])
        assert len(optimizer.ask(2)) == 2

    def test_batches_ask_what_single_designs_ask(self, make: Make, tiny_space: Space) -> None:
        optimizer = make(seed=7)
        if not isinstance(optimizer, AsksCodes):
            pytest.skip("asks no codes")
        assert tiny_space.designs(optimizer.ask_codes(4)) == make(seed=7).ask(4)

"""The contract that every surrogate meets, ours and those of other packages.

Inherit from `SurrogateContract` in a test module and override the fixture `fit`. It learns from random Edge TPU
designs on MobileNetV2; a surrogate of other designs overrides `problem`, `log`, `unseen` and `context`, too:

    class TestMine(SurrogateContract):
        @pytest.fixture(scope="class")
        def fit(self):
            return lambda log, problem, seed: Mine(space=problem.space, seed=seed).fit(log, problem)

One that has a model file inherits from `SavableContract`, too, which asks for the fixture `kind`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from armillary import surrogates
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.surrogates import Savable
from armillary.surrogates.kind import SurrogateKind
from armillary.types import ArmillaryError, Evaluations, Log, Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import Context, context_of

Fit = Callable[[Log, Problem, int], Surrogate]
_ROWS = 6000
_FEWEST_RANKED = 0.5


class Fitting:
    """What the contracts fit, to what, and on which designs they try it."""

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls) -> Fit:
        """A function from a log, a problem and a seed to a fitted surrogate."""
        raise NotImplementedError("override the fixture fit")

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls) -> Problem:
        """What is learned: runtime at 29 mm2."""
        return TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls) -> InMemoryLog:
        """A log with infeasible rows."""
        codes = sample(SPACE, _ROWS, "random", 0)
        return InMemoryLog(EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2")))

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls) -> Evaluations:
        """Rows of other designs."""
        codes = sample(SPACE, _ROWS, "random", 99)
        return EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls) -> Context:
        """The workload's context."""
        return context_of(zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, fit: Fit, log: InMemoryLog, problem: Problem) -> Surrogate:
        """The surrogate, seed 7."""
        return fit(log, problem, 7)


class SurrogateContract(Fitting):
    """What holds for every surrogate."""

    def test_predicts_one_of_each_per_design(self, fitted: Surrogate, problem: Problem, context: Context) -> None:
        prediction = fitted.predict(sample(problem.space, 33, "random", 1), context)
        for column in (prediction.mean, prediction.std, prediction.p_feasible):
            assert column.shape == (33,)
            assert np.isfinite(column).all()
        assert (prediction.std >= 0).all()
        assert ((prediction.p_feasible >= 0) & (prediction.p_feasible <= 1)).all()

    def test_each_design_is_predicted_alone(self, fitted: Surrogate, problem: Problem, context: Context) -> None:
        codes = sample(problem.space, 16, "random", 2)
        together = fitted.predict(codes, context).mean
        assert fitted.predict(codes[::-1], context).mean == pytest.approx(together[::-1], rel=1e-4)
        assert fitted.predict(codes[3:4], context).mean == pytest.approx(together[3:4], rel=1e-4)

    def test_ranks_designs_it_has_not_seen(
        self, fitted: Surrogate, context: Context, problem: Problem, unseen: Evaluations
    ) -> None:
        rows = unseen.select(problem.satisfied(unseen))
        predicted = fitted.predict(problem.space.encode_columns(rows.design), context).mean
        truth = problem.values(rows)
        assert np.corrcoef(predicted.argsort().argsort(), truth.argsort().argsort())[0, 1] > _FEWEST_RANKED

    def test_same_seed_fits_the_same(
        self, fit: Fit, fitted: Surrogate, log: InMemoryLog, problem: Problem, context: Context
    ) -> None:
        codes = sample(problem.space, 8, "random", 3)
        again = fit(log, problem, 7).predict(codes, context).mean
        assert again == pytest.approx(fitted.predict(codes, context).mean, rel=1e-6)

    def test_learns_from_feasible_rows_alone(
        self, fit: Fit, log: InMemoryLog, problem: Problem, context: Context
    ) -> None:
        rows = log.evaluations(problem.space.name)
        fitted = fit(InMemoryLog(rows.select(rows.feasible)), problem, 7)
        assert np.isfinite(fitted.predict(sample(problem.space, 4, "random", 4), context).mean).all()

    def test_refuses_a_log_without_a_feasible_row(self, fit: Fit, log: InMemoryLog, problem: Problem) -> None:
        rows = log.evaluations(problem.space.name)
        with pytest.raises(ArmillaryError, match="feasible"):
            fit(InMemoryLog(rows.select(~rows.feasible)), problem, 7)


class SavableContract(Fitting):
    """What holds for every surrogate that is kept in a file."""

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls) -> SurrogateKind:
        """What is registered of the surrogate."""
        raise NotImplementedError("override the fixture kind")

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, fitted: Savable, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The file of the fitted surrogate."""
        path = tmp_path_factory.mktemp("model") / "model.pt"
        with path.open("wb") as file:
            fitted.save(file)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def again(cls, kind: SurrogateKind, path: Path, problem: Problem) -> Savable:
        """The surrogate as it is read from its file."""
        assert kind.read is not None
        again: Savable = kind.read(path, space=problem.space, device="cpu")
        return again

    def test_its_file_keeps_what_it_says(
        self, fitted: Savable, again: Savable, problem: Problem, context: Context
    ) -> None:
        codes = sample(problem.space, 40, "random", 5)
        one, two = fitted.predict(codes, context), again.predict(codes, context)
        for name in ("mean", "std", "p_feasible"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-6)
        told = {name: value for name, value in fitted.facts().items() if name != "seconds"}
        assert again.facts() == pytest.approx(told, nan_ok=True)

    def test_the_same_seed_makes_the_same_file(
        self, fit: Fit, log: InMemoryLog, problem: Problem, path: Path, tmp_path: Path
    ) -> None:
        again: Any = fit(log, problem, 7)
        with (tmp_path / "other.pt").open("wb") as file:
            again.save(file)
        assert (tmp_path / "other.pt").read_bytes() == path.read_bytes()

    def test_its_file_keeps_what_was_learned(self, fitted: Savable, again: Savable, problem: Problem) -> None:
        for model in (fitted, again):
            assert model.space == problem.space
            assert model.problem.metric == problem.metric
            assert model.problem.upper_bounds == problem.upper_bounds
        assert again.feature_names == fitted.feature_names

    def test_its_file_is_of_one_space(self, kind: SurrogateKind, path: Path, problem: Problem) -> None:
        assert kind.read is not None
        first, *others = problem.space.parameters
        fewer = Space(problem.space.name, (Parameter(first.name, first.values[:1], first.kind, first.unit), *others))
        for other in (Space("other", problem.space.parameters), fewer):
            with pytest.raises(ArmillaryError, match="space"):
                kind.read(path, space=other, device="cpu")

    def test_a_file_with_other_types_inside_is_refused_or_answers(
        self, kind: SurrogateKind, path: Path, problem: Problem, context: Context, tmp_path: Path
    ) -> None:
        """Each value of the content, one after another, is changed into something else."""
        content = torch.load(path, weights_only=True)
        codes = sample(problem.space, 2, "random", 3)
        refusals = []
        for number, metadata in enumerate(_changed(json.loads(content["metadata"]))):
            changed = tmp_path / f"{number}.pt"
            torch.save({**content, "metadata": json.dumps(metadata)}, changed)
            try:
                model = surrogates.read_as(kind, changed, problem.space)
            except ArmillaryError as fault:
                refusals.append((changed.name, str(fault)))
            else:
                with suppress(ArmillaryError):  # as of a context that the model did not learn from
                    model.predict(codes, context)
            changed.unlink()
        assert refusals
        assert [name for name, message in refusals if name not in message] == []

    def test_a_file_with_other_weights_is_refused_or_answers(
        self, kind: SurrogateKind, path: Path, problem: Problem, tmp_path: Path
    ) -> None:
        content = torch.load(path, weights_only=True)
        changed = tmp_path / "model.pt"
        first = next(iter(content["weights"]))
        weights = content["weights"]
        longer = {**weights, first: torch.zeros(2, 0)}
        others: tuple[Any, ...] = ({}, {first: torch.zeros(3)}, {first: "text"}, [1], longer)
        for other in others:
            torch.save({**content, "weights": other}, changed)
            with pytest.raises(ArmillaryError, match=r"model\.pt"):
                surrogates.read_as(kind, changed, problem.space)

    def test_warns_of_bounds_below_all_that_it_learned_from(
        self, fitted: Savable, again: Savable, log: InMemoryLog, problem: Problem
    ) -> None:
        rows = log.evaluations(problem.space.name)
        for model in (fitted, again):
            for metric in problem.upper_bounds:
                least = float(np.nanmin(rows.metrics[metric][rows.feasible]))
                assert metric in (model.below_the_log(metric, 0.99 * least) or "")
                assert model.below_the_log(metric, 1.01 * least) is None
            assert model.below_the_log("unheard_of", 1.0) is None

    def test_is_not_surprised_by_what_it_learned_from(self, fitted: Savable, context: Context) -> None:
        assert fitted.unlike(context) is None


_JUNK: tuple[Any, ...] = ("x", None, -1, [], {"a": [1]})
_MOST_CHANGES = 60


def _changed(content: Any) -> Iterator[Any]:
    """Yield copies of JSON content with one value changed, spread over all of it."""
    places = list(_places(content))
    for number, place in enumerate(places[:: max(1, len(places) // _MOST_CHANGES)]):
        copied = copy.deepcopy(content)
        inside = copied
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = _JUNK[number % len(_JUNK)]
        yield copied


def _places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield (*place, key)
        yield from _places(value, (*place, key))

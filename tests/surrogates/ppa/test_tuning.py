"""Settings of members, tuned on rows that are left out."""

import numpy as np
import optuna
import pytest

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.ppa import perceptron, stack, tuning
from armillary.surrogates.ppa.forests import Forest, RandomizedForest
from armillary.surrogates.ppa.perceptron import Perceptron
from armillary.surrogates.ppa.stack import Stack
from armillary.surrogates.ppa.tuning import tuned
from surrogates.ppa.test_stack import SPACE, drawn, lesson_of

ROWS = np.arange(60)
SPLITS = [(ROWS[k != ROWS % 3], ROWS[k == ROWS % 3]) for k in range(3)]


class Shifted:
    """Says the truth and an offset that is its setting, 0.5 of its own."""

    name = "shifted"
    offered = (0.5,)

    def __init__(self, offset):
        self.offset = offset

    @classmethod
    def learned(cls, _encoding, _lesson, _seed, setting=None):
        return cls({"offset": 0.5, **(setting or {})}["offset"])

    def predict(self, points):
        return truth_of(points) + self.offset, np.zeros(len(points))

    @classmethod
    def suggested(cls, trial):
        return {"offset": trial.suggest_categorical("offset", list(cls.offered))}


def truth_of(points):
    return np.log(SPACE.columns(points.codes)["rows"].astype(float))


class Better(Shifted):
    offered = (0.5, 0.1, 2.0)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(perceptron, "_STEPS", 30)
    monkeypatch.setattr(stack, "_MANY_FOLDS", 3)


@pytest.fixture(scope="module")
def lesson():
    points, _ = drawn(60, 0)
    return Encoding.of(SPACE, (), False, points), lesson_of(points, truth_of(points))


def test_the_setting_with_the_least_error_of_left_out_rows_is_chosen(lesson):
    assert tuned(Better, *lesson, SPLITS, seed=0, trials=12) == {"offset": 0.1}


def test_a_setting_that_is_no_better_than_the_kinds_own_is_not_chosen(lesson):
    assert tuned(Shifted, *lesson, SPLITS, seed=0, trials=3) == {}


def test_no_trial_tries_nothing(lesson, monkeypatch):
    monkeypatch.setattr(tuning, "_errors", None)
    assert tuned(Better, *lesson, SPLITS, seed=0, trials=0) == {}


@pytest.mark.parametrize("kind", [Forest, RandomizedForest, Perceptron])
def test_settings_of_members_change_what_they_learn(kind, lesson):
    encoding, taught = lesson
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    setting = kind.suggested(study.ask())
    own, other = (kind.learned(encoding, taught, 0, chosen).predict(taught.points)[0] for chosen in ({}, setting))
    assert not np.allclose(own, other)


def test_a_tuned_ensemble_comes_back_from_its_parts():
    points, targets = drawn(40, 1, noise=0.2)
    encoding = Encoding.of(SPACE, (), False, points)
    whole = Stack.learned(encoding, lesson_of(points, targets), 0, kinds=(Forest, Perceptron), trials=1)
    asked, _ = drawn(20, 2)
    again = Stack.read(encoding, *whole.parts())
    assert again.expected(asked).mean == pytest.approx(whole.expected(asked).mean, rel=1e-6)


def test_progress_counts_kinds_to_the_end():
    points, targets = drawn(40, 1)
    steps = []
    encoding = Encoding.of(SPACE, (), False, points)
    Stack.learned(
        encoding, lesson_of(points, targets), 0, kinds=(Forest,), on_progress=lambda *step: steps.append(step)
    )
    assert steps[0] == (0, 2)
    assert steps[-1] == (2, 2)


def test_points_of_no_row_are_predicted_as_none():
    points, targets = drawn(40, 1)
    encoding = Encoding.of(SPACE, (), False, points)
    member = Perceptron.learned(encoding, lesson_of(points, targets), 0)
    assert member.predict(Points(points.codes[:0], points.features[:0]))[0].shape == (0,)

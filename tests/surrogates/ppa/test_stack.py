"""The stacked ensemble on figures whose truth is known."""

import numpy as np
import pytest

from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.auto.process import Process, WholeProcess
from armillary.surrogates.auto.trees import Trees
from armillary.surrogates.ppa.forests import Forest
from armillary.surrogates.ppa.stack import Stack, _prior, _weights

SPACE = Space(
    "layouts",
    (
        Parameter("rows", (2, 4, 8, 16, 32)),
        Parameter("columns", (2, 4, 8, 16, 32)),
        Parameter("clock_ns", tuple(round(0.5 + 0.1 * k, 1) for k in range(16))),
        Parameter("kind", ("a", "b", "c"), kind="categorical"),
    ),
)
FEW = (Forest, Trees, Process, WholeProcess)
PERFECT, POOR = np.linspace(-1, 1, 40), np.zeros(40)


def drawn(count, seed, noise=0.0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, n, count) for n in SPACE.cardinalities], axis=1)
    columns = SPACE.columns(codes)
    size = np.log(columns["rows"].astype(float)) + np.log(columns["columns"].astype(float))
    late = 0.5 * (columns["clock_ns"].astype(float) < 0.8)
    truth = size + late + 0.3 * (codes[:, 3] == 1)
    return Points(codes, np.empty((count, 0))), truth + noise * rng.standard_normal(count)


def lesson_of(points, targets):
    return Lesson(points, targets, np.zeros(len(targets)), points[:0])


@pytest.fixture(scope="module")
def learned():
    points, targets = drawn(120, 0, noise=0.05)
    encoding = Encoding.of(SPACE, (), False, points)
    return encoding, Stack.learned(encoding, lesson_of(points, targets), 0, kinds=FEW)


def test_is_about_as_good_as_its_best_member(learned):
    _, stack = learned
    asked, truth = drawn(400, 1)
    together = np.sqrt(np.mean((stack.expected(asked).mean - truth) ** 2))
    alone = [np.sqrt(np.mean((member.predict(asked)[0] - truth) ** 2)) for member in stack.members]
    assert together < 1.4 * min(alone)
    assert together < 0.2 * truth.std()
    assert sum(stack.weights.values()) == pytest.approx(1)
    assert min(stack.weights.values()) >= 0


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_intervals_hold_what_they_say(learned, seed):
    _, stack = learned
    asked, truth = drawn(400, seed, noise=0.05)
    told = stack.expected(asked)
    inside = np.abs(told.mean - truth) <= stack.factor(0.9) * told.spread
    assert 0.8 < inside.mean() < 0.98
    assert stack.factor(0.5) < stack.factor(0.9) <= stack.factor(0.99)


def test_a_saved_ensemble_says_the_same(learned):
    encoding, stack = learned
    asked, _ = drawn(50, 5)
    again = Stack.read(encoding, *stack.parts())
    assert (again.expected(asked).mean == stack.expected(asked).mean).all()
    assert again.factor(0.9) == stack.factor(0.9)


def test_errors_of_whole_groups_left_out_are_larger_where_groups_differ():
    points, targets = drawn(120, 6)
    group = points.codes[:, 0] * 5 + points.codes[:, 1]
    targets = targets + np.random.default_rng(0).standard_normal(25)[group]  # which nothing tells of another group
    encoding = Encoding.of(SPACE, (), False, points)
    near, apart = (
        Stack.learned(encoding, lesson_of(points, targets), 0, groups=groups, kinds=(Forest,))
        for groups in (None, group)
    )
    assert np.median(apart.scores) > np.median(near.scores)


def test_members_are_not_believed_far_beyond_what_was_learned():
    points, targets = drawn(60, 7)
    encoding = Encoding.of(SPACE, (), False, points)
    stack = Stack.learned(encoding, lesson_of(points, targets), 0, kinds=(Process,))
    said = stack.expected(drawn(200, 8)[0]).mean
    assert said.max() <= targets.max() + 0.25 * np.ptp(targets)


def test_weights_go_to_who_was_right_and_before_that_to_the_forest():
    kinds = (Process, Forest, Trees)
    prior = _prior(kinds)
    assert prior.tolist() == [0, 1, 0]
    assert _prior((Process, Trees)).tolist() == [0.5, 0.5]
    right = _weights(np.stack([PERFECT, POOR, POOR]), PERFECT, prior)
    assert right[0] > 0.9
    alike = _weights(np.stack([POOR, POOR, POOR]), PERFECT, prior)
    assert alike[1] == pytest.approx(1, abs=1e-3)


class Guess:
    """A member that says what a number of its own says of each point, whatever it was taught."""

    number = 0

    @classmethod
    def learned(cls, *_):
        return cls()

    def predict(self, points):
        said = [np.random.default_rng([self.number, *row]).standard_normal() for row in points.codes.tolist()]
        return np.array(said), np.ones(len(said))


GUESSES = tuple(type(f"Guess{k}", (Guess,), {"number": k, "name": f"guess {k}"}) for k in range(7))


def test_weights_that_fit_a_dozen_rows_by_chance_hide_no_errors_of_theirs():
    encoding, told, true = Encoding.of(SPACE, (), False, drawn(2, 0)[0]), [], []
    for seed in range(30):
        points = drawn(212, seed)[0]
        truth = np.random.default_rng(seed).standard_normal(212)
        stack = Stack.learned(encoding, lesson_of(points[:12], truth[:12]), seed, kinds=GUESSES)
        told.append(stack.off.mean())
        true.append(np.abs(stack.expected(points[12:]).mean - truth[12:]).mean())
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.15)

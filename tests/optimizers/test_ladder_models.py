"""What a ladder's models expect, on figures that are off by a known factor."""

import numpy as np
import pytest

from armillary.optimizers.front_models import FrontModels
from armillary.optimizers.ladder_models import Climbed, Clock, Figures, climbed_each
from armillary.optimizers.ppa_motpe import settled_rows
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung, Work
from armillary.spaces.space import Parameter, Space
from armillary.types import EvaluatorSpec, Failure, Fidelity, Prediction
from armillary.workloads.context import Context

SPACE = Space("lines", (*(Parameter(f"p{i}", tuple(range(8))) for i in range(2)), Parameter("late", tuple(range(4)))))
SPEC = EvaluatorSpec("lines", Fidelity.PHYSICAL, "lines", "1")
FIRST, SECOND = Rung("first", SPEC, ("late",)), Rung("second", SPEC)
PROBLEM = Problem.minimising(SPACE, "area_mm2")
CODES = np.array([[i, j, (i + j) // 2 % 4] for i in range(0, 8, 2) for j in range(0, 8, 2)])


def first_says(codes):
    return 1.0 + codes[:, 0] + 3.0 * np.cos(7.0 * codes[:, 1]) ** 2


def whole(codes):
    rough = 0.03 * np.sin(37.0 * (codes[:, 0] + 8.0 * codes[:, 1]))
    return first_says(codes) * np.exp(0.1 + 0.05 * codes[:, 2] + rough)


def rows(codes, values, broken=()):
    """Return rows of an area; those of `broken` places have none."""
    failures = tuple(Failure("infeasible") if k in broken else None for k in range(len(codes)))
    outcomes = Outcomes({"area_mm2": values}, np.array([f is None for f in failures]), failures)
    return list(settled_rows(PROBLEM, codes, outcomes).values())


class Told:
    """A surrogate that expects the first rung to say 5, give or take 2."""

    def predict(self, designs, _context):
        n = len(designs)
        return Prediction(np.full(n, 5.0), np.full(n, 2.0), np.full(n, 0.9))


@pytest.fixture(scope="module")
def figures():
    first, second = Figures(FIRST, SPACE), Figures(SECOND, SPACE)
    first.add(CODES, rows(CODES, first_says(CODES)))
    second.add(CODES, rows(CODES, whole(CODES) / 2))
    return first, second


@pytest.fixture(scope="module")
def climbed(figures):
    return climbed_each({"area_mm2": Told()}, SPACE, CODES, rows(CODES, whole(CODES)), figures)["area_mm2"]


def test_designs_share_figures_that_do_not_depend_on_where_they_differ(figures):
    first, second = figures
    other = CODES.copy()
    other[:, 2] = 3 - other[:, 2]
    assert first.of(other, "area_mm2").tolist() == first_says(CODES).tolist()
    assert first.known(other).all()
    assert not second.known(other).any()
    assert np.isnan(second.of(other, "area_mm2")).all()
    assert np.isnan(first.of(CODES, "power_mw")).all()


def test_what_is_known_stays_and_failures_are_known():
    known = Figures(FIRST, SPACE)
    known.add(CODES[:2], rows(CODES[:2], np.array([1.0, 2.0]), broken=[1]))
    known.add(CODES[:2], rows(CODES[:2], np.array([3.0, 4.0])))
    assert known.known(CODES[:3]).tolist() == [True, True, False]
    assert known.failed(CODES[:3]).tolist() == [False, True, False]
    assert known.of(CODES[:1], "area_mm2").tolist() == [1.0]
    assert len(known.codes) == len(known.rows) == 2


def test_a_design_is_expected_at_its_figure_moved_by_what_rungs_are_off(climbed):
    fresh = np.array([[i, j, k] for i in (2, 4) for j in (0, 2, 6) for k in range(4)])  # known to the first rung
    told = climbed.predict(fresh, Context())
    assert np.abs(np.log(told.mean / whole(fresh))).max() < 0.06
    assert (told.std < 0.1 * told.mean).all()
    unknown = np.array([[1, 1, 0], [1, 1, 3]])
    blind = climbed.predict(unknown, Context())
    assert blind.mean == pytest.approx(5.0 * np.exp([0.1, 0.25]), rel=0.05)
    assert (blind.std > 0.35 * blind.mean).all()  # the surrogate's 0.4, with what the rung is off


def test_the_higher_rung_counts_and_leaves_less_doubt(figures, climbed):
    design = np.array([[3, 3, 2]])
    first, second = Figures(FIRST, SPACE), Figures(SECOND, SPACE)
    one = Climbed("area_mm2", Told(), climbed.offsets, (first, second), climbed.feasibility, logs=True)
    first.add(design, rows(design, np.array([4.0])))
    low = one.predict(design, Context())
    second.add(design, rows(design, np.array([7.0])))
    high = one.predict(design, Context())
    assert low.mean == pytest.approx(4.0 * np.exp(0.2), rel=0.05)
    assert high.mean == pytest.approx(14.0, rel=0.01)  # the second is half of the whole, exactly
    assert high.std / high.mean < low.std / low.mean
    assert one.doubt_after(1, design) == pytest.approx(high.std / high.mean)
    assert one.doubt_after(0, design) == pytest.approx(low.std / low.mean)


def test_chances_are_those_of_the_surrogate_the_rungs_and_whole_evaluations(climbed):
    first, second = Figures(FIRST, SPACE), Figures(SECOND, SPACE)
    first.add(CODES[:2], rows(CODES[:2], np.ones(2), broken=[1]))
    one = Climbed("area_mm2", Told(), climbed.offsets, (first, second), FrontModels([]), logs=True)
    assert one.predict(CODES[:3], Context()).p_feasible.tolist() == [1.0, 0.0, 0.9]
    bad = [k for k in range(len(CODES)) if CODES[k, 0] > 3]
    found = climbed_each({"area_mm2": Told()}, SPACE, CODES, rows(CODES, whole(CODES), broken=bad), climbed.figures)
    chance = found["area_mm2"].predict(CODES, Context()).p_feasible
    assert chance[bad].max() < 0.2
    assert np.delete(chance, bad).min() > 0.8


def test_metrics_that_may_be_negative_are_seen_as_they_are():
    figures = Figures(SECOND, SPACE)
    figures.add(CODES, rows(CODES, first_says(CODES) - 4.0))
    found = climbed_each(
        {"area_mm2": Told()}, SPACE, CODES, rows(CODES, first_says(CODES) - 5.0), (figures,)
    )["area_mm2"]  # fmt: skip
    assert not found.logs
    assert found.predict(CODES, Context()).mean == pytest.approx(first_says(CODES) - 5.0, abs=0.02)
    assert found.predict(np.array([[1, 1, 0]]), Context()).mean == pytest.approx([4.0], abs=0.02)


def test_seconds_are_those_of_the_rest():
    clock = Clock(SPACE, 2)
    ten = np.array([[i % 8, i // 4, 0] for i in range(16)])
    size = 1.0 + ten[:, 0]
    clock.tell(0, ten, Work(1.0 * size, 0.75 * size))
    clock.tell(1, ten[:4], Work(np.full(4, 9.0), np.full(4, 8.0)))
    assert clock.mean_s(2) == np.inf
    clock.tell(2, ten, Work(4.0 * size, 4.0 * size))
    assert clock.mean_s(2) == pytest.approx(18.0)
    starts = np.array([-1, 0, 1])
    assert clock.seconds(starts, 2, ten[:3]) == pytest.approx([18.0, 18.0 - 0.75 * 4.5, 10.0])  # before it learned
    clock.fit()
    asked = np.array([[0, 0, 0], [7, 0, 0]])
    assert clock.seconds(np.array([-1, -1]), 2, asked) == pytest.approx([4.0, 32.0], rel=0.1)
    assert clock.seconds(np.array([0, 0]), 2, asked) == pytest.approx([3.25, 26.0], rel=0.1)
    assert clock.seconds(np.array([1]), 2, asked[:1]) == pytest.approx([0.04], rel=0.1)  # never nothing

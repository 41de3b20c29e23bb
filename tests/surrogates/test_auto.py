from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from armillary import surrogates
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.metrics import METRICS
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto import blend, network, process
from armillary.surrogates.auto.blend import Blend
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import examples_of
from armillary.surrogates.auto.feasibility import Feasibility
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.auto.process import Process, WholeProcess
from armillary.surrogates.auto.surrogate import Auto
from armillary.testing.surrogates import SavableContract, SurrogateContract
from armillary.types import ArmillaryError, Evaluations, Metric
from armillary.workloads import zoo
from armillary.workloads.context import OwnContext

OWN = Space(
    "own",
    (
        Parameter("width", (1, 2, 4, 8, 16, 32)),
        Parameter("depth", (1, 2, 3, 4, 5, 6, 7, 8)),
        Parameter("flow", ("os", "rs", "ws"), "categorical"),
        Parameter("double", (0, 1)),
        Parameter("banks", (1, 2, 4, 8)),
    ),
)
ALL = OWN.at(np.arange(OWN.size))
WIDTH, DEPTH, FLOW, DOUBLE, BANKS = (np.array(p.values)[ALL[:, k]] for k, p in enumerate(OWN.parameters))
COST = 100 / (WIDTH * DEPTH) * np.where(FLOW == "ws", 1.0, 1.5) + 0.5 * BANKS
OWN_METRICS = {**METRICS, "cost": Metric("1"), "heat_w": Metric("W")}


@pytest.fixture(autouse=True, scope="module")
def brief():
    """Train for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_FEWEST_STEPS", 100)
        patch.setattr(network, "_MOST_STEPS", 100)
        patch.setattr(process, "_STEPS", 20)
        yield


def problem(direction="minimize", bounds=(), laws=None):
    return Problem(OWN, (Objective("cost", direction),), tuple(bounds), laws or {}, metrics=OWN_METRICS)


def rows_of(places, metrics: Mapping[str, np.ndarray], feasible=None, workload="one", context=None):
    """Return rows of designs at these places of the space; metrics and feasibility are those of all its designs."""
    count = len(places)

    def same(text):
        return np.array([text] * count, dtype=object)

    feasible = np.ones(len(ALL), dtype=bool) if feasible is None else feasible
    good = feasible[places]
    columns = OWN.columns(ALL[places])
    return Evaluations(
        space=OWN.name,
        design={n: c.astype(object) if c.dtype.kind == "U" else c for n, c in columns.items()},
        workload=same(workload),
        context={name: np.full(count, value) for name, value in (context or {}).items()},
        evaluator=same("own"),
        version=same("1"),
        fidelity=same("external"),
        metrics={name: np.where(good, column[places], np.nan) for name, column in metrics.items()},
        feasible=good,
        failure_kind=np.where(good, "", "infeasible").astype(object),
        failure_resource=np.where(good, "", "no fit").astype(object),
        failure_layer=same(""),
        failure_needed=np.full(count, np.nan),
        failure_available=np.full(count, np.nan),
        failure_detail=same(""),
        seconds=np.zeros(count),
        seed=np.zeros(count, dtype=np.int64),
        time=np.zeros(count, dtype="datetime64[us]"),
        options=same(""),
    )


def drawn(count, seed=0):
    return np.random.default_rng(seed).permutation(len(ALL))[:count]


def fitted_to(rows, asked=None, seed=0):
    return Auto(space=OWN, seed=seed).fit(InMemoryLog(rows), asked or problem())


def correlation(one, other):
    return np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1]


class SmallLog:
    @pytest.fixture(scope="class")
    @classmethod
    def log(cls):
        codes = sample(SPACE, 500, "random", 0)
        return InMemoryLog(EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2")))

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls):
        return EdgeTpuEvaluator().evaluate_codes(sample(SPACE, 1500, "random", 99), zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, asked, seed: Auto(space=asked.space, seed=seed).fit(log, asked)


class TestAuto(SmallLog, SurrogateContract, SavableContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return surrogates.kind_of("auto")


@pytest.mark.parametrize(
    ("direction", "shift"),
    [("minimize", -60.0), ("maximize", 0.0)]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in (("minimize", 0.0), ("maximize", -60.0))],
)
def test_metrics_of_either_sign_are_learned_either_way(direction, shift):
    values = COST + shift
    model = fitted_to(rows_of(drawn(250), {"cost": values}), problem(direction))
    assert correlation(model.predict(ALL).mean, values) > 0.9
    assert model.problem.objective.direction == direction


def test_a_small_chance_makes_a_design_look_worse_whichever_way_is_better():
    feasible = (DEPTH < 6) | (WIDTH > 4)
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        model = fitted_to(rows_of(drawn(300), {"cost": COST}, feasible), problem(direction))
        points = Points.of(ALL, np.empty(0))
        blind = model._fitted.scales[0].restore(sign * model._fitted.blend.of(*model._fitted.blend.opinions(points))[0])
        assert (sign * (model.predict(ALL).mean - blind) > 0).all()


def test_a_bound_that_no_law_tells_is_learned_as_a_value_from_both_sides():
    heat = 0.1 * WIDTH * DEPTH * np.random.default_rng(1).uniform(0.8, 1.25, len(ALL))  # hard to tell exactly
    asked = problem(bounds=[Bound("heat_w", at_most=9.0)])
    model = fitted_to(rows_of(drawn(250), {"cost": COST, "heat_w": heat}), asked)
    chance = model.predict(ALL).p_feasible
    assert ((chance > 0.5) == (heat <= 9)).mean() > 0.95
    unsure = (chance > 0.05) & (chance < 0.95)  # a margin: nobody is sure of what lies at the bound
    assert unsure.sum() > 20
    assert np.abs(np.log(heat[unsure] / 9)).max() < 1
    opinion = model._fitted.blend.opinions(Points.of(ALL, np.empty(0)))[0].mean(axis=0)
    assert correlation(opinion[heat > 9], COST[heat > 9]) > 0.8  # what lies beyond was learned from, too


def test_a_lower_bound_is_kept():
    heat = 0.1 * WIDTH * DEPTH
    model = fitted_to(
        rows_of(drawn(250), {"cost": COST, "heat_w": heat}), problem(bounds=[Bound("heat_w", at_least=8.0)])
    )
    chance = model.predict(ALL).p_feasible
    assert chance[heat > 14].mean() > 0.8
    assert chance[heat < 3].mean() < 0.1


def test_a_bound_that_a_law_tells_is_not_learned():
    law = {"heat_w": lambda codes: 0.1 * np.array(OWN.parameters[0].values)[codes[:, 0]]}
    model = fitted_to(rows_of(drawn(200), {"cost": COST}), problem(bounds=[Bound("heat_w", at_most=1.0)], laws=law))
    assert model.predict(ALL).p_feasible.min() > 0.9


def test_neighbourhoods_where_everything_failed_are_hardly_feasible():
    feasible = ~((WIDTH >= 8) & (BANKS >= 4))
    model = fitted_to(rows_of(drawn(400), {"cost": COST}, feasible))
    unseen = np.setdiff1d(np.arange(len(ALL)), drawn(400))
    chance = model.predict(ALL[unseen]).p_feasible
    assert chance[~feasible[unseen]].max() < model.least_chance < np.quantile(chance[feasible[unseen]], 0.1)
    assert model.brier < 0.05


def test_failures_of_what_may_be_better_than_all_that_worked_leave_hope():
    """A log of which the best designs are missing has but failures among them: they need not speak against the best."""
    feasible = np.random.default_rng(0).random(len(ALL)) < 0.7
    best = np.quantile(COST, 0.25) > COST
    log = np.setdiff1d(drawn(600), np.flatnonzero(best & feasible))
    model = fitted_to(rows_of(log, {"cost": COST}, feasible))
    among = ALL[best]
    assert np.median(model.predict(among).p_feasible) < 0.4
    midway, least = model.hopeful(among).p_feasible, model.predict(among).p_feasible
    without = model._fitted.hope(Points.of(among, np.empty(0)))
    assert np.median(least) + 0.15 < np.median(midway) < np.median(without)
    usual = fitted_to(rows_of(drawn(100), {"cost": COST}))
    np.testing.assert_array_equal(usual.hopeful(ALL).mean, usual.predict(ALL).mean)


def test_the_reliability_counts_every_design_once():
    feasible = ~((WIDTH >= 8) & (BANKS >= 4))
    model = fitted_to(rows_of(drawn(400), {"cost": COST}, feasible))
    assert sum(count for *_, count in model.reliability) == 400


def test_workloads_are_told_apart_by_their_names_alone():
    other = COST[::-1]
    rows = Evaluations.concat([
        rows_of(drawn(200), {"cost": COST}, workload="asr"),
        rows_of(drawn(200, 1), {"cost": other}, workload="kws"),
    ])  # fmt: skip
    model = fitted_to(rows)
    for name, values in (("asr", COST), ("kws", other)):
        assert correlation(model.predict(ALL, OwnContext({}, name)).mean, values) > 0.7
    assert any("told apart by their names" in remark for remark in model.remarks)
    assert model.feature_names == ()
    with pytest.raises(ArmillaryError, match=r"none is 'tts'; choose one of \['asr', 'kws'\]"):
        model.predict(ALL, OwnContext({}, "tts"))
    with pytest.raises(ArmillaryError, match="serves several workloads"):
        model.predict(ALL)


def test_workloads_are_told_apart_by_their_own_numbers_where_there_are_such():
    rows = Evaluations.concat([
        rows_of(drawn(150, k), {"cost": COST * size}, workload=f"net{k}", context={"macs": 1e9 * size})
        for k, size in enumerate((1.0, 4.0))
    ])  # fmt: skip
    model = fitted_to(rows)
    assert model.feature_names == ("macs",)
    assert any("their numbers (macs)" in remark for remark in model.remarks)
    unseen = model.predict(ALL, OwnContext({"macs": 2e9}, "another")).mean
    assert correlation(unseen, COST) > 0.8
    ratio = np.median(model.predict(ALL, OwnContext({"macs": 4e9}, "net1")).mean / unseen)
    assert 1.2 < ratio < 3


def test_a_constant_metric_is_said():
    model = fitted_to(rows_of(drawn(60), {"cost": np.full(len(ALL), 3.0)}))
    assert any("cost is the same for every feasible design" in remark for remark in model.remarks)
    assert np.isfinite(model.predict(ALL).mean).all()
    assert not any("the same" in remark for remark in fitted_to(rows_of(drawn(60), {"cost": COST})).remarks)


def test_repeated_measurements_are_averaged_and_their_spread_is_kept():
    noisy = np.random.default_rng(0).normal(0, 1, (4, len(ALL)))
    parts = [rows_of(drawn(40), {"cost": 100 + COST + noise}) for noise in noisy]
    told = examples_of(InMemoryLog(Evaluations.concat(parts)), problem()).objective
    alone = examples_of(InMemoryLog(parts[0]), problem()).objective
    assert len(told.lesson.targets) == told.repeated == 40
    assert alone.repeated == 0
    assert not alone.lesson.noise.any()
    spread = told.scales[0].spread * (100 + COST[drawn(40)]).mean()
    assert told.spread == pytest.approx(1 / spread, rel=0.3)
    assert told.lesson.noise == pytest.approx(told.spread**2 / 4)
    averaged = np.mean([part.metrics["cost"] for part in parts], axis=0)
    order = np.lexsort(ALL[drawn(40)].T[::-1])
    assert correlation(told.lesson.targets, averaged[order]) > 0.999


def test_rows_without_a_number_are_named():
    rows = rows_of(drawn(50), {"cost": COST})
    rows.metrics["cost"][3] = np.nan
    with pytest.raises(ArmillaryError, match="cost of 1 feasible rows is not a finite number"):
        fitted_to(rows)
    with pytest.raises(ArmillaryError, match="workload one: 5 feasible rows, training needs 10"):
        fitted_to(rows_of(drawn(5), {"cost": COST}))


def test_its_file_keeps_every_digit_of_a_maximum_of_named_workloads_between_bounds(tmp_path):
    heat = 0.1 * WIDTH * DEPTH
    rows = Evaluations.concat([
        rows_of(drawn(120, k), {"cost": COST - 20, "heat_w": heat}, DEPTH < 8, workload=name)
        for k, name in enumerate(("asr", "kws"))
    ])  # fmt: skip
    asked = problem("maximize", [Bound("heat_w", at_least=0.3, at_most=9.0)])
    model = fitted_to(rows, asked)
    model.save(tmp_path / "model.pt")
    again = surrogates.read(tmp_path / "model.pt", OWN)
    for name in ("asr", "kws"):
        one, two = (each.predict(ALL, OwnContext({}, name)) for each in (model, again))
        for column in ("mean", "std", "p_feasible"):
            np.testing.assert_array_equal(getattr(one, column), getattr(two, column))
    assert again.problem.objective == asked.objective
    assert again.problem.bounds == asked.bounds
    assert isinstance(again, Auto)
    assert again.remarks == model.remarks
    assert again.reliability == model.reliability


def test_members_count_as_the_best_fifth_that_they_have_not_seen_tells(monkeypatch):
    class Oracle:
        """Knows the truth, or the opposite."""

        name, sign = "oracle", 1.0

        def __init__(self, encoding):
            self.encoding = encoding

        @classmethod
        def learned(cls, encoding, lesson, _seed):
            cls.most_seen = min(getattr(cls, "most_seen", np.inf), lesson.targets.min())
            return cls(encoding)

        def again(self, _lesson, _seed):
            return self

        def predict(self, points):
            value = np.log(COST[OWN.index(points.codes)])
            return self.sign * (value - np.log(COST).mean()) / np.log(COST).std(), np.zeros(len(points))

    class Liar(Oracle):
        name, sign = "liar", -1.0

    monkeypatch.setattr(blend, "KINDS", (Oracle, Liar))
    points = Points.of(ALL, np.empty(0))
    targets = (np.log(COST) - np.log(COST).mean()) / np.log(COST).std()
    lesson = Lesson(points, targets, np.zeros(len(ALL)), points[:0])
    found = Blend.learned(
        Encoding.of(OWN, (), False, points), lesson, np.zeros(len(ALL), dtype=int), 0, lambda *_: None
    )
    assert [member.name for member in found.members] == ["oracle"]
    assert {trial.name: trial.weight for trial in found.trials} == {"oracle": 1.0, "liar": 0.0}
    assert [round(trial.order, 6) for trial in found.trials] == [1.0, -1.0]
    assert Liar.most_seen == np.sort(targets)[round(0.2 * len(targets))]  # left out: it saw no design of the best fifth


@pytest.mark.parametrize("kind", [Process, WholeProcess])
@pytest.mark.parametrize("learned_again", [False, True])
def test_the_process_says_what_it_saw_and_is_unsure_of_what_lies_far_away(kind, learned_again):
    points = Points.of(ALL, np.empty(0))

    def lesson(places):
        return Lesson(points[places], np.log(COST[places]), np.zeros(len(places)), points[:0])

    seen, far = np.flatnonzero((WIDTH <= 4) & (DOUBLE == 0)), WIDTH == 32
    model = kind.learned(Encoding.of(OWN, (), False, points), lesson(seen), 0)
    if learned_again:
        seen, far = np.flatnonzero((WIDTH >= 8) & (DOUBLE == 0)), WIDTH == 1
        model = model.again(lesson(seen), 0)
    value, spread = model.predict(points)
    assert np.abs(value - np.log(COST))[seen].max() < 0.2
    assert spread[far].min() > 2 * spread[seen].max()


def test_products_and_ratios_of_amounts_are_sums_and_differences_of_their_logarithms():
    points = Points.of(ALL, np.empty(0))
    encoding = Encoding.of(OWN, (), False, points)
    assert set(encoding.amounts) == {0, 1, 4}  # neither names nor a switch
    assert encoding.amounts[4] == 6
    products = encoding.products(points, (0, 1))
    np.testing.assert_allclose(products, np.log2(np.stack([DEPTH * WIDTH, DEPTH / WIDTH], axis=1)))
    assert encoding.products(points, (0, 1, 4)).shape == (len(ALL), 6)
    assert encoding.products(points, (0,)).shape == (len(ALL), 0)


def test_a_limit_of_a_product_is_told_from_few_failures_by_trees_that_see_products():
    feasible = (WIDTH * DEPTH <= 64) | (BANKS < 2)
    points = Points.of(ALL, np.empty(0))
    encoding = Encoding.of(OWN, (), False, points)
    wrong = []
    for seed in range(3):
        places = drawn(250, seed)
        rest = np.setdiff1d(np.arange(len(ALL)), places)
        judges = Feasibility.learned(encoding, points[places], feasible[places].astype(float), seed).judges
        wrong.append(((judges.odds(points[rest]) > 0) != feasible[rest]).mean(axis=1))
    plain, pairs, _ = np.mean(wrong, axis=0)
    assert pairs < 0.6 * plain


def test_the_chance_is_the_least_of_what_the_judges_give_and_what_is_left_out_bears_it_out():
    feasible = ~((WIDTH >= 8) & (BANKS >= 4)) ^ (np.random.default_rng(0).random(len(ALL)) < 0.1)
    points = Points.of(ALL, np.empty(0))
    found = Feasibility.learned(Encoding.of(OWN, (), False, points), points[::3], feasible[::3].astype(float), 0)
    slope, offset = np.array(found.lines).T[:, :, None]
    each = expit(slope * found.judges.odds(points) + offset)
    assert each.shape == (3, len(ALL))
    np.testing.assert_array_equal(found(points), each.min(axis=0))
    mean = expit(found.odds(points))
    assert ((mean >= each.min(axis=0)) & (mean <= each.max(axis=0))).all()
    others = np.setdiff1d(np.arange(len(ALL)), np.arange(len(ALL))[::3])
    unseen = np.mean((found(points[others]) - feasible[others]) ** 2)
    assert found.brier == pytest.approx(unseen, abs=0.05)  # it speaks of designs that were not learned from
    assert found.brier > 1.3 * np.mean((found(points[::3]) - feasible[::3]) ** 2)


def test_a_design_is_encoded_by_its_logarithm_and_its_names():
    encoding = Encoding.of(OWN, (), False, Points.of(ALL, np.empty(0)))
    columns = encoding.columns(Points.of(ALL, np.empty(0)))
    assert columns.shape == (len(ALL), encoding.width) == (len(ALL), 7)
    np.testing.assert_allclose(columns[:, 0], np.log2(WIDTH) / 5)
    np.testing.assert_array_equal(columns[:, 2:5], np.equal.outer(FLOW, ["os", "rs", "ws"]))
    assert Encoding.from_dict(OWN, encoding.as_dict()) == encoding


def test_mixed_evaluators_are_refused():
    rows = rows_of(drawn(60), {"cost": COST})
    other = replace(rows, version=np.array(["2"] * 60, dtype=object))
    with pytest.raises(ArmillaryError, match="mixes results of 2 evaluators"):
        fitted_to(Evaluations.concat([rows, other]))

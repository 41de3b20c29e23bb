from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.studies.propose import propose
from armillary.surrogates.prime.schedules import Rung, Schedule
from armillary.surrogates.prime.surrogate import Prime
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of

PROBLEM = TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})
SHORT = Schedule(
    rungs=(Rung(4, 20), Rung(1, 40)),
    warmup=100,
    batch=64,
    learning_rate=1e-3,
    final_rate=0.1,
    checkpoint=20,
    mining_period=4,
    refit=100,
)


def prime(seed=0, schedule=SHORT, alphas=(0.0, 0.1), betas=(0.0, 0.1), **options):
    return Prime(space=SPACE, seed=seed, schedule=schedule, alphas=alphas, betas=betas, **options)


def rows_of(workload, n=6000, seed=0):
    return EdgeTpuEvaluator().evaluate_codes(sample(SPACE, n, "random", seed), zoo.build(workload))


@pytest.fixture(scope="module")
def rows():
    """A log without the best fifth of the legal designs that were drawn, as PRIME's are."""
    drawn = rows_of("mobilenet_v2")
    values = PROBLEM.values(drawn)
    legal = np.isfinite(values)
    return drawn.select(~legal | (values > np.quantile(values[legal], 0.2)))


@pytest.fixture(scope="module")
def fitted(rows):
    return prime(seed=7).fit(InMemoryLog(rows), PROBLEM)


class TestPrime(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: prime(seed=seed).fit(log, problem)

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls, rows):
        return InMemoryLog(rows)

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, fitted):
        return fitted  # to that log, with the contract's seed


def test_finds_far_better_designs_than_its_log(rows, fitted):
    workload = zoo.build("mobilenet_v2")
    effort = {"swarms": 8, "generations": 20}
    found = propose(fitted, PROBLEM, context_of(workload), top=64, known=rows, effort=effort)
    values = PROBLEM.values(EdgeTpuEvaluator().evaluate_codes(found.codes, workload))
    assert values.min() < 0.9 * PROBLEM.values(rows).min()


def test_is_conservative(rows):
    """Infeasible designs (beta) and unseen ones (alpha) look worse than to the plain surrogate."""
    unseen = rows_of("mobilenet_v2", seed=5)
    bad = SPACE.encode_columns(unseen.design)[~unseen.feasible][:1500]
    good = SPACE.encode_columns(rows.select(PROBLEM.satisfied(rows)).design)
    schedule = replace(SHORT, rungs=(Rung(1, 200),), batch=32, refit=0)

    def logarithms(alpha, beta):
        options = {"alphas": (alpha,), "betas": (beta,), "hidden": 16, "feed_forward": 16}
        model = prime(schedule=schedule, **options).fit(InMemoryLog(rows), PROBLEM)
        return np.array([np.log(model.predict(codes).mean).mean() for codes in (bad, good)])

    plain, negatives, infeasible = (logarithms(*weights) for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    assert negatives[0] > plain[0] + 0.2
    assert infeasible[0] - infeasible[1] > plain[0] - plain[1] + 1.0


def test_selection_lists_every_member_and_keeps_the_best(fitted):
    selection = fitted.selection
    assert {(c.alpha, c.beta) for c in selection.candidates} == {(a, b) for a in (0.0, 0.1) for b in (0.0, 0.1)}
    assert selection.chosen[0].kendall == max(c.kendall for c in selection.candidates)
    assert selection.seconds > 0


def test_save_and_load_predict_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.pt")
    loaded = Prime.load(tmp_path / "model.pt", space=SPACE)
    codes = sample(SPACE, 20, "random", 1)
    assert (loaded.predict(codes).mean == fitted.predict(codes).mean).all()
    assert loaded.selection.as_dict() == fitted.selection.as_dict()  # which leaves out the seconds of the training


def test_refuses_a_model_of_another_space(fitted, tmp_path):
    fitted.save(tmp_path / "model.pt")
    other = Space("other", (Parameter("width", (1, 2)),))
    with pytest.raises(ArmillaryError, match="edge_tpu"):
        Prime.load(tmp_path / "model.pt", space=other)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04 cut"])
def test_refuses_a_file_that_is_no_model(content, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ArmillaryError, match=r"model\.pt"):
        Prime.load(path, space=SPACE)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(ArmillaryError, match=r"none\.pt"):
        Prime.load(tmp_path / "none.pt", space=SPACE)


def test_refuses_too_few_rows_within_the_bound(rows):
    with pytest.raises(ArmillaryError, match=r"mobilenet_v2: \d+ feasible rows have area_mm2 <= 0\.5"):
        prime().fit(InMemoryLog(rows), Problem.minimising(SPACE, "runtime_s", {"area_mm2": 0.5}))


def test_names_rows_whose_objective_is_no_positive_number(rows):
    runtime = rows.metrics["runtime_s"].copy()
    runtime[np.flatnonzero(rows.feasible)[3]] = -1.0
    broken = replace(rows, metrics={**rows.metrics, "runtime_s": runtime})
    with pytest.raises(ArmillaryError, match=r"row \d+: -1"):
        prime().fit(InMemoryLog(broken), PROBLEM)


def test_a_log_of_two_workloads_gives_a_contextual_model():
    log = InMemoryLog(Evaluations.concat([rows_of("mobilenet_v2", 3000), rows_of("unet", 3000)]))
    schedule = replace(SHORT, rungs=(Rung(1, 150),), warmup=0, refit=0)
    model = prime(schedule=schedule, alphas=(0.0,), betas=(0.0,)).fit(log, PROBLEM)
    codes = sample(SPACE, 30, "random", 4)
    small, large = (model.predict(codes, context_of(zoo.build(name))).mean for name in ("mobilenet_v2", "unet"))
    assert np.median(large) > np.median(small)


@pytest.fixture(scope="module")
def contextual():
    log = InMemoryLog(Evaluations.concat([rows_of("mobilenet_v2", 3000), rows_of("mobilenet_edgetpu", 3000)]))
    schedule = replace(SHORT, rungs=(Rung(1, 150),), warmup=0, refit=0)
    return prime(schedule=schedule, alphas=(0.0,), betas=(0.0,)).fit(log, PROBLEM)


def test_several_workloads_are_predicted_as_each_alone(contextual):
    codes = sample(SPACE, 20, "random", 5)
    contexts = [context_of(zoo.build(name)) for name in ("unet", "mobilenet_v3_large", "mobilenet_v2")]
    for together, context in zip(contextual.predict_each(codes, contexts), contexts, strict=True):
        alone = contextual.predict(codes, context)
        for name in ("mean", "std", "p_feasible"):
            assert getattr(together, name) == pytest.approx(getattr(alone, name), rel=1e-6)


def test_an_unseen_workload_is_as_large_as_its_operations_say(contextual):
    codes, fitted = sample(SPACE, 30, "random", 4), contextual.fitted
    locations = []
    for name in ("unet", "mobilenet_v3_large"):
        context = context_of(zoo.build(name))
        features = fitted.features(context.as_dict())
        scale = fitted.scale(features)
        ((standard,), _) = fitted._standard(codes, [features])
        assert contextual.predict(codes, context).mean == pytest.approx(scale.restore(standard), rel=1e-6)
        locations.append(scale.location)
    assert locations[0] > locations[1] + 0.1


def test_a_workload_of_another_kind_is_warned_of(contextual):
    assert contextual.unlike(context_of(zoo.build("mobilenet_v2"))) is None
    warning = contextual.unlike(context_of(zoo.build("t_rnn_enc")))
    assert "operations per MB of parameters" in warning


def test_derived_metrics_are_learned(rows):
    problem = Problem.minimising(SPACE, "edp_pj_cycles", {"power_mw": 1e6})
    model = prime(schedule=replace(SHORT, refit=0), alphas=(0.0,), betas=(0.0,)).fit(InMemoryLog(rows), problem)
    predicted = model.predict(sample(SPACE, 5, "random", 4), context_of(zoo.build("mobilenet_v2"))).mean
    assert (predicted > 1e9).all()


def test_predicts_only_after_a_fit():
    with pytest.raises(ArmillaryError, match="not been fitted"):
        prime().predict(sample(SPACE, 1, "random", 0))


def test_the_first_rung_takes_the_whole_grid():
    with pytest.raises(ArmillaryError, match="whole grid"):
        prime(schedule=replace(SHORT, rungs=(Rung(1, 3),)))


def test_reports_progress_to_the_end(rows):
    seen = []
    schedule = replace(SHORT, rungs=(Rung(4, 3), Rung(1, 2)), warmup=2, refit=3)
    model = prime(schedule=schedule, on_progress=lambda done, total: seen.append((done, total)))
    model.fit(InMemoryLog(rows), PROBLEM)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_model_of_another_order_of_parameters_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "model.pt")
    with pytest.raises(ArmillaryError, match="another order"):
        Prime.load(tmp_path / "model.pt", space=Space(SPACE.name, SPACE.parameters[::-1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alphas": ()}, "must each hold a value"), ({"minimum_rows": 1}, "minimum_rows=1 must be at least 4")],
)
def test_settings_that_cannot_train_are_refused(options, message):
    with pytest.raises(ArmillaryError, match=message):
        prime(**options)

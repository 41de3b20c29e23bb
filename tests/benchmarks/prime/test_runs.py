from dataclasses import replace

import numpy as np
import pytest
import torch

from armillary.benchmarks.prime import runs as prime_runs
from armillary.benchmarks.prime.edge_tpu_optimum import known_optima
from armillary.benchmarks.prime.runs import (
    ONLINE,
    Runs,
    budget_of,
    derived_features,
    evaluations,
    joint_values,
    learned_log,
    legal_rows,
    log_facts,
    offline_log,
    problem_at,
    random_pool,
    worst_of,
)
from armillary.benchmarks.prime.scenarios import EDGE, ENC, M6, UNET, V2, Task
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.edge_tpu import SPACE, area_mm2
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError

TOGETHER = Task((V2, M6), (V2, M6), 29.0)
ALONE = Task((V2,), (V2,), 29.0)


@pytest.fixture
def runs(tmp_path):
    return Runs(BenchOptions(None, True, 0, tmp_path / "table", lambda *_: None), scale=20, seeds=(0, 1))


def test_the_log_leaves_a_fifth_of_the_pool_s_legal_designs_out():
    problem = problem_at(29.0)
    pool = random_pool(problem, lambda codes: evaluations(codes, V2), 400, 0)
    every = problem.values(pool)
    assert np.isfinite(every[-1])  # nothing is drawn after the last legal one
    logged = problem.values(worst_of(pool, problem, 400, 3000))
    assert np.isinf(logged).sum() == 3000
    np.testing.assert_allclose(np.sort(logged[np.isfinite(logged)]), np.sort(every[np.isfinite(every)])[100:])
    assert np.isfinite(every).sum() == 500


def test_a_log_is_the_worst_of_a_pool():
    log = offline_log(M6, 29.0, 20, 0)
    legal = problem_at(29.0).satisfied(log)
    assert legal.sum() == 7529 // 20
    assert (~legal).sum() <= 25_000 // 20
    pool_best = known_optima()[Task((M6,), (M6,), 29.0).scenario]
    assert log.metrics["runtime_s"][legal].min() > 1.1 * pool_best


def test_values_of_several_are_their_mean_where_all_are_legal():
    codes = sample(SPACE, 3000, "random", 1)
    both = joint_values(codes, TOGETHER)
    each = [joint_values(codes, Task((name,), (name,), 29.0)) for name in (V2, M6)]
    legal = np.isfinite(both)
    assert legal.any()
    assert (legal == np.isfinite(each).all(axis=0)).all()
    assert both[legal] == pytest.approx(np.mean(each, axis=0)[legal])
    assert (area_mm2(codes[legal]) <= 29.0).all()


CHEAP = sorted(set(ONLINE) - {"bayesian", "portfolio"})


@pytest.mark.parametrize("method", [*CHEAP, pytest.param("portfolio", marks=pytest.mark.slow)])
def test_a_search_spends_its_budget_of_legal_designs(method, runs):
    runs = replace(runs, scale=60)
    found = runs.one(method, TOGETHER, 0)
    assert found["legal_evaluations"] == budget_of(TOGETHER, runs) > 200
    assert found["evaluations"] >= found["legal_evaluations"]
    assert joint_values(np.array([found["codes"]]), TOGETHER)[0] == pytest.approx(found["runtime_s"])


def test_an_offline_run_verifies_its_proposals_and_is_kept(runs, monkeypatch):
    found = runs.one("deep-ensemble", ALONE, 0, steps=150, members=2)
    assert found["evaluations"] == 256
    assert joint_values(np.array([found["codes"]]), ALONE)[0] == pytest.approx(found["runtime_s"])
    monkeypatch.setattr(prime_runs, "_offline", None)  # it is read again
    assert runs.one("deep-ensemble", ALONE, 0, steps=150, members=2) == found


def test_a_tighter_bound_can_come_after_the_training(runs):
    task = Task((EDGE,), (EDGE,), 18.0)
    found = runs.one("deep-ensemble", task, 0, steps=150, members=2, trained_at_mm2=29.0)
    assert area_mm2(np.array([found["codes"]]))[0] <= 18.0


def test_what_is_compared_with_a_tighter_bound_follows_the_log_of_the_training(runs):
    task, log = Task((EDGE,), (EDGE,), 18.0), offline_log(EDGE, 29.0, 20, 0)
    small = log.feasible & (log.metrics["area_mm2"] <= 18.0)
    assert log_facts(task, 20, trained_at_mm2=29.0).best_s == log.metrics["runtime_s"][small].min()
    assert budget_of(task, runs, trained_at_mm2=29.0) == log.feasible.sum() != budget_of(task, runs)


def test_medians_are_over_the_seeds(runs):
    each = [runs.one("random", ALONE, seed)["runtime_s"] for seed in (0, 1)]
    found = runs.medians("random", ALONE)
    assert found["runtime_s"] == pytest.approx(np.median(each))
    assert found["worst_seed_s"] == max(each)


def test_the_best_of_the_logs_runs_every_target():
    task = Task((V2, ENC), (V2, ENC), 29.0)
    best = log_facts(task, 20).best_s
    assert known_optima()[Task((V2,), (V2,), 29.0).scenario] / 2 < best < 1.0


def test_rows_above_the_bound_count_and_can_be_left_out(runs):
    log = offline_log(V2, 29.0, 20, 0)
    above = log.feasible & (log.metrics["area_mm2"] > 29.0)
    facts = log_facts(ALONE, 20)
    assert (facts.rows, facts.oversize) == (len(log), above.sum())
    assert facts.best_of_any_area_s == log.metrics["runtime_s"][log.feasible].min() < facts.best_s
    kept = learned_log(V2, 29.0, runs, without_oversize=True)
    assert len(kept) == len(log) - above.sum() < len(log)
    assert (kept.metrics["area_mm2"][kept.feasible] <= 29.0).all()


def test_the_best_of_all_logs_counts_whichever_application_it_was_drawn_for():
    best = log_facts(Task((V2, M6), (V2,), 29.0), 20).best_s
    alone = [log_facts(Task((name,), (V2,), 29.0), 20).best_s for name in (V2, M6)]
    assert best == min(alone) == alone[1] < alone[0]  # the pool of the other was not cut by this one's latency


def test_the_first_verified_design_within_a_percent_is_counted():
    optimum = known_optima()[ALONE.scenario]
    codes = np.zeros((4, 10), dtype=np.int64)
    summary = prime_runs._summary(codes, optimum * np.array([np.inf, 1.02, 1.009, 1.0]), ALONE)
    assert (summary["evaluations_within"], summary["evaluations"]) == (3.0, 4.0)
    assert prime_runs._summary(codes, optimum * np.full(4, 1.02), ALONE)["evaluations_within"] == np.inf


def test_a_surrogate_can_learn_without_the_rows_above_the_bound(runs):
    both = [
        runs.one("deep-ensemble", ALONE, 0, steps=150, members=2, **more) for more in ({}, {"without_oversize": True})
    ]
    assert both[0]["log_rows"] - both[1]["log_rows"] == log_facts(ALONE, 20).oversize
    assert both[0]["runtime_s"] != both[1]["runtime_s"]


@pytest.mark.parametrize("method", [pytest.param("bayesian", marks=pytest.mark.slow), "mbo"])
def test_a_search_can_learn_from_what_the_hurdle_is_told(method, runs):
    runs = replace(runs, scale=60)
    plain, told = (runs.one(method, TOGETHER, 0, **more) for more in ({}, {"derived": True}))
    assert plain["codes"] != told["codes"]


def test_derived_features_are_scaled():
    features = derived_features(TOGETHER)(sample(SPACE, 500, "random", 5))
    assert features.shape == (500, 20)
    assert (features.min(), features.max()) == (0, 1)
    operations = features[:, [0, 10]]  # the time at peak differs by a factor, which the scale removes
    np.testing.assert_allclose(operations[:, 0], operations[:, 1])


def test_small_logs_are_not_cut_to_nothing():
    assert [legal_rows(UNET, scale) for scale in (1, 10)] == [557, 200]
    assert [legal_rows(V2, scale) for scale in (1, 10)] == [7620, 762]


def test_settings_are_the_papers_unless_quick():
    def of(quick):
        return Runs.of(BenchOptions(None, quick, 3, None, lambda *_: None))

    assert (of(False).scale, of(False).seeds) == (1, (3, 4, 5))
    assert (of(True).scale, of(True).seeds, of(True).schedule) == (1, (3,), "brief")


def test_searches_may_evaluate_as_many_as_the_log_has_feasible_rows(runs):
    feasible = [offline_log(name, 29.0, 20, 0).feasible.sum() for name in (V2, M6)]
    assert budget_of(TOGETHER, runs) == round(np.mean(feasible)) > (7620 + 7529) // 40


def test_a_model_is_trained_once_and_reused_for_another_bound(runs, monkeypatch):
    runs.one("deep-ensemble", replace(ALONE, area_mm2=20.0), 0, steps=50, members=2, trained_at_mm2=29.0)
    monkeypatch.setattr(prime_runs, "save_atomically", None)
    found = runs.one("deep-ensemble", replace(ALONE, area_mm2=24.0), 0, steps=50, members=2, trained_at_mm2=29.0)
    assert found["training_seconds"] > 0


def test_designs_of_the_training_applications_are_verified_on_the_targets(runs):
    unseen = Task((V2,), (M6,), 29.0)
    found = runs.one("firefly", unseen, 0, on_training=True)
    alone = runs.one("firefly", replace(unseen, target=(V2,)), 0)
    assert found["evaluations"] == alone["evaluations"] + 256
    best = known_optima()[unseen.scenario]
    assert best < found["runtime_s"] < 1.5 * best
    assert found["runtime_s"] < known_optima()[replace(unseen, target=(V2,)).scenario]  # so it is of M6


def test_jobs_are_done_once_in_processes(runs):
    told = []
    loud = replace(runs, options=replace(runs.options, on_progress=lambda *what: told.append(what)))
    loud.prepare([("random", ALONE, {}), ("random", TOGETHER, {})])
    assert told[-1] == ("runs", 4, 4)
    kept = {path.name: path.stat().st_mtime_ns for path in loud.folder("online").iterdir()}
    assert len(kept) == 4
    loud.prepare([("random", ALONE, {}), ("random", TOGETHER, {})])
    assert {path.name: path.stat().st_mtime_ns for path in loud.folder("online").iterdir()} == kept


def test_a_job_that_fails_is_told(runs):
    with pytest.raises(TypeError, match="surprise"):
        runs.prepare([("random", ALONE, {"surprise": 1})])


def test_runs_on_other_logs_are_other_runs(runs):
    other = replace(runs, options=replace(runs.options, seed=1))
    assert runs.part("prime", ALONE, 1, {}).path != other.part("prime", ALONE, 1, {}).path
    log_facts(ALONE, 20, seed=0)
    assert runs.one("random", ALONE, 1)["evaluations"] > 0
    assert not other.part("random", ALONE, 1, {}).path.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_surrogates_are_where_they_are_told_to_be(runs):
    elsewhere = replace(runs, options=replace(runs.options, device="cuda"))
    with pytest.raises(ArmillaryError, match="sees no GPU"):
        prime_runs.trained("prime", (V2,), 29.0, elsewhere, 0)
    prime_runs.trained("deep-ensemble", (V2,), 29.0, runs, 0, steps=50, members=2)
    assert prime_runs.trained("deep-ensemble", (V2,), 29.0, runs, 0, steps=50, members=2)  # read again
    with pytest.raises(ArmillaryError, match="sees no GPU"):
        prime_runs.trained("deep-ensemble", (V2,), 29.0, elsewhere, 0, steps=50, members=2)
    assert prime_runs.on_device("mins", elsewhere.options) == {}


def test_bayesian_optimisation_ends_at_the_optimum_as_if_the_rest_were_legal(runs, monkeypatch):
    best = runs.one("random", ALONE, 0)["runtime_s"]
    monkeypatch.setattr(prime_runs, "_enough", lambda _: 3 * best)  # what is met at once
    found = runs.one("bayesian", ALONE, 0)
    assert found["legal_evaluations"] < budget_of(ALONE, runs) <= found["evaluations"]


def test_fewer_designs_can_be_verified(runs):
    found = runs.one("deep-ensemble", ALONE, 0, steps=50, members=2, top=40)
    assert found["evaluations"] == 40


def test_applications_have_logs_of_their_own():
    one, other = (SPACE.encode_columns(offline_log(name, 29.0, 40, 0).design) for name in (M6, ENC))
    assert len(set(map(tuple, one.tolist())) & set(map(tuple, other.tolist()))) == 0

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import MAX_AREA_MM2, SPACE, TEMPLATE
from armillary.problems.problem import Problem
from armillary.surrogates.rows import prepare, unlike
from armillary.types import ArmillaryError, Evaluations
from surrogates.prime.test_surrogate import PROBLEM, rows_of

LEARNED = replace(PROBLEM, laws={})  # nothing tells the area, so that its bound is learned


@pytest.fixture(scope="module")
def rows():
    return rows_of("mobilenet_v2", 4000)


def prepared(rows, problem):
    rng = np.random.default_rng(0)
    return prepare(SPACE, rows, problem, transform="log", validation_share=0.2, minimum_rows=20, rng=rng)


def areas(rows, part):
    """Return the areas of the rows of a part of the data, found again by their designs."""
    known = dict(zip(map(bytes, SPACE.encode_columns(rows.design)), rows.metrics["area_mm2"], strict=True))
    return np.array([known[bytes(codes)] for codes in part.codes])


def test_designs_beyond_an_exact_bound_are_learned_from_and_do_not_validate(rows):
    data = prepared(rows, PROBLEM)
    assert (areas(rows, data.train) > 29.0).any()
    assert (areas(rows, data.valid) <= 29.0).all()
    assert len(data.train) + len(data.valid) == rows.feasible.sum()
    assert len(data.infeasible) + len(data.infeasible_held) == (~rows.feasible).sum()


@pytest.mark.parametrize("kind", ["error", "timeout"])
def test_what_broke_teaches_nothing(rows, kind):
    bad = np.flatnonzero(~rows.feasible)
    kinds = rows.failure_kind.copy()
    kinds[bad[::2]] = kind
    data = prepared(replace(rows, failure_kind=kinds), PROBLEM)
    assert len(data.infeasible) + len(data.infeasible_held) == len(bad) - len(bad[::2])
    assert data.feasible_share == rows.feasible.sum() / (len(rows) - len(bad[::2]))


def test_what_the_evaluator_refuses_for_its_area_tells_nothing_of_feasibility(rows):
    area = rows.metrics["area_mm2"]
    loose = TEMPLATE.problem("runtime_s", {"area_mm2": MAX_AREA_MM2})
    data = prepared(rows, loose)
    infeasible = np.concatenate([areas(rows, data.infeasible), areas(rows, data.infeasible_held)])
    assert len(infeasible) == (~rows.feasible & (area <= MAX_AREA_MM2)).sum() > 0
    assert infeasible.max() <= MAX_AREA_MM2 < area.max()
    learned = prepared(rows, replace(loose, laws={}))
    assert len(learned.infeasible) + len(learned.infeasible_held) == (~rows.feasible).sum()


def test_designs_beyond_a_learned_bound_are_infeasible(rows):
    data = prepared(rows, LEARNED)
    legal = int(LEARNED.satisfied(rows).sum())
    assert len(data.train) + len(data.valid) == legal < rows.feasible.sum()
    assert len(data.infeasible) + len(data.infeasible_held) == len(rows) - legal
    assert (areas(rows, data.train) <= 29.0).all()


def test_the_best_legal_rows_validate_in_both(rows):
    both = [prepared(rows, problem).valid.codes for problem in (LEARNED, PROBLEM)]
    assert {bytes(c) for c in both[0]} == {bytes(c) for c in both[1]}


@pytest.mark.parametrize("within", [0, 1, 12, 45])
def test_where_too_few_rows_within_the_exact_bound_would_validate_any_may(rows, within):
    least = np.sort(rows.metrics["area_mm2"][rows.feasible])
    bound = float(least[within - 1]) if within else 0.1
    data = prepared(rows, TEMPLATE.problem("runtime_s", {"area_mm2": bound}))
    assert len(data.valid) == round(0.2 * rows.feasible.sum())


def test_a_log_need_not_have_the_metric_of_an_exact_bound(rows):
    blind = replace(rows, metrics={"runtime_s": rows.metrics["runtime_s"]})
    data = prepared(blind, PROBLEM)
    assert len(data.train) + len(data.valid) == rows.feasible.sum()
    assert data.least.keys() == {"runtime_s"}
    with pytest.raises(ArmillaryError, match="the log has no metric 'area_mm2'"):
        prepared(blind, LEARNED)


def test_two_networks_of_one_name_are_refused(rows):
    other = rows_of("unet", 500)
    renamed = replace(other, workload=np.full(len(other), "mobilenet_v2", dtype=object))
    with pytest.raises(ArmillaryError, match="two networks of the name 'mobilenet_v2': their "):
        prepared(Evaluations.concat([rows, renamed]), PROBLEM)


def test_a_network_without_parameters_is_unlike_others():
    names, trained = ("compute_ops", "parameter_mb"), np.array([[1e9, 4.0], [2e9, 3.0]])
    assert unlike({"compute_ops": 1e9, "parameter_mb": 4.0}, names, trained, ("a", "b")) is None
    warning = unlike({"compute_ops": 1e9, "parameter_mb": 0.0}, names, trained, ("a", "b"))
    assert warning.startswith("the workload computes inf operations per MB")


def test_some_rows_are_left_to_train_on(rows):
    few = rows.select(np.flatnonzero(rows.feasible)[:50])
    rng = np.random.default_rng(0)
    free = Problem.minimising(SPACE)
    data = prepare(SPACE, few, free, transform="log", validation_share=0.99, minimum_rows=4, rng=rng)
    assert (len(data.train), len(data.valid)) == (2, 48)

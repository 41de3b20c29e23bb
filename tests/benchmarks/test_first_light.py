import numpy as np

from armillary.benchmarks import first_light
from armillary.benchmarks.result import saved_part
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.coded import objective_values
from armillary.spaces.samplers import sample
from armillary.workloads import zoo


def test_the_log_holds_the_worst_of_the_pool():
    workload, evaluator = zoo.build("mobilenet_v2"), EdgeTpuEvaluator()
    log = first_light._worst_log(evaluator, workload, legal_rows=400, seed=0)
    values = objective_values(log.rows, first_light.OBJECTIVE)
    legal = np.isfinite(values)
    assert legal.sum() == 400
    assert (~legal).sum() > 3000
    assert values.min() > 1.2 * log.pool_best_s


def test_the_log_leaves_a_fifth_of_the_legal_designs_out():
    workload, evaluator = zoo.build("mobilenet_v2"), EdgeTpuEvaluator()
    log = first_light._worst_log(evaluator, workload, legal_rows=400, seed=0)
    logged = objective_values(log.rows, first_light.OBJECTIVE)
    pool = []
    while sum(np.isfinite(v).sum() for v in pool) < 500:
        codes = sample(SPACE, first_light._POOL_CHUNK, "random", len(pool))
        pool.append(objective_values(evaluator.evaluate_codes(codes, workload), first_light.OBJECTIVE))
    values = np.concatenate(pool)
    values = values[np.isfinite(values)][:500]
    assert log.pool_best_s == values.min()
    np.testing.assert_allclose(np.sort(logged[np.isfinite(logged)]), np.sort(values)[100:])


def test_a_search_stops_at_its_legal_evaluations():
    workload, evaluator = zoo.build("mobilenet_v2"), EdgeTpuEvaluator()
    few, many = (first_light._search("random", evaluator, workload, n, seed=0) for n in (20, 400))
    assert many <= few < np.inf


def test_finished_parts_are_not_measured_again(tmp_path):
    path = tmp_path / "parts" / "a.json"
    assert saved_part(path, lambda: {"x": 1.5}) == {"x": 1.5}
    assert saved_part(path, lambda: 1 / 0) == {"x": 1.5}

import numpy as np

from armillary.benchmarks import first_light
from armillary.benchmarks.result import saved_part
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.workloads import zoo


def test_a_search_stops_at_its_legal_evaluations():
    workload, evaluator = zoo.build("mobilenet_v2"), EdgeTpuEvaluator()
    few, many = (first_light._search("random", evaluator, workload, n, seed=0) for n in (20, 400))
    assert many <= few < np.inf


def test_finished_parts_are_not_measured_again(tmp_path):
    path = tmp_path / "parts" / "a.json"
    assert saved_part(path, lambda: {"x": 1.5}) == {"x": 1.5}
    assert saved_part(path, lambda: 1 / 0) == {"x": 1.5}

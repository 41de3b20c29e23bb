"""The speeds that the log promises; best of three, because the machine may be busy with other things."""

import dataclasses
import time

import numpy as np
import pytest

from armillary.log.layer_runs import LAYER_FIELDS
from armillary.log.query import query
from armillary.log.store import Log

MILLION = 1_000_000


def best_seconds(work):
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.mark.slow
def test_a_million_rows(tmp_path, evaluations):
    data = evaluations(MILLION)
    logs = iter(Log(tmp_path / name) for name in "abc")
    assert MILLION / best_seconds(lambda: next(logs).append(data)) > 200_000
    log = Log(tmp_path / "a")
    assert best_seconds(lambda: log.evaluations("edge_tpu")) < 3
    top = "SELECT * FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"
    assert best_seconds(lambda: query(log.path, top)) < 0.5


@pytest.mark.slow
def test_the_layer_runs_of_ten_thousand_evaluations(tmp_path, evaluations, layer_runs):
    rows, layers = 10_000, 50
    data = evaluations(rows)
    of, position = np.repeat(np.arange(rows), layers), np.tile(np.arange(layers), rows)
    runs = layer_runs(rows * layers)
    whose = {name: getattr(data, name)[of] for name in ("workload", "evaluator", "version", "options", "seed")}
    work = {name: getattr(runs, name)[position] for name in ("layer", *LAYER_FIELDS)}
    design = {name: column[of] for name, column in data.design.items()}
    log = Log(tmp_path)
    log.append_layers(dataclasses.replace(runs, design=design, position=position, **whose, **work))
    assert best_seconds(lambda: log.layers_of(data)) < 15
    assert best_seconds(lambda: log.layers_of(data.select(slice(0, 10)))) < 5

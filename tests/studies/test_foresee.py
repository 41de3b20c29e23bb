from __future__ import annotations

import numpy as np

from armillary import evaluators
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.collect import collect, foresee_collect
from armillary.studies.foresee import foreseen
from armillary.types import Cost, Fidelity
from armillary.workloads import zoo


def test_it_foresees_what_a_collection_then_evaluates_and_writes_nothing(tmp_path):
    workload, log = zoo.build("unet"), Log(tmp_path / "log")
    spec = evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL, {}, seed=0)
    draw = {"sampler": "sobol", "seed": 3}
    first = foresee_collect(TEMPLATE, workload, log, spec, samples=40, **draw)
    assert (first.evaluations, first.logged) == (40, 0)
    assert list(tmp_path.iterdir()) == []
    done = collect(TEMPLATE, workload, LocalExecutor(log), spec, samples=30, **draw)
    assert done.evaluated == 30
    again = foresee_collect(TEMPLATE, workload, log, spec, samples=40, **draw)
    assert (again.evaluations, again.logged) == (10, 30)
    none = foresee_collect(TEMPLATE, workload, log, spec, samples=30, **draw)
    assert (none.evaluations, none.seconds) == (0, 0.0)


def test_the_time_is_that_of_one_times_their_number_and_says_what_was_timed():
    workload = zoo.build("unet")
    spec = evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL, {}, seed=0)
    codes = sample(SPACE, 100, "random", 0)
    told = foreseen("collect", spec, SPACE, codes, workload, evaluations=10**9)
    assert told.evaluations == 10**9
    assert told.seconds / told.evaluations < 0.1
    assert told.seconds > 100
    assert told.basis.startswith("100 of the designs timed on this machine, ")


def test_what_takes_minutes_is_not_timed(monkeypatch):
    space_codes = np.zeros((2, 1), dtype=np.int64)
    spec = evaluators.spec_of("gemmini", Fidelity.RTL, {}, seed=0)
    assert spec.cost is Cost.MINUTES

    monkeypatch.setattr(evaluators, "make", lambda _: None)  # nothing that could be evaluated
    told = foreseen("prove", spec, SPACE, space_codes, zoo.build("unet"), evaluations=8)
    assert (told.evaluations, told.seconds) == (8, None)
    assert "not estimated" in told.basis

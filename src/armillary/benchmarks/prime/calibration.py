"""What a surrogate promises of the designs that it proposes, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.prime.runs import TOP, Runs, joint_values, offline_log, problem_at, trained
from armillary.benchmarks.prime.scenarios import Task
from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.studies.propose import propose
from armillary.workloads import zoo
from armillary.workloads.context import context_of


@dataclass(frozen=True)
class Calibration:
    """Latencies in s of the proposals, the best promised first, each of shape [designs]; infinite where illegal."""

    predicted_s: NDArray[np.float64]
    measured_s: NDArray[np.float64]


def calibration(runs: Runs, method: str, task: Task, **settings: Any) -> Calibration:
    """Return what a surrogate of one application, trained with these settings, promises of its best 256 designs."""
    seed, (name,) = runs.options.seed, task.target

    def measure() -> dict[str, Any]:
        model, _ = trained(method, task.train, task.area_mm2, runs, seed, **settings)
        known = offline_log(name, task.area_mm2, runs.scale, seed)
        found = propose(model, problem_at(task.area_mm2), context_of(zoo.build(name)), top=TOP, seed=seed, known=known)
        values = joint_values(found.codes, Task((name,), (name,), TEMPLATE.max_area_mm2))
        assert (TEMPLATE.area_mm2(found.codes) <= task.area_mm2).all()
        return {"predicted_s": found.predicted.tolist(), "measured_s": values.tolist()}

    part = runs.kept("calibration", method, task, seed, {"settings": settings}, __name__).measured(measure)
    return Calibration(np.array(part["predicted_s"]), np.array(part["measured_s"]))

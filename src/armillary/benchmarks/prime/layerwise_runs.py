"""One method on one network with an array per layer: run once, kept in a file; see `table6` for the protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import optimizers, surrogates
from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.runs import TOP, on_device, searched, worst_of_pool
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators import spec_of
from armillary.evaluators.layerwise import optimum
from armillary.execution.local import evaluated_codes
from armillary.hardware import templates
from armillary.log.store import InMemoryLog
from armillary.problems.problem import Problem
from armillary.studies.propose import propose
from armillary.surrogates.prime.schedules import SCHEDULES, Rung
from armillary.types import Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload

AREA_SHARE = 0.2
LEGAL_ROWS = 8000
ILLEGAL_ROWS = 25_000
QUICK_SCALE = 10
"""By how much logs and budgets are smaller with `--quick`."""
OFFLINE = ("prime", "deep-ensemble")
_PRIME_EFFORT = {"swarms": 8, "steps": 60, "generations": 15, "refine_rounds": 10}
"""Of the search for proposals: a transformer of 106 tokens predicts slowly."""
_SCHEDULE = replace(SCHEDULES["brief"], rungs=(Rung(4, 20), Rung(2, 40)), warmup=60, checkpoint=40, refit=150)
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "prime": {"schedule": _SCHEDULE, "alphas": (0.0, 0.01), "betas": (0.1, 1.0)}
}


@dataclass(frozen=True)
class Task:
    """A network and the template of its arrays, as a problem: the least delay within a share of the largest area."""

    network: str
    template: str

    @property
    def workload(self) -> Workload:
        """The network."""
        return _workload(self.network)

    @property
    def problem(self) -> Problem:
        """What is searched for: designs in codes, delays in cycles, infinite where too large."""
        return _problem(self)

    @property
    def area_mm2(self) -> float:
        """The bound."""
        return self.problem.upper_bounds["area_mm2"]

    @property
    def spec(self) -> EvaluatorSpec:
        """The evaluator."""
        return spec_of(self.template, Fidelity.ANALYTICAL)

    def evaluate(self, codes: NDArray[np.int64]) -> Evaluations:
        """Return the evaluations of designs."""
        return evaluated_codes(self.spec, self.problem.space, codes, self.workload)

    def optimum_cycles(self) -> float:
        """Return the least delay that there is."""
        return optimum(templates.family(self.template), self.workload, self.area_mm2)[1]


@cache
def _workload(network: str) -> Workload:
    return zoo.build(network)


@cache
def _problem(task: Task) -> Problem:
    template = templates.load(task.template, task.workload)
    return template.problem("delay_cycles", {"area_mm2": AREA_SHARE * template.max_area_mm2})


def run_part(task: Task, method: str, seed: int, options: BenchOptions) -> Part:
    """Return where a run is kept."""
    members = {**optimizers.REGISTRY.paths(), **surrogates.REGISTRY.paths()}
    sources = members[method], zoo.paths()[task.network], templates.TEMPLATES.paths()[task.template]
    return Part(
        options.out / "runs",
        f"{task.template}-{task.network}-{method}-seed{seed}",
        {
            "network": task.network,
            "template": task.template,
            "method": method,
            "seed": seed,
            "log_seed": options.seed,
            "scale": _scale(options),
            **on_device(method, options),
        },
        (__name__, *sources),
        task.spec,
    )


def run_once(task: Task, method: str, seed: int, options: BenchOptions) -> dict[str, Any]:
    """Return what one run measured, running it if it was not run before."""
    measure: Callable[..., dict[str, Any]] = _offline if method in OFFLINE else _online
    return run_part(task, method, seed, options).measured(lambda: measure(task, method, seed, options))


def log_of(task: Task, options: BenchOptions) -> Evaluations:
    """Return the log that offline methods learn from."""
    return _log(task, _scale(options), options.seed)


def _scale(options: BenchOptions) -> int:
    return QUICK_SCALE if options.quick else 1


@lru_cache(maxsize=4)
def _log(task: Task, scale: int, seed: int) -> Evaluations:
    return worst_of_pool(task.problem, task.evaluate, LEGAL_ROWS // scale, ILLEGAL_ROWS // scale, seed)


def _offline(task: Task, method: str, seed: int, options: BenchOptions) -> dict[str, Any]:
    started = time.perf_counter()
    log = log_of(task, options)
    settings = {**_SETTINGS.get(method, {}), **on_device(method, options)}
    model = surrogates.load(method)(space=task.problem.space, seed=seed, **settings)
    model.fit(InMemoryLog(log), task.problem)
    fitted = time.perf_counter()
    found = propose(
        model,
        task.problem,
        context_of(task.workload),
        top=TOP,
        seed=seed,
        known=log,
        effort=_PRIME_EFFORT if method == "prime" else None,
    )
    values = task.problem.values(task.evaluate(found.codes))
    return {
        "runtime_s": float(values.min()),
        "feasible_of_top": float(np.isfinite(values).mean()),
        "training_seconds": fitted - started,
        "proposing_seconds": time.perf_counter() - fitted,
    }


def _online(task: Task, method: str, seed: int, options: BenchOptions) -> dict[str, Any]:
    started = time.perf_counter()
    search = optimizers.load(method)(task.problem, seed=seed)
    found = searched(search, task.evaluate, LEGAL_ROWS // _scale(options))
    return {**found, "seconds": time.perf_counter() - started}

"""One method on one task of PRIME's experiments: run once, kept in a file, shared by all tables.

The protocol is the paper's (Section 3): offline methods learn from the worst 80% of a random pool's
legal designs, as many as Table 17, and up to 25,000 others, which are infeasible or too large, the same rows in
every run; their top 256 are verified and the best counts. The share of 80% is our choice: the paper does not state its
pool. Of the rows that are too large some are feasible, and faster than every legal row: what a method makes of a log
without them (`without_oversize`) is measured, too. Online methods may evaluate as many legal designs as the
log has feasible ones, the too large among them; designs that the area alone excludes cost nothing. Bayesian
optimisation, the slowest, ends when it has met the true optimum, as nothing that it could still find would be better;
the rest of its budget is then counted as if all of it were legal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import optimizers, surrogates
from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.edge_tpu_optimum import known_optima
from armillary.benchmarks.prime.paper import APPLICATIONS
from armillary.benchmarks.prime.scenarios import HELD_OUT, Task
from armillary.benchmarks.result import BenchOptions, in_processes
from armillary.evaluators.edge_tpu.evaluator import KIND
from armillary.execution.local import evaluated_codes
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.optimizers.coded import CodedOptimizer
from armillary.optimizers.model_based import Features
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.studies.ask_tell import Budget, by_codes
from armillary.studies.fit import save_atomically
from armillary.studies.propose import propose
from armillary.surrogates.hurdle import Hurdle
from armillary.types import Evaluations, Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import context_of

TOP = 256
SEEDS = 3
INFEASIBLE_ROWS = 25_000
LOG_SHARE = 0.8
OFFLINE = (
    "prime",
    "prime-without-opt",
    "prime-without-infeasible",
    "standard",
    "hurdle",
    "coms",
    "deep-ensemble",
    "ram-listnet",
    "mins",
)
ONLINE = ("bayesian", "firefly", "genetic", "mbo", "p3bo", "portfolio", "random")
_POOL_CHUNK = 10_000
_MOST_ASKED = 100  # evaluations per legal one, after which a search that finds none ends
_FEWEST_ROWS = 200
OPTIMUM = 1 + 1e-9
"""Regret up to which a design is as good as the best there is."""
WITHIN = 1.01
"""Regret up to which a method counts as arrived."""
_HELD_OUT_ROWS = 4000  # legal ones: between the paper's 557 and 7,697, whose mean is 4,656
_LOG_ROWS = {**{a.workload: a.log_rows for a in APPLICATIONS}, **dict.fromkeys(HELD_OUT, _HELD_OUT_ROWS)}

Job = tuple[str, Task, Mapping[str, Any]]
"""A method, what it is asked, and its settings."""


@dataclass(frozen=True)
class Runs:
    """The settings that all runs of a benchmark share.

    Attributes:
        options: of the benchmark.
        scale: by how much logs and budgets are smaller than the paper's.
        seeds: of the runs; the median counts.
        schedule: of PRIME's training.
    """

    options: BenchOptions
    scale: int
    seeds: tuple[int, ...]
    schedule: str = "brief"

    @staticmethod
    def of(options: BenchOptions) -> Runs:
        """Return the paper's sizes and three seeds; with `--quick` one seed.

        The logs stay whole: from a tenth of them PRIME learns little, whatever its training. Longer training than the
        brief one did not help: see `bench prime-schedules`.
        """
        return Runs(options, 1, options.counted(SEEDS))

    def prepare(self, jobs: Sequence[Job], what: str = "runs") -> None:
        """Do what was not done before of these jobs, every seed of each, on all cores."""
        quiet = replace(self, options=self.options.quiet())
        every = {
            self.part(method, task, seed, settings).path: partial(quiet.one, method, task, seed, **settings)
            for seed in self.seeds
            for method, task, settings in jobs
        }
        in_processes(every, partial(self.options.on_progress, what))

    def medians(self, method: str, task: Task, **settings: Any) -> dict[str, float]:
        """Return the median over the seeds of each number that a method's runs measured, and the longest runtime."""
        runs = [self.one(method, task, seed, **settings) for seed in self.seeds]
        found = {name: float(np.median([run[name] for run in runs])) for name in runs[0] if name != "codes"}
        return {**found, "worst_seed_s": float(max(run["runtime_s"] for run in runs))}

    def one(self, method: str, task: Task, seed: int, **settings: Any) -> dict[str, Any]:
        """Return what one run measured, running it if it was not run before."""
        measure = _offline if method in OFFLINE else _online
        part = self.part(method, task, seed, settings)
        return part.measured(lambda: measure(self, method, task, seed, **settings))

    def part(self, method: str, task: Task, seed: int, settings: Mapping[str, Any]) -> Part:
        """Return where one run is kept."""
        asked = _asked(task, settings.get("on_training", False))
        more = {"settings": dict(settings), "optimum_s": known_optima().get(asked.scenario)}
        return self.kept("offline" if method in OFFLINE else "online", method, task, seed, more)

    def model(self, method: str, train: Sequence[str], area_mm2: float, seed: int, settings: Mapping[str, Any]) -> Part:
        """Return where a trained model is kept."""
        task = Task(tuple(train), tuple(train), area_mm2)
        return replace(self.kept("models", method, task, seed, {"settings": dict(settings)}), ending=".model")

    def kept(
        self, kind: str, method: str, task: Task, seed: int, more: Mapping[str, Any], measured_by: str = __name__
    ) -> Part:
        """Return where what a method did with the logs is kept.

        Args:
            kind: of the folder.
            method: an offline or an online one.
            task: what it is asked.
            seed: of the run.
            more: what else the numbers depend on.
            measured_by: the module that measures.
        """
        inputs = {"scale": self.scale, "log_seed": self.options.seed, **on_device(method, self.options), **more}
        if _scheduled(method):
            inputs["schedule"] = self.schedule
        return part_of(self.folder(kind), method, task, seed, inputs, measured_by)

    def folder(self, kind: str) -> Path:
        """Return where runs of a kind are kept."""
        return self.options.out.parent / "prime-runs" / kind


def part_of(
    folder: Path, method: str, task: Task, seed: int, more: Mapping[str, Any], measured_by: str = __name__
) -> Part:
    """Return where what a method did on a task is kept; see `Runs.kept`."""
    applications = dict.fromkeys((*task.train, *task.target))
    of = task.target[0] if len(task.target) == 1 else f"{len(task.target)}-applications"
    members = {**optimizers.REGISTRY.paths(), **surrogates.REGISTRY.paths()}
    return Part(
        folder,
        f"{method}-{of}-seed{seed}",
        {
            "method": method,
            "train": task.train,
            "target": task.target,
            "area_mm2": task.area_mm2,
            "seed": seed,
            **more,
        },
        (measured_by, members[method], *(zoo.paths()[name] for name in applications)),
        KIND.spec(),
    )


def _scheduled(method: str) -> bool:
    return method in surrogates.names() and surrogates.kind_of(method).scheduled


def problem_at(area_mm2: float) -> Problem:
    """Return the problem of the least runtime within an area."""
    return TEMPLATE.problem("runtime_s", {"area_mm2": area_mm2})


def evaluations(codes: NDArray[np.int64], name: str, seed: int = 0) -> Evaluations:
    """Return the evaluations of coded designs on an application."""
    return evaluated_codes(KIND.spec(seed=seed), SPACE, codes, zoo.build(name))


@dataclass(frozen=True)
class LogFacts:
    """What the logs that a method learns from hold.

    Attributes:
        best_s: least mean runtime over the targets of all rows within the area bound.
        best_of_any_area_s: the same of all rows.
        rows: how many there are.
        oversize: how many of them are feasible and above the area bound.
    """

    best_s: float
    best_of_any_area_s: float
    rows: int
    oversize: int


def log_facts(task: Task, scale: int, seed: int = 0, trained_at_mm2: float | None = None) -> LogFacts:
    """Return what the logs of all training applications hold, each row evaluated on the targets: see `joint_values`.

    Args:
        task: what is asked.
        scale: by how much the logs are smaller than the paper's.
        seed: of the logs.
        trained_at_mm2: the area bound of the logs, if it is another than the task's.
    """
    logs = [offline_log(name, trained_at_mm2 or task.area_mm2, scale, seed) for name in task.train]
    codes = np.unique(np.concatenate([SPACE.encode_columns(rows.design) for rows in logs]), axis=0)
    values = joint_values(codes, replace(task, area_mm2=TEMPLATE.max_area_mm2))
    within = TEMPLATE.area_mm2(codes) <= task.area_mm2
    oversize = sum(int(_oversize(rows, task.area_mm2).sum()) for rows in logs)
    return LogFacts(float(values[within].min()), float(values.min()), sum(map(len, logs)), oversize)


def learned_log(name: str, area_mm2: float, runs: Runs, without_oversize: bool = False) -> Evaluations:
    """Return the log of an application that offline methods learn from, the feasible rows above the bound left out."""
    log = offline_log(name, area_mm2, runs.scale, runs.options.seed)
    return log.select(np.flatnonzero(~_oversize(log, area_mm2))) if without_oversize else log


def _oversize(log: Evaluations, area_mm2: float) -> NDArray[np.bool_]:
    """Return which rows are feasible and above the area bound, shape [rows]."""
    return np.asarray(log.feasible & (log.metrics["area_mm2"] > area_mm2))


@lru_cache(maxsize=16)
def offline_log(name: str, area_mm2: float, scale: int, seed: int) -> Evaluations:
    """Return an application's log: the worst legal designs of a random pool, and some illegal ones.

    Every application has a pool of its own: in the paper, too, most designs stand in one log only (Section 4).
    """
    rows = legal_rows(name, scale), INFEASIBLE_ROWS // scale
    pool_seed = seed * len(_LOG_ROWS) + list(_LOG_ROWS).index(name)
    return worst_of_pool(problem_at(area_mm2), lambda codes: evaluations(codes, name, seed), *rows, pool_seed)


def legal_rows(name: str, scale: int) -> int:
    """Return how many legal designs an application's log holds: as many as Table 17, or that over the scale.

    A scaled log keeps at least `_FEWEST_ROWS`: U-Net's 557 rows over ten would teach nothing.
    """
    return _LOG_ROWS[name] if scale == 1 else max(_LOG_ROWS[name] // scale, _FEWEST_ROWS)


def worst_of_pool(
    problem: Problem,
    evaluate: Callable[[NDArray[np.int64]], Evaluations],
    wanted: int,
    illegal_rows: int,
    seed: int,
) -> Evaluations:
    """Return the worst legal designs of a random pool, of which they are `LOG_SHARE`, and the first illegal ones."""
    return worst_of(random_pool(problem, evaluate, wanted, seed), problem, wanted, illegal_rows)


def random_pool(
    problem: Problem, evaluate: Callable[[NDArray[np.int64]], Evaluations], wanted: int, seed: int
) -> Evaluations:
    """Return random designs, so many that `LOG_SHARE` of the legal ones are as many as wanted."""
    batches: list[Evaluations] = []
    missing = math.ceil(wanted / LOG_SHARE)
    while missing > 0:
        codes = sample(problem.space, _POOL_CHUNK, "random", seed * 1_000_003 + len(batches))
        batch = evaluate(codes)
        last = np.flatnonzero(problem.satisfied(batch))[:missing]
        missing -= len(last)
        batches.append(batch.select(np.arange(len(batch) if missing else last[-1] + 1)))
    return Evaluations.concat(batches)


def worst_of(pool: Evaluations, problem: Problem, wanted: int, illegal_rows: int) -> Evaluations:
    """Return the worst legal designs of a pool and the first illegal ones."""
    values = problem.values(pool)
    legal, illegal = np.flatnonzero(np.isfinite(values)), np.flatnonzero(np.isinf(values))
    worst = legal[np.argsort(-values[legal], kind="stable")[:wanted]]
    return pool.select(np.concatenate([worst, illegal[:illegal_rows]]))


def joint_values(codes: NDArray[np.int64], task: Task) -> NDArray[np.float64]:
    """Return mean runtimes over the targets, infinite where one is illegal or the area too large, shape [designs]."""
    problem = problem_at(task.area_mm2)
    every = [problem.values(evaluations(codes, name)) for name in task.target]
    return np.asarray(np.mean(every, axis=0))


def joint_outcomes(codes: NDArray[np.int64], task: Task) -> Outcomes:
    """Return what a search over several applications is told: their mean runtime, feasible if all of them are."""
    values = joint_values(codes, task)
    return Outcomes({"runtime_s": values, "area_mm2": TEMPLATE.area_mm2(codes)}, np.isfinite(values))


def trained(
    method: str,
    train: Sequence[str],
    area_mm2: float,
    runs: Runs,
    seed: int,
    *,
    without_oversize: bool = False,
    **settings: Any,
) -> tuple[Surrogate, float]:
    """Return an offline method fitted to the logs of some applications, and the seconds that took.

    What has a model file is kept: tables that reuse a model for another bound or other applications train none.
    """
    given = {**settings, **({"without_oversize": True} if without_oversize else {})}
    path = runs.model(method, train, area_mm2, seed, given).path
    if path.exists() and _seconds_beside(path).exists():
        kept = surrogates.read(path, SPACE, device=runs.options.device)
        return kept, float(_seconds_beside(path).read_text(encoding="ascii"))
    started = time.perf_counter()
    logs = [learned_log(name, area_mm2, runs, without_oversize) for name in train]
    problem = problem_at(area_mm2)
    if settings.pop("area_as_label", False):
        problem = replace(problem, laws={})
    kind = surrogates.kind_of(method)
    if kind.scheduled:
        settings = {"schedule": runs.schedule, **settings}
    model: Any = kind.make(space=SPACE, seed=seed, **settings, **on_device(method, runs.options))
    model.fit(InMemoryLog(Evaluations.concat(logs)), problem)
    spent_s = time.perf_counter() - started
    if kind.read is not None:
        save_atomically(model, path)
        _seconds_beside(path).write_text(str(spent_s), encoding="ascii")
    return model, spent_s


def _seconds_beside(model: Path) -> Path:
    """Return the file with the time that a kept model's training took."""
    return model.with_suffix(".seconds")


def on_device(method: str, options: BenchOptions) -> dict[str, str]:
    """Return the settings that put a surrogate where the benchmark is told to; a generator of designs stays."""
    return {"device": options.device} if method in surrogates.names() else {}


def _offline(
    runs: Runs,
    method: str,
    task: Task,
    seed: int,
    *,
    trained_at_mm2: float | None = None,
    most_gbps: float = float("inf"),
    lean: float | None = None,
    top: int = TOP,
    without_oversize: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train, propose designs, verify them in the order of their ranks.

    Args:
        runs: what all runs share.
        method: an offline method.
        task: what it is asked.
        seed: of the run.
        trained_at_mm2: the area bound of the training, if it is another than that of the proposals.
        most_gbps: DRAM bandwidth that a proposal may have.
        lean: of the hurdle, if another than its own.
        top: how many designs.
        without_oversize: learn from no feasible row above the area bound.
        settings: of the method.
    """
    if method == "mins":
        return _generated(runs, task, seed)
    area_mm2 = trained_at_mm2 or task.area_mm2
    model, training_seconds = trained(
        method, task.train, area_mm2, runs, seed, without_oversize=without_oversize, **settings
    )
    if lean is not None:
        assert isinstance(model, Hurdle)
        model = model.leaning(lean)
    fitted = time.perf_counter()
    logs = [learned_log(name, area_mm2, runs, without_oversize) for name in task.train]
    found = propose(
        model,
        problem_at(task.area_mm2),
        [context_of(zoo.build(name)) for name in task.target],
        top=top,
        seed=seed,
        known=logs[0] if len(task.train) == 1 else None,
        keep=lambda codes: SPACE.columns(codes)["dram_bandwidth_gbps"] <= most_gbps,
    )
    proposed = time.perf_counter()
    return {
        **_verified(found.codes, task),
        "log_rows": float(sum(map(len, logs))),
        "training_seconds": training_seconds,
        "proposing_seconds": proposed - fitted,
    }


def _verified(codes: NDArray[np.int64], task: Task) -> dict[str, Any]:
    """Return what the evaluator says of proposals."""
    values = joint_values(codes, task)
    return {**_summary(codes, values, task), "feasible_of_top": float(np.isfinite(values).mean())}


def _generated(runs: Runs, task: Task, seed: int) -> dict[str, Any]:
    """Tell a generative method the log of the one application, verify 256 designs that it generates."""
    started = time.perf_counter()
    (name,) = task.target
    log = offline_log(name, task.area_mm2, runs.scale, runs.options.seed)
    search = optimizers.load("mins")(problem_at(task.area_mm2), seed=seed)
    search.tell_codes(SPACE.encode_columns(log.design), Outcomes.of(log))
    return {
        **_verified(search.ask_codes(TOP), task),
        "log_rows": float(len(log)),
        "training_seconds": time.perf_counter() - started,
        "proposing_seconds": 0.0,
    }


def budget_of(task: Task, runs: Runs, trained_at_mm2: float | None = None) -> int:
    """Return how many legal designs a search may evaluate: the feasible rows of a target's log, on average."""
    area = trained_at_mm2 or task.area_mm2
    logs = [offline_log(name, area, runs.scale, runs.options.seed) for name in task.target]
    return round(float(np.mean([log.feasible.sum() for log in logs])))


def _online(
    runs: Runs,
    method: str,
    task: Task,
    seed: int,
    *,
    budget_factor: int = 1,
    on_training: bool = False,
    trained_at_mm2: float | None = None,
    derived: bool = False,
) -> dict[str, Any]:
    """Search the evaluator within the budget.

    Args:
        runs: what all runs share.
        method: an online method.
        task: what it is asked.
        seed: of the run.
        budget_factor: times the budget.
        on_training: search on the training applications, and verify the 256 best designs found there on the
            targets, as the first protocol of the paper's Appendix A.5.
        trained_at_mm2: the area bound of the log that says the budget, if it is another than that of the search.
        derived: give the method's model the ten quantities that the hurdle learns from, too.
    """
    started = time.perf_counter()
    asked = _asked(task, on_training)
    budget = budget_factor * budget_of(asked, runs, trained_at_mm2)
    enough = _enough(asked) if method == "bayesian" else -math.inf
    codes, values = _met_by(method, asked, seed, budget, enough, derived)
    unspent = budget - int(np.isfinite(values).sum()) if values.min() <= enough else 0
    evaluations = len(values) + unspent
    if on_training:
        codes = codes[np.argsort(values, kind="stable")[:TOP]]
        values = joint_values(codes, task)
        evaluations += len(values)
    found = {
        **_summary(codes, values, task),
        "evaluations": float(evaluations),
        "seconds": time.perf_counter() - started,
    }
    if on_training:  # what was spent before the first was verified counts
        found["evaluations_within"] += evaluations - len(values)
    return found


def _asked(task: Task, on_training: bool) -> Task:
    """Return the task that a search has: its own, or that of the training applications."""
    return replace(task, target=task.train) if on_training else task


def searched(
    search: CodedOptimizer, evaluate: Callable[[NDArray[np.int64]], Outcomes | Evaluations], budget: int
) -> dict[str, Any]:
    """Return the best that a search meets within so many legal evaluations; see `met`."""
    return _best(*met(search, evaluate, budget))


def met(
    search: CodedOptimizer,
    evaluate: Callable[[NDArray[np.int64]], Outcomes | Evaluations],
    budget: int,
    enough: float = -math.inf,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all that a search evaluates until so many were legal or one is good enough, and the values.

    It asks no design that is too large.
    """
    spending = Budget(budget, lambda values: int(np.isfinite(values).sum()), _MOST_ASKED * budget, enough)
    codes, values = zip(*by_codes(search, evaluate, spending, search.problem.values), strict=True)
    return np.concatenate(codes), np.concatenate(values)


def _met_by(
    method: str, task: Task, seed: int, budget: int, enough: float = -math.inf, derived: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all that an online method evaluates on a task, and the values; see `met`."""
    more = {"derive": derived_features(task)} if derived else {}
    return met(
        optimizers.load(method)(problem_at(task.area_mm2), seed=seed, **more),
        lambda codes: joint_outcomes(codes, task),
        budget,
        enough,
    )


def derived_features(task: Task) -> Features:
    """Return what the template derives of a design and each target (`Space.derived`), scaled to random designs."""
    derive = SPACE.derived
    assert derive is not None
    contexts = [context_of(zoo.build(name)).as_dict() for name in task.target]
    sizes = [{name: np.array([size]) for name, size in context.items()} for context in contexts]

    def unscaled(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.concatenate([derive(codes, each) for each in sizes], axis=1)

    seen = unscaled(sample(SPACE, _POOL_CHUNK, "random", 0))
    low, high = seen.min(axis=0), seen.max(axis=0)
    return lambda codes: np.clip((unscaled(codes) - low) / (high - low), 0.0, 1.0)


def best_so_far(method: str, task: Task, budget: int, seed: int) -> NDArray[np.float64]:
    """Return the best runtime after each legal evaluation of an online method, shape [budget].

    A search that has met the true optimum ends: nothing that it could still find would be better.
    """
    _, values = _met_by(method, task, seed, budget, _enough(task))
    legal = values[np.isfinite(values)]
    best = np.full(budget, legal.min(initial=np.inf))
    best[: len(legal)] = np.minimum.accumulate(legal)
    return best


def _enough(task: Task) -> float:
    """Return the runtime that nothing is better than; minus infinity, where it is not known."""
    return OPTIMUM * known_optima().get(task.scenario, -math.inf)


def _summary(codes: NDArray[np.int64], values: NDArray[np.float64], task: Task) -> dict[str, Any]:
    """Return the best of evaluated designs, and how many it took to come within 1% of the optimum.

    `evaluations_within` is infinite if none of them is, and NaN if the optimum is not known.
    """
    optimum = known_optima().get(task.scenario, math.nan)
    arrived = np.flatnonzero(values <= WITHIN * optimum)
    never = math.nan if math.isnan(optimum) else math.inf
    return {**_best(codes, values), "evaluations_within": float(arrived[0] + 1) if len(arrived) else never}


def _best(codes: NDArray[np.int64], values: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "runtime_s": float(values.min()),
        "legal_evaluations": float(np.isfinite(values).sum()),
        "evaluations": float(len(values)),
        "codes": codes[int(values.argmin())].tolist(),
    }

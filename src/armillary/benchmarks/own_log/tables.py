"""Tables of other makers: every design that exists, with what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.log.own_rows import read_candidates, read_own_rows
from armillary.optimizers.surrogate_search import distinct, keys
from armillary.problems.problem import Problem
from armillary.studies.own import OwnProblem
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads.context import Context, OwnContext

FOLDER = "own_log"
BEST_SHARE = 0.2
_OURS = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        problem: of its first goal.
        rows: all that it has.
    """

    name: str
    problem: Problem
    rows: Evaluations

    @property
    def workloads(self) -> list[str]:
        """Names of the workloads, sorted."""
        return sorted(set(self.rows.workload.astype(str).tolist()))

    def log(self, size: int, seed: int) -> Evaluations:
        """Return so many rows drawn by chance from all but the best fifth of each workload's feasible designs.

        Raises:
            ArmillaryError: if there are not so many.
        """
        values = self.problem.values(self.rows)
        left = np.ones(len(values), dtype=bool)
        for workload in self.workloads:
            own = np.flatnonzero((self.rows.workload == workload) & np.isfinite(values))
            limit = np.quantile(values[own], BEST_SHARE)
            left[own] = values[own] > limit
        pool = np.random.default_rng([seed, size]).permutation(np.flatnonzero(left))
        if len(pool) < size:
            raise ArmillaryError(f"table {self.name}: {len(pool)} rows are not among the best, a log needs {size}")
        return self.rows.select(pool[:size])

    def case(self, workload: str, log: Evaluations) -> Case:
        """Return the question which designs to evaluate next on a workload, after a log."""
        own = self.rows.select(self.rows.workload == workload)
        codes = self.problem.space.encode_columns(own.design)
        seen = log.select(log.workload == workload)
        known = np.isin(keys(codes), keys(self.problem.space.encode_columns(seen.design)))
        truth = _truth(codes, self.problem.values(own))
        candidates = distinct(codes[~known])
        context = {name: float(column[0]) for name, column in own.context.items()}
        logged = self.problem.values(seen)
        return Case(
            problem=replace(self.problem, candidates=candidates),
            context=OwnContext({name: number for name, number in context.items() if np.isfinite(number)}, workload),
            log=log,
            truth=truth,
            best_logged=float(logged.min(initial=np.inf)),
        )


@dataclass(frozen=True)
class Case:
    """Which unseen designs of a workload to evaluate next, and what each would be worth.

    Attributes:
        problem: whose candidates are the unseen designs.
        context: of the workload.
        log: of all workloads.
        truth: by design, one number to minimise; infinite if it is infeasible or beyond a bound.
        best_logged: the least such number that the log has of the workload.
    """

    problem: Problem
    context: Context
    log: Evaluations
    truth: Mapping[bytes, float]
    best_logged: float

    @property
    def candidates(self) -> NDArray[np.int64]:
        """The unseen designs, coded, shape [designs, parameters]."""
        assert self.problem.candidates is not None
        return self.problem.candidates

    def outcome(self, codes: NDArray[np.int64]) -> tuple[float, float]:
        """Return what proposals are worth: how many times the optimum the best then known is, and the infeasible share.

        Who proposed nothing better keeps the best of the log.
        """
        values = np.array([self.truth[key.tobytes()] for key in keys(codes)])
        best = min(float(values.min()), self.best_logged)
        return self._beside_optimum(best), float(np.mean(~np.isfinite(values)))

    def _beside_optimum(self, value: float) -> float:
        """Return a ratio of one or more; of values of either sign one and the distance, in that of the median."""
        known = np.array([v for v in self.truth.values() if np.isfinite(v)])
        if known.min() > 0:
            return value / float(known.min())
        return 1 + (value - float(known.min())) / float(np.median(known) - known.min())


def tables(data: Path) -> list[Table]:
    """Return the tables of a folder `own_log`: each CSV with its problem file, beside it or among ours.

    Raises:
        ArmillaryError: if there is no table, or one has no problem file.
    """
    files = sorted((data / FOLDER).glob("*.csv"))
    if not files:
        raise ArmillaryError(f"{data / FOLDER}: has no table NAME.csv")
    return [_read(path) for path in files]


def _read(path: Path) -> Table:
    beside, ours = path.with_suffix(".yaml"), _OURS / f"{path.stem}.yaml"
    if not beside.exists() and not ours.exists():
        raise ArmillaryError(f"{path}: has no problem file {beside.name} beside it")
    own = OwnProblem.read(beside if beside.exists() else ours)
    own = replace(own, candidates=read_candidates(path, own.file))
    found = read_own_rows(path, own.file, candidates=own.candidates, contexts=own.contexts())
    problem = own.file.problem(own.candidates)
    return Table(path.stem, replace(problem, objectives=problem.objectives[:1]), found.evaluations)


def _truth(codes: NDArray[np.int64], values: NDArray[np.float64]) -> dict[bytes, float]:
    """Return the value of each design, the mean of its rows; infinite if one of them is."""
    unique, where = np.unique(keys(codes), return_inverse=True)
    sums = np.bincount(where.reshape(-1), values) / np.bincount(where.reshape(-1))
    return {key.tobytes(): float(value) for key, value in zip(unique, sums, strict=True)}

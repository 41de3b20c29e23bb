"""A search in Python: ask and tell, or optimise a function; every result is a row like those of any other study."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from armillary import optimizers
from armillary.evaluators.function import FunctionEvaluator, Result, outcome_of
from armillary.evaluators.recording import record
from armillary.execution.known import logged
from armillary.execution.local import LocalExecutor
from armillary.log.dataframe import to_dataframe
from armillary.log.store import Log
from armillary.notebook import html_table
from armillary.problems.outcomes import Outcomes
from armillary.studies.ask_tell import by_candidates
from armillary.studies.fronts import front_of
from armillary.studies.problem import Problem
from armillary.types import (
    ArmillaryError,
    Candidate,
    Cost,
    Design,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    Fidelity,
    Optimizer,
    Value,
)
from armillary.workloads.layer import Workload

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_OPTIMIZER = "pareto"
"""Takes one goal or several, metrics of any sign and listed candidates."""


class Study:
    """A search for the best designs of a problem.

    Args:
        problem: what is searched for.
        optimizer: by name, as in `armillary search --optimizer`; `pareto`, expected improvement of one goal or of
            several, if not given.
        seed: same seed and results, same designs.
        log: a folder or an fsspec address, where every result is kept. What it holds already, of an earlier run or of
            `armillary log import`, is learned from, if it is of the problem's version: so a study goes on where it was.
            In memory alone, if not given.
        workload: what the designs are for, by name; the problem's own, if it has one.

    Raises:
        ArmillaryError: if there is no such optimizer or workload, the problem has several workloads and none is named,
            or the log cannot be read.
    """

    def __init__(
        self,
        problem: Problem,
        optimizer: str | None = None,
        *,
        seed: int = 0,
        log: str | os.PathLike[str] | None = None,
        workload: str | None = None,
    ) -> None:
        self.problem, self.workload = problem, _workload_of(problem, workload)
        name = problem.space.name
        self.spec = EvaluatorSpec(name, Fidelity.EXTERNAL, name, problem.version, cost=Cost.SECONDS, seed=seed)
        asked = replace(problem, workloads=(self.workload,))
        self._optimizer: Optimizer = optimizers.load(optimizer or DEFAULT_OPTIMIZER)(asked, seed=seed)
        self._log = None if log is None else Log(log)
        self._parts: list[Evaluations] = []
        known = None if self._log is None else logged(self._log, name, self.workload, self.spec)
        if known is not None:
            self._parts.append(known)
            self._learn(known.select(known.settled()))  # a design whose evaluation broke may be asked again

    def ask(self, n: int = 1) -> list[Design]:
        """Return n designs to evaluate; `design["name"]` is a value of one, `design.as_dict()` are all.

        Raises:
            ArmillaryError: if n is not positive, no design keeps to the bounds that laws tell, or the optimizer
                proposes mappings too.
        """
        candidates = self._optimizer.ask(n)
        if any(candidate.mappings is not None or candidate.search is not None for candidate in candidates):
            raise ArmillaryError(
                "this optimizer proposes mappings beside designs, which a study in Python does not take; choose another"
            )
        return [candidate.design for candidate in candidates]

    def tell(self, designs: Sequence[Design | Mapping[str, Value]], results: Sequence[Result]) -> None:
        """Take what became of designs, asked here or not.

        Args:
            designs: as `ask` gave them, or values by parameter.
            results: of each design its metrics by name, or why it is infeasible as a text; None gives no reason.
                Metrics that a law of the problem tells may be left out.

        Raises:
            ArmillaryError: if the lengths differ, a design is none of the space, or a result lacks an objective or a
                bounded metric or holds what is no number; nothing is told then.
        """
        if len(designs) != len(results):
            raise ArmillaryError(f"{len(results)} results do not belong to {len(designs)} designs; give one each")
        if not designs:
            return
        evaluations = [self._evaluation(d, result) for d, result in zip(designs, results, strict=True)]
        rows = Evaluations.from_list(evaluations)
        if self._log is not None:
            self._log.append(rows)
        self._parts.append(rows)
        self._learn(rows)

    def optimize(self, function: Callable[[dict[str, Value]], Result], n: int) -> Evaluation | None:
        """Evaluate n more designs with a function, and return the best design of the study.

        A function that raises makes a row whose failure is the error, and the search goes on; so does a result that
        lacks a goal. Rows are in the log as soon as a second's work is done.

        Args:
            function: from a design's values by name to its result; see `tell`.
            n: how many.

        Raises:
            ArmillaryError: if n is not positive, or the optimizer proposes mappings too.
        """
        if n < 1:
            raise ArmillaryError(f"n={n} is not allowed; evaluate at least 1 design")
        evaluator = FunctionEvaluator(function, self.problem, self.spec)
        executor = LocalExecutor(self._log, make=lambda _: evaluator)

        def evaluate(candidates: Sequence[Candidate]) -> list[Evaluation]:
            found = list(executor.run(self.spec, candidates, self.workload))
            self._parts.append(Evaluations.from_list(found))
            return found

        for _ in by_candidates(self._optimizer, evaluate, n):
            pass
        return self.best

    @property
    def evaluations(self) -> Evaluations | None:
        """Every result so far as columns, those of the log first; None before the first."""
        if len(self._parts) > 1:
            self._parts = [Evaluations.concat(self._parts)]
        return self._parts[0] if self._parts else None

    @property
    def best(self) -> Evaluation | None:
        """The best design with its metrics; None if none is feasible and within the bounds.

        Of several goals it is the design of the front that is nearest to the best of every goal.
        """
        rows = self._legal()
        if rows is None:
            return None
        if len(self.problem.objectives) > 1:
            front = front_of(self.problem, rows)
            return front.rows.row(front.preferred)
        return rows.row(int(self.problem.values(rows).argmin()))

    @property
    def front(self) -> list[Evaluation]:
        """The designs that no other one is better than in every goal, the best in the first goal first."""
        rows = self._legal()
        return [] if rows is None else front_of(self.problem, rows).rows.to_list()

    def to_dataframe(self) -> pd.DataFrame:
        """Return every result so far as a pandas data frame, a row each; see `Log.to_dataframe`."""
        rows = self.evaluations
        if rows is None:
            import pandas as pd  # see armillary.log.dataframe

            return pd.DataFrame()
        return to_dataframe(rows)

    def _legal(self) -> Evaluations | None:
        """Return the rows that are feasible and within the bounds, None if there are none."""
        rows = self.evaluations
        if rows is None:
            return None
        legal = np.isfinite(self.problem.first_values(rows))
        return rows.select(legal) if legal.any() else None

    def _learn(self, rows: Evaluations) -> None:
        if len(rows):
            candidates = [Candidate(row.design) for row in rows.to_list()]
            self._optimizer.tell(candidates, Outcomes.of(rows))

    def _evaluation(self, design: Design | Mapping[str, Value], result: Any) -> Evaluation:
        if not isinstance(design, Design):
            design = self.problem.space.design_from(design, "design")
        try:
            metrics, failure = outcome_of(result, design, self.problem)
        except ValueError as fault:
            raise ArmillaryError(f"design {design.as_dict()}: {fault}") from fault
        return record(self.spec, Candidate(design), self.workload, metrics, failure, seconds=0.0)

    def _repr_html_(self) -> str:
        rows, best = self.evaluations, self.best
        told = [("evaluated", "0" if rows is None else f"{len(rows):,}")]
        told.append(("feasible", "0" if rows is None else f"{int(rows.feasible.sum()):,}"))
        if rows is not None and not rows.feasible.all():
            last = int(np.flatnonzero(~rows.feasible)[-1])
            told.append(("last failure", str(rows.failure(last))))
        if best is not None:
            values = self.problem.with_derived(best.metrics)
            told += [(f"best {name}", f"{values[name]:.6g}") for name in self.problem.metric_names]
            told += [(name, str(value)) for name, value in best.design.items]
        title = f"Study of {self.problem.space.name} for {self.workload.name}"
        return html_table(title, ("", ""), told)


def _workload_of(problem: Problem, name: str | None) -> Workload:
    """Return the workload of a name, or the only one that there is; the problem's own name where there is none."""
    known = {workload.name: workload for workload in problem.workloads}
    if name is None:
        if len(known) > 1:
            raise ArmillaryError(f"the problem has the workloads {list(known)}; name one with workload=")
        name = next(iter(known), problem.space.name)
    if known and name not in known:
        raise ArmillaryError(f"workload={name!r} is not allowed; choose one of {list(known)}")
    return known.get(name, Workload(name, (), numbers={}))

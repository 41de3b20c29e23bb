"""The executor of one machine.

An evaluator that takes thousands of designs at once gets them so, in this process; one that takes seconds gets one
candidate after another; one that takes minutes gets processes of its own, which share the cores and can be ended, if
there are several candidates or a limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.execution.limits import Limits
from armillary.execution.memory import Memory
from armillary.execution.processes import in_processes
from armillary.execution.single import evaluated, layers_run
from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.types import (
    ArmillaryError,
    Candidate,
    Cost,
    EvaluatesBatches,
    EvaluatesLayers,
    Evaluation,
    Evaluations,
    Evaluator,
    EvaluatorSpec,
    LayerRun,
)
from armillary.workloads.layer import Layer, Workload

BATCH_ROWS = 2048
_KEPT_BACK_S = 1.0

Make = Callable[[EvaluatorSpec], Evaluator]
Numbered = tuple[int, Evaluation]


class LocalExecutor:
    """Runs evaluations on this machine.

    What an evaluator raises is a failed row, and the others go on; see `evaluated`. The log knows what was evaluated
    before, so that nothing is evaluated twice; rows whose evaluation broke or ran out of time are evaluated again.

    Args:
        log: where results are kept as they finish, a second of work later at most.
        limits: of each evaluation.
        make: from a specification to its evaluator.

    Attributes:
        evaluated: evaluations so far, failed ones included; those that the log knew do not count.
        feasible: those of them that are.
    """

    def __init__(self, log: Log | None = None, *, limits: Limits | None = None, make: Make = evaluators.make) -> None:
        self.evaluated = self.feasible = 0
        self._log, self._limits, self._make = log, limits or Limits(), make
        self._memory = Memory(log)
        self._made: dict[str, Evaluator] = {}

    def run(self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload) -> Iterator[Evaluation]:
        """Yield one evaluation per candidate, in order.

        Raises:
            ArmillaryError: if the request is wrong for every candidate, or the log cannot be written.
        """
        wanted = list(candidates)
        known = self._memory.of(spec, wanted, workload)
        done = {number: found for number, found in enumerate(known) if found is not None}
        open_ = [number for number in range(len(wanted)) if number not in done]
        fresh = self._logging(self._evaluations(spec, [wanted[n] for n in open_], workload), spec, workload)
        try:
            for number in range(len(wanted)):
                while number not in done:
                    place, evaluation = next(fresh)
                    done[open_[place]] = evaluation
                yield done.pop(number)
        finally:
            fresh.close()

    def run_codes(
        self, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload
    ) -> Iterator[Evaluations]:
        """Yield the evaluations of coded designs, shape [designs, parameters], in order and in batches of columns.

        Raises:
            ArmillaryError: see `run`.
        """
        for first in range(0, len(codes), BATCH_ROWS):
            batch = codes[first : first + BATCH_ROWS]
            if isinstance(self.evaluator(spec), EvaluatesBatches):
                yield self._batch(spec, space, batch, workload)
            else:
                candidates = [Candidate(design) for design in space.designs(batch)]
                yield Evaluations.from_list(list(self.run(spec, candidates, workload)))

    def run_layers(self, spec: EvaluatorSpec, candidate: Candidate, layers: Sequence[Layer]) -> list[LayerRun]:
        """Return the runs of layers, of different names, alone on a candidate; the log's layer runs keep them.

        What the log holds already under the same name and mapping is not run again.

        Raises:
            ArmillaryError: if the evaluator runs no layers alone, or see `run`.
        """
        evaluator = self.evaluator(spec)
        if not isinstance(evaluator, EvaluatesLayers):
            raise ArmillaryError(f"evaluator {spec.name} runs no layers alone")
        known = self._memory.layers_of(spec, candidate)
        open_ = [layer for layer in layers if layer.name not in known]
        fresh = layers_run(evaluator, candidate, open_, self._limits.retries) if open_ else []
        if fresh and self._log is not None:
            self._log.append_layers(LayerRuns.of_runs(fresh, spec, datetime.now(UTC).replace(tzinfo=None)))
        self.evaluated += len(fresh)
        found = known | {run.layer.name: run for run in fresh}
        return [found[layer.name] for layer in layers]

    def evaluator(self, spec: EvaluatorSpec) -> Evaluator:
        """Return the evaluator of a specification, made once.

        Raises:
            ArmillaryError: if there is none, or a tool that it needs is missing.
        """
        key = repr(spec)
        if key not in self._made:
            self._made[key] = self._make(spec)
        return self._made[key]

    def _evaluations(
        self, spec: EvaluatorSpec, candidates: Sequence[Candidate], workload: Workload
    ) -> Iterator[Numbered]:
        if spec.cost is Cost.MINUTES and candidates and (self._limits.needs_process or len(candidates) > 1):
            yield from in_processes(self._make, spec, candidates, workload, self._limits)
            return
        for number, candidate in enumerate(candidates):
            yield number, evaluated(self.evaluator(spec), candidate, workload, self._limits.retries)

    def _logging(
        self, evaluations: Iterator[Numbered], spec: EvaluatorSpec, workload: Workload
    ) -> Generator[Numbered, None, None]:
        """Pass evaluations on, and append them to the log before more than a second of work could be lost."""
        held: list[Evaluation] = []
        since = time.monotonic()
        try:
            for number, evaluation in evaluations:
                held.append(evaluation)
                self.evaluated += 1
                self.feasible += evaluation.feasible
                if time.monotonic() - since >= _KEPT_BACK_S:
                    self._append(held, spec, workload)
                    held, since = [], time.monotonic()
                yield number, evaluation
        finally:
            self._append(held, spec, workload)

    def _append(self, held: Sequence[Evaluation], spec: EvaluatorSpec, workload: Workload) -> None:
        if self._log is None or not held:
            return
        told = [evaluation for evaluation in held if evaluation.layers]
        if told:  # first, so that no row stands in the log without the layers that it was added up from
            self._log.append_layers(LayerRuns.of_evaluations(told))
        self._keep(Evaluations.from_list(held), spec, workload)

    def _batch(self, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        known, rows = self._memory.of_codes(spec, space.name, space.columns(codes), workload)
        if known is not None and len(known) == len(codes):
            return known
        fresh = self._fresh(spec, space, codes[rows < 0], workload)
        self._keep(fresh, spec, workload)
        return fresh if known is None else _merged(known, rows, fresh)

    def _fresh(self, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        """Return a batch; if it breaks, its designs one by one, so that only those that break it fail."""
        evaluator = self.evaluator(spec)
        assert isinstance(evaluator, EvaluatesBatches)
        try:
            rows = evaluator.evaluate_codes(codes, workload)
        except ArmillaryError:
            raise
        except Exception:
            designs = space.designs(codes)
            one_by_one = [evaluated(evaluator, Candidate(d), workload, self._limits.retries) for d in designs]
            rows = Evaluations.from_list(one_by_one)
        self.evaluated += len(rows)
        self.feasible += int(rows.feasible.sum())
        return rows

    def _keep(self, rows: Evaluations, spec: EvaluatorSpec, workload: Workload) -> None:
        if self._log is not None:
            self._log.append(rows)
            self._memory.add(spec, rows, workload)


def evaluated_codes(spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
    """Return the evaluations of coded designs, shape [designs, parameters], without keeping them anywhere.

    Raises:
        ArmillaryError: see `LocalExecutor.run`.
    """
    return Evaluations.concat(list(LocalExecutor().run_codes(spec, space, codes, workload)))


def _merged(known: Evaluations, rows: NDArray[np.int64], fresh: Evaluations) -> Evaluations:
    """Return known and fresh rows in the order of the request, whose `rows` are places in the known, -1 for fresh."""
    order = rows.copy()
    order[rows < 0] = len(known) + np.arange(len(fresh))
    return Evaluations.concat([known, fresh]).select(order)

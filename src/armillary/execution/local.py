"""The executor of one machine.

An evaluator that takes thousands of designs at once gets them so, in this process; one that takes seconds gets one
candidate after another; one that takes minutes gets processes of its own, which share the cores and can be ended, if
there are several candidates or a limit.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.evaluators.kind import CountsElsewhere, EvaluatesAlgorithms, EvaluatesDataflow
from armillary.evaluators.recording import record
from armillary.execution.jobs import Done, Ended, Job, Ready, Workers
from armillary.execution.keeping import KeepEvaluation, append, shared
from armillary.execution.known import KnownRun, given
from armillary.execution.limits import Limits
from armillary.execution.memory import Memory
from armillary.execution.processes import Cores
from armillary.execution.single import (
    Make,
    as_recorded,
    evaluated,
    evaluated_batch,
    evaluated_elsewhere,
    failed_mapped,
    failed_run,
    layer_run_elsewhere,
    layers_run,
    mapped_run_elsewhere,
    mapped_runs,
)
from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.types import (
    AddsUpLayers,
    ArmillaryError,
    Candidate,
    EvaluatesBatches,
    EvaluatesLayers,
    EvaluatesMappedLayers,
    Evaluation,
    Evaluations,
    Evaluator,
    EvaluatorSpec,
    Fidelity,
    LayerRun,
    MappedLayer,
)
from armillary.workloads.layer import Layer, Workload

BATCH_ROWS = 2048
LOOKED_UP_ROWS = 64 * BATCH_ROWS  # that the log is asked for at once
_KEPT_BACK_S = 1.0

Numbered = tuple[int, Evaluation]


class LocalExecutor:
    """Runs evaluations on this machine.

    What an evaluator raises is a failed row, and the others go on; see `evaluated`. The log knows what was evaluated
    before, so that nothing is evaluated twice; rows whose evaluation broke or ran out of time are evaluated again.

    Args:
        log: where results are kept as they finish; at most a second of work is kept back. Rows of candidates that
            bring mappings say so in their options.
        limits: of each evaluation.
        make: from a specification to its evaluator.

    Attributes:
        evaluated: evaluations, and layers run alone, so far, failed ones included; those that the log knew do not
            count.
        feasible: those of them that are.
    """

    def __init__(self, log: Log | None = None, *, limits: Limits | None = None, make: Make = evaluators.make) -> None:
        self.evaluated = self.feasible = 0
        self._log, self._limits, self._make = log, limits or Limits(), make
        self._workers: Workers = self._limits.workers or Cores()
        self._memory = Memory(log)
        self._made: dict[str, Evaluator] = {}

    def onto(self, log: Log) -> LocalExecutor:
        """Return an executor like this one that keeps its results in another log."""
        return LocalExecutor(log, limits=self._limits, make=self._make)

    def run(self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload) -> Iterator[Evaluation]:
        """Yield one evaluation per candidate, in order.

        Raises:
            ArmillaryError: if the request is wrong for every candidate, or the log cannot be written.
        """
        with closing(self.run_as_they_finish(spec, candidates, workload)) as finished:
            early: dict[int, Evaluation] = {}
            turn = 0
            for number, evaluation in finished:
                early[number] = evaluation
                while turn in early:
                    yield early.pop(turn)
                    turn += 1

    def run_as_they_finish(
        self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload
    ) -> Generator[Numbered, None, None]:
        """Yield the number of each candidate with its evaluation, as they finish.

        A candidate is taken from the iterable when a worker is about to be free for it: a million of them never lie in
        memory, and what is known by then may decide which is next.

        Raises:
            ArmillaryError: see `run`.
        """
        self._check(spec, workload)
        under_way: dict[int, Candidate] = {}
        known: set[int] = set()

        def jobs() -> Iterator[Job[Evaluation] | Ready[Evaluation]]:
            for number, candidate in enumerate(candidates):
                (found,) = self._memory.of(spec, [candidate], workload)
                if found is None:
                    under_way[number] = candidate
                    args = (self._make, spec, candidate, workload, self._limits.retries)
                    yield Job(evaluated_elsewhere, args)
                else:
                    known.add(number)
                    yield Ready(found)

        with ExitStack() as stack:
            done = self._done(spec, jobs(), stack)
            yield from self._logging(done, spec, under_way, known, workload)

    def run_codes(
        self,
        spec: EvaluatorSpec,
        space: Space,
        codes: NDArray[np.int64],
        workload: Workload,
        *,
        in_order: bool = True,
    ) -> Iterator[Evaluations]:
        """Yield the evaluations of coded designs, shape [designs, parameters], in batches of columns.

        A slow evaluator's batches are what a second brings.

        Args:
            spec: who evaluates.
            space: of the designs.
            codes: the designs.
            workload: what they are evaluated on.
            in_order: yield them in the order of the codes; else as they finish.

        Raises:
            ArmillaryError: see `run`.
        """
        self._check(spec, workload)
        if isinstance(self.evaluator(spec), EvaluatesBatches):
            yield from self._batches(spec, space, codes, workload)
            return
        candidates = (Candidate(space.design(row)) for row in codes)
        found = (
            self.run(spec, candidates, workload)
            if in_order
            else (evaluation for _, evaluation in self.run_as_they_finish(spec, candidates, workload))
        )
        held, since = list[Evaluation](), time.monotonic()
        for evaluation in found:
            held.append(evaluation)
            if time.monotonic() - since >= _KEPT_BACK_S:
                yield Evaluations.from_list(held)
                held, since = [], time.monotonic()
        if held:
            yield Evaluations.from_list(held)

    def run_layers(self, spec: EvaluatorSpec, candidate: Candidate, layers: Sequence[Layer]) -> list[LayerRun]:
        """Return the runs of layers, of different names, alone on a candidate; the log's layer runs keep them.

        What the log holds already under the same name and mapping is not run again.

        Raises:
            ArmillaryError: if the evaluator runs no layers alone, or see `run`.
        """
        evaluator = self.evaluator(spec)
        if not isinstance(evaluator, EvaluatesLayers):
            raise ArmillaryError(f"evaluator {spec.name} runs no layers alone")
        found = self._memory.layers_of(spec, candidate, layers)
        open_ = [layer for layer in layers if layer.name not in found]
        if open_ and self._sends_layers(spec):
            fresh = self._layers_elsewhere(spec, candidate, open_)
        else:
            fresh = layers_run(evaluator, candidate, open_, self._limits.retries) if open_ else []
        self._keep_layers(fresh, spec, candidate)
        self.evaluated += len(fresh)
        self.feasible += sum(run.failure is None for run in fresh)
        found |= {run.layer.name: run for run in fresh}
        return [found[layer.name] for layer in layers]

    def run_mapped(self, spec: EvaluatorSpec, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun]]:
        """Yield the number of each mapped layer with its run, as they finish; the log's layer runs keep them.

        What the log holds already of the same network, layer, design and mapping is not run again and comes first.

        Raises:
            ArmillaryError: if the evaluator runs no mapped layers, or see `run`.
        """
        evaluator = self.evaluator(spec)
        if not isinstance(evaluator, EvaluatesMappedLayers):
            raise ArmillaryError(f"evaluator {spec.name} runs no mapped layers, each on a design of its own")
        open_ = []
        for number, one in enumerate(wanted):
            known = self._memory.mapped_layer(spec, one)
            if known is None:
                open_.append(number)
            else:
                yield number, known
        fresh = self._mapped(evaluator, spec, [wanted[number] for number in open_])
        held, since = list[LayerRun](), time.monotonic()
        try:
            for place, run in fresh:
                held.append(run)
                self.evaluated += 1
                self.feasible += run.failure is None
                if time.monotonic() - since >= _KEPT_BACK_S:
                    self._keep_mapped(held, spec)
                    held, since = [], time.monotonic()
                yield open_[place], run
        finally:
            fresh.close()
            self._keep_mapped(held, spec)

    def run_by_layer(
        self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload
    ) -> Iterator[Evaluation]:
        """Yield one evaluation per candidate with a mapping of every layer, added up from its layers run alone.

        The log keeps layers as they finish, so that, unlike by `run`, no mapped layer is ever run twice: candidates
        that share mappings share their runs, and what is interrupted goes on where it was.

        Raises:
            ArmillaryError: if a mapping is missing, the evaluator adds up no layers, or see `run`.
        """
        evaluator = self.evaluator(spec)
        if not isinstance(evaluator, AddsUpLayers):
            raise ArmillaryError(
                f"evaluator {spec.name} of template {spec.template!r} adds up no layers; choose gemmini"
            )
        for candidate in candidates:
            start = time.perf_counter()
            wanted = _mapped_layers(candidate, workload)
            runs = dict(self.run_mapped(spec, wanted))
            whole = evaluator.added_up(candidate, workload, [runs[number] for number in range(len(wanted))])
            options, seconds = given(whole.options), time.perf_counter() - start
            found = replace(whole, options=options, seconds=seconds)
            if self._memory.is_first(spec, found, workload):
                self._append([found], spec, workload)
            yield found

    def evaluator(self, spec: EvaluatorSpec) -> Evaluator:
        """Return the evaluator of a specification, made once.

        Raises:
            ArmillaryError: if there is none, or a tool that it needs is missing.
        """
        key = repr(spec)
        if key not in self._made:
            self._made[key] = self._make(spec)
        return self._made[key]

    def _check(self, spec: EvaluatorSpec, workload: Workload) -> None:
        """Refuse an algorithm or a dataflow graph without layers for an evaluator of layers.

        Raises:
            ArmillaryError: if it is one.
        """
        algorithm, dataflow = workload.algorithm, workload.dataflow
        if workload.layers or not (algorithm or dataflow) or spec.fidelity is Fidelity.EXTERNAL:
            return
        evaluator = self.evaluator(spec)
        while isinstance(evaluator, CountsElsewhere):
            evaluator = evaluator.counting
        taken = (algorithm and isinstance(evaluator, EvaluatesAlgorithms)) or (
            dataflow and isinstance(evaluator, EvaluatesDataflow)
        )
        if not taken:
            what = f"the algorithm {algorithm.name}" if algorithm else "a dataflow graph"
            kind = "algorithms" if algorithm else "dataflow graphs"
            raise ArmillaryError(
                f"workload {workload.name} is {what} and has no layers, which are what "
                f"template {spec.template!r} evaluates; choose a template that evaluates {kind}"
            )

    def _done(
        self, spec: EvaluatorSpec, jobs: Iterator[Job[Evaluation] | Ready[Evaluation]], stack: ExitStack
    ) -> Iterator[Done[Evaluation]]:
        """Yield evaluations as they finish: by workers, if these take such, or here."""
        if self._workers.takes(spec.cost):
            keep = None
            if self._workers.elsewhere and self._log is not None:
                keep = KeepEvaluation(stack.enter_context(shared(self._log)))
            yield from self._workers.do(jobs, self._limits, keep)
            return
        evaluator = self.evaluator(spec)
        for number, job in enumerate(jobs):
            if isinstance(job, Ready):
                yield Done(number, job.found)
            else:
                _, _, candidate, workload, retries = job.args
                yield Done(number, as_recorded(evaluated(evaluator, candidate, workload, retries), candidate))

    def _sends_layers(self, spec: EvaluatorSpec) -> bool:
        """Return whether runs of layers alone go to workers one by one; most evaluators run several faster."""
        return self._workers.takes(spec.cost) and (self._limits.needs_process or self._workers.elsewhere)

    def _layers_elsewhere(self, spec: EvaluatorSpec, candidate: Candidate, layers: Sequence[Layer]) -> list[LayerRun]:
        retries = self._limits.retries
        jobs = [Job(layer_run_elsewhere, (self._make, spec, candidate, layer, retries)) for layer in layers]
        runs = {
            done.number: failed_run(candidate, layers[done.number], done.found.failure)
            if isinstance(done.found, Ended)
            else done.found
            for done in self._workers.do(jobs, self._limits)
        }
        return [runs[number] for number in range(len(layers))]

    def _mapped(
        self, evaluator: EvaluatesMappedLayers, spec: EvaluatorSpec, wanted: Sequence[MappedLayer]
    ) -> Generator[tuple[int, LayerRun], None, None]:
        retries = self._limits.retries
        if not wanted:
            return
        if not self._sends_layers(spec):
            yield from mapped_runs(evaluator, wanted, retries)
            return
        jobs = (Job(mapped_run_elsewhere, (self._make, spec, one, retries)) for one in wanted)
        for done in self._workers.do(jobs, self._limits):
            run = done.found
            yield done.number, failed_mapped(wanted[done.number], run.failure) if isinstance(run, Ended) else run

    def _logging(
        self,
        finished: Iterator[Done[Evaluation]],
        spec: EvaluatorSpec,
        under_way: dict[int, Candidate],
        known: set[int],
        workload: Workload,
    ) -> Generator[Numbered, None, None]:
        """Pass evaluations on, and append those that no worker has kept before a second of work could be lost."""
        held: list[Evaluation] = []
        since, work_s = time.monotonic(), 0.0
        try:
            for done in finished:
                if done.number in known:
                    known.remove(done.number)
                    assert isinstance(done.found, Evaluation)
                    yield done.number, done.found
                    continue
                candidate = under_way.pop(done.number)
                evaluation = _evaluation_of(done.found, spec, candidate, workload)
                self.evaluated += 1
                self.feasible += evaluation.feasible
                if done.kept:
                    self._remember([evaluation], spec, workload)
                else:
                    held.append(evaluation)
                    work_s += evaluation.seconds  # of several that finish together each may have taken minutes
                if max(work_s, time.monotonic() - since) >= _KEPT_BACK_S:
                    self._append(held, spec, workload)
                    held, since, work_s = [], time.monotonic(), 0.0
                yield done.number, evaluation
        finally:
            self._append(held, spec, workload)

    def _append(self, held: Sequence[Evaluation], spec: EvaluatorSpec, workload: Workload) -> None:
        if self._log is not None and held:
            append(held, self._log)
            self._remember(held, spec, workload)

    def _remember(self, held: Sequence[Evaluation], spec: EvaluatorSpec, workload: Workload) -> None:
        mapped_by_us = [evaluation for evaluation in held if evaluation.options == spec.options]
        if mapped_by_us:
            layers = [evaluation.layers for evaluation in mapped_by_us]
            self._memory.add(spec, Evaluations.from_list(mapped_by_us), workload, layers)

    def _keep_layers(self, runs: Sequence[LayerRun], spec: EvaluatorSpec, candidate: Candidate) -> None:
        self._keep_known([KnownRun(run, run.layer.name in (candidate.mappings or {})) for run in runs], spec)

    def _keep_mapped(self, runs: Sequence[LayerRun], spec: EvaluatorSpec) -> None:
        self._keep_known([KnownRun(run, given=True) for run in runs], spec)

    def _keep_known(self, known: Sequence[KnownRun], spec: EvaluatorSpec) -> None:
        if self._log is None:
            return
        now = datetime.now(UTC).replace(tzinfo=None)
        for options, brought in ((spec.options, False), (given(spec.options), True)):
            chosen = [one.run for one in known if one.given is brought]
            if chosen:
                self._log.append_layers(LayerRuns.of_runs(chosen, replace(spec, options=options), now))
        self._memory.add_layers(spec, known)

    def _batches(
        self, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload
    ) -> Iterator[Evaluations]:
        """Yield batches in order, each with what is known of it; what is not is evaluated here or by workers."""
        evaluator = self.evaluator(spec)
        for first in range(0, len(codes), LOOKED_UP_ROWS):
            window = codes[first : first + LOOKED_UP_ROWS]
            known, rows = self._memory.of_codes(spec, space.name, space.columns(window), workload)
            for start in range(0, len(window), BATCH_ROWS):
                part = slice(start, start + BATCH_ROWS)
                missing = window[part][rows[part] < 0]
                fresh = [self._fresh(spec, evaluator, space, missing, workload)] if len(missing) else []
                yield _merged(known, rows[part], fresh)

    def _fresh(
        self,
        spec: EvaluatorSpec,
        evaluator: Evaluator,
        space: Space,
        codes: NDArray[np.int64],
        workload: Workload,
    ) -> Evaluations:
        rows = evaluated_batch(evaluator, space, codes, workload, self._limits.retries)
        self.evaluated += len(rows)
        self.feasible += int(rows.feasible.sum())
        if self._log is not None:
            self._log.append(rows)
            self._memory.add(spec, rows, workload)
        return rows


def _evaluation_of(
    found: Evaluation | Ended, spec: EvaluatorSpec, candidate: Candidate, workload: Workload
) -> Evaluation:
    if isinstance(found, Ended):
        failed = record(spec, candidate, workload, {}, found.failure, seconds=found.seconds)
        return as_recorded(failed, candidate)
    return found


def _mapped_layers(candidate: Candidate, workload: Workload) -> list[MappedLayer]:
    mappings = candidate.mappings or {}
    missing = [use.layer.name for use in workload.layers if use.layer.name not in mappings]
    if missing:
        raise ArmillaryError(f"a candidate of {workload.name} brings no mapping of layer {missing[0]!r}")
    return [
        MappedLayer(candidate.design, use.layer, mappings[use.layer.name], workload.name) for use in workload.layers
    ]


def evaluated_codes(spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
    """Return the evaluations of coded designs, shape [designs, parameters], without keeping them anywhere.

    Raises:
        ArmillaryError: see `LocalExecutor.run`.
    """
    return Evaluations.concat(list(LocalExecutor().run_codes(spec, space, codes, workload)))


def _merged(known: Evaluations | None, rows: NDArray[np.int64], fresh: Sequence[Evaluations]) -> Evaluations:
    """Return known and fresh rows in the order of the request, whose `rows` are places in the known, -1 for fresh."""
    there = rows >= 0
    if known is None or not there.any():
        return Evaluations.concat(fresh)
    order = np.empty(len(rows), dtype=np.int64)
    order[there] = np.arange(there.sum())
    order[~there] = there.sum() + np.arange((~there).sum())
    return Evaluations.concat([known.select(rows[there]), *fresh]).select(order)

"""The executor of one machine.

An evaluator that takes thousands of designs at once gets them so, in this process; one that takes seconds gets one
candidate after another; one that takes minutes gets processes of its own, which share the cores and can be ended, if
there are several candidates or a limit.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.evaluators.kind import CountsElsewhere, EvaluatesAlgorithms, EvaluatesDataflow
from armillary.evaluators.recording import record
from armillary.execution.known import KnownRun, given
from armillary.execution.limits import Limits
from armillary.execution.memory import Memory
from armillary.execution.processes import Ended, Job, in_processes
from armillary.execution.single import (
    Make,
    evaluated,
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
    Cost,
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
        self._memory = Memory(log)
        self._made: dict[str, Evaluator] = {}

    def run(self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload) -> Iterator[Evaluation]:
        """Yield one evaluation per candidate, in order.

        Raises:
            ArmillaryError: if the request is wrong for every candidate, or the log cannot be written.
        """
        self._check(spec, workload)
        wanted = list(candidates)
        known = self._memory.of(spec, wanted, workload)
        done = {number: found for number, found in enumerate(known) if found is not None}
        open_ = [number for number in range(len(wanted)) if number not in done]
        missing = [wanted[number] for number in open_]
        fresh = self._logging(self._evaluations(spec, missing, workload), spec, missing, workload)
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

        A slow evaluator's batches are what a second brings.

        Raises:
            ArmillaryError: see `run`.
        """
        self._check(spec, workload)
        if isinstance(self.evaluator(spec), EvaluatesBatches):
            for first in range(0, len(codes), BATCH_ROWS):
                yield self._batch(spec, space, codes[first : first + BATCH_ROWS], workload)
            return
        held, since = list[Evaluation](), time.monotonic()
        for evaluation in self.run(spec, map(Candidate, space.designs(codes)), workload):
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
        if open_ and spec.cost is Cost.MINUTES and self._limits.needs_process:
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

    def _evaluations(
        self, spec: EvaluatorSpec, candidates: Sequence[Candidate], workload: Workload
    ) -> Iterator[Numbered]:
        retries = self._limits.retries
        if spec.cost is not Cost.MINUTES or not (self._limits.needs_process or len(candidates) > 1):
            for number, candidate in enumerate(candidates):
                yield number, evaluated(self.evaluator(spec), candidate, workload, retries)
            return
        jobs = [Job(evaluated_elsewhere, (self._make, spec, c, workload, retries)) for c in candidates]
        for number, found in in_processes(jobs, self._limits):
            if isinstance(found, Ended):
                candidate = candidates[number]
                yield number, record(spec, candidate, workload, {}, found.failure, seconds=found.seconds)
            else:
                yield number, found

    def _layers_elsewhere(self, spec: EvaluatorSpec, candidate: Candidate, layers: Sequence[Layer]) -> list[LayerRun]:
        retries = self._limits.retries
        jobs = [Job(layer_run_elsewhere, (self._make, spec, candidate, layer, retries)) for layer in layers]
        runs = {
            number: failed_run(candidate, layers[number], found.failure) if isinstance(found, Ended) else found
            for number, found in in_processes(jobs, self._limits)
        }
        return [runs[number] for number in range(len(layers))]

    def _mapped(
        self, evaluator: EvaluatesMappedLayers, spec: EvaluatorSpec, wanted: Sequence[MappedLayer]
    ) -> Generator[tuple[int, LayerRun], None, None]:
        retries = self._limits.retries
        if not wanted:
            return
        if not (spec.cost is Cost.MINUTES and self._limits.needs_process):
            yield from mapped_runs(evaluator, wanted, retries)
            return
        jobs = [Job(mapped_run_elsewhere, (self._make, spec, one, retries)) for one in wanted]
        for number, found in in_processes(jobs, self._limits):
            yield number, failed_mapped(wanted[number], found.failure) if isinstance(found, Ended) else found

    def _logging(
        self, evaluations: Iterator[Numbered], spec: EvaluatorSpec, candidates: Sequence[Candidate], workload: Workload
    ) -> Generator[Numbered, None, None]:
        """Pass evaluations on, and append them to the log before more than a second of work could be lost."""
        held: list[Evaluation] = []
        since, work_s = time.monotonic(), 0.0
        try:
            for number, found in evaluations:
                brought = candidates[number].mappings is not None
                evaluation = replace(found, options=given(found.options)) if brought else found
                held.append(evaluation)
                self.evaluated += 1
                self.feasible += evaluation.feasible
                work_s += evaluation.seconds  # of several that finish together each may have taken minutes
                if max(work_s, time.monotonic() - since) >= _KEPT_BACK_S:
                    self._append(held, spec, workload)
                    held, since, work_s = [], time.monotonic(), 0.0
                yield number, evaluation
        finally:
            self._append(held, spec, workload)

    def _append(self, held: Sequence[Evaluation], spec: EvaluatorSpec, workload: Workload) -> None:
        if self._log is None or not held:
            return
        told = [evaluation for evaluation in held if evaluation.layers]
        if told:  # first, so that no row stands in the log without the layers that it was added up from
            self._log.append_layers(LayerRuns.of_evaluations(told))
        self._log.append(Evaluations.from_list(held))
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

    def _batch(self, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        known, rows = self._memory.of_codes(spec, space.name, space.columns(codes), workload)
        if known is not None and len(known) == len(codes):
            return known
        fresh = self._fresh(spec, space, codes[rows < 0], workload)
        if self._log is not None:
            self._log.append(fresh)
            self._memory.add(spec, fresh, workload)
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


def _merged(known: Evaluations, rows: NDArray[np.int64], fresh: Evaluations) -> Evaluations:
    """Return known and fresh rows in the order of the request, whose `rows` are places in the known, -1 for fresh."""
    order = rows.copy()
    order[rows < 0] = len(known) + np.arange(len(fresh))
    return Evaluations.concat([known, fresh]).select(order)

"""One evaluation, and one layer's run, whatever the evaluator does."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.recording import record
from armillary.execution.known import given
from armillary.spaces.space import Space
from armillary.types import (
    AccidentError,
    ArmillaryError,
    Candidate,
    EvaluatesBatches,
    EvaluatesLayers,
    EvaluatesMappedLayers,
    Evaluation,
    Evaluations,
    Evaluator,
    EvaluatorSpec,
    Failure,
    LayerRun,
    MappedLayer,
)
from armillary.workloads.layer import Layer, Workload

Make = Callable[[EvaluatorSpec], Evaluator]
_MADE: dict[str, Evaluator] = {}  # of this process, where it works for another


def evaluated(evaluator: Evaluator, candidate: Candidate, workload: Workload, retries: int) -> Evaluation:
    """Return a candidate's evaluation.

    What the evaluator raises becomes a failed row with the last line of the traceback; a `TimeoutError`, one that ran
    out of time. A tool's death by a signal is an accident of the machine: it is tried again so many times.

    Raises:
        ArmillaryError: if the request is wrong, as for a missing tool; no other candidate would fare better.
    """
    failure = Failure("error")
    start = time.perf_counter()
    for attempt in range(1, retries + 2):
        try:
            return evaluator.evaluate([candidate], workload)[0]
        except ArmillaryError:
            raise
        except Exception as fault:
            failure = _failure_of(fault, attempt)
            if not isinstance(fault, AccidentError):
                break
    return record(evaluator.spec, candidate, workload, {}, failure, seconds=time.perf_counter() - start)


def evaluated_batch(
    evaluator: Evaluator, space: Space, codes: NDArray[np.int64], workload: Workload, retries: int
) -> Evaluations:
    """Return a batch of coded designs, shape [designs, parameters]; if it breaks, its designs one by one.

    Raises:
        ArmillaryError: if the request is wrong.
    """
    assert isinstance(evaluator, EvaluatesBatches)
    try:
        return evaluator.evaluate_codes(codes, workload)
    except ArmillaryError:
        raise
    except Exception:
        designs = space.designs(codes)
        return Evaluations.from_list([evaluated(evaluator, Candidate(d), workload, retries) for d in designs])


def layers_run(
    evaluator: EvaluatesLayers, candidate: Candidate, layers: Sequence[Layer], retries: int
) -> list[LayerRun]:
    """Return the runs of layers alone on a candidate; where they break together, each by itself.

    Raises:
        ArmillaryError: if the request is wrong.
    """
    try:
        return evaluator.run_layers([candidate], layers)
    except ArmillaryError:
        raise
    except Exception:
        return [_layer_run(evaluator, candidate, layer, retries) for layer in layers]


def _layer_run(evaluator: EvaluatesLayers, candidate: Candidate, layer: Layer, retries: int) -> LayerRun:
    failure = Failure("error")
    for attempt in range(1, retries + 2):
        try:
            return evaluator.run_layers([candidate], [layer])[0]
        except ArmillaryError:
            raise
        except Exception as fault:
            failure = _failure_of(fault, attempt)
            if not isinstance(fault, AccidentError):
                break
    return failed_run(candidate, layer, failure)


def mapped_runs(
    evaluator: EvaluatesMappedLayers, wanted: Sequence[MappedLayer], retries: int
) -> Iterator[tuple[int, LayerRun]]:
    """Yield the number of each mapped layer with its run, as they finish; those that broke say why.

    A tool's death by a signal is an accident of the machine: the layer is tried again so many times, after the others.

    Raises:
        ArmillaryError: if the request is wrong.
    """
    left = list(range(len(wanted)))
    for attempt in range(1, retries + 2):
        accidents: list[int] = []
        for place, found in evaluator.run_mapped([wanted[number] for number in left]):
            number = left[place]
            if isinstance(found, LayerRun):
                yield number, found
            elif isinstance(found, ArmillaryError):
                raise found
            elif isinstance(found, AccidentError) and attempt <= retries:
                accidents.append(number)
            else:
                yield number, failed_mapped(wanted[number], _failure_of(found, attempt))
        left = accidents
        if not left:
            return


def failed_mapped(wanted: MappedLayer, failure: Failure) -> LayerRun:
    """Return the run of a mapped layer that came to nothing."""
    return LayerRun(wanted.design, wanted.layer, wanted.mapping, {}, failure, network=wanted.network)


def failed_run(candidate: Candidate, layer: Layer, failure: Failure) -> LayerRun:
    """Return the run of a layer that came to nothing."""
    return LayerRun(candidate.design, layer, (candidate.mappings or {}).get(layer.name, ""), {}, failure)


def evaluated_elsewhere(
    make: Make, spec: EvaluatorSpec, candidate: Candidate, workload: Workload, retries: int
) -> Evaluation:
    """Return `evaluated` by an evaluator that this process makes itself, once, as the log records it."""
    return as_recorded(evaluated(_made(make, spec), candidate, workload, retries), candidate)


def as_recorded(evaluation: Evaluation, candidate: Candidate) -> Evaluation:
    """Return an evaluation whose options say so if the candidate brought mappings."""
    return evaluation if candidate.mappings is None else replace(evaluation, options=given(evaluation.options))


def layer_run_elsewhere(make: Make, spec: EvaluatorSpec, candidate: Candidate, layer: Layer, retries: int) -> LayerRun:
    """Return one of `layers_run` by an evaluator that this process makes itself, once."""
    evaluator = _made(make, spec)
    assert isinstance(evaluator, EvaluatesLayers)
    return _layer_run(evaluator, candidate, layer, retries)


def mapped_run_elsewhere(make: Make, spec: EvaluatorSpec, wanted: MappedLayer, retries: int) -> LayerRun:
    """Return one of `mapped_runs` by an evaluator that this process makes itself, once."""
    evaluator = _made(make, spec)
    assert isinstance(evaluator, EvaluatesMappedLayers)
    return next(mapped_runs(evaluator, [wanted], retries))[1]


def _made(make: Make, spec: EvaluatorSpec) -> Evaluator:
    key = repr(spec)
    if key not in _MADE:
        _MADE[key] = make(spec)
    return _MADE[key]


def _failure_of(fault: Exception, attempts: int) -> Failure:
    if isinstance(fault, AccidentError):
        return Failure("error", detail=f"accident, {attempts} times: {fault}")
    if isinstance(fault, TimeoutError):
        return Failure("timeout", detail=str(fault))
    return Failure("error", detail=traceback.format_exception_only(fault)[-1].strip())

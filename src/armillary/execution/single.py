"""One evaluation, whatever its evaluator does."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence

from armillary.evaluators.recording import record
from armillary.types import (
    AccidentError,
    ArmillaryError,
    Candidate,
    EvaluatesLayers,
    Evaluation,
    Evaluator,
    Failure,
    LayerRun,
)
from armillary.workloads.layer import Layer, Workload


def evaluated(evaluator: Evaluator, candidate: Candidate, workload: Workload, retries: int) -> Evaluation:
    """Return a candidate's evaluation.

    What the evaluator raises becomes a failed row with the last line of the traceback. A tool's death by a signal is
    an accident of the machine: it is tried again so many times.

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
    return LayerRun(candidate.design, layer, (candidate.mappings or {}).get(layer.name, ""), {}, failure)


def _failure_of(fault: Exception, attempts: int) -> Failure:
    if isinstance(fault, AccidentError):
        return Failure("error", detail=f"accident, {attempts} times: {fault}")
    return Failure("error", detail=traceback.format_exception_only(fault)[-1].strip())

"""Layers alone: collect samples or given rows, fit a surrogate of layers, predict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators, workloads
from armillary.evaluators.sampling import LayerSampling, SampledLayers, SamplesLayers
from armillary.execution.local import LocalExecutor
from armillary.execution.memory import Memory
from armillary.log.layer_rows import LayerRows
from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.studies.foresee import Foreseen
from armillary.studies.progress import OnProgress, silent
from armillary.surrogates.layers import (
    LayerPrediction,
    LayerSurrogate,
    LearnsBeforehand,
    PredictsLayers,
    Prior,
    kind_of,
)
from armillary.surrogates.layers.dataset import LayerDataset, layer_dataset
from armillary.types import (
    ArmillaryError,
    Cost,
    EvaluatesMappedLayers,
    EvaluatorSpec,
    Fidelity,
    MappedLayer,
    Value,
    options_text,
)
from armillary.workloads.layer import Workload

NETWORKS = ("resnet50", "retinanet", "unet", "bert")
"""Those of the dissertation, Section 5.2.2."""
SAMPLES, SAMPLES_OF_SLOW = 1 << 16, 1 << 12
"""Section 5.2.2: of an analytical model, and of a simulator."""
MOST_CYCLES_OF_SLOW = 3e6
"""By the cost model, so that simulations end in seconds."""


@dataclass(frozen=True)
class CollectedLayers:
    """What a collection added to a log's layer runs.

    Attributes:
        evaluated: new rows.
        feasible: those of them that are.
        already_logged: rows that were there already.
        seconds: that it took.
    """

    evaluated: int
    feasible: int
    already_logged: int
    seconds: float


def draw_layers(
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    networks: Sequence[Workload],
    sampling: LayerSampling,
    on_progress: OnProgress = silent,
) -> SampledLayers:
    """Return samples of designs, layers and mappings; see `LayerSampling`.

    Raises:
        ArmillaryError: if the evaluator draws no samples, or the request is wrong.
    """
    evaluator = executor.evaluator(spec)
    if not isinstance(evaluator, SamplesLayers):
        raise ArmillaryError(f"evaluator {spec.name} of template {spec.template!r} samples no layers; choose gemmini")
    stage = "drawing samples"
    on_progress(stage, 0, sampling.samples)
    found = evaluator.sample_layers(networks, sampling, lambda done: on_progress(stage, done, sampling.samples))
    on_progress(stage, sampling.samples, sampling.samples)
    return found


def default_networks() -> list[Workload]:
    """Return the networks of the dissertation."""
    return [workloads.load(name) for name in NETWORKS]


def check_rows(executor: LocalExecutor, spec: EvaluatorSpec, rows: LayerRows) -> None:
    """Refuse a file some of whose mappings are none of their layers.

    Raises:
        ArmillaryError: names the file, and each row with its mapping; or the evaluator runs no mapped layers.
    """
    evaluator = executor.evaluator(spec)
    if not isinstance(evaluator, EvaluatesMappedLayers):
        raise ArmillaryError(f"evaluator {spec.name} of template {spec.template!r} runs no mapped layers")
    faults = ((number, evaluator.mapping_fault(one)) for number, one in enumerate(rows.rows))
    rows.refuse({number: fault for number, fault in faults if fault is not None})


def collect_layers(
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    wanted: Sequence[MappedLayer],
    on_progress: OnProgress = silent,
) -> CollectedLayers:
    """Evaluate mapped layers; the executor's log keeps their runs as they finish.

    What the log holds already is not evaluated again, so a collection that was interrupted resumes where it was.

    Raises:
        ArmillaryError: if the evaluator runs no mapped layers, or the log cannot be read or written.
    """
    start, before, feasible = time.perf_counter(), executor.evaluated, executor.feasible
    stage = "evaluating layers"
    on_progress(stage, 0, len(wanted))
    for done, _ in enumerate(executor.run_mapped(spec, wanted), start=1):
        on_progress(stage, done, len(wanted))
    evaluated = executor.evaluated - before
    return CollectedLayers(
        evaluated=evaluated,
        feasible=executor.feasible - feasible,
        already_logged=len(wanted) - evaluated,
        seconds=time.perf_counter() - start,
    )


def foresee_layers(spec: EvaluatorSpec, wanted: Sequence[MappedLayer], log: Log) -> Foreseen:
    """Return what a collection would evaluate; writes nothing."""
    memory = Memory(log)
    known = sum(memory.mapped_layer(spec, one) is not None for one in wanted)
    return Foreseen(
        stage="collect",
        workload=", ".join(dict.fromkeys(one.network for one in wanted)),
        evaluator=f"{spec.name} {spec.version} ({spec.fidelity})",
        evaluations=len(wanted) - known,
        logged=known,
        seconds=0.0 if known == len(wanted) else None,
        basis="not estimated: it depends on the layers",
    )


def default_samples(spec: EvaluatorSpec) -> int:
    """Return how many samples the dissertation took of such an evaluator."""
    return SAMPLES_OF_SLOW if spec.cost is Cost.MINUTES else SAMPLES


def default_most_cycles(spec: EvaluatorSpec) -> float | None:
    """Return the cycles that a layer may take by the cost model, None for any."""
    return MOST_CYCLES_OF_SLOW if spec.cost is Cost.MINUTES else None


def prior_of(
    template: str,
    mapped: Sequence[MappedLayer],
    on_progress: OnProgress = silent,
    options: Mapping[str, Value] | None = None,
) -> Prior:
    """Return what a template's analytical evaluator says of mapped layers.

    Args:
        template: whose.
        mapped: each on a design of its own.
        on_progress: called with layers done and in total.
        options: of the evaluator, its defaults else.

    Raises:
        ArmillaryError: if it runs no mapped layers, or a mapping is none of its layer.
    """
    spec = evaluators.spec_of(template, Fidelity.ANALYTICAL, options)
    return prior_by(LocalExecutor(), spec, mapped, on_progress)


def prior_by(
    executor: LocalExecutor, spec: EvaluatorSpec, mapped: Sequence[MappedLayer], on_progress: OnProgress = silent
) -> Prior:
    """Return what an evaluator says of mapped layers; see `prior_of`."""
    metrics: dict[str, NDArray[np.float64]] = {}
    feasible = np.zeros(len(mapped), dtype=bool)
    stage = "asking the analytical evaluator"
    on_progress(stage, 0, len(mapped))
    for done, (number, run) in enumerate(executor.run_mapped(spec, mapped), start=1):
        feasible[number] = run.failure is None
        if run.failure is not None and run.failure.kind != "infeasible":
            raise ArmillaryError(f"layer {run.layer.name} under {run.mapping}: {run.failure}")
        for name, value in run.metrics.items():
            metrics.setdefault(name, np.full(len(mapped), np.nan))[number] = value
        on_progress(stage, done, len(mapped))
    if not metrics:
        raise ArmillaryError(f"evaluator {spec.name} finds that none of the {len(mapped)} mapped layers can run")
    return Prior(metrics, feasible, f"{spec.name} {spec.version} {options_text(spec.options)}".rstrip())


def analytical_rows(
    template: str,
    space: Space,
    samples: int,
    *,
    options: Mapping[str, Value] | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> LayerDataset:
    """Return samples of the dissertation's networks as a template's analytical evaluator sees them; kept nowhere.

    Args:
        template: whose.
        space: of its designs.
        samples: how many are drawn, all of which are to fit; one that none was found for is missing.
        options: of the evaluator, its defaults else.
        seed: same seed, same samples.
        on_progress: called with the stage, steps done and in total.

    Raises:
        ArmillaryError: if the evaluator draws no samples, or runs no mapped layers.
    """
    spec, executor = evaluators.spec_of(template, Fidelity.ANALYTICAL, options), LocalExecutor()
    sampling = LayerSampling(samples=samples, seed=seed, unfit_share=0.0)
    drawn = draw_layers(executor, spec, default_networks(), sampling, on_progress).rows
    stage, runs = "evaluating analytical samples", []
    on_progress(stage, 0, len(drawn))
    for done, (_, run) in enumerate(executor.run_mapped(spec, drawn), start=1):
        runs.append(run)
        on_progress(stage, done, len(drawn))
    return LayerDataset.of_runs(space, runs)


def fit_layers(
    rows: LayerDataset,
    space: Space,
    template: str,
    *,
    kind: str,
    metric: str,
    analytical_log: Log | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> LayerSurrogate:
    """Train a surrogate of layers.

    Args:
        rows: what to learn from.
        space: of the designs.
        template: whose analytical evaluator's word is at hand.
        kind: as the registry names it.
        metric: what to predict.
        analytical_log: whose layer runs of the analytical fidelity a kind that learns such rows beforehand learns;
            without, they are drawn.
        seed: same seed, rows and machine, same model.
        on_progress: called with steps done and in total.

    Raises:
        ArmillaryError: if the rows cannot be learned from, there is no such kind, or it learns nothing beforehand and
            a log for that is given.
    """
    model = kind_of(kind).make(space=space, metric=metric, seed=seed)
    if isinstance(model, LearnsBeforehand):
        if analytical_log is not None:
            cheap = layer_dataset(analytical_log, space, fidelity=Fidelity.ANALYTICAL)
        else:
            asked = model.analytical_options
            cheap = analytical_rows(template, space, model.samples, options=asked, seed=seed, on_progress=on_progress)
        before = f"training {kind} on {len(cheap)} analytical rows"
        model.learn_beforehand(cheap, lambda done, total: on_progress(before, done, total))
    elif analytical_log is not None:
        raise ArmillaryError(
            f"{analytical_log.path}: surrogate {kind!r} learns no analytical rows beforehand; leave the log out"
        )
    prior = prior_of(template, rows.mapped, on_progress)
    stage = f"training {kind}"
    on_progress(stage, 0, 1)
    model.fit(rows, prior)
    on_progress(stage, 1, 1)
    return model


def predict_layers(
    model: PredictsLayers, template: str, mapped: Sequence[MappedLayer], on_progress: OnProgress = silent
) -> LayerPrediction:
    """Predict mapped layers of a template.

    Raises:
        ArmillaryError: if the model was fitted beside another analytical evaluator, or see `prior_of`.
    """
    prior = prior_of(template, mapped, on_progress)
    if prior.source != model.prior_source:
        raise ArmillaryError(
            f"the model was fitted beside evaluator {model.prior_source!r}, this Armillary has {prior.source!r}; "
            "fit it anew"
        )
    return model.predict_layers(mapped, prior)

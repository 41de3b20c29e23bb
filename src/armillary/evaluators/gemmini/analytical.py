"""The analytical evaluator of the `gemmini` template: the cost model on every layer's mapping, with a timing.

Energy and traffic are the cost model's. The delay is that of the commands that the compiler makes of a mapping, worked
out unit by unit (`timing=physics`), or the bound that compute and bandwidths set (`timing=roofline`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydantic import Field

from armillary.evaluators.explanation import Explanation
from armillary.evaluators.gemmini.layers import (
    LayersOfGemmini,
    MappingOptions,
    Run,
    Timing,
    costs_of_each,
    explained,
    with_delay,
)
from armillary.evaluators.gemmini.mapped import by_cost_model, mapping_fault
from armillary.evaluators.gemmini.proposed import proposed
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.recording import without_search
from armillary.evaluators.sampling import LayerSampling, Proposing, SampledLayers
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import Candidate, Cost, Design, Evaluation, EvaluatorSpec, Fidelity, LayerRun, MappedLayer
from armillary.workloads.layer import Layer, Workload


class AnalyticalOptions(MappingOptions):
    """How layers are mapped, and what their delay is."""

    timing: Timing = Field(
        "physics",
        description="A layer's delay: that of its commands on the hardware's units, or the largest of the times that "
        "the array and each memory's bandwidth need.",
    )


class GemminiEvaluator:
    """Our analytical cost model on designs of the `gemmini` template.

    Args:
        spec: of `KIND`.
        options: how layers are mapped and timed.
    """

    def __init__(self, spec: EvaluatorSpec, options: AnalyticalOptions) -> None:
        self.spec = spec
        self._costs = each = timed if options.timing == "physics" else costs_of_each
        self._layers = LayersOfGemmini(spec, options, lambda one, runs: each([one] * len(runs), runs))

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates; see `LayersOfGemmini.evaluation`.

        Raises:
            ArmillaryError: if a design is of another space, a candidate names a search for its mappings, or one of
                those that it brings is none of its layer.
        """
        without_search(candidates, self.spec)
        return [self._layers.evaluation(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate; one that cannot run says why.

        Raises:
            ArmillaryError: see `evaluate`.
        """
        without_search(candidates, self.spec)
        return [run for candidate in candidates for run in self._layers.runs(candidate, layers)]

    def added_up(self, candidate: Candidate, workload: Workload, runs: Sequence[LayerRun]) -> Evaluation:
        """Return a network's evaluation from its layers' runs; see `AddsUpLayers`."""
        return self._layers.added_up(candidate, workload, runs)

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun | Exception]]:
        """Run mapped layers; see `EvaluatesMappedLayers`."""
        return by_cost_model(wanted, self._costs)

    def sample_layers(
        self, networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
    ) -> SampledLayers:
        """Draw samples; see `SamplesLayers`."""
        return sample_layers(networks, sampling, on_done)

    def propose_mappings(self, design: Design, layer: Layer, proposing: Proposing) -> list[str]:
        """Return mappings of a layer; see `ProposesMappings`."""
        return proposed(design, layer, proposing)

    def mapping_fault(self, wanted: MappedLayer) -> str | None:
        """Return why a mapping is none of its layer; see `EvaluatesMappedLayers`."""
        return mapping_fault(wanted)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart."""
        return explained(evaluation, workload)


def timed(accelerators: Sequence[Accelerator], runs: Sequence[Run]) -> list[dict[str, float]]:
    """Return the metrics of one run of each layer, each on its own accelerator, with the delay of its commands."""
    if not runs:
        return []
    views = [accelerator.view(run.mapping) for accelerator, run in zip(accelerators, runs, strict=True)]
    cycles = physics_cycles(views, [run.layer for run in runs], [run.mapping for run in runs])
    costs = costs_of_each(accelerators, runs)
    return [
        with_delay(metrics, float(delay), run, accelerator)
        for metrics, delay, run, accelerator in zip(costs, cycles, runs, accelerators, strict=True)
    ]


def _kind(template: str) -> EvaluatorKind:
    return EvaluatorKind(
        template=template,
        fidelity=Fidelity.ANALYTICAL,
        name=template,
        version="4",
        cost=Cost.SECONDS,
        make=GemminiEvaluator,
        options=AnalyticalOptions,
    )


KIND = _kind("gemmini")
BOTH_KIND = _kind("gemmini_both")

"""The analytical evaluator of the `gemmini` template: the cost model on every layer's mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from armillary.evaluators.explanation import Explanation
from armillary.evaluators.gemmini.layers import LayersOfGemmini, MappingOptions, costs_of, explained
from armillary.evaluators.gemmini.mapped import by_cost_model, mapping_fault
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.recording import without_search
from armillary.evaluators.sampling import LayerSampling, SampledLayers
from armillary.types import Candidate, Cost, Evaluation, EvaluatorSpec, Fidelity, LayerRun, MappedLayer
from armillary.workloads.layer import Layer, Workload


class GemminiEvaluator:
    """Our analytical cost model on designs of the `gemmini` template.

    Args:
        spec: of `KIND`.
        options: how layers are mapped.
    """

    def __init__(self, spec: EvaluatorSpec, options: MappingOptions) -> None:
        self.spec = spec
        self._layers = LayersOfGemmini(spec, options, costs_of)

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

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun | Exception]]:
        """Run mapped layers; see `EvaluatesMappedLayers`."""
        return by_cost_model(wanted)

    def sample_layers(
        self, networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
    ) -> SampledLayers:
        """Draw samples; see `SamplesLayers`."""
        return sample_layers(networks, sampling, on_done)

    def mapping_fault(self, wanted: MappedLayer) -> str | None:
        """Return why a mapping is none of its layer; see `EvaluatesMappedLayers`."""
        return mapping_fault(wanted)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart."""
        return explained(evaluation, workload)


KIND = EvaluatorKind(
    template="gemmini",
    fidelity=Fidelity.ANALYTICAL,
    name="gemmini",
    version="3",
    cost=Cost.SECONDS,
    make=GemminiEvaluator,
    options=MappingOptions,
)

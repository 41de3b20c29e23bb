"""What every evaluator of the `gemmini` template does alike; how layers are measured is each one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armillary.evaluators.explanation import Explanation
from armillary.evaluators.gemmini.descent import descended
from armillary.evaluators.gemmini.layers import LayersOfGemmini, explained
from armillary.evaluators.gemmini.mapped import mapping_fault
from armillary.evaluators.gemmini.proposed import proposed
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.recording import without_search
from armillary.evaluators.sampling import Descending, LayerSampling, Proposing, SampledLayers
from armillary.hardware.templates.gemmini import SPACES
from armillary.types import Candidate, Design, Evaluation, EvaluatorSpec, LayerRun, MappedLayer
from armillary.workloads.layer import Layer, Workload


class EvaluatorOfGemmini:
    """Networks, layers, and mapped layers on designs of the template.

    Args:
        spec: of the evaluator.
        layers: which maps, measures and adds up.
    """

    def __init__(self, spec: EvaluatorSpec, layers: LayersOfGemmini) -> None:
        self.spec, self._layers = spec, layers

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates; see `LayersOfGemmini.evaluation`.

        Raises:
            ArmillaryError: if a design is of another space, a candidate names a search for its mappings, or one of
                those that it brings is none of its layer.
            SimulationError: if a layer's simulation ends without a result.
            BuildError: if a simulator cannot be built.
            AccidentError: if a signal ended a tool.
        """
        without_search(candidates, self.spec)
        return [self._layers.evaluation(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate; one that cannot run says why.

        Raises:
            ArmillaryError, SimulationError, BuildError, AccidentError: see `evaluate`.
        """
        without_search(candidates, self.spec)
        return [run for candidate in candidates for run in self._layers.runs(candidate, layers)]

    def added_up(self, candidate: Candidate, workload: Workload, runs: Sequence[LayerRun]) -> Evaluation:
        """Return a network's evaluation from its layers' runs; see `AddsUpLayers`."""
        return self._layers.added_up(candidate, workload, runs)

    def sample_layers(
        self, networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
    ) -> SampledLayers:
        """Draw samples; see `SamplesLayers`."""
        return sample_layers(networks, sampling, on_done)

    def propose_mappings(self, design: Design, layer: Layer, proposing: Proposing) -> list[str]:
        """Return mappings of a layer; see `ProposesMappings`."""
        return proposed(design, layer, proposing)

    def descend(self, workload: Workload, descending: Descending) -> list[Candidate]:
        """Return designs with mappings; see `DescendsNetworks`."""
        return descended(SPACES[self.spec.template], workload, descending)

    def mapping_fault(self, wanted: MappedLayer) -> str | None:
        """Return why a mapping is none of its layer; see `EvaluatesMappedLayers`."""
        return mapping_fault(wanted)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart; the energies are the cost model's."""
        return explained(evaluation, workload)

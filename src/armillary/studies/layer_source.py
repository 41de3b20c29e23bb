"""What an optimizer is told of layers and networks before they run: by a template's analytical evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from armillary import evaluators
from armillary.evaluators.sampling import Descending, DescendsNetworks, ProposesMappings, Proposing
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.studies.goals import options_for
from armillary.studies.layers import prior_by
from armillary.surrogates.layers import Prior
from armillary.types import ArmillaryError, Candidate, Design, Evaluation, Fidelity, LayerRun, MappedLayer
from armillary.workloads.layer import Layer, Workload


class AnalyticalSource:
    """Mappings and priors of a template's layers, and its networks; a `LayerSource` and a `NetworkSource`.

    Args:
        template: by name.
        remainders: whether mappings may have a last round that is short.
        log: where evaluations of networks are kept, so that none is repeated when a study resumes; None for nowhere.

    Raises:
        ArmillaryError: if its analytical evaluator proposes no mappings.
    """

    def __init__(self, template: str, *, remainders: bool = False, log: Log | None = None) -> None:
        self._spec = evaluators.spec_of(template, Fidelity.ANALYTICAL)
        evaluator = evaluators.make(self._spec)
        if not isinstance(evaluator, ProposesMappings):
            raise ArmillaryError(f"no evaluator of template {template!r} proposes mappings; choose --template gemmini")
        self._evaluator, self._remainders, self._executor = evaluator, remainders, LocalExecutor()
        self._template, self._networks = template, LocalExecutor(log)

    def mappings(
        self, design: Design, layer: Layer, *, drawn: int, kept: int, seed: int, searched: int = 0
    ) -> list[str]:
        """Return mappings of a layer as text; none if there is no accelerator of the design."""
        try:
            asked = Proposing(drawn, kept, seed, self._remainders, searched)
            return self._evaluator.propose_mappings(design, layer, asked)
        except ArmillaryError:
            return []

    def prior(self, mapped: Sequence[MappedLayer]) -> Prior:
        """Return what the analytical evaluator says."""
        return prior_by(self._executor, self._spec, mapped)

    def networks(
        self, designs: Sequence[Design], workload: Workload, metric: str, *, searched: int, seed: int
    ) -> list[Evaluation]:
        """Return what the analytical evaluator says of a network on designs, each layer as its mapper maps it.

        Raises:
            ArmillaryError: if the metric does not say which mapping of a layer is best.
        """
        asked = {"choice": "physics", "budget": searched}
        options = options_for(self._template, Fidelity.ANALYTICAL, (metric,), asked)
        spec = evaluators.spec_of(self._template, Fidelity.ANALYTICAL, options, seed=seed)
        return list(self._networks.run(spec, map(Candidate, designs), workload))

    def descended(
        self,
        workload: Workload,
        *,
        weights: tuple[int, int],
        starts: int,
        steps: int,
        seed: int,
        known: Sequence[LayerRun],
    ) -> list[Candidate]:
        """Return designs and mappings found by gradient descent; see `Descending`.

        Raises:
            ArmillaryError: if the template's analytical evaluator does not descend.
        """
        if not isinstance(self._evaluator, DescendsNetworks):
            raise ArmillaryError(f"no evaluator of template {self._template!r} descends; choose --template gemmini")
        return self._evaluator.descend(workload, Descending(weights, starts, steps, seed, known))

"""What an optimizer of mappings is told of layers before they run: by a template's analytical evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from armillary import evaluators
from armillary.evaluators.sampling import ProposesMappings, Proposing
from armillary.execution.local import LocalExecutor
from armillary.studies.layers import prior_by
from armillary.surrogates.layers import Prior
from armillary.types import ArmillaryError, Design, Fidelity, MappedLayer
from armillary.workloads.layer import Layer


class AnalyticalSource:
    """Mappings and priors of a template's layers; a `LayerSource`.

    Args:
        template: by name.
        remainders: whether mappings may have a last round that is short.

    Raises:
        ArmillaryError: if its analytical evaluator proposes no mappings.
    """

    def __init__(self, template: str, *, remainders: bool = False) -> None:
        self._spec = evaluators.spec_of(template, Fidelity.ANALYTICAL)
        evaluator = evaluators.make(self._spec)
        if not isinstance(evaluator, ProposesMappings):
            raise ArmillaryError(f"no evaluator of template {template!r} proposes mappings; choose --template gemmini")
        self._evaluator, self._remainders, self._executor = evaluator, remainders, LocalExecutor()

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

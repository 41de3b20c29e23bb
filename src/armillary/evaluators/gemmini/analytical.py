"""The analytical evaluator of the `gemmini` template: the cost model on every layer's mapping, with a timing.

Energy and traffic are the cost model's. The delay is that of the commands that the compiler makes of a mapping, worked
out unit by unit (`timing=physics`), or the bound that compute and bandwidths set (`timing=roofline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from armillary.evaluators.gemmini.evaluator import EvaluatorOfGemmini
from armillary.evaluators.gemmini.layers import (
    LayersOfGemmini,
    MappingOptions,
    Run,
    Timing,
    costs_of_each,
    with_delay,
)
from armillary.evaluators.gemmini.mapped import Settled, by_cost_model
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.evaluators.kind import EvaluatorKind
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import Cost, EvaluatorSpec, Fidelity, MappedLayer


class AnalyticalOptions(MappingOptions):
    """How layers are mapped, and what their delay is."""

    timing: Timing = Field(
        "physics",
        description="A layer's delay: that of its commands on the hardware's units, or the largest of the times that "
        "the array and each memory's bandwidth need.",
    )


class GemminiEvaluator(EvaluatorOfGemmini):
    """Our analytical cost model on designs of the `gemmini` template.

    Args:
        spec: of `KIND`.
        options: how layers are mapped and timed.
    """

    def __init__(self, spec: EvaluatorSpec, options: AnalyticalOptions) -> None:
        self._costs = each = timed if options.timing == "physics" else costs_of_each
        super().__init__(spec, LayersOfGemmini(spec, options, lambda one, runs: each([one] * len(runs), runs)))

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[Settled]:
        """Run mapped layers; see `EvaluatesMappedLayers`."""
        return by_cost_model(wanted, self._costs)


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
        version="5",
        cost=Cost.SECONDS,
        make=GemminiEvaluator,
        options=AnalyticalOptions,
    )


KIND = _kind("gemmini")
BOTH_KIND = _kind("gemmini_both")

"""The evaluators, by template and fidelity, listed as text so that listing them loads none."""

from __future__ import annotations

from armillary.registry import Registry
from armillary.types import ArmillaryError, Evaluator, Fidelity

EVALUATORS = Registry(
    "evaluator",
    "armillary.evaluators",
    {
        "edge_tpu.analytical": "armillary.evaluators.edge_tpu.evaluator:EdgeTpuEvaluator",
        "gemmini.analytical": "armillary.evaluators.gemmini.analytical:GemminiEvaluator",
        "gemmini.rtl": "armillary.evaluators.gemmini.rtl:RtlEvaluator",
        "nvdla.analytical": "armillary.evaluators.layerwise:nvdla",
        "shidiannao.analytical": "armillary.evaluators.layerwise:shidiannao",
        "spotlight.analytical": "armillary.evaluators.spotlight:edge",
        "spotlight_cloud.analytical": "armillary.evaluators.spotlight:cloud",
    },
)


def fidelities(template: str) -> list[str]:
    """Return the fidelities at which designs of a template can be evaluated."""
    return [name.split(".")[1] for name in EVALUATORS.names() if name.split(".")[0] == template]


def for_template(template: str, fidelity: Fidelity, *, seed: int = 0) -> Evaluator:
    """Return the evaluator of a template at a fidelity.

    Raises:
        ArmillaryError: if there is none; names the fidelities that there are.
    """
    if fidelity not in fidelities(template):
        raise ArmillaryError(
            f"template {template!r} has no evaluator of fidelity {str(fidelity)!r}; it has {fidelities(template)}"
        )
    evaluator: Evaluator = EVALUATORS.load(f"{template}.{fidelity}")(seed=seed)
    return evaluator

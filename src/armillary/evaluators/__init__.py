"""The evaluators, by template and fidelity, listed as text so that listing them loads none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from armillary.registry import Registry
from armillary.types import ArmillaryError, Evaluator, EvaluatorSpec, Fidelity

if TYPE_CHECKING:
    from armillary.evaluators.kind import EvaluatorKind

EVALUATORS = Registry(
    "evaluator",
    "armillary.evaluators",
    {
        "axiline.analytical": "armillary.evaluators.axiline.evaluator:ANALYTICAL",
        "axiline.rtl": "armillary.evaluators.axiline.evaluator:RTL",
        "axiline.physical": "armillary.evaluators.physical.evaluator:AXILINE",
        "edge_tpu.analytical": "armillary.evaluators.edge_tpu.evaluator:KIND",
        "gemmini.analytical": "armillary.evaluators.gemmini.analytical:KIND",
        "gemmini.rtl": "armillary.evaluators.gemmini.rtl:KIND",
        "gemmini.physical": "armillary.evaluators.physical.evaluator:GEMMINI",
        "gemmini_both.analytical": "armillary.evaluators.gemmini.analytical:BOTH_KIND",
        "gemmini_both.rtl": "armillary.evaluators.gemmini.rtl:BOTH_KIND",
        "genesys.analytical": "armillary.evaluators.genesys.evaluator:ANALYTICAL",
        "genesys.rtl": "armillary.evaluators.genesys.evaluator:RTL",
        "genesys.physical": "armillary.evaluators.physical.evaluator:GENESYS",
        "nvdla.analytical": "armillary.evaluators.layerwise:NVDLA",
        "shidiannao.analytical": "armillary.evaluators.layerwise:SHIDIANNAO",
        "spotlight.analytical": "armillary.evaluators.spotlight:EDGE_KIND",
        "spotlight_cloud.analytical": "armillary.evaluators.spotlight:CLOUD_KIND",
        "tabla.analytical": "armillary.evaluators.tabla.evaluator:ANALYTICAL",
        "tabla.rtl": "armillary.evaluators.tabla.evaluator:RTL",
        "tabla.physical": "armillary.evaluators.physical.evaluator:TABLA",
        "tpu_like.analytical": "armillary.evaluators.tpu_like:KIND",
        "vta.analytical": "armillary.evaluators.vta.evaluator:ANALYTICAL",
        "vta.rtl": "armillary.evaluators.vta.evaluator:RTL",
        "vta.physical": "armillary.evaluators.physical.evaluator:VTA",
    },
)

_RANKED = tuple(str(fidelity) for fidelity in Fidelity if fidelity is not Fidelity.EXTERNAL)
"""The fidelities of evaluators that are registered; an external one is described by its user."""


def fidelities(template: str) -> list[str]:
    """Return the fidelities at which designs of a template can be evaluated; loads no evaluator."""
    return [fidelity for fidelity in _named(template) if fidelity in _RANKED]


def offered() -> list[str]:
    """Return the fidelities that the evaluators of any template have, the truest last; loads no evaluator."""
    there = {name.partition(".")[2] for name in EVALUATORS.names()}
    return [fidelity for fidelity in _RANKED if fidelity in there]


def _named(template: str) -> list[str]:
    """Return what follows the template's name in the names of its evaluators."""
    parts = [name.partition(".") for name in EVALUATORS.names()]
    return [fidelity for of, _, fidelity in parts if of == template]


def truer(template: str, fidelity: Fidelity) -> list[Fidelity]:
    """Return the fidelities of a template that are truer than one, the truest last."""
    return sorted(other for other in map(Fidelity, fidelities(template)) if other > fidelity)


def kind_of(template: str, fidelity: Fidelity) -> EvaluatorKind:
    """Return how the evaluator of a template at a fidelity is registered.

    Raises:
        ArmillaryError: if there is none (names the fidelities that there are), it cannot be loaded, or it says that it
            is another.
    """
    from armillary.evaluators.kind import EvaluatorKind

    if fidelity not in fidelities(template):
        wrong = [f"{template}.{name}".rstrip(".") for name in _named(template) if name not in _RANKED]
        misnamed = f"; {wrong} should be named {template}.FIDELITY, one of {list(_RANKED)}" if wrong else ""
        raise ArmillaryError(
            f"template {template!r} has no evaluator of fidelity {str(fidelity)!r}; it has {fidelities(template)}"
            f"{misnamed}"
        )
    name = f"{template}.{fidelity}"
    kind: EvaluatorKind = EVALUATORS.load(name, EvaluatorKind)
    if f"{kind.template}.{kind.fidelity}" != name:
        raise ArmillaryError(f"evaluator {name!r} says that it is {kind.template}.{kind.fidelity}; register it so")
    return kind


def spec_of(
    template: str, fidelity: Fidelity, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> EvaluatorSpec:
    """Return the specification of an evaluator, its options checked.

    Raises:
        ArmillaryError: if there is none, or an option is unknown or not allowed.
    """
    return kind_of(template, fidelity).spec(options, seed=seed)


def make(spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator that a specification describes.

    Raises:
        ArmillaryError: if there is none, or a tool that it needs is missing; says how to install it.
    """
    if spec.fidelity is Fidelity.EXTERNAL:
        from armillary.evaluators.external import KIND

        return KIND.evaluator(spec)
    return kind_of(spec.template, spec.fidelity).evaluator(spec)


def for_template(
    template: str, fidelity: Fidelity, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> Evaluator:
    """Return the evaluator of a template at a fidelity.

    Raises:
        ArmillaryError: see `spec_of` and `make`.
    """
    return make(spec_of(template, fidelity, options, seed=seed))

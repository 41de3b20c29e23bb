"""The templates, listed as text so that listing them loads none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armillary.hardware.template import Template
from armillary.registry import Registry
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.hardware.templates.layerwise import Layerwise
    from armillary.workloads.layer import Workload

TEMPLATES = Registry(
    "template",
    "armillary.templates",
    {
        "axiline": "armillary.hardware.templates.axiline:TEMPLATE",
        "edge_tpu": "armillary.hardware.templates.edge_tpu:TEMPLATE",
        "gemmini": "armillary.hardware.templates.gemmini:TEMPLATE",
        "gemmini_both": "armillary.hardware.templates.gemmini:BOTH_TEMPLATE",
        "genesys": "armillary.hardware.templates.genesys:TEMPLATE",
        "nvdla": "armillary.hardware.templates.nvdla:TEMPLATE",
        "shidiannao": "armillary.hardware.templates.shidiannao:TEMPLATE",
        "spotlight": "armillary.hardware.templates.spotlight:TEMPLATE",
        "spotlight_cloud": "armillary.hardware.templates.spotlight:CLOUD_TEMPLATE",
        "tabla": "armillary.hardware.templates.tabla:TEMPLATE",
        "tpu_like": "armillary.hardware.templates.tpu_like:TEMPLATE",
        "vta": "armillary.hardware.templates.vta:TEMPLATE",
    },
)


def names() -> list[str]:
    """Return the names of all templates."""
    return TEMPLATES.names()


def load(name: str, workload: Workload | None = None) -> Template:
    """Return a template.

    Args:
        name: from `names()`.
        workload: what it is for; some templates have parameters for each of its layers.

    Raises:
        ArmillaryError: if the name is unknown (lists near matches), the template cannot be loaded, or it needs a
            workload.
    """
    found = _registered(name)
    if isinstance(found, Template):
        return found
    if workload is None:
        raise ArmillaryError(
            f"template {name!r} has two parameters for every layer of a workload; name the workload (--workload)"
        )
    return found.of(workload)


def depends_on_workload(name: str) -> bool:
    """Return whether the parameters of a template depend on the workload.

    Raises:
        ArmillaryError: if the name is unknown or the template cannot be loaded.
    """
    return not isinstance(_registered(name), Template)


def family(name: str) -> Layerwise:
    """Return the templates of all workloads under a name whose parameters depend on the workload.

    Raises:
        ArmillaryError: if the name is unknown or its template is the same for all workloads.
    """
    found = _registered(name)
    if isinstance(found, Template):
        raise ArmillaryError(f"template {name!r} is the same for all workloads")
    return found


def _registered(name: str) -> Template | Layerwise:
    """Return what is registered under a name.

    Raises:
        ArmillaryError: if there is nothing, it cannot be loaded, it is no template, or it calls itself otherwise.
    """
    found: Template | Layerwise = TEMPLATES.load(name)
    if not isinstance(found, Template) and not callable(getattr(found, "of", None)):
        raise ArmillaryError(f"template {name!r} is no Template, it is a {type(found).__name__}")
    own = getattr(found, "name", None)
    if own != name:  # evaluators are found by the template's own name
        raise ArmillaryError(f"template {name!r} calls itself {own!r}; register it under its own name")
    return found

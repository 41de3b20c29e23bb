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
        "edge_tpu": "armillary.hardware.templates.edge_tpu:TEMPLATE",
        "gemmini": "armillary.hardware.templates.gemmini:TEMPLATE",
        "nvdla": "armillary.hardware.templates.nvdla:TEMPLATE",
        "shidiannao": "armillary.hardware.templates.shidiannao:TEMPLATE",
        "spotlight": "armillary.hardware.templates.spotlight:TEMPLATE",
        "spotlight_cloud": "armillary.hardware.templates.spotlight:CLOUD_TEMPLATE",
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
        ArmillaryError: if the name is unknown (lists near matches), or the template needs a workload.
    """
    found: Template | Layerwise = TEMPLATES.load(name)
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
        ArmillaryError: if the name is unknown.
    """
    return not isinstance(TEMPLATES.load(name), Template)


def family(name: str) -> Layerwise:
    """Return the templates of all workloads under a name whose parameters depend on the workload.

    Raises:
        ArmillaryError: if the name is unknown or its template is the same for all workloads.
    """
    found: Template | Layerwise = TEMPLATES.load(name)
    if isinstance(found, Template):
        raise ArmillaryError(f"template {name!r} is the same for all workloads")
    return found

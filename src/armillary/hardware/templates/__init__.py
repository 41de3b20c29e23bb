"""The templates, listed as text so that listing them loads none."""

from __future__ import annotations

from armillary.hardware.template import Template
from armillary.registry import Registry

TEMPLATES = Registry(
    "template",
    "armillary.templates",
    {"edge_tpu": "armillary.hardware.templates.edge_tpu:TEMPLATE"},
)


def names() -> list[str]:
    """Return the names of all templates."""
    return TEMPLATES.names()


def load(name: str) -> Template:
    """Return a template.

    Raises:
        ArmillaryError: if the name is unknown; lists near matches.
    """
    template: Template = TEMPLATES.load(name)
    return template

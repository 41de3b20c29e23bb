"""Surrogates: models fitted to a log that predict one metric; one file each."""

from __future__ import annotations

from typing import Any

from armillary.registry import Registry

REGISTRY = Registry(
    kind="surrogate",
    group="armillary.surrogates",
    members={"prime": "armillary.surrogates.prime:Prime"},
)


def names() -> list[str]:
    """Return the names of all surrogates, sorted; loads none of them."""
    return REGISTRY.names()


def load(name: str) -> Any:
    """Return the class of a surrogate.

    Raises:
        ArmillaryError: if there is no surrogate of that name.
    """
    return REGISTRY.load(name)

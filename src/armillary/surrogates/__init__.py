"""Surrogates: models fitted to a log that predict one metric; one file each."""

from __future__ import annotations

from typing import Any

from armillary.registry import Registry

REGISTRY = Registry(
    kind="surrogate",
    group="armillary.surrogates",
    members={
        "coms": "armillary.surrogates.coms:Coms",
        "deep-ensemble": "armillary.surrogates.deep_ensemble:DeepEnsemble",
        "prime": "armillary.surrogates.prime:Prime",
        "prime-without-infeasible": "armillary.surrogates.prime:without_infeasible",
        "prime-without-opt": "armillary.surrogates.prime:without_opt",
        "ram-listnet": "armillary.surrogates.deep_ensemble:ranking",
        "standard": "armillary.surrogates.prime:standard",
    },
)


def names() -> list[str]:
    """Return the names of all surrogates, sorted; loads none of them."""
    return REGISTRY.names()


def load(name: str) -> Any:
    """Return what makes a surrogate: called with `space`, `seed` and the surrogate's own options.

    Raises:
        ArmillaryError: if there is no surrogate of that name.
    """
    return REGISTRY.load(name)

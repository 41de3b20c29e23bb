"""Optimizers: ask and tell over a space; one file each."""

from __future__ import annotations

from typing import Any

from armillary.registry import Registry

REGISTRY = Registry(
    kind="optimizer",
    group="armillary.optimizers",
    members={
        "bayesian": "armillary.optimizers.bayesian:Bayesian",
        "firefly": "armillary.optimizers.firefly:Firefly",
        "genetic": "armillary.optimizers.genetic:Genetic",
        "mbo": "armillary.optimizers.mbo:Mbo",
        "mins": "armillary.optimizers.mins:Mins",
        "prime-online": "armillary.optimizers.prime_online:PrimeOnline",
        "p3bo": "armillary.optimizers.p3bo:P3bo",
        "random": "armillary.optimizers.random_search:RandomSearch",
    },
)


def names() -> list[str]:
    """Return the names of all optimizers, sorted; loads none of them."""
    return REGISTRY.names()


def load(name: str) -> Any:
    """Return the class of an optimizer.

    Raises:
        ArmillaryError: if there is no optimizer of that name.
    """
    return REGISTRY.load(name)

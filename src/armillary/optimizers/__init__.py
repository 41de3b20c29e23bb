"""Optimizers: ask and tell over a space; one file each."""

from __future__ import annotations

from typing import Any

from armillary.registry import Registry
from armillary.types import ArmillaryError

REGISTRY = Registry(
    kind="optimizer",
    group="armillary.optimizers",
    members={
        "bayesian": "armillary.optimizers.bayesian:Bayesian",
        "closed-form": "armillary.optimizers.closed_form:ClosedForm",
        "confuciux": "armillary.optimizers.peers:Confuciux",
        "dosa": "armillary.optimizers.dosa:Dosa",
        "dosa-corrected": "armillary.optimizers.dosa:DosaCorrected",
        "firefly": "armillary.optimizers.firefly:Firefly",
        "genetic": "armillary.optimizers.genetic:Genetic",
        "hasco": "armillary.optimizers.peers:hasco",
        "mbo": "armillary.optimizers.mbo:Mbo",
        "mins": "armillary.optimizers.mins:Mins",
        "motpe": "armillary.optimizers.from_optuna:Motpe",
        "nsga2": "armillary.optimizers.from_optuna:Nsga2",
        "pareto": "armillary.optimizers.pareto:Pareto",
        "polaris": "armillary.optimizers.polaris:Polaris",
        "polaris-offline": "armillary.optimizers.polaris_rivals:PolarisOffline",
        "polaris-paced": "armillary.optimizers.polaris_rivals:PolarisPaced",
        "polaris-random": "armillary.optimizers.polaris:PolarisRandom",
        "polaris-scratch": "armillary.optimizers.polaris:PolarisScratch",
        "polaris-spotlight": "armillary.optimizers.polaris_rivals:PolarisSpotlight",
        "portfolio": "armillary.optimizers.portfolio:Portfolio",
        "ppa-ladder": "armillary.optimizers.ppa_ladder:PpaLadder",
        "ppa-motpe": "armillary.optimizers.ppa_motpe:PpaMotpe",
        "p3bo": "armillary.optimizers.p3bo:P3bo",
        "qnehvi": "armillary.optimizers.qnehvi:Qnehvi",
        "random": "armillary.optimizers.random_search:RandomSearch",
        "spotlight": "armillary.optimizers.spotlight:Spotlight",
        "spotlight-a": "armillary.optimizers.spotlight:everything",
        "spotlight-exact": "armillary.optimizers.spotlight:exact",
        "spotlight-f": "armillary.optimizers.spotlight:fixed",
        "spotlight-ga": "armillary.optimizers.spotlight:SpotlightGenetic",
        "spotlight-r": "armillary.optimizers.spotlight:SpotlightRandom",
        "spotlight-v": "armillary.optimizers.spotlight:vanilla",
    },
    former={"prime-online": "portfolio"},
)


def names() -> list[str]:
    """Return the names of all optimizers, sorted; loads none of them."""
    return REGISTRY.names()


def for_several() -> list[str]:
    """Return the names of the optimizers that take several objectives; loads all that can be loaded."""
    return [name for name in names() if _takes_several(name)]


def _takes_several(name: str) -> bool:
    try:
        return bool(getattr(load(name), "takes_several", False))
    except ArmillaryError:  # another package's, broken
        return False


def load(name: str) -> Any:
    """Return the class of an optimizer.

    Raises:
        ArmillaryError: if there is no optimizer of that name.
    """
    return REGISTRY.load(name)

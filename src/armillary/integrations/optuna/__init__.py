"""Optuna: our default surrogate as a sampler of its studies."""

from armillary.integrations.optuna.sampler import AutoSampler

__all__ = ["AutoSampler"]

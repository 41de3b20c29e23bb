"""Optuna: our default surrogate as a sampler of its studies, and studies of its storages from and to our logs."""

from armillary.integrations.optuna.exports import Exported, export
from armillary.integrations.optuna.sampler import AutoSampler

__all__ = ["AutoSampler", "Exported", "export"]

"""Execution: the only caller of evaluators, with limits, retries, failures as data, and results streamed to a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armillary.registry import Registry

if TYPE_CHECKING:
    from armillary.execution.jobs import Workers

REGISTRY = Registry(
    kind="executor",
    group="armillary.executors",
    members={
        "local": "armillary.execution.processes:own_cores",
        "ray": "armillary.execution.ray_workers:RayWorkers",
    },
)


def names() -> list[str]:
    """Return the names of all executors, sorted; loads none of them."""
    return REGISTRY.names()


def workers_of(name: str, address: str | None = None) -> Workers:
    """Return the workers of an executor.

    Args:
        name: of the executor.
        address: of the cluster that has them.

    Raises:
        ArmillaryError: if there is no such executor, its package is missing, or it is not to be reached.
    """
    found: Workers = REGISTRY.load(name)(address)
    return found

"""What an evaluation may take, and who runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.execution.jobs import Workers


@dataclass(frozen=True)
class Limits:
    """Limits of each evaluation; those of time and memory are for evaluators that run in processes of their own.

    Attributes:
        time_limit_s: after which it is ended and its row says so.
        memory_limit_bytes: of the process, and of each that it starts.
        retries: of an evaluation whose tool, process or machine was ended from outside.
        workers: who keeps to them; processes of this machine, if None.
    """

    time_limit_s: float | None = None
    memory_limit_bytes: int | None = None
    retries: int = 2
    workers: Workers | None = None

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "memory_limit_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArmillaryError(f"{name}={value!r} is not allowed; it must be positive")
        if self.retries < 0:
            raise ArmillaryError(f"retries={self.retries!r} is not allowed; it must be at least 0")

    @property
    def needs_process(self) -> bool:
        """Whether only a process of its own can keep to them."""
        return self.time_limit_s is not None or self.memory_limit_bytes is not None

"""What an evaluation may take."""

from __future__ import annotations

from dataclasses import dataclass

from armillary.types import ArmillaryError


@dataclass(frozen=True)
class Limits:
    """Limits of each evaluation; those of time and memory are for evaluators that run in processes of their own.

    Attributes:
        time_limit_s: after which it is ended and its row says so.
        memory_limit_bytes: of the process, and of each that it starts.
        retries: of an evaluation whose tool was ended by a signal.
    """

    time_limit_s: float | None = None
    memory_limit_bytes: int | None = None
    retries: int = 2

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

"""Jobs, and what does them: processes of this machine, or workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from armillary.execution.limits import Limits
from armillary.types import Cost, Failure

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A call in another process.

    Attributes:
        call: a function that other processes can import.
        args: what it is called with, and what it returns, can be pickled.
    """

    call: Callable[..., T]
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Ready(Generic[T]):
    """What needs no job: it is known already."""

    found: T


@dataclass(frozen=True)
class Ended:
    """A job that was ended before it returned: why, and the seconds it took."""

    failure: Failure
    seconds: float


@dataclass(frozen=True)
class Done(Generic[T]):
    """A job that is over.

    Attributes:
        number: its place among the jobs.
        found: what it returned, or how it was ended.
        kept: whether the worker has written it to the log.
    """

    number: int
    found: T | Ended
    kept: bool = False


class Keep(Protocol[T]):
    """How workers write what they found to a log. Goes to them by pickle."""

    def __call__(self, name: str, found: T) -> bool:
        """Write it under a name, once whoever tries again; return whether this machine can."""
        ...

    def known(self, name: str) -> T | None:
        """Return what was written under a name."""
        ...


class Workers(Protocol):
    """What does jobs, under limits.

    Attributes:
        elsewhere: whether they are on other machines, too, and write to the log what they can.
    """

    elsewhere: bool

    def takes(self, cost: Cost) -> bool:
        """Return whether evaluations of such a cost are worth being sent to them."""
        ...

    def do(self, jobs: Iterable[Job[T] | Ready[T]], limits: Limits, keep: Keep[T] | None = None) -> Iterator[Done[T]]:
        """Yield the jobs as they finish. A job is taken from the iterable when a worker is about to be free for it.

        Args:
            jobs: what to do; what is ready is passed on.
            limits: of each. A job whose process or machine died is done again, as often as the limits say.
            keep: how to write results to the log, where workers can.

        Raises:
            Exception: what a job raised.
        """
        ...


def accident(times: int, how: str) -> Failure:
    """Return the failure of a job whose process died every time; it never says that the design is infeasible."""
    return Failure("error", detail=f"accident, {times} times: its process {how}")

"""Workers of a Ray cluster, on many machines.

A job is a task of Ray that is given one core. Jobs of milliseconds travel several at once, so that the way costs little
beside them; one that takes a second or more writes its result to the log itself, where its machine sees the log's
folder, under a name that was chosen when it was sent: who tries again writes the same fragment, so that it counts once.
Ray itself retries nothing: which deaths count, and how often, is decided here.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import armillary
from armillary.cores import available
from armillary.execution.jobs import Done, Ended, Job, Keep, Ready, accident
from armillary.execution.limits import Limits
from armillary.execution.processes import Cores
from armillary.log.fragments import fragment_name
from armillary.types import ArmillaryError, Cost

# Ray tells of dead workers on standard output, which belongs to results; what became of their jobs is told by us.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError, TaskUnschedulableError
except ImportError as fault:
    raise ArmillaryError(f"--executor ray needs Ray ({fault}): pip install 'armillary[ray]'") from fault

_KEPT_FROM_S = 1.0  # what takes longer is written by the worker
_TOGETHER_S, _MOST_TOGETHER = 0.1, 64  # how much work travels at once, and how many jobs
_LOOK_S = 1.0  # how often the cluster is looked after
_STARTS = 3  # of a cluster of this machine
_PATIENCE_S = 60.0  # how long a cluster may have no core at all, or no head
T = TypeVar("T")
_Numbered = tuple[int, Job[Any]]


@dataclass(frozen=True)
class _Parcel:
    """Jobs that travel together, and the name under which the result of one alone is kept."""

    jobs: tuple[_Numbered, ...]
    name: str = field(default_factory=fragment_name)
    since: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class _Answer:
    """What came of the jobs of a parcel, in order, whether it was kept, and the seconds that they took."""

    found: list[Any]
    kept: bool
    seconds: float


class RayWorkers:
    """The cores of a Ray cluster.

    Args:
        address: of the cluster's head, `HOST:PORT`, or `ray://HOST:PORT` from a machine that is none of the cluster;
            without, that of `$RAY_ADDRESS`, else of a cluster that runs on this machine, else one of this machine's
            cores alone is started, and ends with this process.

    Raises:
        ArmillaryError: if Ray is missing or the cluster cannot be reached.
    """

    elsewhere = True

    def __init__(self, address: str | None = None) -> None:
        _connect(address)
        self._head = None if (address or "").startswith("ray://") else ray.get_runtime_context().gcs_address
        self._cores, self._seen, self._without = 0, 0.0, time.monotonic()

    def takes(self, cost: Cost) -> bool:
        """Return whether evaluations of such a cost are sent: all but those of microseconds."""
        return cost is not Cost.BATCH

    def do(self, jobs: Iterable[Job[T] | Ready[T]], limits: Limits, keep: Keep[T] | None = None) -> Iterator[Done[T]]:
        """Yield the jobs as they finish; see `Workers.do`.

        Raises:
            ArmillaryError: if the cluster is gone, has no core for a minute, or another version of Armillary; or a
                job says that the request is wrong.
        """
        flying: dict[Any, _Parcel] = {}
        again: deque[_Parcel] = deque()
        died: Counter[int] = Counter()
        pace = _Pace()
        source = enumerate(jobs)
        try:
            while True:
                while len(flying) < self._most(busy=bool(flying)):
                    parcel = again.popleft() if again else None
                    if parcel is None:
                        taken, ready = _taken(source, pace.together)
                        yield from ready
                        if not taken and not ready:
                            break
                        if not taken:
                            continue
                        parcel = _Parcel(tuple(taken))
                    flying[self._sent(parcel, limits, keep, died)] = parcel
                if not flying and not again:
                    return
                landed, _ = ray.wait(list(flying), num_returns=1, timeout=_LOOK_S)
                for reference in landed:
                    parcel = flying.pop(reference)
                    answer = _answer(reference)
                    if isinstance(answer, str):
                        yield from self._lost(parcel, answer, limits, died, again)
                        continue
                    pace.tell(answer.seconds / len(parcel.jobs))
                    for (number, _), found in zip(parcel.jobs, answer.found, strict=True):
                        yield Done(number, found, answer.kept)
        finally:
            for reference in flying:
                ray.cancel(reference, force=True)

    def _sent(self, parcel: _Parcel, limits: Limits, keep: Keep[Any] | None, died: Counter[int]) -> Any:
        jobs = [job for _, job in parcel.jobs]
        first = not died[parcel.jobs[0][0]]
        alone = Limits(limits.time_limit_s, limits.memory_limit_bytes, limits.retries)
        return _REMOTE.remote(armillary.__version__, jobs, alone, keep, parcel.name, first)

    def _lost(
        self, parcel: _Parcel, how: str, limits: Limits, died: Counter[int], again: deque[_Parcel]
    ) -> Iterator[Done[Any]]:
        """Send the jobs of a parcel whose process died again, each alone; give one up that had its tries."""
        if len(parcel.jobs) > 1:  # nobody knows which of them it was
            again.extend(_Parcel((one,)) for one in parcel.jobs)
            return
        number = parcel.jobs[0][0]
        died[number] += 1
        if died[number] <= limits.retries:
            again.append(parcel)
            return
        yield Done(number, Ended(accident(died[number], how), time.perf_counter() - parcel.since))

    def _most(self, busy: bool) -> int:
        """Return how many parcels may be under way: one a core, and a few that are there when a core is free.

        Raises:
            ArmillaryError: if the head does not answer, or no core has been there for a minute.
        """
        now = time.monotonic()
        if now - self._seen >= _LOOK_S:
            self._look()
            self._cores, self._seen = int(ray.cluster_resources().get("CPU", 0)), now
        if self._cores:
            self._without = now
        elif now - self._without > _PATIENCE_S:
            raise ArmillaryError(f"the Ray cluster has had no core for {_PATIENCE_S:g} s; start a node, and run again")
        elif not busy:
            time.sleep(_LOOK_S)
        return self._cores + max(1, self._cores // 8)

    def _look(self) -> None:
        """Refuse to go on without a head: Ray would end this process without a word after a minute."""
        if self._head is None:
            return
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
        except OSError as fault:
            raise ArmillaryError(
                f"the head of the Ray cluster at {self._head} does not answer ({fault.strerror or fault}); what was "
                "finished is kept, and the same command with a new cluster goes on"
            ) from fault


class _Pace:
    """How many jobs travel together, by how long they take."""

    def __init__(self) -> None:
        self._mean_s = _TOGETHER_S

    def tell(self, seconds: float) -> None:
        """Take the seconds of a job; later ones count more."""
        self._mean_s = 0.8 * self._mean_s + 0.2 * seconds

    @property
    def together(self) -> int:
        """How many."""
        return max(1, min(_MOST_TOGETHER, int(_TOGETHER_S / max(self._mean_s, 1e-6))))


def _taken(source: Iterator[tuple[int, Job[T] | Ready[T]]], most: int) -> tuple[list[_Numbered], list[Done[T]]]:
    """Return at most so many next jobs, and what was ready among them."""
    taken, ready = list[_Numbered](), list[Done[T]]()
    for number, job in islice(source, most):
        if isinstance(job, Ready):
            ready.append(Done(number, job.found))
        else:
            taken.append((number, job))
    return taken, ready


def _answer(reference: Any) -> _Answer | str:
    """Return the answer of a parcel, or how its process died.

    Raises:
        ArmillaryError: if a job says that the request is wrong, or the machine of the worker lacks something.
    """
    try:
        found: _Answer = ray.get(reference)
        return found
    except RayTaskError as fault:
        if isinstance(fault.cause, ArmillaryError):
            raise fault.cause from fault
        raise ArmillaryError(f"a worker of the Ray cluster fails: {fault.cause!r}") from fault
    except TaskUnschedulableError as fault:
        raise ArmillaryError(f"the Ray cluster takes no job: {fault}") from fault
    except NodeDiedError:
        return "lost its machine"
    except OutOfMemoryError:
        return "took more memory than its machine has"
    except RayError as fault:  # of several kinds, by who noticed first
        return f"died ({type(fault).__name__})"


def _connect(address: str | None) -> None:
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    named = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=named or "auto", **quiet)
    except (ConnectionError, OSError, ValueError, RuntimeError) as fault:
        if named:
            raise ArmillaryError(f"no Ray cluster answers at {named}: {str(fault).splitlines()[0]}") from fault
        _start(quiet)


def _start(quiet: Mapping[str, Any]) -> None:
    """Start a cluster of this machine's cores.

    Raises:
        ArmillaryError: if Ray cannot.
    """
    for left in reversed(range(_STARTS)):
        try:
            ray.init(num_cpus=available(), include_dashboard=False, **quiet)
            return
        except Exception as fault:  # a plain one where a part of Ray is not there within its 30 s, on a busy machine
            ray.shutdown()
            if not left:
                raise ArmillaryError(f"Ray cannot start a cluster on this machine: {fault}") from fault


def _work(
    version: str, jobs: list[Job[Any]], limits: Limits, keep: Keep[Any] | None, name: str, first: bool
) -> _Answer:
    """Do jobs, on a worker. One alone that was tried before may have been kept before its process died."""
    if version != armillary.__version__:
        raise ArmillaryError(
            f"{socket.gethostname()} has Armillary {armillary.__version__}, and {version} sends the jobs; "
            "install one version on all machines"
        )
    os.environ["ARMILLARY_CORES"] = "1"
    start = time.perf_counter()
    if not first and keep is not None and (before := keep.known(name)) is not None:
        return _Answer([before], True, time.perf_counter() - start)
    if limits.needs_process:
        found = [done.found for done in sorted(Cores().do(jobs, limits), key=lambda done: done.number)]
    else:
        found = [job.call(*job.args) for job in jobs]
    seconds = time.perf_counter() - start
    worth = len(jobs) == 1 and seconds >= _KEPT_FROM_S and not isinstance(found[0], Ended)
    return _Answer(found, worth and keep is not None and keep(name, found[0]), seconds)


# One core, no retries of Ray's own; a worker keeps its evaluators from job to job.
_REMOTE = ray.remote(num_cpus=1, max_retries=0)(_work)

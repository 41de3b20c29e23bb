"""Steps of a flow: each names what it reads and writes, and is found again by the content of what it reads."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from armillary.temporary import temporary_folder
from armillary.types import ArmillaryError
from armillary.user_cache import cache_folder, is_stored, put, store

JOB, LOG = "job.json", "steps.json"
_RECORD = "step.json"
_KIB_IN_MIB = 1024
_TOOLS_OF_OURS = ("coloquinte_driver.py", "coriolis_driver.py", "yosys_driver.py")


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        name: of it.
        reads: files in the layout's folder that it needs.
        writes: files that it leaves there.
        given: all else that its result depends on, as JSON can hold it: knobs, seed, the enablement's digest.
        tools: versions of the programs it runs; asking for one that is missing raises.
        run: does it in the folder; returns metrics.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    given: Mapping[str, Any]
    tools: Callable[[], Mapping[str, str]]
    run: Callable[[Path], Mapping[str, float]]


@dataclass(frozen=True)
class Done:
    """What a step left.

    Attributes:
        name: of it.
        reads: digests of the files it read.
        writes: files it wrote.
        tools: versions of the programs it ran.
        metrics: of the result.
        cpu_s: of this process and the programs it ran, when it was done.
        memory_mib: the most that this process and a program it ran had held together, at most, when it was done.
        kept: whether it was found in the cache.
    """

    name: str
    reads: Mapping[str, str]
    writes: tuple[str, ...]
    tools: Mapping[str, str]
    metrics: Mapping[str, float]
    cpu_s: float
    memory_mib: float
    kept: bool = field(default=False)


@dataclass(frozen=True)
class Spent:
    """What this process and the programs that it ran have used so far."""

    cpu_s: float
    memory_mib: float


def spent() -> Spent:
    """Return it; of the programs' memory that of the largest, as they run one after another."""
    own, programs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + programs.ru_utime + programs.ru_stime
    return Spent(seconds, (own.ru_maxrss + programs.ru_maxrss) / _KIB_IN_MIB)


def carry_out(step: Step, folder: Path) -> Done:
    """Do a step in a folder, or fetch what it left when it was done before.

    Args:
        step: which.
        folder: of the layout; holds what the step reads.

    Raises:
        ArmillaryError: if a tool is missing or refuses.
        Exception: what the step raises for a design that it cannot do.
    """
    missing = [name for name in step.reads if not (folder / name).exists()]
    if missing:
        raise ArmillaryError(f"{folder}: step {step.name} reads {missing[0]}, which is not there")
    tools = dict(step.tools())
    reads = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()[:24] for name in step.reads}
    key = json.dumps([step.name, reads, step.writes, dict(step.given), tools, _code()], sort_keys=True)
    kept = cache_folder("physical") / f"{step.name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
    if all(is_stored(kept / name) for name in (*step.writes, _RECORD)):
        for name in step.writes:
            put(kept / name, folder / name)
        record = json.loads((kept / _RECORD).read_text(encoding="utf-8"))
        return Done(**{**record, "writes": tuple(record["writes"]), "kept": True})
    before = spent()
    metrics = dict(step.run(folder))
    after = spent()
    done = Done(step.name, reads, step.writes, tools, metrics, after.cpu_s - before.cpu_s, after.memory_mib)
    for name in step.writes:
        store(folder / name, kept / name)
    with temporary_folder("step") as aside:  # last: it says that the others are there
        record_file = aside / _RECORD
        record_file.write_text(json.dumps({**asdict(done), "kept": False}), encoding="utf-8")
        store(record_file, kept / _RECORD)
    return done


def write_log(folder: Path, done: list[Done]) -> None:
    """Write what the steps of a layout read, wrote, used and found."""
    (folder / LOG).write_text(json.dumps([asdict(each) for each in done], indent=1), encoding="utf-8")


@cache
def _code() -> str:
    """Return a digest of the code that steps are made of."""
    found = hashlib.sha256()
    here = Path(__file__).parent
    drivers = [here.parent.parent / "tools" / name for name in _TOOLS_OF_OURS]
    for path in sorted([*here.glob("*.py"), *drivers]):
        found.update(path.read_bytes())
    return found.hexdigest()[:24]


def layout_folder(folder: Path) -> Path:
    """Return a folder for a layout, made if need be; one of an earlier layout is written over.

    Raises:
        ArmillaryError: if it holds files that are no layout's.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JOB).exists():
        raise ArmillaryError(f"{folder} holds files that are no layout's; name an empty or new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""A command that is killed again and again, runs to its end at last, and is compared with one that nobody disturbed."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from armillary.types import ArmillaryError
from chaos.killing import Kill, Run, run
from chaos.victims import Victim, faults_of, fragments

MOST_IN_A_ROW = 6
_TRIES = 4  # runs for each kill that is wanted: some end before it comes


@dataclass
class Tally:
    """What was done to a command and what came of it.

    Attributes:
        kills: by what the run was doing.
        stages: kills by the last stage that the run had announced.
        runs: in all.
        chains: runs to the end after kills.
        faults: what went wrong.
    """

    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    chains: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Undisturbed:
    """How a command ends if nobody kills it."""

    seconds: float
    counts: Mapping[str, int]
    results: Any


def undisturbed(victim: Victim, folder: Path) -> Undisturbed:
    """Run a command to its end.

    Raises:
        ArmillaryError: if it fails.
    """
    folder.mkdir()
    _warm(folder)
    found = run(victim.arguments(folder), folder)
    if found.status:
        raise ArmillaryError(f"{victim.name} fails by itself: {found.said[-1000:]}")
    return Undisturbed(found.seconds, found.counts, victim.results(folder))


def kills_of(victim: Victim, kills: int, reference: Undisturbed, root: Path, rng: random.Random) -> Tally:
    """Kill a command so many times."""
    tally = Tally()
    while sum(tally.kills.values()) < kills and tally.runs < _TRIES * kills:
        folder = root / f"{victim.name}-{tally.chains}"
        folder.mkdir()
        _warm(folder)
        in_a_row = min(rng.randint(1, MOST_IN_A_ROW), kills - sum(tally.kills.values()))
        moments = (_moment(victim, reference, rng) for _ in range(in_a_row))
        chained(victim, reference, folder, moments, tally)
        shutil.rmtree(folder)
    return tally


def _warm(folder: Path) -> None:
    """Give a folder a cache with the compiled functions of the folder beside it, which take longest and come first."""
    for compiled in folder.parent.glob("*/cache/numba"):
        if compiled.parents[1] != folder:
            shutil.copytree(compiled, folder / "cache" / "numba")
            return


def _moment(victim: Victim, reference: Undisturbed, rng: random.Random) -> Kill:
    """Draw when to kill: one half by time, the other by operation, every kind of operation as often."""
    if rng.random() < 0.5:
        return Kill(
            rng.choice(("time", *victim.operations)), rng.randrange(1000), after_s=rng.uniform(0.2, reference.seconds)
        )
    operation = rng.choice(sorted(reference.counts))
    return Kill(operation, rng.randint(1, reference.counts[operation]), rng.choice(("before", "after")))


def chained(victim: Victim, reference: Undisturbed, folder: Path, moments: Iterator[Kill], tally: Tally) -> None:
    """Kill a command at some moments, and note in a tally whether it then ends as if nobody had."""
    found: Run | None = None
    held: Mapping[str, int] = {}
    for kill in moments:
        found = run(victim.arguments(folder), folder, kill)
        tally.runs += 1
        if found.struck:
            tally.kills[kill.told] += 1
            tally.stages[found.stage] += 1
        place = f"{victim.name}, {kill}"
        tally.faults += (f"{place}: {fault}" for fault in _faults(found, kill))
        held = _checked(victim, folder, held, lambda fault, place=place: tally.faults.append(f"{place}: {fault}"))
        if found.status == 0:
            break
    if found is None or found.status:
        found = run(victim.arguments(folder), folder)
        tally.runs += 1
        tally.faults += (f"{victim.name}, at last: {fault}" for fault in _faults(found, Kill("none")))
    tally.chains += 1
    _checked(victim, folder, held, tally.faults.append)
    if found.status == 0 and victim.results(folder) != reference.results:
        tally.faults.append(f"{victim.name}: after its kills it found something else than undisturbed")


def _faults(found: Run, kill: Kill) -> Iterator[str]:
    if "Traceback" in found.said:
        yield f"a traceback: {found.said[-2000:]}"
    if found.orphans:
        yield f"left running: {found.orphans}"
    allowed = {0, -signal.SIGKILL} | ({1} if kill.operation == "worker" else set())
    if found.status not in allowed:
        yield f"exit status {found.status}: {found.said[-500:]}"


def _checked(
    victim: Victim, folder: Path, before: Mapping[str, int], report: Callable[[str], None]
) -> Mapping[str, int]:
    """Report what a log lost or what is odd in it; return its fragments."""
    log = folder / victim.log
    if not victim.log or not log.exists():
        return before
    try:
        for fault in faults_of(log):
            report(f"odd: {fault}")
        now = fragments(log)
    except ArmillaryError as fault:
        report(str(fault))
        return before
    lost = {name: count for name, count in before.items() if now.get(name) != count}
    if lost:
        report(f"lost {lost}")
    return now

"""What else a week brings: full disks, programs that hang or flood, damaged fragments, and writers at once."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from armillary.log.checking import check
from armillary.log.compaction import compact
from armillary.log.store import Log
from armillary.types import ArmillaryError
from chaos.killing import children, left_running, run, started
from chaos.victims import faults_of, rows

SAMPLES = 5000
HARMED_LOGS = 40
BEHAVIOURS = ("answers", "hangs", "leaves a child", "floods", "lies")
_SIMULATOR = """
import json, os, subprocess, sys, time
design = json.load(sys.stdin)["design"]
does = design["does"]
if does == "hangs":
    time.sleep(1000)
if does == "leaves a child":  # which leaves the group, holds the pipe and outlives its parent
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
while does == "floods":
    os.write(1, b"y" * 65536)
json.dump({"metrics": [] if does == "lies" else {"latency": design["size"]}}, sys.stdout)
"""
_EXPECTED = {
    "answers": "",
    "hangs": "timeout: no answer within 2 s",
    "leaves a child": "",
    "floods": "error: wrote more than 67,108,864 bytes",
    "lies": "error: its answer is no result",
}


@dataclass
class Troubled:
    """What was done, how often, and what went wrong."""

    what: str
    times: int = 0
    faults: list[str] = field(default_factory=list)


def _collect(log: Path, seed: int = 0) -> tuple[str, ...]:
    asked = ("collect", "--workload", "mobilenet_v2", "--sampler", "random", "--samples", str(SAMPLES))
    return (*asked, "--seed", str(seed), "--log", str(log))


def _whole(folder: Path, seed: int = 0) -> Counter[tuple[str, ...]]:
    """Return the rows of a collection that nothing disturbs; its log is the folder's `whole`."""
    folder.mkdir(exist_ok=True)
    if (found := run(_collect(folder / f"whole{seed}", seed), folder)).status:
        raise ArmillaryError(f"collect fails by itself: {found.said}")
    return rows(folder / f"whole{seed}")


def full_disks(folder: Path, rng: random.Random) -> Troubled:
    """Collect onto disks that fill up, then give them room."""
    troubled = Troubled("disks that fill up")
    expected = _whole(folder)
    for kib in (4, *(rng.randint(8, 180) for _ in range(5))):
        troubled.times += 1
        with _disk(folder / "disk", kib) as disk:
            found = run(_collect(disk / "log"), folder)
            if found.status != 1 or f"{disk}/log" not in found.said or "No space left" not in found.said:
                troubled.faults.append(f"{kib} KiB: exit status {found.status}: {found.said[-800:]}")
            if "Traceback" in found.said:
                troubled.faults.append(f"{kib} KiB: a traceback: {found.said[-800:]}")
            troubled.faults += faults_of(disk / "log") if (disk / "log").exists() else []
            _mounted(disk, 65_536, "remount,")
            again = run(_collect(disk / "log"), folder)
            if again.status or rows(disk / "log") != expected:
                troubled.faults.append(f"{kib} KiB: not as undisturbed with room again: {again.said[-800:]}")
    return troubled


def full_temporary_folders(folder: Path, rng: random.Random) -> Troubled:
    """Simulate RTL with too little room for temporary files, then with enough."""
    troubled = Troubled("folders for temporary files that fill up")
    folder.mkdir()
    svm, log = folder.parent / "svm.onnx", folder / "log"
    asked = ("collect", "--template", "axiline", "--workload", str(svm), "--fidelity", "rtl", "--samples", "2")
    for kib in (4, rng.randint(40, 400)):
        troubled.times += 1
        with _disk(folder / "disk", kib) as disk:
            found = run((*asked, "--log", str(log)), folder, TMPDIR=str(disk))
            if "Traceback" in found.said or not (found.status in (1, 2) and str(disk) in found.said):
                troubled.faults.append(f"{kib} KiB: exit status {found.status}: {found.said[-800:]}")
    again = run((*asked, "--log", str(log)), folder)
    held = rows(log) if log.exists() else Counter()
    if again.status or len(held) != 2:
        troubled.faults.append(f"with room again: {sum(held.values())} rows: {again.said[-800:]}")
    return troubled


@contextmanager
def _disk(folder: Path, kib: int) -> Iterator[Path]:
    """Provide a disk of a size, in memory."""
    folder.mkdir(exist_ok=True)
    _mounted(folder, kib)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _mounted(folder: Path, kib: int, how: str = "") -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "chaos", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ArmillaryError(
            f"no disk can be mounted here ({done.stderr.strip()}); `make chaos` runs this in a mount namespace of its "
            "own (unshare --map-root-user --mount), which this system has to allow"
        )


def programs(folder: Path, rng: random.Random) -> Troubled:
    """Ask a program that hangs, floods, lies, or leaves children."""
    troubled = Troubled("programs that hang, flood, lie or leave children")
    folder.mkdir()
    (folder / "simulator.py").write_text(_SIMULATOR, encoding="utf-8")
    problem = {
        "name": "odd",
        "parameters": {"does": {"choices": list(BEHAVIOURS)}, "size": {"range": [1, 4]}},
        "metrics": {"latency": {"goal": "minimize"}},
        "evaluator": {"command": [sys.executable, str(folder / "simulator.py")], "time_limit_s": 2.0},
        "workloads": {"one": None},
    }
    (folder / "problem.yaml").write_text(yaml.safe_dump(problem), encoding="utf-8")
    asked = ("collect", "--problem", str(folder / "problem.yaml"), "--workload", "one", "--samples", "20")
    found = run((*asked, "--seed", str(rng.randrange(1000)), "--log", str(folder / "log")), folder)
    troubled.faults += (f"left running: {orphan}" for orphan in found.orphans)
    if "Traceback" in found.said or found.status != 0:
        troubled.faults.append(f"exit status {found.status}: {found.said[-800:]}")
    met = set()
    for row in Log(folder / "log").to_dataframe("odd").itertuples():
        troubled.times += 1
        met.add(row.does)
        expected, failure = _EXPECTED[row.does], "" if row.feasible else str(row.failure)
        if row.feasible == bool(expected) or not failure.startswith(expected):
            troubled.faults.append(f"{row.does!r}: feasible={row.feasible}, failure={failure!r}")
    if met != set(BEHAVIOURS):
        troubled.faults.append(f"only {sorted(met)} of {BEHAVIOURS} were asked")
    return troubled


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _flipped(content: bytes, rng: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 20))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _zeroed(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    length = min(rng.randrange(1, 4096), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def _noise(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(content))


def _longer(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randrange(1, 100))


HARMS: tuple[Callable[[bytes, random.Random], bytes], ...] = (_cut, _flipped, _flipped, _zeroed, _noise, _longer)


def harmed_fragments(folder: Path, rng: random.Random) -> Troubled:
    """Damage fragments of logs; every one must be named and left out, or read as before."""
    troubled = Troubled("logs with damaged fragments")
    _whole(folder)
    for number in range(HARMED_LOGS):
        troubled.times += 1
        log = folder / f"harmed{number}"
        shutil.copytree(folder / "whole0", log)
        names = [fragment.name for fragment in Log(log).fragments()]
        harmed = rng.sample(names, rng.randint(1, 3))
        for name in harmed:
            how = rng.choice(HARMS)
            (log / name).write_bytes(how((log / name).read_bytes(), rng))
        try:
            troubled.faults += (f"log {number}: {fault}" for fault in harm_unseen(log, folder / "whole0", harmed))
        except Exception as fault:
            troubled.faults.append(f"log {number}, {harmed}: {fault!r}")
        shutil.rmtree(log)
    return troubled


def harm_unseen(log: Path, whole: Path, harmed: Sequence[str]) -> Iterator[str]:
    """Yield what reading a log with damaged fragments gets wrong; moves those that are named out of it.

    Args:
        log: with damaged fragments.
        whole: the same log before.
        harmed: which fragments were damaged.
    """
    named = {skipped.name for checked in check(Log(log), quarantine=True) for skipped in checked.skipped}
    if not named <= set(harmed):
        yield f"{named - set(harmed)} were whole, but named"
    unseen = set(harmed) - named
    held, before = rows(log), rows(whole)
    left_out = sum(fragment.rows for fragment in Log(whole).fragments() if fragment.name in named)
    if not held <= before or (before - held).total() != left_out:
        yield f"{unseen} were damaged, unnamed, and read as other rows"


def writers_at_once(folder: Path, rng: random.Random) -> Troubled:
    """Have two collections write into one log, kill one again and again, and compact meanwhile."""
    troubled = Troubled("two writers of one log, one of them killed, compacted meanwhile")
    expected = _whole(folder, 0) + _whole(folder, 1)
    log, quiet, killed = (folder / name for name in ("log", "quiet", "killed"))
    quiet.mkdir()
    killed.mkdir()
    helpers = children()
    other = started(_collect(log, 1), quiet)
    for _ in range(5):
        troubled.times += 1
        process = started(_collect(log, 0), killed)
        time.sleep(rng.uniform(1.0, 8.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if log.exists():
            compact(Log(log))
    status = other.wait(), started(_collect(log, 0), killed).wait()
    troubled.faults += (f"left running: {orphan}" for orphan in left_running(helpers))
    if status != (0, 0):
        troubled.faults.append(f"exit status {status}: {(quiet / 'said.txt').read_text()[-800:]}")
    if rows(log) != expected or faults_of(log):
        troubled.faults.append(f"the log is not the rows of both, each once; odd: {faults_of(log)}")
    return troubled


ALL = (full_disks, full_temporary_folders, programs, harmed_fragments, writers_at_once)

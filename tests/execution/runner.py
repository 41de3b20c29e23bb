"""Runs slow designs as a process that tests can kill: FOLDER LOG COST BEHAVIOUR SIZE..., and tells of each result."""

import sys
from pathlib import Path

from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.types import Candidate, Cost
from execution.fakes import WORKLOAD, design, make, spec


def main(folder, log, cost, does, *sizes):
    executor = LocalExecutor(Log(log), make=make)
    candidates = [Candidate(design(does, int(size))) for size in sizes]
    for evaluation in executor.run(spec(Path(folder), cost=Cost(cost)), candidates, WORKLOAD):
        print(evaluation.design["size"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A Ray cluster of several nodes on this machine, and a study on it that tests can kill: ADDRESS FOLDER LOG COUNT."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from armillary.execution import workers_of
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.types import ArmillaryError, Candidate
from execution.fakes import WORKLOAD, design, make, spec

STORE_BYTES = 80 * 2**20


@contextmanager
def nodes(count: int) -> Iterator:
    """Provide a cluster of so many nodes of one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for number in range(count):
        head = {"include_dashboard": False} if number == 0 else {}
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, **head)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def sent(*sizes: int) -> list[Candidate]:
    """Return candidates that sleep a tenth of a second for each of their size."""
    return [Candidate(design("slow", size)) for size in sizes]


def main(address, folder, log, *sizes):
    executor = LocalExecutor(Log(log), limits=Limits(workers=workers_of("ray", address)), make=make)
    try:
        for _, found in executor.run_as_they_finish(spec(Path(folder)), sent(*map(int, sizes)), WORKLOAD):
            print(found.design["size"], flush=True)
    except ArmillaryError as fault:
        print(f"refused: {fault}", flush=True)
        os._exit(3)  # Ray's own end waits for a head that is gone


if __name__ == "__main__":
    main(*sys.argv[1:])

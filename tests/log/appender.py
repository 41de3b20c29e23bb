"""Appends fragments to a log and prints the name of each once it is said to be safe.

Run as `python appender.py LOG TABLE WRITER FRAGMENTS ROWS`; WRITER becomes the seed of all rows.
"""

import sys
from datetime import datetime

import numpy as np

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.types import Evaluation, Evaluations, EvaluatorSpec, Fidelity, LayerRun
from armillary.workloads.layer import Layer

TIME = datetime(2026, 1, 1)


def evaluations(n: int, writer: int) -> Evaluations:
    designs = SPACE.designs(SPACE.at(np.arange(n)))
    return Evaluations.from_list(
        [
            Evaluation(
                design, "m4", {}, "test", "1", Fidelity.ANALYTICAL, {"runtime_s": i}, True, None, 0.0, writer, TIME
            )
            for i, design in enumerate(designs)
        ]
    )


def layer_runs(n: int, writer: int) -> LayerRuns:
    spec = EvaluatorSpec("edge_tpu", Fidelity.ANALYTICAL, "test", "1", seed=writer)
    layer = Layer("conv", "conv", K=8)
    designs = SPACE.designs(SPACE.at(np.arange(n)))
    return LayerRuns.of_runs([LayerRun(d, layer, "", {"runtime_s": i}) for i, d in enumerate(designs)], spec, TIME)


ROWS = {"evaluations": evaluations, "layer_runs": layer_runs}
APPEND = {"evaluations": Log.append, "layer_runs": Log.append_layers}

if __name__ == "__main__":
    path, table, writer, fragments, n = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    log = Log(path)
    rows = ROWS[table](n, writer)
    for _ in range(fragments):
        print(APPEND[table](log, rows), flush=True)

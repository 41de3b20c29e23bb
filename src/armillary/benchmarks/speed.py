"""How fast the parts are that nobody should wait for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.query import query
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.types import Evaluations
from armillary.workloads import zoo
from armillary.workloads.onnx.importer import import_onnx

DESIGNS_PER_S = 20_000
ROWS_PER_S = 200_000
QUERY_S = 0.5
IMPORT_S = 5.0
IMPORT_NODES = 5_000
_TOP_10 = "SELECT pes_x, pes_y, runtime_s, area_mm2 FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"


def run(options: BenchOptions) -> BenchResult:
    """Time evaluation, logging, querying and importing; the best of three, on a million log rows.

    `--quick` uses 100,000 rows. As designs that are too large to build cost the evaluator nothing,
    its rate is given over random designs and over buildable ones.
    """
    rows = 100_000 if options.quick else 1_000_000
    steps = 4
    options.on_progress("timing", 0, steps)
    random_rate, buildable_rate, batch = _evaluation(options.seed)
    options.on_progress("timing", 1, steps)
    with tempfile.TemporaryDirectory() as folder:
        table = Evaluations.concat([batch] * (rows // len(batch)))
        append_rate = len(table) / _best(lambda: Log(f"{folder}/{time.monotonic_ns()}").append(table))
        options.on_progress("timing", 2, steps)
        Log(f"{folder}/queried").append(table)
        query_s = _best(lambda: query(f"{folder}/queried", _TOP_10))
        options.on_progress("timing", 3, steps)
        model = Path(folder) / "chain.onnx"
        _write_chain(model, IMPORT_NODES)
        import_s = _best(lambda: import_onnx(model))
    options.on_progress("timing", 4, steps)
    measured: list[dict[str, Any]] = [
        {"what": "designs/s, MobileNetV2, random designs", "value": random_rate, "goal": DESIGNS_PER_S},
        {"what": "designs/s, MobileNetV2, buildable designs", "value": buildable_rate, "goal": DESIGNS_PER_S},
        {"what": f"log rows/s appended, {rows:,} rows", "value": append_rate, "goal": ROWS_PER_S},
        {"what": f"s, feasible top 10 of {rows:,} rows", "value": query_s, "goal": QUERY_S},
        {"what": f"s, import of an ONNX file of {IMPORT_NODES:,} nodes", "value": import_s, "goal": IMPORT_S},
    ]
    checks = []
    for row in measured:
        rate = "/s" in row["what"]
        ok = row["value"] >= row["goal"] if rate else row["value"] <= row["goal"]
        checks.append(Check(row["what"], row["value"], f"{'at least' if rate else 'at most'} {row['goal']:,}", ok))
    return BenchResult(rows=measured, checks=checks)


def _evaluation(seed: int) -> tuple[float, float, Evaluations]:
    evaluator, workload = EdgeTpuEvaluator(), zoo.build("mobilenet_v2")
    codes = sample(SPACE, 50_000, "random", seed)
    batch = evaluator.evaluate_codes(codes, workload)
    buildable = codes[batch.failure_resource != "area_mm2"]
    return (
        len(codes) / _best(lambda: evaluator.evaluate_codes(codes, workload)),
        len(buildable) / _best(lambda: evaluator.evaluate_codes(buildable, workload)),
        batch,
    )


def _best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.min(seconds))


def _write_chain(path: Path, nodes: int) -> None:
    """Write a chain of convolutions and activations."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 8, 3, 3], np.zeros(576, np.float32))
    graph_nodes = []
    for i in range(nodes):
        source, target = (f"t{i}" if i else "image"), f"t{i + 1}"
        if i % 2 == 0:
            graph_nodes.append(helper.make_node("Conv", [source, "w"], [target], pads=[1, 1, 1, 1], name=f"conv{i}"))
        else:
            graph_nodes.append(helper.make_node("Relu", [source], [target], name=f"relu{i}"))
    shape = [1, 8, 32, 32]
    graph = helper.make_graph(
        graph_nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"t{nodes}", TensorProto.FLOAT, shape)],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)

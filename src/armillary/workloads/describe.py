"""A workload as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from armillary.workloads.algorithm import Algorithm
from armillary.workloads.context import context_of
from armillary.workloads.dataflow import Dataflow
from armillary.workloads.layer import LayerUse, Workload
from armillary.workloads.vector_work import VectorUse

_SHAPE = ("N", "K", "C", "P", "Q", "R", "S", "stride_h", "stride_w", "dilation_h", "dilation_w", "groups")


def as_json(workload: Workload) -> dict[str, Any]:
    """Return a workload as plain lists, dictionaries, numbers and text.

    `macs` and `parameters` are totals, of the workload and, in `layers`, of all runs of a layer. Without a
    dataflow graph, idle parameters, work of operators beside the array, unknown work or warnings there is no such
    entry.
    """
    return {
        "name": workload.name,
        "macs": workload.macs,
        "parameters": workload.parameters,
        "layers": [_layer(use) for use in workload.layers],
        "context": context_of(workload).as_dict(),
        "not_mapped": [asdict(row) for row in workload.not_mapped],
        **({} if not workload.beside else {"beside": [_beside(use) for use in workload.beside]}),
        "algorithm": None if workload.algorithm is None else _algorithm(workload.algorithm),
        **({} if workload.dataflow is None else {"dataflow": _dataflow(workload.dataflow)}),
        **({"idle_parameters": workload.idle_parameters} if workload.idle_parameters else {}),
        **({"unknown_work": list(workload.unknown_work)} if workload.unknown_work else {}),
        **({"warnings": list(workload.warnings)} if workload.warnings else {}),
    }


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    """Return what distinguishes an algorithm, without its weights."""
    content: dict[str, Any] = {"name": algorithm.name, "mode": algorithm.mode, "dimension": algorithm.dimension}
    if algorithm.tree is not None:
        content["depth"] = algorithm.depth
    return content | ({"rate": algorithm.rate} if algorithm.mode == "training" else {})


def _dataflow(dataflow: Dataflow) -> dict[str, Any]:
    """Return what a dataflow graph reads and keeps, and how many operations of each kind it has."""
    return {
        "streamed": sum(tensor.size for tensor in dataflow.streamed),
        "kept": sum(tensor.size for tensor in dataflow.parameters),
        "emitted": sum(len(output.values) for output in dataflow.emitted),
        "constants": len(dataflow.constants),
        "scalar_operations": dataflow.scalar_operations,
        **dict(sorted(Counter(operation.kind for operation in dataflow.operations).items())),
    }


def _beside(use: VectorUse) -> dict[str, Any]:
    return {**asdict(use.work), "count": use.count}


def _layer(use: LayerUse) -> dict[str, Any]:
    layer = use.layer
    return {
        "name": layer.name,
        "kind": layer.kind,
        **{name: getattr(layer, name) for name in _SHAPE},
        "bias": layer.bias,
        "dynamic": layer.dynamic,
        "count": use.count,
        "weight_sets": use.weight_sets,
        "shared_sets": use.shared_sets,
        "macs": use.macs,
        "parameters": use.parameters,
    }

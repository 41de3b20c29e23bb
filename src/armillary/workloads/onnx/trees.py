"""Decision trees of ONNX files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import GraphProto, NodeProto

from armillary.workloads.algorithm import Algorithm, Tree
from armillary.workloads.onnx.nodes import describe, operator
from armillary.workloads.onnx.polynomials import UNREADABLE, UnknownError
from armillary.workloads.onnx.shapes import Tensors

TREES = ("ai.onnx.ml.TreeEnsembleClassifier", "ai.onnx.ml.TreeEnsembleRegressor")
MOST_LEVELS = 16
"""Of a tree; a deeper one is not written out as a heap."""
_BESIDE = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "ai.onnx.ml.ZipMap"})
_BRANCHES, _LEAF = b"BRANCH_LEQ", b"LEAF"


def tree_algorithm(graph: GraphProto, node: NodeProto, tensors: Tensors) -> Algorithm:
    """Return the decision tree that a graph's node holds.

    A classifier's leaf is the number of the class with the largest weight there, the first of equal ones.

    Raises:
        UnknownError: if the graph has another node that computes, the node holds several trees, or its tree has other
            rules than `BRANCH_LEQ`, several results, or more levels than `MOST_LEVELS`.
    """
    try:
        return _read(graph, node, tensors)
    except UNREADABLE as fault:
        raise UnknownError(f"{describe(node)} cannot be read: {fault!r}") from fault


def _read(graph: GraphProto, node: NodeProto, tensors: Tensors) -> Algorithm:
    others = [other for other in graph.node if other is not node and operator(other) not in _BESIDE]
    if others:
        raise UnknownError(f"{describe(others[0])} stands beside the tree; only {', '.join(sorted(_BESIDE))} may")
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    shape = tensors.known_shape(node.input[0])
    if not shape:
        raise UnknownError(f"the shape of tensor {node.input[0]!r} at {describe(node)} is unknown")
    wrong = sorted({mode.decode() for mode in given["nodes_modes"]} - {_BRANCHES.decode(), _LEAF.decode()})
    if wrong or len(set(given["nodes_treeids"])) != 1:
        what = f"rules {wrong}" if wrong else f"{len(set(given['nodes_treeids']))} trees"
        raise UnknownError(f"{describe(node)} has {what}; it must have one tree of {_BRANCHES.decode()}")
    if given.get("post_transform", b"NONE") != b"NONE" and operator(node) == TREES[1]:
        raise UnknownError(f"{describe(node)} has post_transform={given['post_transform'].decode()!r}")
    values = _classes(given) if operator(node) == TREES[0] else _values(given, node)
    return Algorithm("decision_tree", "inference", shape[-1], tree=_heap(given, values, node))


def _values(given: Mapping[str, Any], node: NodeProto) -> dict[int, float]:
    """Return the value of each leaf of a regressor, by the node's number."""
    if given.get("n_targets", 1) != 1:
        raise UnknownError(f"{describe(node)} has {given['n_targets']} targets; a tree has one result")
    base = sum(given.get("base_values", [0.0]))
    return {n: base + w for n, w in zip(given["target_nodeids"], given["target_weights"], strict=True)}


def _classes(given: Mapping[str, Any]) -> dict[int, float]:
    """Return the class of each leaf of a classifier, by the node's number."""
    weights: dict[int, dict[int, float]] = defaultdict(dict)
    for leaf, number, weight in zip(given["class_nodeids"], given["class_ids"], given["class_weights"], strict=True):
        weights[leaf][number] = weight
    if len(set(given["class_ids"])) == 1:  # of two classes, only one is weighed: it is chosen above one half
        return {leaf: float(sum(of.values()) > 0.5) for leaf, of in weights.items()}
    return {leaf: float(min(of, key=lambda n, of=of: (-of[n], n))) for leaf, of in weights.items()}  # type: ignore[misc]


def _heap(given: Mapping[str, Any], values: Mapping[int, float], node: NodeProto) -> Tree:
    places = {number: place for place, number in enumerate(given["nodes_nodeids"])}
    children: list[Sequence[int]] = [given["nodes_truenodeids"], given["nodes_falsenodeids"]]
    level, rows = [places[0]], list[list[int]]()
    is_leaf = [mode == _LEAF for mode in given["nodes_modes"]]
    while not all(is_leaf[place] for place in level):
        if len(rows) == MOST_LEVELS:
            raise UnknownError(f"{describe(node)} has a tree of more than {MOST_LEVELS} levels")
        rows.append(level)
        level = [place if is_leaf[place] else places[side[place]] for place in level for side in children]
    if not rows:
        raise UnknownError(f"{describe(node)} has a tree that is one leaf")
    nodes = [place for row in rows for place in row]
    return Tree(
        tuple(0 if is_leaf[place] else int(given["nodes_featureids"][place]) for place in nodes),
        tuple(0.0 if is_leaf[place] else float(given["nodes_values"][place]) for place in nodes),
        tuple(float(values[given["nodes_nodeids"][place]]) for place in level),
    )

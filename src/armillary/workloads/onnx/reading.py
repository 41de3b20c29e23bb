"""From a file to an ONNX model whose graph can be walked once from its first node to its last."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from armillary.types import ArmillaryError
from armillary.workloads.onnx.facts import MOST_HELD
from armillary.workloads.onnx.nodes import describe, element_bits, operator, subgraphs

MOST_BYTES = 2**31 - 1
"""What protobuf reads at once; larger models keep their weights in other files."""
MOST_NODES = 1_000_000
"""Nodes of a model whose functions are inlined."""
_GZIP, _TEXT = b"\x1f\x8b", (b"ir_version", b"graph", b"opset_import", b"producer_name", b"#")
_BEGINNING = 4096
_OTHERS = {
    b"version https://git-lfs": "the pointer of a file in Git's large file storage; fetch the file with `git lfs pull`",
    b"PK\x03\x04": "a zip archive; unpack it, or export the model to ONNX",
    b"<!DOCTYPE": "a page of the web; download the file itself",
    b"<html": "a page of the web; download the file itself",
}
_CHUNK = 2**24
_Function = tuple[str, str]


def read(path: Path, *, weights: bool = False) -> ModelProto:
    """Return the model of a file, its functions inlined, its nodes in order and its large weights dropped.

    The file is a protobuf, a text protobuf, or one of them compressed by gzip. Small tensors in other files are read if
    those are there: shapes may be among them.

    Args:
        path: the file.
        weights: keep those that the file itself holds.

    Raises:
        ArmillaryError: if the file is missing, truncated, too large or no ONNX model, or if its graph has a cycle or a
            name that stands for two tensors.
    """
    model = _parsed(_content(path), path)
    if not model.HasField("graph") or not model.opset_import:
        part = "graph" if not model.HasField("graph") else "operator set"
        raise _broken(path, f": it has no {part}")
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > MOST_HELD:
            if not weights:
                _drop_data(tensor)
        elif tensor.data_location == TensorProto.EXTERNAL:
            _load_small(tensor, path.parent)
    model = _inlined(model, path) if model.functions else model
    faults = list(dict.fromkeys(_faults(model.graph)))
    if faults:
        raise ArmillaryError(f"{path}: no valid ONNX model: {'; '.join(faults[:10])}; export or download it again")
    _put_in_order(model.graph, str(path))
    return model


def _broken(path: Path, what: str = "") -> ArmillaryError:
    return ArmillaryError(
        f"{path}: no ONNX model, or a truncated one ({path.stat().st_size:,} bytes){what}; export or download it again"
    )


def _content(path: Path) -> bytes:
    """Return what a file holds, decompressed."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES and not path.is_dir():
            raise ArmillaryError(
                f"{path}: has {size:,} bytes; a protobuf has at most {MOST_BYTES:,} (2 GiB): save the model with its "
                "weights in another file, onnx.save(model, path, save_as_external_data=True); it is not needed here"
            )
        content = path.read_bytes()
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}") from fault
    if not content.startswith(_GZIP):
        return content
    try:
        with gzip.open(path) as file:
            chunks, size = [], 0
            while size <= MOST_BYTES and (chunk := file.read(_CHUNK)):
                chunks.append(chunk)
                size += len(chunk)
    except (OSError, EOFError, zlib.error) as fault:
        raise ArmillaryError(f"{path}: is compressed by gzip, but cannot be decompressed: {fault}") from fault
    if size > MOST_BYTES:
        raise ArmillaryError(f"{path}: decompressed, has more than {MOST_BYTES:,} bytes, the most of a protobuf")
    return b"".join(chunks)


def _parsed(content: bytes, path: Path) -> ModelProto:
    model = ModelProto()
    for start, what in _OTHERS.items():
        if content.startswith(start):
            raise ArmillaryError(f"{path}: is {what}")
    if content.lstrip().startswith(_TEXT) and b"\0" not in content[:_BEGINNING]:
        try:
            text_format.Parse(content, model, allow_unknown_field=True)
        except (text_format.ParseError, UnicodeDecodeError) as fault:
            raise _broken(path, f", read as a text protobuf: {fault}") from fault
        return model
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as fault:
        raise _broken(path) from fault
    return model


def _drop_data(tensor: TensorProto) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)


def _load_small(tensor: TensorProto, folder: Path) -> None:
    """Read a tensor from the file beside the model that holds it, if that is there."""
    where = {entry.key: entry.value for entry in tensor.external_data if isinstance(entry.value, str)}
    location = Path(where.get("location", ""))
    bits = element_bits(tensor.data_type)
    if not location.parts or location.is_absolute() or ".." in location.parts or bits is None:
        return
    wanted = -(-math.prod(tensor.dims) * bits // 8)
    try:
        with (folder / location).open("rb") as file:
            file.seek(int(where.get("offset", 0) or 0), os.SEEK_SET)
            content = file.read(wanted)
    except (OSError, ValueError, OverflowError):
        return  # as if it were not there: who needs the values says so
    if len(content) == wanted:
        tensor.raw_data = content
        tensor.data_location = TensorProto.DEFAULT
        tensor.ClearField("external_data")


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    import onnx.inliner

    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for name in functions:
        _measure(name, functions, sizes, path)
    total = sum(sizes.get((node.domain, node.op_type), 1) for node in _every_node(model.graph.node))
    if total > MOST_NODES:
        raise ArmillaryError(f"{path}: its functions, inlined, are {total:.3g} nodes; at most {MOST_NODES:,} are read")
    try:
        inlined = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as fault:
        raise ArmillaryError(f"{path}: its functions cannot be inlined: {fault}") from fault
    assert isinstance(inlined, ModelProto)
    return inlined


def _every_node(nodes: object) -> Iterator[NodeProto]:
    for node in nodes:  # type: ignore[attr-defined]
        yield node
        for graph in subgraphs(node):
            yield from _every_node(graph.node)


def _measure(
    name: _Function, functions: Mapping[_Function, onnx.FunctionProto], sizes: dict[_Function, int], path: Path
) -> None:
    """Note how many nodes a function has, inlined."""
    open_ = [name]
    while open_:
        at = open_[-1]
        inner = [(node.domain, node.op_type) for node in _every_node(functions[at].node)]
        missing = [other for other in inner if other in functions and other not in sizes]
        if not missing:
            sizes[at] = sum(sizes.get(other, 1) for other in inner)
            open_.pop()
        elif missing[0] in open_:
            raise ArmillaryError(f"{path}: no valid ONNX model: function {'.'.join(missing[0])!r} calls itself")
        else:
            open_.append(missing[0])


def _faults(graph: GraphProto) -> Iterator[str]:
    """Yield what makes a graph impossible to read: all else is left to inference."""
    defined: set[str] = set()
    for position, node in enumerate(graph.node):
        if not isinstance(node.op_type, str) or not isinstance(node.domain, str) or not node.op_type:
            yield f"the operator of node {position} has no readable name"
        elif not node.output:
            yield f"{operator(node)} node {node.name or position!r} has no output"
        else:
            yield from (f"tensor {out!r} is computed twice" for out in node.output if out in defined)
        defined.update(out for out in node.output if out)
        for inner in subgraphs(node):
            yield from _faults(inner)
    given = [tensor.name for tensor in graph.initializer]
    yield from (f"tensor {name!r} is both given and computed" for name in sorted(defined.intersection(given)))
    inputs = [value.name for value in graph.input]
    yield from (f"tensor {name!r} is both an input and computed" for name in sorted(defined.intersection(inputs)))
    for names, what in ((given, "given"), (inputs, "an input")):
        if len(set(names)) != len(names):
            twice = next(name for number, name in enumerate(names) if name in names[:number])
            yield f"tensor {twice!r} is {what} twice"


def _read_by(node: NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, be it in a body of its own."""
    yield from node.input
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _read_by(inner)
        yield from (output.name for output in graph.output)


def _put_in_order(graph: GraphProto, source: str) -> None:
    """Sort the nodes so that each comes behind those whose outputs it reads; those in order stay where they are.

    Raises:
        ArmillaryError: if there is a cycle; names nodes of it.
    """
    for node in graph.node:
        for inner in subgraphs(node):
            _put_in_order(inner, source)
    makers = {out: number for number, node in enumerate(graph.node) for out in node.output if out}
    needs = [{makers[name] for name in _read_by(node) if name in makers} for node in graph.node]
    if all(all(maker < number for maker in need) for number, need in enumerate(needs)):
        return
    order = _ordered(needs)
    if len(order) < len(needs):
        cycle = _cycle(needs, set(range(len(needs))).difference(order))
        named = ", ".join(describe(graph.node[number]) for number in cycle[:6])
        raise ArmillaryError(f"{source}: no valid ONNX model: its nodes form a cycle: {named}; export it again")
    nodes = [graph.node[number] for number in order]
    sorted_ = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(sorted_)


def _ordered(needs: list[set[int]]) -> list[int]:
    """Return the nodes that can be computed, in an order in which they can, the first that can first."""
    import heapq

    left = [len(need) for need in needs]
    readers: dict[int, list[int]] = {}
    for number, need in enumerate(needs):
        for maker in need:
            readers.setdefault(maker, []).append(number)
    ready = [number for number, count in enumerate(left) if count == 0]
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for reader in readers.get(number, ()):
            left[reader] -= 1
            if left[reader] == 0:
                heapq.heappush(ready, reader)
    return order


def _cycle(needs: list[set[int]], stuck: set[int]) -> list[int]:
    """Return the nodes of one cycle among those that cannot be computed."""
    path: list[int] = []
    at = min(stuck)
    while at not in path:
        path.append(at)
        at = min(needs[at] & stuck)
    return path[path.index(at) :][::-1]

"""The tensors of an ONNX graph: their shapes, element sizes and which are known before it runs."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto

from armillary.types import ArmillaryError

Shape = tuple[int, ...]

# Operators that only rename or rearrange a weight: two of them on one tensor use the same weight.
_RENAMES = frozenset(
    {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
# What exporters compute shapes with; each is cheap and the same for every value of its inputs' size.
_SHAPE_ARITHMETIC = frozenset(
    {
        "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal",
        "Expand", "Flatten", "Floor", "Gather", "GatherElements", "Greater", "GreaterOrEqual", "Identity", "Less",
        "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceSum", "Reshape", "ScatterElements", "ScatterND", "Slice", "Split", "Sqrt", "Squeeze",
        "Sub", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where",
    }
)  # fmt: skip
# Values of more elements than this are data, not shapes; larger initialisers are dropped on reading.
_SHAPE_ELEMENTS = 4096


@dataclass(frozen=True)
class Tensors:
    """What is known of every tensor of a graph.

    Attributes:
        source: the file, for messages.
        types: element type and (perhaps partial) shape by tensor name.
        constants: tensors that do not depend on the graph's inputs, given fixed shapes.
        roots: for a constant that is another one rearranged, that other one.
        makers: the node that computes a tensor.
    """

    source: str
    types: Mapping[str, TypeProto]
    constants: frozenset[str]
    roots: Mapping[str, str]
    makers: Mapping[str, NodeProto]

    def known_shape(self, name: str) -> Shape | None:
        """Return the shape of a tensor, None if it is not fully known."""
        return fixed_shape(self.types.get(name))

    def shape(self, name: str, node: NodeProto) -> Shape:
        """Return the shape of a tensor that `node` reads or writes.

        Raises:
            ArmillaryError: if it is unknown; names the tensor, the node and where knowledge ends.
        """
        shape = self.known_shape(name)
        if shape is None:
            raise ArmillaryError(
                f"{self.source}: the shape of tensor {name!r} at {describe(node)} cannot be resolved"
                f"{self._culprit(name)}; fix the model's input shapes when exporting it, or save it after "
                "onnx.shape_inference.infer_shapes or ONNX Runtime's symbolic shape inference"
            )
        return shape

    def bytes(self, name: str) -> int | None:
        """Return the size of a tensor in bytes, None if its shape or element size is unknown."""
        kind = self.types.get(name)
        shape = fixed_shape(kind)
        if kind is None or shape is None:
            return None
        bits = element_bits(kind.tensor_type.elem_type)
        return None if bits is None else -(-math.prod(shape) * bits // 8)

    def root(self, name: str) -> str:
        """Return the constant that a constant is a rearrangement of, itself if of none."""
        return self.roots.get(name, name)

    def _culprit(self, name: str) -> str:
        """Walk up to the first operator whose inputs are known and whose output is not."""
        node = self.makers.get(name)
        while node is not None:
            unknown = [x for x in node.input if x and self.known_shape(x) is None]
            if not unknown or unknown[0] not in self.makers:
                return f" (it is lost at {describe(node)})"
            node = self.makers[unknown[0]]
        return ""


def describe(node: NodeProto) -> str:
    """Return how messages name a node."""
    return f"{operator(node)} node {node.name or node.output[0]!r}"


def operator(node: NodeProto) -> str:
    """Return the operator of a node, with its domain unless that is ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


T = TypeVar("T", int, float, str, list[int])


def option(node: NodeProto, name: str, default: T) -> T:
    """Return an attribute of a node, `default` if it has none of that name.

    Raises:
        ValueError: if the attribute is of another type than the default.
    """
    for attribute in node.attribute:
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            value = value.decode() if isinstance(value, bytes) else value
            if not isinstance(value, type(default)):
                raise ValueError(f"attribute {name}={value!r} is not of type {type(default).__name__}")
            return value
    return default


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the bodies of a control-flow operator."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def element_bits(elem_type: int) -> int | None:
    """Return the bits of one element of a TensorProto type, None for text and unknown types."""
    if elem_type not in onnx.TensorProto.DataType.values():
        return None
    name = onnx.TensorProto.DataType.Name(elem_type)
    plain = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}.get(name)
    numbered = re.fullmatch(r"(?:U?INT|B?FLOAT|COMPLEX)(\d+)(?:E\w+)?", name)
    return plain if plain is not None else int(numbered.group(1)) if numbered else None


def fixed_shape(kind: TypeProto | None) -> Shape | None:
    """Return the shape of a tensor type if every dimension is a number."""
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dimensions = kind.tensor_type.shape.dim
    return tuple(d.dim_value for d in dimensions) if all(d.HasField("dim_value") for d in dimensions) else None


def read(path: Path, *, weights: bool = False) -> ModelProto:
    """Return the model of a file, its functions inlined and its large weights dropped.

    Args:
        path: the file.
        weights: keep those that the file itself holds.

    Raises:
        ArmillaryError: if the file is missing, truncated or no ONNX model.
    """
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}") from fault
    except DecodeError as fault:
        raise ArmillaryError(
            f"{path}: no ONNX model, or a truncated one ({path.stat().st_size:,} bytes); export or download it again"
        ) from fault
    if not model.HasField("graph") or not model.opset_import:
        part = "graph" if not model.HasField("graph") else "operator set"
        raise ArmillaryError(
            f"{path}: no ONNX model, or a truncated one ({path.stat().st_size:,} bytes): it has no {part}; "
            "export or download it again"
        )
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _SHAPE_ELEMENTS and not weights:
            _drop_data(tensor)
    model = _inlined(model, path) if model.functions else model
    faults = list(dict.fromkeys(_faults(model.graph)))
    if faults:
        raise ArmillaryError(f"{path}: no valid ONNX model: {'; '.join(faults[:10])}; export or download it again")
    return model


def _faults(graph: GraphProto) -> Iterator[str]:
    """Yield what makes a graph impossible to read: all else is left to shape inference."""
    defined: set[str] = set()
    for position, node in enumerate(graph.node):
        if not isinstance(node.op_type, str) or not isinstance(node.domain, str) or not node.op_type:
            yield f"the operator of node {position} has no readable name"
        elif not node.output:
            yield f"{operator(node)} node {node.name or position!r} has no output"
        else:
            yield from (f"tensor {out!r} is computed twice" for out in node.output if out in defined)
        defined.update(out for out in node.output if out)
        for body in subgraphs(node):
            yield from _faults(body)
    given = {tensor.name for tensor in graph.initializer} & defined
    yield from (f"tensor {name!r} is both given and computed" for name in sorted(given))


def _drop_data(tensor: onnx.TensorProto) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    import onnx.inliner

    try:
        inlined = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as fault:
        raise ArmillaryError(f"{path}: its functions cannot be inlined: {fault}") from fault
    assert isinstance(inlined, ModelProto)
    return inlined


def set_dimensions(model: ModelProto, dims: Mapping[str, int], source: str) -> None:
    """Give symbolic dimensions their values, in place.

    A dimension without a name goes by input and axis: `data[0]`.

    Raises:
        ArmillaryError: collects every dimension that is still open, unknown or not positive.
    """
    inputs = free_inputs(model.graph)
    found = {_dimension_name(v, axis) for v in inputs for axis in range(len(v.type.tensor_type.shape.dim))} - {None}
    faults = [_bad_dimension(name, value, found) for name, value in dims.items()]
    usable = {name: value for (name, value), fault in zip(dims.items(), faults, strict=True) if not fault}
    for value in (*inputs, *model.graph.output, *model.graph.value_info):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            name = _dimension_name(value, axis)
            if name is not None and name in usable:
                dimension.dim_value = usable[name]
    for value in inputs:
        for axis in range(len(value.type.tensor_type.shape.dim)):
            name = _dimension_name(value, axis)
            if name is not None:
                faults.append(f"dimension {name!r} of input {value.name!r} is open; set it, e.g. --dim {name}=1")
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            faults.append(f"input {value.name!r} has no shape; give it one when exporting the model")
    faults = [fault for fault in dict.fromkeys(faults) if fault]
    if faults:
        raise ArmillaryError(f"{source}: " + "; ".join(faults))


def free_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Return the inputs that somebody has to supply: those without an initial value."""
    given = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in given]


def _dimension_name(value: ValueInfoProto, axis: int) -> str | None:
    """Return the name of an open dimension, None if it has a value."""
    dimension = value.type.tensor_type.shape.dim[axis]
    if dimension.HasField("dim_value") and dimension.dim_value > 0:
        return None
    return dimension.dim_param or f"{value.name}[{axis}]"


def _bad_dimension(name: str, value: object, found: set[str | None]) -> str:
    names = sorted(n for n in found if n)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"open are {names}" if names else "all are fixed"
        return f"the inputs have no open dimension {name!r}; {hint}"
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return f"dimension {name}={value!r} is not allowed; it must be a positive integer"
    return ""


def resolve(model: ModelProto, source: str) -> Tensors:
    """Infer the shape of every tensor.

    ONNX's own inference goes first. Where it stops at a shape that the graph computes (division,
    comparison, ...), the graph is walked once more with the values of those computations.

    Raises:
        ArmillaryError: if the model is invalid, so that no inference is possible.
    """
    graph = _infer(_without_open_shapes(model), source).graph
    types = _declared_types(graph)
    constants, roots = _constants(graph)
    tensors = Tensors(source, types, constants, roots, {out: n for n in graph.node for out in n.output if out})
    if any(tensors.known_shape(out) is None for node in graph.node for out in node.output if out):
        try:
            _Walk(model, types).run()
        except ValueError as fault:
            raise ArmillaryError(f"{source}: no valid ONNX model: {fault}; export or download it again") from fault
    return tensors


def _without_open_shapes(model: ModelProto) -> ModelProto:
    """Forget recorded shapes of inner tensors that are not numbers: they may contradict what is inferred."""
    kept = [value for value in model.graph.value_info if fixed_shape(value.type) is not None]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    for output in model.graph.output:
        if output.type.HasField("tensor_type") and not fixed_shape(output.type):
            output.type.tensor_type.ClearField("shape")
    return model


def _infer(model: ModelProto, source: str) -> ModelProto:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as fault:
        raise ArmillaryError(f"{source}: shape inference finds the model invalid: {fault}") from fault
    assert isinstance(inferred, ModelProto)
    return inferred


def _declared_types(graph: GraphProto) -> dict[str, TypeProto]:
    types = {value.name: value.type for value in (*graph.input, *graph.output, *graph.value_info)}
    for tensor in graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    for sparse in graph.sparse_initializer:
        types[sparse.values.name] = onnx.helper.make_tensor_type_proto(sparse.values.data_type, list(sparse.dims))
    for node in graph.node:
        for body in subgraphs(node):
            types |= {name: kind for name, kind in _declared_types(body).items() if name not in types}
    return types


def _constants(graph: GraphProto) -> tuple[frozenset[str], dict[str, str]]:
    """Return the tensors that are known before the graph runs, and which are rearrangements of which."""
    known = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    roots: dict[str, str] = {}
    for node in graph.node:
        of_shapes = node.op_type in ("Shape", "Size")
        given = all(x in known for x in node.input if x) and node.op_type not in _RANDOM
        if of_shapes or (given and not any(True for _ in subgraphs(node))):
            known.update(node.output)
            if node.op_type in _RENAMES:
                roots[node.output[0]] = roots.get(node.input[0], node.input[0])
    return frozenset(known), roots


class _Walk:
    """One pass over the nodes that infers shapes with the values of shape computations at hand."""

    def __init__(self, model: ModelProto, types: dict[str, TypeProto]) -> None:
        self._graph = model.graph
        self._opsets = {opset.domain: opset.version for opset in model.opset_import}
        self._imports = list(model.opset_import)
        self._types = types
        self._values: dict[str, NDArray[Any]] = {}

    def run(self) -> None:
        """Complete `types` as far as possible."""
        for tensor in self._graph.initializer:
            if math.prod(tensor.dims) <= _SHAPE_ELEMENTS and tensor.data_location != onnx.TensorProto.EXTERNAL:
                self._values[tensor.name] = onnx.numpy_helper.to_array(tensor)
        for node in self._graph.node:
            if any(out and fixed_shape(self._types.get(out)) is None for out in node.output):
                self._infer_types(node)
            self._compute(node)

    def _infer_types(self, node: NodeProto) -> None:
        if node.op_type in ("If", "Loop", "Scan") or any(x and x not in self._types for x in node.input):
            return
        data = {x: onnx.numpy_helper.from_array(self._values[x], x) for x in node.input if x in self._values}
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opsets.get(domain, 1), domain)
            inferred = onnx.shape_inference.infer_node_outputs(
                schema, node, {x: self._types[x] for x in node.input if x}, data, opset_imports=self._imports
            )
        except (
            onnx.defs.SchemaError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError,
            ValueError,
        ):  # fmt: skip
            return  # the shape stays unknown; whoever needs it says so, with the name of this node
        self._types.update({name: kind for name, kind in inferred.items() if kind.HasField("tensor_type")})

    def _compute(self, node: NodeProto) -> None:
        """Note the values of a node's outputs if they are small and follow from what is known."""
        if node.op_type in ("Shape", "Size"):
            shape = fixed_shape(self._types.get(node.input[0]))
            if shape is not None:
                start, end = option(node, "start", 0), option(node, "end", len(shape))
                value = math.prod(shape) if node.op_type == "Size" else shape[start:end]
                self._values[node.output[0]] = np.array(value, dtype=np.int64)
        elif node.op_type in _SHAPE_ARITHMETIC and not node.domain and all(x in self._values for x in node.input if x):
            sizes = [fixed_shape(self._types.get(out)) for out in node.output]
            if all(size is not None and math.prod(size) <= _SHAPE_ELEMENTS for size in sizes):
                self._values.update(_run(node, self._values, self._opsets))


def _run(node: NodeProto, values: Mapping[str, NDArray[Any]], opsets: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator

    try:
        results = ReferenceEvaluator(node, opsets=dict(opsets)).run(None, {x: values[x] for x in node.input if x})
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, NotImplementedError):
        return {}  # as for unknown shapes: whoever needs the value says so
    return dict(zip(node.output, results, strict=True))

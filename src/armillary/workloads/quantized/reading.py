"""From a float ONNX file to the operations of an integer network, still in floats, normalisation folded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.onnx.dimensions import set_dimensions
from armillary.workloads.onnx.nodes import describe, free_inputs, operator, option
from armillary.workloads.onnx.reading import read
from armillary.workloads.onnx.shapes import Tensors, resolve
from armillary.workloads.quantized.pointwise import OPERATORS, Function, function_of
from armillary.workloads.quantized.step import POINT, Kind, Shape4, Window

Floats = NDArray[np.float64]
_NO_AXES: list[int] = []


@dataclass(frozen=True, eq=False)
class Operation:
    """One step before it is quantised.

    Attributes:
        name: of its node.
        kind: what it does.
        inputs: name of the tensor that it reads.
        output: name of the tensor that it writes.
        window: of a convolution or a pool.
        groups: of a convolution.
        weights: of a convolution, shape [K, C of a group, R, S].
        bias: of a convolution, shape [K].
        residual: name of a tensor that is added.
        low: the least output.
        high: the largest.
        function: what is then applied to each value; None for nothing.
        transposed: whether a matrix product reads its input transposed.
    """

    name: str
    kind: Kind
    inputs: str
    output: str
    window: Window = POINT
    groups: int = 1
    weights: Floats | None = None
    bias: Floats | None = None
    residual: str | None = None
    low: float = -math.inf
    high: float = math.inf
    function: Function | None = None
    transposed: bool = False

    @property
    def activated(self) -> bool:
        """Whether an activation has been fused into it."""
        return (self.low, self.high) != (-math.inf, math.inf) or self.function is not None


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """What a file computes.

    Attributes:
        name: of the file.
        model: with all its weights, for ONNX Runtime.
        inputs: name of the one input.
        operations: in order.
        shapes: N, C, H, W of the input and of every output of an operation.
        random: weights that the file lacked, by name.
        outputs: names of the tensors that the graph puts out.
    """

    name: str
    model: ModelProto
    inputs: str
    operations: tuple[Operation, ...]
    shapes: dict[str, Shape4]
    random: tuple[str, ...]
    outputs: tuple[str, ...]


def read_network(path: Path, *, seed: int = 0, dims: dict[str, int] | None = None) -> FloatNetwork:
    """Return the network of a float ONNX file.

    Args:
        path: the file; weights that it keeps in files that are not there are drawn at random.
        seed: of those.
        dims: values of symbolic dimensions.

    Raises:
        ArmillaryError: if the file is no ONNX model, or holds what an integer network has no step for; names the
            node, the operator and what is supported.
    """
    model = read(path, weights=True)
    set_dimensions(model, dims or {}, str(path))
    random = _fill_weights(model, path, np.random.default_rng(seed))
    inputs = free_inputs(model.graph)
    if len(inputs) != 1:
        raise ArmillaryError(f"{path}: has {len(inputs)} inputs, {[i.name for i in inputs]}; supported is one")
    reader = _Reader(model, resolve(_copied(model), str(path)), inputs[0].name, str(path))
    operations = reader.operations()
    return FloatNetwork(path.stem, model, inputs[0].name, operations, reader.shapes, random, reader.outputs)


def _copied(model: ModelProto) -> ModelProto:
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


def _fill_weights(model: ModelProto, path: Path, rng: np.random.Generator) -> tuple[str, ...]:
    """Load weights of other files, and draw those whose file is missing; return the names of the drawn ones."""
    spreads = {node.input[i] for node in model.graph.node if node.op_type == "BatchNormalization" for i in (1, 4)}
    drawn = []
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if location and (path.parent / location).is_file():
            values = _loaded(tensor, path, location)
        else:
            values = _drawn(tuple(tensor.dims), tensor.name in spreads, rng)
            drawn.append(tensor.name)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return tuple(drawn)


def _loaded(tensor: TensorProto, path: Path, location: str) -> NDArray[Any]:
    """Return the values of a tensor that another file holds."""
    try:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        values: NDArray[Any] = numpy_helper.to_array(tensor)
    except (OSError, ValueError, onnx.checker.ValidationError) as fault:
        raise ArmillaryError(f"{path}: tensor {tensor.name!r} cannot be read from {location}: {fault}") from fault
    return values


def _drawn(shape: tuple[int, ...], positive: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return random values: weights that keep the variance behind a ReLU (He et al. 2015), or one per channel."""
    if positive:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    spread = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
    return rng.normal(0, spread, shape).astype(np.float32)


class _Reader:
    """Walks over the nodes of a graph and fuses what one step does.

    A tensor that is another one under a new name or shape is its alias; one that is another one transposed is not, and
    only matrix products read it.
    """

    def __init__(self, model: ModelProto, tensors: Tensors, inputs: str, source: str) -> None:
        self._model, self._graph, self._tensors, self._source = model, model.graph, tensors, source
        self._done: set[str] = set()
        self._values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._readers = Counter(name for node in model.graph.node for name in node.input if name)
        self._readers.update(output.name for output in model.graph.output)
        self._aliases: dict[str, str] = {}
        self._transposed: dict[str, str] = {}
        self._found: dict[str, Operation] = {}
        self.shapes: dict[str, Shape4] = {inputs: self._four(tensors.known_shape(inputs) or (), inputs)}
        self._rules: dict[str, Callable[[NodeProto], None]] = {
            "Add": self._add,
            "AveragePool": self._average_pool,
            "BatchNormalization": self._batch_normalization,
            "Clip": self._activation,
            "Conv": self._conv,
            "Dropout": self._alias,
            "Flatten": self._reshape,
            "Gemm": self._gemm,
            "GlobalAveragePool": self._global_average_pool,
            "Identity": self._alias,
            "MatMul": self._gemm,
            "MaxPool": self._max_pool,
            "ReduceMean": self._global_average_pool,
            "Relu": self._activation,
            "Reshape": self._reshape,
            "Squeeze": self._reshape,
            "Transpose": self._transpose,
        }

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations, in an order in which they can run."""
        functions = ", ".join(sorted(OPERATORS - {*self._rules}))
        supported = f"supported are {', '.join(sorted(self._rules))}, and functions of one tensor made of {functions}"
        for node in self._graph.node:
            if all(out in self._tensors.constants for out in node.output if out):
                self._constant(node)
        for number, node in enumerate(self._graph.node):
            if node.output[0] in self._done or all(out in self._tensors.constants for out in node.output if out):
                continue
            if operator(node) in OPERATORS and self._applied(number):
                continue
            rule = self._rules.get(operator(node))
            if rule is None and operator(node) in OPERATORS:
                raise self._refuse(node, "has two tensors as inputs; supported are functions of one tensor")
            if rule is None:
                raise ArmillaryError(f"{self._source}: {describe(node)} is not supported; {supported}")
            rule(node)
        for output in self._graph.output:
            self._source_of(output.name)
        if not self._found:
            raise ArmillaryError(f"{self._source}: has no operation; {supported}")
        return tuple(self._found.values())

    @property
    def outputs(self) -> tuple[str, ...]:
        """The tensors that the graph puts out, by the names that their operations know them by."""
        return tuple(self._source_of(output.name) for output in self._graph.output)

    def _applied(self, number: int) -> bool:
        """Apply the function that begins with a node to what the node reads, if it needs a table; return whether."""
        node = self._graph.node[number]
        name = next(each for each in node.input if each and each not in self._values)
        source, rest = self._source_of(name), self._graph.node[number:]
        found = function_of(name, rest, self._values, self._readers, self._model)
        if found is None:
            return False
        last = next(each for each in rest if each.output[0] == found.output)
        inside = [each for each in rest if each.output[0] in found.nodes]
        alone = self._readers[source] == sum(list(each.input).count(name) for each in inside)
        before = self._found.get(source)
        if before and alone and before.kind in ("conv", "add", "average_pool") and not before.activated:
            self._replace(last, before, function=found)
        else:
            self._put(last, Operation(last.name or found.output, "lookup", source, found.output, function=found))
        self._done |= found.nodes
        return True

    def _refuse(self, node: NodeProto, what: str) -> ArmillaryError:
        return ArmillaryError(f"{self._source}: {describe(node)}: {what}")

    def _constant(self, node: NodeProto) -> None:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            self._values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in self._values:
            self._values[node.output[0]] = self._values[node.input[0]]

    def _value(self, node: NodeProto, position: int, what: str) -> Floats:
        """Return a constant input."""
        name = node.input[position]
        if name not in self._values:
            raise self._refuse(node, f"its {what} {name!r} must be an initializer or a Constant")
        return np.asarray(self._values[name], dtype=np.float64)

    def _four(self, shape: tuple[int, ...], name: str) -> Shape4:
        """Return a shape as N, C, H, W."""
        if not 2 <= len(shape) <= 4:
            raise ArmillaryError(f"{self._source}: tensor {name!r} has shape {list(shape)}; supported are 2 to 4 axes")
        n, c, h, w = (*shape, 1, 1)[:4]
        return n, c, h, w

    def _source_of(self, name: str) -> str:
        if name in self._transposed:
            supported = "supported as the first operand of a Gemm or MatMul"
            raise ArmillaryError(f"{self._source}: tensor {name!r} is a transposed one; {supported}")
        return self._aliases.get(name, name)

    def _pair(self, node: NodeProto, name: str, default: int) -> tuple[int, int]:
        """Return an attribute of one value per axis of the image."""
        values = option(node, name, [default, default])
        if len(values) != 2:
            raise self._refuse(node, f"{name}={values} has {len(values)} axes; supported are 2")
        return values[0], values[1]

    def _put(self, node: NodeProto, operation: Operation) -> None:
        """Note an operation and its output's shape."""
        self._found[operation.output] = operation
        self.shapes[operation.output] = self._four(self._tensors.shape(node.output[0], node), operation.output)

    def _fusable(self, name: str, kinds: tuple[Kind, ...]) -> Operation | None:
        """Return the operation that writes a tensor if nothing else reads that, and nothing has been done to it yet."""
        found = self._found.get(name)
        alone = self._readers[name] == 1
        return found if found and alone and found.kind in kinds and not found.activated else None

    def _replace(self, node: NodeProto, old: Operation, **changes: Any) -> None:
        """Let an operation do what `node` does, too; it now stands behind all that came before."""
        del self._found[old.output]
        self._found[node.output[0]] = replace(old, output=node.output[0], **changes)
        self.shapes[node.output[0]] = self.shapes.pop(old.output)

    def _alias(self, node: NodeProto) -> None:
        if any(self._readers[name] for name in node.output[1:]):
            raise self._refuse(node, "more than its first output is read; supported is that one")
        source = self._source_of(node.input[0])
        self._aliases[node.output[0]] = source
        self._readers[source] += self._readers[node.output[0]] - 1

    def _transpose(self, node: NodeProto) -> None:
        rank = len(self._tensors.shape(node.input[0], node))
        if rank != 2 or option(node, "perm", [1, 0]) != [1, 0]:
            supported = "supported are the two of a matrix before a Gemm or MatMul"
            raise self._refuse(node, f"a permutation of {rank} axes is not supported; {supported}")
        source = self._source_of(node.input[0])
        self._transposed[node.output[0]] = source
        self._readers[source] += self._readers[node.output[0]] - 1

    def _reshape(self, node: NodeProto) -> None:
        """Take a reshape of one image to one vector as another view of the same tensor."""
        before = self.shapes[self._source_of(node.input[0])]
        after = self._tensors.shape(node.output[0], node)
        if after[:2] != (before[0], math.prod(before[1:])) or math.prod(after[2:]) != 1:
            raise self._refuse(
                node, f"turns {list(before)} into {list(after)}; supported is one vector per image, as before a Gemm"
            )
        self._alias(node)

    def _window(self, node: NodeProto, kernel: tuple[int, int]) -> Window:
        top, left, bottom, right = option(node, "pads", [0, 0, 0, 0])
        window = Window(
            kernel,
            self._pair(node, "strides", 1),
            (top, left, bottom, right),
            self._pair(node, "dilations", 1),
        )
        source = self.shapes[self._source_of(node.input[0])]
        wanted = self._tensors.shape(node.output[0], node)[2:]
        return self._padded(node, window, source[2:], (wanted[0], wanted[1]))

    def _padded(self, node: NodeProto, window: Window, size: tuple[int, int], wanted: tuple[int, int]) -> Window:
        """Return a window with the padding that gives the output's shape: `auto_pad` and `ceil_mode` leave it open."""
        mode = option(node, "auto_pad", "NOTSET")
        ceils = option(node, "ceil_mode", 0)
        if mode in ("NOTSET", "VALID") and not ceils:
            return window
        before, after = list(window.pads[:2]), list(window.pads[2:])
        for axis in range(2):
            reach = (wanted[axis] - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1
            if mode.startswith("SAME"):
                missing = max(0, reach - size[axis])
                before[axis] = (missing + (mode == "SAME_LOWER")) // 2
                after[axis] = missing - before[axis]
            else:
                after[axis] = max(after[axis], reach - size[axis] - before[axis])
        if node.op_type == "AveragePool" and (before, after) != (list(window.pads[:2]), list(window.pads[2:])):
            raise self._refuse(node, f"has auto_pad={mode}, ceil_mode={ceils}; supported are explicit pads and 0")
        return replace(window, pads=(before[0], before[1], after[0], after[1]))

    def _conv(self, node: NodeProto) -> None:
        weights = self._value(node, 1, "weights")
        if weights.ndim != 4:
            raise self._refuse(node, f"has weights of {weights.ndim} axes; supported are 4")
        bias = self._value(node, 2, "bias") if len(node.input) > 2 and node.input[2] else np.zeros(len(weights))
        self._put(
            node,
            Operation(
                name=node.name or node.output[0],
                kind="conv",
                inputs=self._source_of(node.input[0]),
                output=node.output[0],
                window=self._window(node, (weights.shape[2], weights.shape[3])),
                groups=option(node, "group", 1),
                weights=weights,
                bias=bias,
            ),
        )

    def _gemm(self, node: NodeProto) -> None:
        """Take a matrix product as a convolution whose filter covers its whole input."""
        if node.input[1] not in self._values:
            raise self._refuse(node, f"its second operand {node.input[1]!r} must be an initializer or a Constant")
        across = bool(option(node, "transA", 0))
        if node.input[0] in self._transposed:
            source, across = self._transposed[node.input[0]], not across
        else:
            source = self._source_of(node.input[0])
        n, c, h, w = self.shapes[source]
        if across and (h, w) != (1, 1):
            raise self._refuse(node, "reads an image transposed; supported are matrices")
        c = n if across else c
        weights = self._value(node, 1, "weights")
        if len(self._tensors.shape(node.input[0], node)) != 2 or weights.ndim != 2:
            raise self._refuse(node, "multiplies tensors of more than 2 axes; supported are matrices")
        if {option(node, "alpha", 1.0), option(node, "beta", 1.0)} != {1.0}:
            raise self._refuse(node, "supported are alpha=1 and beta=1")
        weights = weights if option(node, "transB", 0) else weights.T
        bias = self._value(node, 2, "bias") if len(node.input) > 2 and node.input[2] else np.zeros(len(weights))
        if bias.size not in (1, len(weights)):
            raise self._refuse(node, f"its bias has shape {list(bias.shape)}; supported is one value per output")
        self._put(
            node,
            Operation(
                name=node.name or node.output[0],
                kind="conv",
                inputs=source,
                output=node.output[0],
                window=Window((h, w)),
                transposed=across,
                weights=weights.reshape(len(weights), c, h, w),
                bias=np.broadcast_to(bias.reshape(-1), (len(weights),)),
            ),
        )

    def _batch_normalization(self, node: NodeProto) -> None:
        before = self._fusable(self._source_of(node.input[0]), ("conv",))
        if before is None or before.residual:
            raise self._refuse(node, "supported behind a Conv or Gemm that nothing else reads")
        assert before.weights is not None
        assert before.bias is not None
        gain, shift, mean, variance = (self._value(node, i, "parameter") for i in (1, 2, 3, 4))
        factor = gain / np.sqrt(variance + option(node, "epsilon", 1e-5))
        weights = before.weights * factor[:, None, None, None]
        self._replace(node, before, weights=weights, bias=(before.bias - mean) * factor + shift)

    def _activation(self, node: NodeProto) -> None:
        low, high = (0.0, math.inf) if node.op_type == "Relu" else self._bounds(node)
        if low not in (0.0, -math.inf) or high <= max(low, 0.0):
            raise self._refuse(node, f"clips to {low:g}..{high:g}; supported is a lower bound of 0 or none")
        before = self._fusable(self._source_of(node.input[0]), ("conv", "add", "average_pool"))
        if before is None:
            raise self._refuse(
                node, "supported behind a Conv, Gemm, Add or average pool that nothing else reads, one activation each"
            )
        self._replace(node, before, low=low, high=high)

    def _bounds(self, node: NodeProto) -> tuple[float, float]:
        """Return the bounds of a Clip: attributes before operator set 11, inputs since."""
        bounds = [option(node, "min", -math.inf), option(node, "max", math.inf)]
        for position in (1, 2):
            if len(node.input) > position and node.input[position]:
                bounds[position - 1] = float(self._value(node, position, "bound").reshape(()))
        most = float(np.finfo(np.float32).max)  # what exporters write for no bound
        low, high = bounds
        return -math.inf if low <= -most else low, math.inf if high >= most else high

    def _add(self, node: NodeProto) -> None:
        constant = [i for i in (0, 1) if node.input[i] in self._tensors.constants]
        if constant:
            self._add_bias(node, constant[0])
            return
        first, second = (self._source_of(name) for name in node.input)
        if self.shapes[first] != self.shapes[second]:
            shapes = f"{list(self.shapes[first])} and {list(self.shapes[second])}"
            raise self._refuse(node, f"adds shapes {shapes}; supported are equal ones, or a constant per channel")
        order = list(self._found)
        last, other = sorted((first, second), key=lambda name: -order.index(name) if name in order else 1)
        for mine, theirs in ((last, other), (other, last)):
            before = self._fusable(mine, ("conv",))
            if before and not before.residual and mine != theirs:
                self._replace(node, before, residual=theirs)
                return
        added = Operation(node.name or node.output[0], "add", first, node.output[0], residual=second)
        self._put(node, added)

    def _add_bias(self, node: NodeProto, position: int) -> None:
        before = self._fusable(self._source_of(node.input[1 - position]), ("conv",))
        if before is None or before.residual or before.bias is None:
            raise self._refuse(node, "adds a constant; supported is one per channel behind a Conv, Gemm or MatMul")
        bias = self._value(node, position, "bias")
        rank = len(self._tensors.shape(node.output[0], node))
        per_channel = bias.reshape((1,) * (rank - bias.ndim) + bias.shape) if bias.ndim < rank else bias
        if per_channel.size != 1 and per_channel.size != per_channel.shape[1]:
            raise self._refuse(node, f"adds a constant of shape {list(bias.shape)}; supported is one per channel")
        self._replace(node, before, bias=before.bias + per_channel.reshape(-1))

    def _pool(self, node: NodeProto, kind: Kind, window: Window) -> None:
        source = self._source_of(node.input[0])
        self._put(node, Operation(node.name or node.output[0], kind, source, node.output[0], window))

    def _max_pool(self, node: NodeProto) -> None:
        kernel = self._pair(node, "kernel_shape", 1)
        if len(node.output) > 1 and node.output[1]:
            raise self._refuse(node, "returns indices; supported is the maximum alone")
        self._pool(node, "max_pool", self._window(node, kernel))

    def _average_pool(self, node: NodeProto) -> None:
        window = self._window(node, self._pair(node, "kernel_shape", 1))
        if any(window.pads) and not option(node, "count_include_pad", 0):
            raise self._refuse(
                node, f"has pads {list(window.pads)} that do not count; supported is count_include_pad=1"
            )
        self._pool(node, "average_pool", window)

    def _global_average_pool(self, node: NodeProto) -> None:
        _, _, h, w = self.shapes[self._source_of(node.input[0])]
        if node.op_type == "ReduceMean":
            axes = option(node, "axes", _NO_AXES)
            if len(node.input) > 1 and node.input[1]:
                axes = [int(axis) for axis in self._value(node, 1, "axes").reshape(-1)]
            if sorted(axis % 4 for axis in axes) != [2, 3]:
                raise self._refuse(node, f"reduces axes {axes}; supported are height and width, [2, 3]")
        self._pool(node, "average_pool", Window((h, w)))

"""From an ONNX graph to the scalar dataflow graph that it is, if its tensors are small and its operators simple.

What is true is 1, what is not 0. An output each of whose elements is a sum with the element of an input among its terms
is that input after a step, so that the input is a parameter: `W - rate * gradient` is one of `W`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto

from armillary.workloads.dataflow import Dataflow, Kind, Output, Tensor
from armillary.workloads.onnx.nodes import describe, operator, option
from armillary.workloads.onnx.polynomials import UNREADABLE, UnknownError
from armillary.workloads.onnx.scalars import Scalars
from armillary.workloads.onnx.shapes import Tensors

MOST_OPERATIONS = 16384
MOST_ELEMENTS = 65536
"""Of all inputs together, and of every other tensor."""
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_SAME = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_BINARY: dict[str, Kind] = {"Add": "add", "Sub": "sub", "Mul": "mul", "Greater": "greater", "Equal": "equal",
                            "And": "mul", "Or": "max"}  # fmt: skip

Numbers = NDArray[np.int64]
"""The numbers of a tensor's elements, of its shape."""


def dataflow_of(graph: GraphProto, tensors: Tensors) -> Dataflow | str:
    """Return the dataflow graph of an ONNX graph, or why there is none: names the node at which that shows."""
    try:
        return _Lowering(graph, tensors).dataflow()
    except UnknownError as fault:
        return str(fault)


class _Lowering:
    def __init__(self, graph: GraphProto, tensors: Tensors) -> None:
        self._graph, self._tensors, self._scalars = graph, tensors, Scalars()
        self._found: dict[str, Numbers] = {}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        binary = {name: self._by_elements(partial(self._scalars.binary, kind)) for name, kind in _BINARY.items()}
        self._rules: dict[str, Callable[[NodeProto], Numbers]] = {
            **binary,
            **dict.fromkeys(_SAME, self._reshaped),
            "Abs": self._of_one(lambda x: self._binary("max", x, self._negated(x))),
            "Cast": self._cast,
            "Clip": self._clip,
            "Concat": self._concat,
            "Constant": lambda node: self._constants(self._attribute(node), describe(node)),
            "Div": self._div,
            "Expand": self._expand,
            "Gemm": self._gemm,
            "GreaterOrEqual": self._by_elements(lambda a, b: self._not(self._binary("greater", b, a))),
            "LeakyRelu": self._leaky,
            "Less": self._by_elements(lambda a, b: self._binary("greater", b, a)),
            "LessOrEqual": self._by_elements(lambda a, b: self._not(self._binary("greater", a, b))),
            "MatMul": lambda node: self._product(self._input(node, 0), self._input(node, 1), node),
            "Max": self._folded("max"),
            "Min": self._folded("min"),
            "Neg": self._of_one(self._negated),
            "Not": self._of_one(self._not),
            "ReduceMean": partial(self._reduced, mean=True),
            "ReduceSum": partial(self._reduced, mean=False),
            "Relu": self._of_one(lambda x: self._binary("max", x, self._scalars.constant(0))),
            "Sigmoid": self._of_one(self._sigmoid),
            "Sign": self._of_one(self._sign),
            "Sum": self._summed,
            "Tanh": self._of_one(self._tanh),
            "Transpose": lambda node: np.transpose(self._input(node, 0), option(node, "perm", [0][:0]) or None),
            "Where": self._where,
        }

    def dataflow(self) -> Dataflow:
        """Return the graph.

        Raises:
            UnknownError: if there is none.
        """
        inputs = self._inputs()
        for node in self._graph.node:
            if operator(node) not in self._rules:
                raise UnknownError(f"{describe(node)} is none of {', '.join(sorted(self._rules))}")
            try:
                self._found[node.output[0]] = self._rules[operator(node)](node)
            except UNREADABLE as fault:
                raise UnknownError(f"{describe(node)} cannot be read: {fault}") from fault
            self._check(0, describe(node))
            if self._found[node.output[0]].size > MOST_ELEMENTS:
                raise UnknownError(f"{describe(node)} has more than {MOST_ELEMENTS:,} elements")
        known = [output.name for output in self._graph.output if output.name in self._found]
        computed = {name for node in self._graph.node for name in node.output}
        if not computed.intersection(known):
            raise UnknownError("none of its outputs is computed")
        outputs = [Output(name, self._found[name].shape, tuple(map(int, self._found[name].ravel()))) for name in known]
        return self._scalars.graph(inputs, self._updating(inputs, outputs))

    def _inputs(self) -> list[Tensor]:
        found = []
        for value in self._graph.input:
            if value.name in self._initializers:
                continue
            shape = self._tensors.known_shape(value.name)
            if shape is None or value.type.tensor_type.elem_type not in _FLOATS:
                raise UnknownError(f"input {value.name!r} is no tensor of numbers with a known shape")
            found.append(Tensor(value.name, shape))
        if sum(tensor.size for tensor in found) > MOST_ELEMENTS:
            raise UnknownError(f"its inputs have more than {MOST_ELEMENTS:,} elements")
        for place, tensor in enumerate(found):
            numbers = np.array(self._scalars.inputs(place, tensor.size), dtype=np.int64)
            self._found[tensor.name] = numbers.reshape(tensor.shape)
        return found

    def _updating(self, inputs: Sequence[Tensor], outputs: Sequence[Output]) -> list[Output]:
        """Return the outputs, with the inputs that they replace; none if no input would come anew."""
        found, left = [], {tensor.name for tensor in inputs}
        for output in outputs:
            terms = [self._scalars.terms(value) for value in output.values]
            same = [tensor.name for tensor in inputs if tensor.size == len(terms) and self._is_term(tensor, terms)]
            replaced = same[0] if len(same) == 1 and same[0] in left else ""
            left.discard(replaced)
            found.append(replace(output, updates=replaced))
        return found if left else list(outputs)

    def _is_term(self, tensor: Tensor, terms: Sequence[set[int]]) -> bool:
        numbers = self._found[tensor.name].ravel().tolist()
        return all(number in own for number, own in zip(numbers, terms, strict=True))

    def _check(self, more: int, where: str) -> None:
        if self._scalars.operations + more > MOST_OPERATIONS:
            raise UnknownError(f"{where} makes it more than {MOST_OPERATIONS:,} scalar operations")

    def _input(self, node: NodeProto, place: int) -> Numbers:
        """Return the elements of a node's input."""
        name = node.input[place] if place < len(node.input) else ""
        if name not in self._found and name in self._initializers:
            self._found[name] = self._constants(self._initializers[name], f"the initial value of {name!r}")
        if name not in self._found:
            raise UnknownError(f"{describe(node)} lacks its input {place}")
        return self._found[name]

    def _constants(self, tensor: onnx.TensorProto, where: str) -> Numbers:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise UnknownError(f"{where} is not in the file")
        try:
            values = np.asarray(onnx.numpy_helper.to_array(tensor))
        except UNREADABLE as fault:
            raise UnknownError(f"{where} is too large to be kept, or cannot be read") from fault
        if values.dtype.kind not in "biuf":
            raise UnknownError(f"{where} is no number")
        return np.array([self._scalars.constant(v) for v in values.ravel().tolist()], dtype=np.int64).reshape(
            values.shape
        )

    def _attribute(self, node: NodeProto) -> onnx.TensorProto:
        """Return what a Constant node holds."""
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                return attribute.t
            if attribute.name.startswith("value"):
                return onnx.numpy_helper.from_array(np.asarray(onnx.helper.get_attribute_value(attribute)))
        raise UnknownError(f"{describe(node)} holds no number")

    def _values(self, node: NodeProto, place: int) -> list[float]:
        """Return an input that has to be constant."""
        values = [self._scalars.known(int(number)) for number in self._input(node, place).ravel()]
        if None in values:
            raise UnknownError(f"{describe(node)} needs a constant as its input {place}")
        return [value for value in values if value is not None]

    def _binary(self, kind: Kind, a: int, b: int) -> int:
        return self._scalars.binary(kind, int(a), int(b))

    def _elementwise(self, rule: Callable[..., int], *operands: Numbers) -> Numbers:
        size = math.prod(np.broadcast_shapes(*(operand.shape for operand in operands)))
        if size > MOST_ELEMENTS:
            raise UnknownError(
                f"one of its tensors would have {size:,} elements; at most {MOST_ELEMENTS:,} are unrolled"
            )
        found = np.frompyfunc(lambda *numbers: rule(*map(int, numbers)), len(operands), 1)(*operands)
        return np.asarray(found, dtype=np.int64)

    def _of_one(self, rule: Callable[[int], int]) -> Callable[[NodeProto], Numbers]:
        return lambda node: self._elementwise(rule, self._input(node, 0))

    def _by_elements(self, rule: Callable[[int, int], int]) -> Callable[[NodeProto], Numbers]:
        return lambda node: self._elementwise(rule, self._input(node, 0), self._input(node, 1))

    def _folded(self, kind: Kind) -> Callable[[NodeProto], Numbers]:
        """Return the rule of a node that combines any number of tensors."""

        def combined(node: NodeProto) -> Numbers:
            found = self._input(node, 0)
            for place in range(1, len(node.input)):
                found = self._elementwise(partial(self._binary, kind), found, self._input(node, place))
            return found

        return combined

    def _summed(self, node: NodeProto) -> Numbers:
        operands = np.broadcast_arrays(*(self._input(node, place) for place in range(len(node.input))))
        return self._elementwise(lambda *terms: self._scalars.sum(terms), *operands)

    def _negated(self, x: int) -> int:
        return self._binary("sub", self._scalars.constant(0), x)

    def _not(self, x: int) -> int:
        return self._binary("sub", self._scalars.constant(1), x)

    def _sigmoid(self, x: int) -> int:
        value = self._scalars.known(x)
        return (
            self._scalars.unary("sigmoid", x) if value is None else self._scalars.constant(1 / (1 + math.exp(-value)))
        )

    def _tanh(self, x: int) -> int:
        """Return 2 sigmoid(2 x) - 1."""
        half = self._sigmoid(self._binary("add", x, x))
        return self._binary("sub", self._binary("add", half, half), self._scalars.constant(1))

    def _sign(self, x: int) -> int:
        zero = self._scalars.constant(0)
        return self._binary("sub", self._binary("greater", x, zero), self._binary("greater", zero, x))

    def _leaky(self, node: NodeProto) -> Numbers:
        slope = option(node, "alpha", 0.01)
        if not 0 <= slope <= 1:
            raise UnknownError(f"{describe(node)} has a slope of {slope:g}; it has to be 0 to 1")
        factor = self._scalars.constant(slope)
        return self._elementwise(lambda x: self._binary("max", x, self._binary("mul", x, factor)), self._input(node, 0))

    def _clip(self, node: NodeProto) -> Numbers:
        found = self._input(node, 0)
        limits: tuple[tuple[int, str, Kind], ...] = ((1, "min", "max"), (2, "max", "min"))
        for place, name, kind in limits:
            limit = next((np.array(self._scalars.constant(a.f)) for a in node.attribute if a.name == name), None)
            if place < len(node.input) and node.input[place]:
                limit = self._input(node, place)
            if limit is not None:
                found = self._elementwise(partial(self._binary, kind), found, limit)
        return found

    def _cast(self, node: NodeProto) -> Numbers:
        boolean = self._tensors.elem_type(node.input[0]) == TensorProto.BOOL
        values = self._input(node, 0)
        constant = all(self._scalars.known(int(number)) is not None for number in values.ravel())
        if option(node, "to", 1) not in _FLOATS and not boolean and not constant:
            raise UnknownError(f"{describe(node)} makes something else than numbers with a fraction")
        return values

    def _div(self, node: NodeProto) -> Numbers:
        divisors = self._values(node, 1)
        if 0 in divisors:
            raise UnknownError(f"{describe(node)} divides by zero")
        factors = np.array([self._scalars.constant(1 / value) for value in divisors], dtype=np.int64)
        shaped = factors.reshape(self._input(node, 1).shape)
        return self._elementwise(partial(self._binary, "mul"), self._input(node, 0), shaped)

    def _where(self, node: NodeProto) -> Numbers:
        def chosen(condition: int, then: int, other: int) -> int:
            return self._binary(
                "add", self._binary("select", condition, then), self._binary("reject", condition, other)
            )

        return self._elementwise(chosen, *(self._input(node, place) for place in range(3)))

    def _reshaped(self, node: NodeProto) -> Numbers:
        values = self._input(node, 0)
        if operator(node) in ("Identity", "Dropout"):
            return values
        shape = self._tensors.known_shape(node.output[0])
        if operator(node) == "Reshape" and len(node.input) > 1 and shape is None:
            wanted = [int(extent) for extent in self._values(node, 1)]
            shape = tuple(values.shape[at] if extent == 0 else extent for at, extent in enumerate(wanted))
        if shape is None:
            raise UnknownError(f"the shape of tensor {node.output[0]!r} at {describe(node)} is unknown")
        return values.reshape(shape)

    def _concat(self, node: NodeProto) -> Numbers:
        return np.concatenate([self._input(node, place) for place in range(len(node.input))], option(node, "axis", 0))

    def _expand(self, node: NodeProto) -> Numbers:
        values, wanted = self._input(node, 0), tuple(int(extent) for extent in self._values(node, 1))
        return np.broadcast_to(values, np.broadcast_shapes(values.shape, wanted))

    def _reduced(self, node: NodeProto, *, mean: bool) -> Numbers:
        values = self._input(node, 0)
        given = option(node, "axes", [0][:0])
        if len(node.input) > 1 and node.input[1]:
            given = [int(axis) for axis in self._values(node, 1)]
        axes = sorted({axis % values.ndim for axis in given}) or list(range(values.ndim))
        rest = [axis for axis in range(values.ndim) if axis not in axes]
        shape = [values.shape[axis] for axis in rest]
        rows = values.transpose(*rest, *axes).reshape(*shape, -1)
        found = self._sums(rows, describe(node))
        if mean:
            factor = np.array(self._scalars.constant(1 / rows.shape[-1]))
            found = self._elementwise(partial(self._binary, "mul"), found, factor)
        kept = [1 if axis in axes else extent for axis, extent in enumerate(values.shape)]
        return found.reshape(kept) if option(node, "keepdims", 1) else found

    def _sums(self, rows: Numbers, where: str) -> Numbers:
        """Return the sums over the last axis."""
        self._check(rows.size // max(rows.shape[-1], 1), where)
        found = [self._scalars.sum(row.tolist()) for row in rows.reshape(-1, rows.shape[-1])]
        return np.array(found, dtype=np.int64).reshape(rows.shape[:-1])

    def _product(self, one: Numbers, other: Numbers, node: NodeProto) -> Numbers:
        """Return the matrix product, as NumPy's."""
        left, right = (one[None] if one.ndim == 1 else one), (other[:, None] if other.ndim == 1 else other)
        self._check(left.size // left.shape[-1] * right.size, describe(node))
        terms = self._elementwise(
            partial(self._binary, "mul"), left[..., :, None, :], np.swapaxes(right, -1, -2)[..., None, :, :]
        )
        found = self._sums(terms, describe(node))
        found = found[..., 0, :] if one.ndim == 1 else found
        return found[..., 0] if other.ndim == 1 else found

    def _gemm(self, node: NodeProto) -> Numbers:
        one, other = self._input(node, 0), self._input(node, 1)
        found = self._product(
            one.T if option(node, "transA", 0) else one, other.T if option(node, "transB", 0) else other, node
        )
        alpha, beta = (self._scalars.constant(option(node, name, 1.0)) for name in ("alpha", "beta"))
        found = self._elementwise(lambda x: self._binary("mul", x, alpha), found)
        if len(node.input) < 3 or not node.input[2]:
            return found
        scaled = self._elementwise(lambda x: self._binary("mul", x, beta), self._input(node, 2))
        return self._elementwise(partial(self._binary, "add"), found, scaled)

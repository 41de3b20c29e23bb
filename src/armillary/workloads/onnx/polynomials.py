"""What the tensors of a small graph are, as polynomials: algebraically equal graphs have equal ones.

An atom is an input, a vector of constants, a dot product, or a function of a polynomial. A polynomial is a sum of
products of atoms, each with a coefficient. Products are element by element; a tensor of one element counts for all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from armillary.workloads.onnx.facts import MOST_HELD, Shape
from armillary.workloads.onnx.nodes import describe, operator, option
from armillary.workloads.onnx.shapes import Tensors

_SAME = frozenset({"Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"})
_FUNCTIONS = frozenset({"Sigmoid", "Sign"})
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_MOST_TERMS = 64
_LONGEST_KEY = 100_000
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError)
"""What attributes and shapes of a damaged file bring about."""


class UnknownError(Exception):
    """A node that is beyond these polynomials; the message names it."""


@dataclass(frozen=True)
class Atom:
    """What products are made of.

    Attributes:
        kind: `input`, `constant`, `dot`, or a function: `Sigmoid`, `Sign`, or `positive`: 1 above zero, else 0.
        name: of an input or constant.
        length: elements of each of a dot product's operands.
        of: a dot product's two operands, or a function's argument.
    """

    kind: str
    name: str = ""
    length: int = 0
    of: tuple[Atom, Atom] | Polynomial | None = None

    @cached_property
    def key(self) -> str:
        """What the atom is, as text: equal for equal atoms alone."""
        parts = (
            [] if self.of is None else [self.of.key] if isinstance(self.of, Polynomial) else [a.key for a in self.of]
        )
        return f"{self.kind}({self.name!r}, {self.length}, {', '.join(parts)})"


@dataclass(frozen=True)
class Polynomial:
    """A sum of products: the coefficient of each, which is not zero; a product is its atoms in a fixed order."""

    terms: frozenset[tuple[tuple[Atom, ...], float]]

    @staticmethod
    def of(terms: Mapping[tuple[Atom, ...], float]) -> Polynomial:
        """Return the sum of some products with their coefficients."""
        total: Counter[tuple[Atom, ...]] = Counter()
        for atoms, coefficient in terms.items():
            total[tuple(sorted(atoms, key=lambda atom: atom.key))] += coefficient  # type: ignore[assignment]
        return Polynomial(frozenset((atoms, float(c)) for atoms, c in total.items() if c))

    @cached_property
    def key(self) -> str:
        """What the polynomial is, as text: equal for equal polynomials alone."""
        return " + ".join(sorted(f"{c!r} {' '.join(atom.key for atom in atoms)}" for atoms, c in self.terms))

    @property
    def coefficients(self) -> dict[tuple[Atom, ...], float]:
        """The coefficient of each product."""
        return dict(self.terms)

    @property
    def atom(self) -> Atom | None:
        """The atom that it is, None if it is something else."""
        (atoms, coefficient), *more = self.terms or ((((), 0.0)),)
        return atoms[0] if not more and len(atoms) == 1 and coefficient == 1 else None

    def plus(self, other: Polynomial, times: float = 1.0) -> Polynomial:
        """Return the sum of this and some times another."""
        sums = self.coefficients
        for atoms, coefficient in other.terms:
            sums[atoms] = sums.get(atoms, 0.0) + times * coefficient
        return Polynomial.of(sums)

    def times(self, factor: float) -> Polynomial:
        """Return some times this."""
        return Polynomial.of({atoms: factor * coefficient for atoms, coefficient in self.terms})

    def by(self, other: Polynomial) -> Polynomial:
        """Return the product of both."""
        result = Polynomial(frozenset())
        for atoms, coefficient in self.terms:
            result = result.plus(Polynomial.of({(*atoms, *more): coefficient * c for more, c in other.terms}))
        return result


def single(atom: Atom) -> Polynomial:
    """Return the polynomial that is an atom."""
    return Polynomial.of({(atom,): 1.0})


def number(value: float) -> Polynomial:
    """Return the polynomial that is a number."""
    return Polynomial.of({(): value})


_Rule = Callable[[NodeProto], Polynomial]


class Graph:
    """The tensors of a graph as polynomials.

    Args:
        graph: whose nodes come in an order in which they can be computed.
        tensors: their shapes.

    Attributes:
        constants: vectors, by name.
        found: the polynomial of each tensor.

    Raises:
        UnknownError: if a node is beyond these polynomials.
    """

    def __init__(self, graph: GraphProto, tensors: Tensors) -> None:
        self._tensors = tensors
        self.constants: dict[str, NDArray[np.float64]] = {}
        self.found: dict[str, Polynomial] = {}
        self._rules: dict[str, _Rule] = {
            **dict.fromkeys(_SAME, self._same),
            **dict.fromkeys(_FUNCTIONS, self._function),
            "Constant": self._constant,
            "Cast": self._cast,
            "Neg": lambda node: self._input(node, 0).times(-1.0),
            "Add": self._by_elements(lambda one, other: one.plus(other)),
            "Sub": self._by_elements(lambda one, other: one.plus(other, -1.0)),
            "Mul": self._by_elements(lambda one, other: one.by(other)),
            "Greater": self._by_elements(lambda one, other: _positive(one.plus(other, -1.0))),
            "Less": self._by_elements(lambda one, other: _positive(other.plus(one, -1.0))),
            "Where": self._where,
            "ReduceSum": self._reduced,
            "MatMul": self._matmul,
            "Gemm": self._gemm,
            "ai.onnx.ml.LinearRegressor": self._regressor,
        }
        for value in graph.input:
            self.found[value.name] = single(Atom("input", value.name))
        for tensor in graph.initializer:
            self._hold(tensor.name, tensor)
        for node in graph.node:
            if operator(node) not in self._rules:
                raise UnknownError(f"{describe(node)} is none of {', '.join(sorted(self._rules))}")
            try:
                self.found[node.output[0]] = found = self._rules[operator(node)](node)
            except UNREADABLE as fault:
                raise UnknownError(f"{describe(node)} cannot be read: {fault}") from fault
            if len(found.terms) > _MOST_TERMS:
                raise UnknownError(f"{describe(node)} makes a sum of {len(found.terms)} products")
            if len(found.key) > _LONGEST_KEY:  # functions of functions double it with every step
                raise UnknownError(f"{describe(node)} nests functions too deeply")

    def size(self, name: str, node: NodeProto) -> int:
        """Return the elements of a tensor that a node reads or writes.

        Raises:
            UnknownError: if they are unknown.
        """
        return math.prod(self._shape(name, node))

    def input_size(self, name: str) -> int | None:
        """Return the elements of an input, None if they are unknown."""
        shape = self._tensors.known_shape(name)
        return None if shape is None else math.prod(shape)

    def _shape(self, name: str, node: NodeProto) -> Shape:
        shape = self._tensors.known_shape(name)
        if shape is None:
            raise UnknownError(f"the shape of tensor {name!r} at {describe(node)} is unknown")
        return shape

    def _hold(self, name: str, tensor: onnx.TensorProto) -> None:
        """Note a constant: a number, or a vector by its name, whose values are missing where the file lacks them."""
        self.found[name] = single(Atom("constant", name))
        if tensor.data_location == onnx.TensorProto.EXTERNAL or math.prod(tensor.dims) > MOST_HELD:
            return
        try:
            values = np.asarray(onnx.numpy_helper.to_array(tensor))
        except UNREADABLE:
            return
        if values.dtype.kind not in "biuf":
            return
        with np.errstate(all="ignore"):
            self.constants[name] = values.astype(float).ravel()
        if values.size == 1:
            self.found[name] = number(float(values.ravel()[0]))

    def _input(self, node: NodeProto, position: int) -> Polynomial:
        if position >= len(node.input) or node.input[position] not in self.found:
            raise UnknownError(f"{describe(node)} lacks its input {position}")
        return self.found[node.input[position]]

    def _same(self, node: NodeProto) -> Polynomial:
        shape = self._shape(node.input[0], node)
        if operator(node) == "Transpose" and sum(extent > 1 for extent in shape) > 1:
            raise UnknownError(f"{describe(node)} turns a matrix of {list(shape)}; there are vectors alone")
        return self._input(node, 0)

    def _function(self, node: NodeProto) -> Polynomial:
        return single(Atom(operator(node), of=self._input(node, 0)))

    def _constant(self, node: NodeProto) -> Polynomial:
        value = next((a for a in node.attribute if a.name.startswith("value")), None)
        if value is None or value.type not in (onnx.AttributeProto.TENSOR, onnx.AttributeProto.FLOAT):
            raise UnknownError(f"{describe(node)} holds neither numbers nor a number")
        if value.type == onnx.AttributeProto.FLOAT:
            return number(float(value.f))
        self._hold(node.output[0], value.t)
        return self.found[node.output[0]]

    def _cast(self, node: NodeProto) -> Polynomial:
        value, to = self._input(node, 0), option(node, "to", 1)
        atom = value.atom
        if to not in _FLOATS and not (atom is not None and atom.kind == "positive"):
            raise UnknownError(f"{describe(node)} makes integers of numbers")
        return value

    def _by_elements(self, rule: Callable[[Polynomial, Polynomial], Polynomial]) -> _Rule:
        """Return the rule of a node that combines two tensors, of which the smaller one's elements are repeated."""

        def combined(node: NodeProto) -> Polynomial:
            one, other = self._input(node, 0), self._input(node, 1)
            if self.size(node.output[0], node) > max(self.size(name, node) for name in node.input):
                shapes = [list(self._shape(name, node)) for name in node.input]
                raise UnknownError(f"{describe(node)} makes a matrix of {shapes[0]} and {shapes[1]}")
            return rule(one, other)

        return combined

    def _where(self, node: NodeProto) -> Polynomial:
        condition, then, other = (self._input(node, position) for position in range(3))
        return condition.by(then).plus(other).plus(condition.by(other), -1.0)

    def _reduced(self, node: NodeProto) -> Polynomial:
        terms = self._input(node, 0).coefficients
        pair = next(iter(terms), ())
        if len(terms) != 1 or len(pair) != 2 or terms[pair] != 1:
            raise UnknownError(f"{describe(node)} sums up no product of two vectors")
        length = self.size(node.input[0], node) // self.size(node.output[0], node)
        return _dot_of(pair[0], pair[1], length)

    def _matmul(self, node: NodeProto) -> Polynomial:
        return self._dot(node, self._shape(node.input[0], node)[-1])

    def _dot(self, node: NodeProto, length: int) -> Polynomial:
        """Return the dot product of a node's first two inputs, one of which is a vector."""
        sizes = [self.size(name, node) for name in node.input[:2]]
        if min(sizes) != length:
            shapes = [list(self._shape(name, node)) for name in node.input[:2]]
            raise UnknownError(f"{describe(node)} multiplies {shapes[0]} by {shapes[1]}; one has to be a vector")
        pair = [self._input(node, position).atom for position in range(2)]
        if pair[0] is None or pair[1] is None:
            raise UnknownError(f"{describe(node)} multiplies what is computed, not inputs and constants")
        return _dot_of(pair[0], pair[1], length)

    def _gemm(self, node: NodeProto) -> Polynomial:
        shape = self._shape(node.input[0], node)
        dot = self._dot(node, shape[0] if option(node, "transA", 0) else shape[-1])
        scaled = dot.times(option(node, "alpha", 1.0))
        return scaled.plus(self._input(node, 2), option(node, "beta", 1.0)) if len(node.input) > 2 else scaled

    def _regressor(self, node: NodeProto) -> Polynomial:
        given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if given.get("targets", 1) != 1 or given.get("post_transform", b"NONE") != b"NONE":
            raise UnknownError(f"{describe(node)} has several targets, or transforms its result")
        name, weights = f"{node.output[0]}:coefficients", np.array(given.get("coefficients", []), dtype=float)
        vector = self._input(node, 0).atom
        if vector is None or self._shape(node.input[0], node)[-1] != weights.size:
            raise UnknownError(f"{describe(node)} has {weights.size} coefficients, which its input does not fit")
        self.constants[name] = weights
        return _dot_of(vector, Atom("constant", name), weights.size).plus(
            number(float(sum(given.get("intercepts", [0.0]))))
        )


def _dot_of(one: Atom, other: Atom, length: int) -> Polynomial:
    first, second = sorted((one, other), key=lambda atom: atom.key)
    return single(Atom("dot", length=length, of=(first, second)))


def _positive(of: Polynomial) -> Polynomial:
    return single(Atom("positive", of=of))

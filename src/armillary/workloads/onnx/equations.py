"""The equation of an Einsum: its indices, their sizes, and the order of products that takes the least work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from armillary.workloads.onnx.facts import ClashError, Partial

Index = str
"""A letter; `...1` is the last axis that an ellipsis stands for, `...2` the one before."""

_MOST_ORDERED = 6
"""Operands of which every order of products is tried; of more, the cheapest pair goes first."""
_MOST_COMPARED = 24
"""Operands of which all pairs are compared; of more, those on the left go first."""


@dataclass(frozen=True)
class Equation:
    """An equation with the sizes of its indices.

    Attributes:
        terms: the indices of each operand along which it has more than one element, each once.
        output: the indices of the result.
        sizes: of each index; None where nobody knows.
    """

    terms: tuple[tuple[Index, ...], ...]
    output: tuple[Index, ...]
    sizes: Mapping[Index, int | None]


@dataclass(frozen=True)
class Product:
    """One product of two operands, or of results of earlier ones, which are numbered behind the operands."""

    left: int
    right: int
    left_indices: frozenset[Index]
    right_indices: frozenset[Index]
    result: frozenset[Index]


def read_equation(text: str, shapes: Sequence[Partial]) -> Equation:
    """Return an equation for operands of these shapes.

    Raises:
        ClashError: if an index has two sizes, none of them 1.
        ValueError: if the text is no equation for such operands.
    """
    written, arrow, wanted = text.replace(" ", "").partition("->")
    terms = written.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"equation {text!r} for {len(shapes)} operands")
    axes = [_indices(term, len(shape), text) for term, shape in zip(terms, shapes, strict=True)]
    sizes = _sizes(axes, shapes)
    ellipsis = sorted({index for term in axes for index in term if index.startswith(".")}, reverse=True)
    output = _output(wanted, ellipsis, sizes, text) if arrow else _implicit(axes, ellipsis)
    kept = tuple(
        tuple(dict.fromkeys(i for i, size in zip(term, shape, strict=True) if size != 1 or sizes[i] == 1))
        for term, shape in zip(axes, shapes, strict=True)
    )
    return Equation(kept, output, sizes)


def output_shape(text: str, shapes: Sequence[Partial | None]) -> Partial | None:
    """Return the shape of the result, None if the rank of an operand decides it and is unknown."""
    if any(shape is None for shape in shapes):
        _, arrow, wanted = text.replace(" ", "").partition("->")
        return (None,) * len(wanted) if arrow and "." not in wanted else None
    equation = read_equation(text, [shape for shape in shapes if shape is not None])
    return tuple(equation.sizes[index] for index in equation.output)


def _indices(term: str, rank: int, text: str) -> list[Index]:
    """Return the index of every axis of an operand."""
    before, dots, after = term.partition("...")
    hidden = rank - len(before) - len(after)
    if not all(letter.isalpha() for letter in before + after) or hidden < 0 or (hidden and not dots):
        raise ValueError(f"equation {text!r}: the term {term!r} for {rank} axes")
    return [*before, *(f"...{hidden - number:02}" for number in range(hidden)), *after]


def _sizes(axes: Sequence[Sequence[Index]], shapes: Sequence[Partial]) -> dict[Index, int | None]:
    sizes: dict[Index, int | None] = {}
    first: dict[Index, tuple[int, int]] = {}
    for operand, (term, shape) in enumerate(zip(axes, shapes, strict=True)):
        for axis, (index, size) in enumerate(zip(term, shape, strict=True)):
            known = sizes.setdefault(index, size)
            if size is None or size == 1:
                continue
            if known in (None, 1):
                sizes[index], first[index] = size, (operand, axis)
            elif known != size:
                other, other_axis = first.get(index, (operand, axis))
                raise ClashError(other, operand, (other_axis, axis), (known or 0, size))
            else:
                first.setdefault(index, (operand, axis))
    return sizes


def _output(wanted: str, ellipsis: Sequence[Index], sizes: Mapping[Index, int | None], text: str) -> tuple[Index, ...]:
    before, dots, after = wanted.partition("...")
    output = (*before, *(ellipsis if dots else ()), *after)
    if len(set(output)) != len(output) or any(index not in sizes for index in output):
        raise ValueError(f"equation {text!r}: the result {wanted!r}")
    return output


def _implicit(axes: Sequence[Sequence[Index]], ellipsis: Sequence[Index]) -> tuple[Index, ...]:
    """Return what stands for the result where none is written: the ellipsis, then all letters that appear once."""
    every = [index for term in axes for index in term if not index.startswith(".")]
    return (*ellipsis, *sorted(index for index in set(every) if every.count(index) == 1))


def products(equation: Equation, constants: Set[int] = frozenset()) -> list[Product]:
    """Return the products of two operands each that take the least multiplications, in order.

    Indices that only one operand has and the result has not are summed in it beforehand. Of up to six operands every
    order is tried, of equal ones the first from left to right is taken; of more, the cheapest pair goes first. Two
    operands that are constants are multiplied with each other only where nothing else is left.
    """
    sizes = {index: size or 0 for index, size in equation.sizes.items()}
    given = [frozenset(term) for term in equation.terms]
    output = frozenset(equation.output)
    elsewhere = [output.union(*given[:number], *given[number + 1 :]) for number in range(len(given))]
    live = {number: term & elsewhere[number] for number, term in enumerate(given)}
    search = _Search(output, sizes)
    if len(live) > _MOST_ORDERED:
        return search.greedy(live, frozenset(constants))
    return search.best(live, frozenset(constants), len(live))[1]


@dataclass(frozen=True)
class _Search:
    """A search for the order of products that takes the least work.

    Attributes:
        output: the indices of the result.
        sizes: of each index.
    """

    output: frozenset[Index]
    sizes: Mapping[Index, int]

    def best(
        self, live: Mapping[int, frozenset[Index]], constants: frozenset[int], number: int
    ) -> tuple[int, list[Product]]:
        """Return the least work of combining what is left, and the products; results are numbered from `number` on."""
        best: tuple[int, list[Product]] | None = None
        for product in self._pairs(live, constants):
            rest = {key: term for key, term in live.items() if key not in (product.left, product.right)}
            work, later = self.best({**rest, number: product.result}, _joined(constants, product, number), number + 1)
            work += self._work(product)
            if best is None or work < best[0]:
                best = work, [product, *later]
        return best or (0, [])

    def greedy(self, live: dict[int, frozenset[Index]], constants: frozenset[int]) -> list[Product]:
        """Return the products where the cheapest goes first."""
        found = []
        number = len(live)
        while len(live) > 1:
            if len(live) > _MOST_COMPARED:
                product = self._pair(live, *list(live)[:2])
            else:
                product = min(self._pairs(live, constants), key=self._work)
            found.append(product)
            del live[product.left], live[product.right]
            live[number] = product.result
            constants = _joined(constants, product, number)
            number += 1
        return found

    def _work(self, product: Product) -> int:
        return math.prod(self.sizes[index] for index in product.left_indices | product.right_indices)

    def _pairs(self, live: Mapping[int, frozenset[Index]], constants: frozenset[int]) -> list[Product]:
        pairs = [self._pair(live, a, b) for a, b in combinations(live, 2)]
        mixed = [pair for pair in pairs if not {pair.left, pair.right} <= constants]
        return mixed or pairs

    def _pair(self, live: Mapping[int, frozenset[Index]], a: int, b: int) -> Product:
        others = self.output.union(*(term for number, term in live.items() if number not in (a, b)))
        return Product(a, b, live[a], live[b], (live[a] | live[b]) & others)


def _joined(constants: frozenset[int], product: Product, number: int) -> frozenset[int]:
    """Return the constants with the result of a product if that is one."""
    return constants | {number} if {product.left, product.right} <= constants else constants

"""Einsum beside numpy: shapes, and the work of the cheapest order of products."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload
from armillary.workloads.onnx.equations import output_shape, products, read_equation

Import = Callable[..., Workload]


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk", [[3, 4], [4, 5]]), ("ba", [[3, 4]]), ("ii", [[3, 3]]), ("ii->i", [[3, 3]]),
        ("...ij->...ji", [[2, 5, 3, 4]]), ("...i,i...->...", [[2, 3, 4], [4, 2, 3]]), ("...ij,jk", [[2, 3, 4], [4, 5]]),
        ("bij,bjk->bik", [[4, 3, 2], [1, 2, 5]]), ("i,j,k->kji", [[2], [3], [4]]), (" a b , b -> a ", [[2, 3], [3]]),
        ("i...->...", [[2, 3, 4]]), ("ij->", [[3, 4]]),
    ],
)  # fmt: skip
def test_the_result_has_numpys_shape(equation: str, shapes: list[list[int]]) -> None:
    expected = np.einsum(equation, *(floats(*shape) for shape in shapes)).shape
    assert output_shape(equation, [tuple(shape) for shape in shapes]) == expected


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    sizes = {letter: draw(st.integers(2, 5)) for letter in "abcdef"}
    terms = [
        draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
        for _ in range(draw(st.integers(2, 4)))
    ]
    letters = sorted({letter for term in terms for letter in term})
    output = draw(st.lists(st.sampled_from(letters), unique=True, max_size=4))
    text = ",".join("".join(term) for term in terms) + "->" + "".join(output)
    return text, [tuple(sizes[letter] for letter in term) for term in terms]


@settings(max_examples=80, deadline=None)
@given(case=equations())
def test_no_order_that_numpy_finds_takes_less_work(case: tuple[str, list[tuple[int, ...]]]) -> None:
    text, shapes = case
    equation = read_equation(text, shapes)
    work = sum(math.prod(equation.sizes[i] or 0 for i in p.left_indices | p.right_indices) for p in products(equation))
    path = np.einsum_path(text, *(floats(*shape) for shape in shapes), optimize="optimal")[0]
    terms = [frozenset(term) for term in text.partition("->")[0].split(",")]
    output = frozenset(text.partition("->")[2])
    theirs = 0
    for step in path[1:]:
        chosen = [terms[position] for position in step]
        terms = [term for position, term in enumerate(terms) if position not in step]
        joined = frozenset().union(*chosen)
        if len(chosen) == 2:
            theirs += math.prod(equation.sizes[index] or 0 for index in joined)
        else:
            theirs = -1
            break
        terms.append(joined & output.union(*terms))
    assert theirs == -1 or work <= theirs


@pytest.mark.parametrize(
    ("equation", "constants", "macs", "parameters"),
    [
        ("bi,ij,jk->bk", {"b": (32, 64), "c": (64, 16)}, 4 * 32 * 64 + 4 * 64 * 16, 32 * 64 + 64 * 16),
        (
            "bi,ij,jk,kl->bl",
            {"b": (32, 8), "c": (8, 64), "d": (64, 2)},
            4 * (32 * 8 + 8 * 64 + 64 * 2),
            256 + 512 + 128,
        ),
        ("bi,ij->b", {"b": (32, 7)}, 4 * 32, 32),
    ],
)
def test_products_in_one_node_are_layers_of_their_own(
    equation: str, constants: dict[str, tuple[int, ...]], macs: int, parameters: int, imported: Import
) -> None:
    node = helper.make_node("Einsum", ["a", *constants], ["y"], equation=equation)
    workload = imported([node], {"a": [4, 32]}, {name: floats(*shape) for name, shape in constants.items()})
    assert workload.macs == macs
    if parameters != 32:
        assert workload.parameters == parameters


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij,jk->iz", r"Einsum node 'y' cannot be read: equation 'ij,jk->iz': the result 'iz'"),
        ("ij->i", r"equation 'ij->i' for 2 operands"),
        ("ijk,jk->i", r"the term 'ijk' for 2 axes"),
        (
            "ij,ij->i",
            r"tensors 'a' \[3, 4\] and 'b' \[4, 5\] do not fit: axis 0 of the one asks for 3, axis 0 of the other",
        ),
    ],
)
def test_an_equation_that_does_not_fit_is_refused(equation: str, message: str, imported: Import) -> None:
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)
    with pytest.raises(ArmillaryError, match=message):
        imported([node], {"a": [3, 4], "b": [4, 5]})


@pytest.mark.parametrize("operands", [10, 40, 300])
def test_many_operands_end(operands: int, imported: Import) -> None:
    node = helper.make_node("Einsum", ["a"] * operands, ["y"], equation=",".join(["ij"] * operands) + "->i")
    assert imported([node], {"a": [3, 4]}).macs == 3 * 4

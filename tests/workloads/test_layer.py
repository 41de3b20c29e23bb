from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.workloads.layer import Layer, LayerUse, Workload, merge

small = st.integers(1, 5)


@st.composite
def uses(draw: st.DrawFn) -> LayerUse:
    groups = draw(st.integers(1, 3))
    taps = draw(st.sampled_from([1, 4]))
    layer = Layer(
        draw(st.text(max_size=3)), "conv", N=draw(small), K=groups * taps * draw(small), C=groups * draw(small),
        P=draw(small), R=draw(small), groups=groups, bias=draw(st.booleans()), dynamic=draw(st.booleans()),
        outputs_per_bias=taps,
    )  # fmt: skip
    count = draw(small)
    sets = draw(st.integers(1, count))
    return LayerUse(layer, count, sets, draw(st.integers(0, sets)))


@given(st.lists(uses(), min_size=1, max_size=8))
def test_merging_keeps_macs_parameters_and_operators(drawn: list[LayerUse]) -> None:
    apart, merged = Workload("w", tuple(drawn)), Workload("w", merge(drawn * 2))
    assert merged.macs == 2 * apart.macs
    assert merged.parameters == 2 * apart.parameters
    assert merged.count("conv") == 2 * apart.count("conv")
    assert len({use.layer for use in merged.layers}) == len(merged.layers)


def test_merging_keeps_the_order_and_name_of_the_first() -> None:
    a, b = Layer("first", "gemm", K=2), Layer("other", "gemm", K=3)
    merged = merge([LayerUse(a), LayerUse(b), LayerUse(Layer("again", "gemm", K=2))])
    assert [use.layer.name for use in merged] == ["first", "other"]
    assert merged[0].count == 2


def test_steps_of_a_recurrent_layer_are_one_operator_with_one_weight_set() -> None:
    workload = Workload("w", (LayerUse(Layer("step", "gemm", K=8, C=4, bias=True), count=10),))
    assert (workload.macs, workload.parameters, workload.count("gemm")) == (320, 40, 1)


def test_shared_weights_are_learned_once_and_still_are_operators() -> None:
    head = Layer("head", "conv", K=4, C=4, P=8, Q=8)
    smaller = Layer("head", "conv", K=4, C=4, P=4, Q=4)
    workload = Workload("w", (LayerUse(head), LayerUse(smaller, shared_sets=1)))
    assert (workload.parameters, workload.count("conv")) == (16, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"P": 0}, r"P=0 is not allowed"),
        ({"K": 3, "groups": 2}, r"groups=2 must divide K=3"),
        ({"kind": "pool"}, r"kind='pool' is not allowed"),
        ({"K": 3, "outputs_per_bias": 2}, r"outputs_per_bias=2 must divide K=3"),
    ],
)
def test_an_impossible_layer_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layer(**{"name": "x", "kind": "conv", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [(1, 2, 0), (2, 1, 2), (1, 0, 0), (1, 1, -1)])
def test_impossible_weight_sets_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        LayerUse(Layer("x", "gemm"), *numbers)

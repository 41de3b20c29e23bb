"""Which loops two layers that follow each other can share."""

import pytest

from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.pairs import LayerPair, UnfusableError, shared_loops


def loops(producer, consumer):
    return [(loop.producer, loop.consumer, loop.bound, loop.overlap) for loop in shared_loops(producer, consumer)]


def test_attention_shares_heads_queries_and_keys():
    scores = Layer("scores", "gemm", K=8 * 20, C=8 * 4, P=10, groups=8, dynamic=True)
    values = Layer("values", "gemm", K=8 * 4, C=8 * 20, P=10, groups=8, dynamic=True)
    assert loops(scores, values) == [("G", "G", 8, 0), ("K", "C", 20, 0), ("P", "P", 10, 0)]


def test_channels_of_a_depthwise_layer_are_its_groups():
    wide = Layer("pw", "conv", K=12, C=3, P=8, Q=8)
    deep = Layer("dw", "depthwise", K=12, C=12, P=8, Q=8, R=3, S=3, groups=12)
    narrow = Layer("pw", "conv", K=5, C=12, P=8, Q=8)
    assert loops(wide, deep) == [("K", "G", 12, 0), ("P", "P", 8, 2), ("Q", "Q", 8, 2)]
    assert loops(deep, narrow) == [("G", "C", 12, 0), ("P", "P", 8, 0), ("Q", "Q", 8, 0)]


def test_groups_that_cut_the_channels_differently_share_rows_only():
    first = Layer("a", "conv", K=12, C=4, P=8, groups=2)
    second = Layer("b", "conv", K=12, C=12, P=8, groups=3)
    assert loops(first, second) == [("P", "P", 8, 0)]


@pytest.mark.parametrize(("rows", "fits"), [(13, False), (14, True), (15, True), (16, True), (17, True), (18, False)])
def test_a_consumer_may_pad_the_intermediate_and_leave_its_last_rows(rows, fits):
    first = Layer("a", "conv", K=4, P=rows)
    second = Layer("b", "conv", K=4, C=4, P=8, R=2, stride_h=2)  # reads 16 rows, padding included
    if fits:
        assert loops(first, second) == [("K", "C", 4, 0), ("P", "P", 8, 0)]
    else:
        with pytest.raises(UnfusableError, match=f"puts out P={rows}, b reads 16"):
            shared_loops(first, second)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"N": 2}, "N=1 of a is not N=2 of b"), ({"C": 8}, "a puts out 4 channels, b reads 8")],
)
def test_sizes_that_do_not_fit_are_named(change, said):
    with pytest.raises(UnfusableError, match=said):
        shared_loops(Layer("a", "gemm", K=4, P=3), Layer("b", "gemm", **{"K": 2, "C": 4, "P": 3, **change}))


def test_a_pair_of_a_workload_names_two_of_its_layers():
    uses = (LayerUse(Layer("a", "gemm", K=4, P=3)), LayerUse(Layer("b", "gemm", K=2, C=4, P=3)))
    assert Workload("net", uses, pairs=(LayerPair(0, 1),)).pairs[0].count == 1
    with pytest.raises(ValueError, match="pair 0 is of layer 2; the workload has 2"):
        Workload("net", uses, pairs=(LayerPair(0, 2),))
    with pytest.raises(ValueError, match="count is 1 or more"):
        LayerPair(0, 1, count=0)

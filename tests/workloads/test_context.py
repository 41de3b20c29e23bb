from __future__ import annotations

from armillary.workloads import zoo
from armillary.workloads.context import INSTRUCTION_BYTES, context_of
from armillary.workloads.layer import Layer, LayerUse, Workload


def test_context_counts_operators_bytes_and_operations() -> None:
    workload = Workload(
        "w",
        (
            LayerUse(Layer("c", "conv", K=1024, C=512), count=2, weight_sets=2),
            LayerUse(Layer("d", "depthwise", K=4, C=4, groups=4)),
            LayerUse(Layer("g", "gemm", K=1, C=1), count=5),
        ),
    )
    context = context_of(workload)
    assert (context.conv_ops, context.depthwise_ops, context.feed_forward_ops) == (2, 1, 1)
    assert context.parameter_mb == (2**20 + 4 + 1) / 2**20
    assert context.compute_ops == 2 * (2**20 + 4 + 5)
    assert context.instruction_bytes == 3 * INSTRUCTION_BYTES["conv"] + INSTRUCTION_BYTES["gemm"]
    assert context.vector().tolist() == list(context.as_dict().values())


def test_a_users_own_numbers_stand_for_the_layers():
    workload = Workload("asr", (), numbers={"macs": 1.2e9, "parameters_mb": 3.0})
    context = context_of(workload)
    assert (context.name, context.as_dict()) == ("asr", {"macs": 1.2e9, "parameters_mb": 3.0})
    assert context.vector().tolist() == [1.2e9, 3.0]


def test_a_name_alone_is_a_context_without_features():
    context = context_of(Workload("asr", (), numbers={}))
    assert (context.name, context.as_dict(), context.vector().shape) == ("asr", {}, (0,))


def test_the_name_is_no_feature():
    context = context_of(zoo.build("mobilenet_v2"))
    assert context.name == "mobilenet_v2"
    assert "name" not in context.as_dict()

from __future__ import annotations

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

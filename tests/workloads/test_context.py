from __future__ import annotations

from dataclasses import replace

import pytest

from armillary.workloads import zoo
from armillary.workloads.context import (
    INSTRUCTION_BYTES,
    INSTRUCTION_BYTES_PER_CHANNEL,
    context_of,
    issued_instruction_bytes,
    operator_instruction_bytes,
)
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
    operators = 2 * INSTRUCTION_BYTES["conv"] + INSTRUCTION_BYTES["gemm"]
    channels = 2 * 1024 * INSTRUCTION_BYTES_PER_CHANNEL["conv"] + 4 * INSTRUCTION_BYTES_PER_CHANNEL["depthwise"]
    assert context.instruction_bytes == operators + channels
    assert issued_instruction_bytes(workload) == operators + channels + 4 * INSTRUCTION_BYTES["gemm"]
    assert context.vector().tolist() == list(context.as_dict().values())


PUBLISHED_PROGRAMS = {  # PRIME Table 2
    "mobilenet_edgetpu": 476_736,
    "mobilenet_v2": 416_032,
    "mobilenet_v3_large": 1_331_360,
    "m4_like": 317_600,
    "m5_like": 328_672,
    "m6_like": 369_952,
    "unet": 224_992,
    "t_rnn_dec": 915_008,
    "t_rnn_enc": 909_696,
}


@pytest.mark.parametrize("name", PUBLISHED_PROGRAMS)
def test_a_published_size_of_program_stands_for_the_estimate_which_is_within_a_sixth(name):
    workload = zoo.build(name)
    estimate = sum(use.weight_sets * operator_instruction_bytes(use.layer) for use in workload.layers)
    assert context_of(workload).instruction_bytes == PUBLISHED_PROGRAMS[name]
    assert issued_instruction_bytes(workload) == PUBLISHED_PROGRAMS[name]
    assert estimate == pytest.approx(PUBLISHED_PROGRAMS[name], rel=0.17)
    assert estimate == pytest.approx(context_of(replace(workload, program_bytes=None)).instruction_bytes)


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

"""The zoo beside the figures that others published."""

from __future__ import annotations

from pathlib import Path

import pytest

from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from armillary.workloads.onnx.importer import import_onnx

# PRIME (Kumar et al., ICLR 2022), Table 2: convolutions, depthwise ones, feed-forward operators,
# parameter MB, compute operations.
PRIME_TABLE_2 = {
    "mobilenet_edgetpu": ((45, 13, 1), 3.87, 1_989_811_168),
    "mobilenet_v2": ((35, 17, 1), 3.31, 609_353_376),
    "mobilenet_v3_large": ((32, 15, 17), 5.20, 449_219_600),
    "m4_like": ((32, 13, 2), 6.23, 3_471_920_128),
    "m5_like": ((47, 27, 0), 2.16, 939_752_960),
    "m6_like": ((53, 33, 2), 0.41, 228_146_848),
    "unet": ((35, 0, 0), 3.69, 13_707_214_848),
    "t_rnn_dec": ((0, 0, 19), 19.0, 40_116_224),
    "t_rnn_enc": ((0, 0, 18), 21.62, 45_621_248),
}
# The one figure out of 27 that the public architecture does not meet; its docstring says why.
UNMET_OPERATIONS = {"mobilenet_v3_large": 433_182_080}


@pytest.mark.parametrize("name", PRIME_TABLE_2)
def test_prime_operator_counts_are_met_exactly(name: str) -> None:
    context = context_of(zoo.build(name))
    assert (context.conv_ops, context.depthwise_ops, context.feed_forward_ops) == PRIME_TABLE_2[name][0]


@pytest.mark.parametrize("name", PRIME_TABLE_2)
def test_prime_parameters_are_met(name: str) -> None:
    assert context_of(zoo.build(name)).parameter_mb == pytest.approx(PRIME_TABLE_2[name][1], rel=0.02)


@pytest.mark.parametrize("name", sorted(set(PRIME_TABLE_2) - set(UNMET_OPERATIONS)))
def test_prime_operations_are_met(name: str) -> None:
    assert context_of(zoo.build(name)).compute_ops == pytest.approx(PRIME_TABLE_2[name][2], rel=0.02)


def test_prime_operations_of_mobilenet_v3_are_more_than_its_macs() -> None:
    ours, published = context_of(zoo.build("mobilenet_v3_large")).compute_ops, PRIME_TABLE_2["mobilenet_v3_large"][2]
    assert ours == UNMET_OPERATIONS["mobilenet_v3_large"]
    assert ours / published == pytest.approx(0.964, abs=0.001)
    # Twice the multiply-adds that its authors state (Howard et al. 2019: 219 million).
    assert ours == pytest.approx(2 * 219e6, rel=0.02)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_edgetpu"])
def test_prime_megabytes_are_powers_of_two_and_weights_alone(name: str) -> None:
    """With 1,001 classes the weights without biases give the published figure to its last digit."""
    workload = zoo.build(name)
    weights = sum(use.weight_sets * use.layer.weights for use in workload.layers)
    if name == "mobilenet_v2":
        weights += 1280
    assert round(weights / 2**20, 2) == PRIME_TABLE_2[name][1]


# Parameters as torchvision counts its models (batch normalisation included, mnasnet1_0), torch
# nn.Transformer(), and BERT base without embeddings; the MACs commonly quoted for them.
@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("vgg16", 15_470_264_320, 138_357_544),
        ("resnet18", 1_814_073_344, 11_689_512),
        ("resnet50", 4_089_184_256, 25_557_032),
        ("mobilenet_v2", 300_774_272, 3_504_872),
        ("mnasnet", 314_415_872, 4_383_312),
        ("bert", None, 85_645_056),
        ("transformer", None, 44_140_544),
    ],
)
def test_public_figures_are_met(name: str, macs: int | None, parameters: int) -> None:
    workload = zoo.build(name)
    assert macs is None or workload.macs == macs
    assert workload.parameters == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize(("name", "file"), [("resnet18", "resnet18.onnx"), ("mobilenet_v2", "mobilenetv2.onnx")])
def test_the_zoo_agrees_with_exported_files_layer_by_layer(name: str, file: str, shared_onnx: Path) -> None:
    def counted(workload: object) -> dict[object, int]:
        return {use.layer: use.count for use in workload.layers}  # type: ignore[attr-defined]

    assert counted(zoo.build(name)) == counted(import_onnx(shared_onnx / file))


def test_retinanet_has_the_parameters_of_torchvision_where_they_agree() -> None:
    """torchvision's 34,014,999: 91 classes, P6 from P5 instead of C5, no bias in the backbone."""
    classes = 9 * (91 - 80) * (9 * 256 + 1)
    p6 = 9 * 256 * (256 - 2048)
    backbone = sum(u.weight_sets * u.layer.K for u in zoo.build("resnet50").layers if u.layer.kind == "conv")
    assert zoo.build("retinanet").parameters + classes + p6 - backbone == 34_014_999


def test_shapes_that_dosa_takes_from_retinanet_and_bert() -> None:
    """Hong et al. 2023: their RetinaNet runs at 28 x 28 on its largest scale, their BERT at 128 tokens."""
    heads = {(u.layer.K, u.layer.P): u for u in zoo.build("retinanet").layers if u.layer.K in (720, 36)}
    assert {p for k, p in heads if k == 720} == {28, 14, 7, 4, 2}
    assert sum(use.weight_sets - use.shared_sets for use in heads.values()) == 2
    rows = {(u.layer.C // u.layer.groups, u.layer.K // u.layer.groups, u.layer.P): u for u in zoo.build("bert").layers}
    assert {(768, 768, 128), (64, 128, 128), (128, 64, 128), (768, 3072, 128), (3072, 768, 128)} <= set(rows)
    assert rows[64, 128, 128].layer.dynamic


def test_spotlight_evaluates_these_transformer_shapes() -> None:
    rows = {(u.layer.C // u.layer.groups, u.layer.K // u.layer.groups): u for u in zoo.build("transformer").layers}
    assert all(use.layer.P == 128 for use in rows.values())
    assert set(rows) == {(512, 512), (64, 128), (128, 64), (512, 2048), (2048, 512)}
    assert rows[64, 128].count == rows[128, 64].count == 18


@pytest.mark.parametrize("name", zoo.names())
def test_every_workload_is_named_merged_and_repeatable(name: str) -> None:
    workload = zoo.build(name)
    assert workload.name == name
    assert workload == zoo.build(name)
    assert len({use.layer for use in workload.layers}) == len(workload.layers)
    assert all(row.count > 0 and row.bytes_moved > 0 for row in workload.not_mapped)


def test_the_zoo_has_what_the_papers_evaluate() -> None:
    assert set(zoo.names()) >= {
        "mobilenet_edgetpu", "mobilenet_v2", "mobilenet_v3_large", "unet", "t_rnn_enc", "t_rnn_dec", "m4_like",
        "m5_like", "m6_like", "vgg16", "resnet18", "resnet50", "mnasnet", "transformer", "retinanet", "bert",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bertt", r"unknown workload 'bertt'; did you mean bert\?"),
        ("xyz", r"unknown workload 'xyz'; choose one of bert"),
    ],
)
def test_an_unknown_name_is_refused_with_near_matches(name: str, message: str) -> None:
    with pytest.raises(ArmillaryError, match=message):
        zoo.build(name)

"""Object detectors: RetinaNet, and three of ours in the place of PRIME's proprietary M4, M5 and M6.

The three have the operator counts of PRIME Table 2 exactly and its parameters and operations within
1%. Their layers are ours: what the originals look like is not public.
"""

from __future__ import annotations

from collections.abc import Sequence

from armillary.workloads.layer import Workload
from armillary.workloads.zoo.classifiers import inverted_residual, resnet50_stages, rounded, squeeze_excite
from armillary.workloads.zoo.net import Net

Shape = tuple[int, int, int]


def m4_like() -> Workload:
    """Return a detector on a MobileNetV1-like backbone: 384 x 384 input, 20 classes and background.

    13 separable blocks, a gate on the last (its two fully connected layers), four strided pairs of
    full convolutions, and full 3x3 predictors of three boxes per place on five scales: the last of
    stride 16 and the four pairs.

    Source: ours, after Howard et al. 2017 and Liu et al. 2016 (SSD). Published for M4: (32, 13, 2),
    6.23 MB, 3,471,920,128 operations.
    """
    net = Net(3, 384).conv(32, 3, 2)
    scales: list[Shape] = []
    for outputs, repeats, stride in ((64, 1, 1), (128, 2, 2), (256, 2, 2), (448, 6, 2), (1024, 2, 2)):
        scales = [net.shape]
        for i in range(repeats):
            net.depthwise(3, stride if i == 0 else 1).conv(outputs, 1)
    squeeze_excite(net, net.channels // 4)
    for outputs in (448, 256, 256, 256):
        scales.append(net.conv(outputs // 2, 1).conv(outputs, 3, 2).shape)
    for scale in scales:
        for values in _box_values(anchors=3, classes=21):
            net.at(scale).conv(values, 3)
    return net.workload("m4_like", program_bytes=317_600)


def m5_like() -> Workload:
    """Return a detector on MobileNetV2 0.75: 300 x 300 input, the 90 classes of COCO and background.

    Separable predictors of four boxes per place on four scales: the last of stride 16, the last of
    stride 32 and two beyond.

    Source: ours, after Sandler et al. 2018 (SSDLite). Published for M5: (47, 27, 0), 2.16 MB,
    939,752,960 operations.
    """
    net = Net(3, 300)
    scales = _mobilenet_v2_scales(net, width=0.75, unwidened=1, last=1280)[-2:]
    scales += _separable_extras(net, (256, 128))
    _separable_predictors(net, scales, anchors=4, classes=91)
    return net.workload("m5_like", program_bytes=328_672)


def m6_like() -> Workload:
    """Return a small detector on MobileNetV2 0.3: 352 x 352 input, 20 classes and background.

    The first two blocks widen nothing, a gate follows the last (its two fully connected layers), and
    separable predictors of six boxes per place look at six scales.

    Source: ours, after Sandler et al. 2018 (SSDLite). Published for M6: (53, 33, 2), 0.41 MB,
    228,146,848 operations.
    """
    net = Net(3, 352)
    scales = _mobilenet_v2_scales(net, width=0.3, unwidened=2, last=None)[-2:]
    squeeze_excite(net, rounded(net.channels / 4))
    scales += _separable_extras(net, (256, 128, 128, 64))
    _separable_predictors(net, scales, anchors=6, classes=21)
    return net.workload("m6_like", program_bytes=369_952)


def retinanet() -> Workload:
    """Return RetinaNet on ResNet-50 at 224 x 224, 80 classes.

    The size is the one at which DOSA and Starlight take its layers; they leave the backbone out,
    here it is in. The heads have the same weights on all five scales.

    Source: Lin et al. 2017 (RetinaNet; feature pyramid).
    """
    net = Net(3, 224)
    stages = resnet50_stages(net)[1:]
    pyramid: list[Shape] = []
    for stage in reversed(stages):
        net.at(stage).conv(256, 1)
        if pyramid:
            net.residual()
        if stage is not stages[0]:
            net.upsample().at((256, *stage[1:]))
        pyramid.insert(0, net.conv(256, 3).shape)
    pyramid.append(net.at(stages[-1]).conv(256, 3, 2).shape)
    pyramid.append(net.conv(256, 3, 2).shape)
    for values in _box_values(anchors=9, classes=80):
        for scale in pyramid:
            net.at(scale)
            for outputs in (256, 256, 256, 256, values):
                net.conv(outputs, 3, shared=scale is not pyramid[0])
    return net.workload("retinanet")


def _box_values(anchors: int, classes: int) -> tuple[int, int]:
    """Return the values per place of the two predictors: class scores and box corners."""
    return anchors * classes, anchors * 4


def _mobilenet_v2_scales(net: Net, width: float, unwidened: int, last: int | None) -> list[Shape]:
    """Draw MobileNetV2 up to its average and return the last shape of every scale.

    The first `unwidened` blocks have no expansion; `last` is the width of the closing 1x1
    convolution, None to leave it out.
    """
    net.conv(rounded(32 * width), 3, 2)
    scales: list[Shape] = []
    blocks = 0
    for outputs, repeats, stride in (
        (16, 1, 1),
        (24, 2, 2),
        (32, 3, 2),
        (64, 4, 2),
        (96, 3, 1),
        (160, 3, 2),
        (320, 1, 1),
    ):
        if stride == 2:
            scales.append(net.shape)
        for i in range(repeats):
            widen = 1 if blocks < unwidened else 6
            inverted_residual(net, rounded(outputs * width), widen * net.channels, 3, stride if i == 0 else 1)
            blocks += 1
    if last is not None:
        net.conv(last, 1)
    return [*scales, net.shape]


def _separable_extras(net: Net, widths: Sequence[int]) -> list[Shape]:
    """Draw one scale beyond the backbone per width: squeeze, halve height and width, widen."""
    return [net.conv(width // 2, 1).depthwise(3, 2).conv(width, 1).shape for width in widths]


def _separable_predictors(net: Net, scales: Sequence[Shape], anchors: int, classes: int) -> None:
    for scale in scales:
        for values in _box_values(anchors, classes):
            net.at(scale).depthwise(3).conv(values, 1)

"""Image segmentation: a U-Net of ours that meets the figures published for PRIME's."""

from __future__ import annotations

from armillary.workloads.layer import Workload
from armillary.workloads.zoo.net import Net


def unet() -> Workload:
    """Return a residual U-Net: 256 x 256 input, one output channel, five halvings.

    A 3x3 stem, six blocks down, five up (nearest-neighbour resize, then join with the block of
    that size on the way down), a 1x1 output: 35 convolutions. Each block has two 3x3 filters and a
    1x1 shortcut. The widths are chosen to meet PRIME Table 2 (35, 0, 0), 3.69 MB and
    13,707,214,848 operations within 1%; the paper does not give its own.

    Source: ours, after Ronneberger et al. 2015 and the residual blocks of He et al. 2016.
    """
    widths = (24, 48, 96, 96, 192, 256)
    net = Net(3, 256).conv(widths[0], 3)
    skips = []
    for width in widths[:-1]:
        _block(net, width)
        skips.append(net.shape)
        net.pool(2)
    _block(net, widths[-1])
    for skip in reversed(skips):
        net.upsample().concat(skip[0])
        _block(net, skip[0])
    return net.conv(1, 1).workload("unet", program_bytes=224_992)


def _block(net: Net, outputs: int) -> None:
    before = net.shape
    net.conv(outputs, 3).conv(outputs, 3).at(before).conv(outputs, 1).residual()

"""The denoising U-Net of latent diffusion: Stable Diffusion 1."""

from __future__ import annotations

from armillary.workloads.layer import Workload
from armillary.workloads.zoo.net import Net

_WIDTHS = (320, 640, 1280, 1280)
_HEADS, _TEXT, _TEXT_WIDTH, _TIME = 8, 77, 768, 1280


def diffusion_unet(batch: int = 1) -> Workload:
    """Return one step of the U-Net of Stable Diffusion 1: latents of 4 x 64 x 64, a text of 77 tokens of width 768.

    Four levels of two residual blocks down and three up; on the first three, a transformer behind each: attention to
    all places, to the text, and a gated feed-forward network. The time comes in by one matrix per residual block.

    Source: Rombach et al. 2022, and the configuration that they published for text-to-image.
    """
    net = Net(_WIDTHS[0], 1)
    net.at((_WIDTHS[0], batch, 1)).dense(_TIME, rows=batch).dense(_TIME, rows=batch)
    net.at((4, 64, 64)).conv2d(_WIDTHS[0], 3, batch=batch)
    skips = [net.shape]
    for level, width in enumerate(_WIDTHS):
        for _ in range(2):
            _residual(net, width, batch)
            if level < 3:
                _transformer(net, batch)
            skips.append(net.shape)
        if level < 3:
            skips.append(net.conv2d(width, 3, 2, batch=batch).shape)
    _residual(net, _WIDTHS[-1], batch)
    _transformer(net, batch)
    _residual(net, _WIDTHS[-1], batch)
    for level, width in reversed(list(enumerate(_WIDTHS))):
        for _ in range(3):
            net.concat(skips.pop()[0])
            _residual(net, width, batch)
            if level < 3:
                _transformer(net, batch)
        if level:
            net.upsample().conv2d(width, 3, batch=batch)
    net.beside("GroupNormalization", 2 * batch * net.size)
    return net.conv2d(4, 3, batch=batch).workload("diffusion_unet")


def _residual(net: Net, outputs: int, batch: int) -> None:
    """Draw a residual block: two filters, the time between them, and a 1x1 shortcut where the width changes."""
    before = net.shape
    net.beside("GroupNormalization", 2 * batch * net.size).conv2d(outputs, 3, batch=batch)
    after = net.shape
    net.at((_TIME, batch, 1)).dense(outputs, rows=batch)
    net.at(after).beside("GroupNormalization", 2 * batch * net.size).conv2d(outputs, 3, batch=batch)
    if before[0] != outputs:
        net.at(before).conv2d(outputs, 1, batch=batch)
    net.residual()


def _transformer(net: Net, batch: int) -> None:
    """Draw a transformer among the places of an image, between two 1x1 filters."""
    image = net.shape
    width, places = image[0], image[1] * image[2]
    stream = (width, batch * places, 1)
    net.beside("GroupNormalization", 2 * batch * net.size).conv2d(width, 1, batch=batch)
    for tokens, source in ((places, width), (_TEXT, _TEXT_WIDTH)):
        net.at(stream).dense(width, rows=batch * places, bias=False)
        for _ in ("key", "value"):
            net.at((source, batch * tokens, 1)).dense(width, rows=batch * tokens, bias=False)
        net.batched_gemm(batch * _HEADS, places, width // _HEADS, tokens).beside("Softmax", 2 * net.size)
        net.batched_gemm(batch * _HEADS, places, tokens, width // _HEADS)
        net.at(stream).dense(width, rows=batch * places).residual()
    net.dense(8 * width, rows=batch * places).beside("GEGLU", 3 * net.size // 2)
    net.at((4 * width, batch * places, 1)).dense(width, rows=batch * places).residual()
    net.at(image).conv2d(width, 1, batch=batch).residual()

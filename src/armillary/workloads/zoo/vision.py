"""Vision transformers: ViT-B/16 and an encoder like that of SAM."""

from __future__ import annotations

from armillary.workloads.layer import Workload
from armillary.workloads.zoo.net import Net

_WIDTH, _HEADS, _BLOCKS = 768, 12, 12


def vit_b(batch: int = 1) -> Workload:
    """Return ViT-B/16 on 224 x 224: 196 patches and the class token through 12 blocks of width 768.

    Source: Dosovitskiy et al. 2021, Table 1.
    """
    tokens = 14 * 14 + 1
    net = Net(3, 224).patches(_WIDTH, 16, batch=batch)
    net.beside("Concat", 2 * batch * tokens * _WIDTH)
    for _ in range(_BLOCKS):
        _attention(net, batch, tokens)
        _feed_forward(net, batch * tokens)
    return net.at((_WIDTH, batch, 1)).dense(1000, rows=batch).workload("vit_b")


def sam_vit_b(batch: int = 1) -> Workload:
    """Return an image encoder like SAM's ViT-B on 1024 x 1024: 64 x 64 patches, 12 blocks, a neck to 256 channels.

    Eight blocks attend within windows of 14 x 14, of which 5 x 5 cover the padded patches; blocks 3, 6, 9 and 12 attend
    to all. Positions along rows and columns add two products of queries with learned tables to the scores.

    Source: Kirillov et al. 2023; Li et al. 2022 (ViTDet).
    """
    side, window = 64, 14
    across = -(-side // window)
    net = Net(3, 1024).patches(_WIDTH, 16, batch=batch)
    for block in range(1, _BLOCKS + 1):
        everywhere = block % 3 == 0
        size, groups = (side, batch) if everywhere else (window, batch * across**2)
        _attention(net, groups, size * size, positions=size)
        _feed_forward(net, batch * side * side)
    net.at((_WIDTH, side, side)).conv2d(256, 1, batch=batch, bias=False).conv2d(256, 3, batch=batch, bias=False)
    return net.workload("sam_vit_b")


def _attention(net: Net, batch: int, tokens: int, positions: int = 0) -> None:
    """Draw attention among the tokens of each group, with tables of relative positions of so many places an axis."""
    stream = (_WIDTH, batch * tokens, 1)
    head = _WIDTH // _HEADS
    net.at(stream).beside("LayerNormalization", 2 * net.size)
    net.dense(3 * _WIDTH, rows=batch * tokens)
    net.batched_gemm(batch * _HEADS, tokens, head, tokens)
    if positions:
        for _ in ("rows", "columns"):
            net.shared_gemm(positions, batch * _HEADS * positions, head, positions)
        net.beside("Add", 3 * batch * _HEADS * tokens * tokens)
    net.beside("Softmax", 2 * batch * _HEADS * tokens * tokens)
    net.batched_gemm(batch * _HEADS, tokens, tokens, head)
    net.at(stream).dense(_WIDTH, rows=batch * tokens).residual()


def _feed_forward(net: Net, rows: int) -> None:
    net.at((_WIDTH, rows, 1)).beside("LayerNormalization", 2 * net.size)
    net.dense(4 * _WIDTH, rows=rows).beside("Gelu", 2 * net.size).dense(_WIDTH, rows=rows).residual()

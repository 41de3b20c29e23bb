"""The layers and networks that mapping searches are measured on."""

from __future__ import annotations

from armillary.workloads.layer import Layer, LayerUse, Workload

PRIME = ("vit_qk", "vit_av", "gemm_17", "vocabulary", "conformer")
"""Layers with bounds that have a large prime factor, which no divisor spreads well over an array."""


def layers() -> dict[str, Layer]:
    """Return the layers by name."""
    every = (
        Layer("resnet_conv1", "conv", K=64, C=3, P=112, Q=112, R=7, S=7, stride_h=2, stride_w=2),
        Layer("resnet_3x3", "conv", K=64, C=64, P=56, Q=56, R=3, S=3),
        Layer("resnet_1x1", "conv", K=256, C=64, P=56, Q=56),
        Layer("mobilenet_dw", "depthwise", K=32, C=32, P=112, Q=112, R=3, S=3, groups=32),
        Layer("gemm_1024", "gemm", K=1024, C=1024, P=1024),
        Layer("gemv_4096", "gemm", K=4096, C=4096),
        _batched("qk_1024", heads=12, rows=1024, inner=64, columns=1024),
        _batched("vit_qk", heads=12, rows=197, inner=64, columns=197),
        _batched("vit_av", heads=12, rows=197, inner=197, columns=64),
        Layer("gemm_17", "gemm", K=1000, C=509, P=17),
        Layer("vocabulary", "gemm", K=50257, C=768),
        Layer("conformer", "depthwise", K=512, C=512, P=400, R=31, groups=512),
        Layer("dilated_3x3", "conv", K=256, C=256, P=28, Q=28, R=3, S=3, dilation_h=2, dilation_w=2),
        Layer("llama_q", "gemm", K=4096, C=4096, P=128),
        Layer("llama_up", "gemm", K=11008, C=4096, P=128),
    )
    return {layer.name: layer for layer in every}


def llama_block(tokens: int = 128) -> Workload:
    """Return one of the 32 blocks of Llama 7B: attention of 32 heads of 128, and a gated feed-forward of 11,008.

    Source: Touvron et al. 2023, "LLaMA", table 2.
    """
    width, inner, heads = 4096, 11008, 32
    uses = (
        LayerUse(Layer("q, k, v, o", "gemm", K=width, C=width, P=tokens), 4, 4),
        *_attention(heads, width, tokens),
        LayerUse(Layer("gate, up", "gemm", K=inner, C=width, P=tokens), 2, 2),
        LayerUse(Layer("down", "gemm", K=width, C=inner, P=tokens)),
    )
    return Workload("llama_7b_block", uses)


def vit_encoder(tokens: int = 197) -> Workload:
    """Return the encoder of ViT-B/16: 12 layers of width 768 with 12 heads, feed-forward width 3,072.

    An image of 224 x 224 is 196 patches and one class token: 197, a prime.

    Source: Dosovitskiy et al. 2021, table 1.
    """
    width, inner, heads, depth = 768, 3072, 12, 12
    uses = (
        LayerUse(Layer("q, k, v, o", "gemm", K=width, C=width, P=tokens), 4 * depth, 4 * depth),
        *(LayerUse(use.layer, depth, depth) for use in _attention(heads, width, tokens)),
        LayerUse(Layer("mlp up", "gemm", K=inner, C=width, P=tokens), depth, depth),
        LayerUse(Layer("mlp down", "gemm", K=width, C=inner, P=tokens), depth, depth),
    )
    return Workload(f"vit_b16_{tokens}", uses)


def _attention(heads: int, width: int, tokens: int) -> tuple[LayerUse, LayerUse]:
    inner = width // heads
    return (
        LayerUse(_batched("q k^t", heads=heads, rows=tokens, inner=inner, columns=tokens)),
        LayerUse(_batched("a v", heads=heads, rows=tokens, inner=tokens, columns=inner)),
    )


def _batched(name: str, *, heads: int, rows: int, inner: int, columns: int) -> Layer:
    """Return one product per head, rows x inner by inner x columns."""
    return Layer(name, "gemm", K=heads * columns, C=heads * inner, P=rows, groups=heads, dynamic=True)

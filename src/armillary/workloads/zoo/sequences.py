"""Speech and language: the streaming recurrent transducer of PRIME, Transformer, BERT and Conformer."""

from __future__ import annotations

from armillary.workloads.layer import Workload
from armillary.workloads.zoo.net import Net

CELL, PROJECTED = 2048, 640
GATES = ("input", "forget", "cell", "output")


def t_rnn_enc() -> Workload:
    """Return one time step of a two-layer encoder: 512 features in, 640 out.

    Source: ours, after He et al. 2019 (streaming transducer; LSTM layers of 2,048 cells projected
    to 640). Their encoder is deeper; published for PRIME's are (0, 0, 18), 21.62 MB and 45,621,248
    operations, twice its parameters: one step of two such layers, met within 2%.
    """
    net = Net(512, 1)
    for _ in range(2):
        _projected_lstm_step(net)
    return net.workload("t_rnn_enc", program_bytes=909_696)


def t_rnn_dec() -> Workload:
    """Return one time step of a two-layer decoder: embedding of 128 in, scores of 1,024 pieces out.

    Source: ours, after He et al. 2019; the embedding itself is a look-up. Published for PRIME's are
    (0, 0, 19), 19 MB and 40,116,224 operations: one step of two layers and one matrix, met within
    1% (operations within 0.1%).
    """
    net = Net(128, 1).beside("Gather", 2 * 128)
    for _ in range(2):
        _projected_lstm_step(net)
    return net.dense(1024).workload("t_rnn_dec", program_bytes=915_008)


def transformer() -> Workload:
    """Return the base Transformer on 128 tokens in and out: 6 encoder and 6 decoder layers.

    Eight heads of 64, feed-forward width 2,048. As in Spotlight, whose sequence length this is, the
    last matrix is 512 x 512: the scores over a vocabulary are left out.

    Source: Vaswani et al. 2017, Table 3.
    """
    net = Net(512, 128)
    for decodes in (False, True):
        for _ in range(6):
            _attention(net, rows=128, heads=8)
            if decodes:
                _attention(net, rows=128, heads=8)
            _feed_forward(net, rows=128, inner=2048)
    return net.dense(512, rows=128).workload("transformer")


def bert() -> Workload:
    """Return BERT base on 128 tokens, the length at which DOSA and Starlight take its layers.

    12 layers of width 768 with 12 heads, feed-forward width 3,072, and the pooler on the first
    token. The embeddings are look-ups.

    Source: Devlin et al. 2019.
    """
    net = Net(768, 128)
    net.beside("Gather", 2 * net.size)
    for _ in range(12):
        _attention(net, rows=128, heads=12)
        _feed_forward(net, rows=128, inner=3072)
    return net.at((768, 1, 1)).dense(768).workload("bert")


def conformer_s(batch: int = 1) -> Workload:
    """Return the encoder of Conformer S on 10 s of speech: 16 blocks of width 144 with 4 heads on 250 tokens.

    Two convolutions of stride 2 read 1,000 frames of 80 mel bands. A block has half a feed-forward network of width
    576, attention with relative positions, a gated depthwise convolution of 32 taps and another half of a feed-forward
    network. The positions are those of 499 distances, projected by each block.

    Source: Gulati et al. 2020, Table 1 (10.3 million parameters with the decoder, which is left out here).
    """
    width, heads, frames, bands = 144, 4, 1000, 80
    net = Net(1, frames, bands)
    for _ in range(2):
        net.conv2d(width, 3, 2, batch=batch).beside("Relu", 2 * batch * net.size)
    tokens = net.height
    net.at((width * net.width, batch * tokens, 1)).dense(width, rows=batch * tokens)
    for _ in range(16):
        _half_feed_forward(net, batch * tokens)
        _relative_attention(net, batch, tokens, heads)
        _gated_convolution(net, batch, tokens, taps=32)
        _half_feed_forward(net, batch * tokens)
        net.beside("LayerNormalization", 2 * net.size)
    return net.workload("conformer_s")


def _half_feed_forward(net: Net, rows: int) -> None:
    """Draw a feed-forward network of four times the width whose halved output is added."""
    width = net.channels
    net.beside("LayerNormalization", 2 * net.size).dense(4 * width, rows=rows).beside("Swish", 2 * net.size)
    net.dense(width, rows=rows).residual()


def _relative_attention(net: Net, batch: int, tokens: int, heads: int) -> None:
    """Draw attention whose scores are the sum of products with the keys and with the projected relative positions.

    Source: Dai et al. 2019 (Transformer-XL), Section 3.3.
    """
    width, rows, distances = net.channels, batch * tokens, 2 * tokens - 1
    net.beside("LayerNormalization", 2 * net.size)
    for _ in ("query", "key", "value"):
        net.at((width, rows, 1)).dense(width, rows=rows)
    net.at((width, distances, 1)).dense(width, rows=distances, bias=False)
    net.batched_gemm(batch * heads, tokens, width // heads, distances)
    net.batched_gemm(batch * heads, tokens, width // heads, tokens).beside("Add", 3 * net.size)
    net.beside("Softmax", 2 * net.size)
    net.batched_gemm(batch * heads, tokens, tokens, width // heads)
    net.at((width, rows, 1)).dense(width, rows=rows).residual()


def _gated_convolution(net: Net, batch: int, tokens: int, taps: int) -> None:
    """Draw the convolution module: a gated linear unit, a depthwise convolution along time, and a projection."""
    width, rows = net.channels, batch * tokens
    net.beside("LayerNormalization", 2 * net.size).dense(2 * width, rows=rows).beside("Glu", 3 * net.size // 2)
    net.at((width, tokens, 1)).depthwise1d(taps, batch=batch)
    net.at((width, rows, 1)).beside("Swish", 2 * net.size).dense(width, rows=rows).residual()


def _projected_lstm_step(net: Net) -> None:
    """Draw one step of an LSTM layer with projection: nine matrix-vector products.

    Each gate has one matrix for the input and one for the projected state of the step before.
    """
    inputs = net.shape
    for _ in GATES:
        net.at(inputs).dense(CELL)
        net.at((PROJECTED, 1, 1)).dense(CELL, bias=False)
    net.beside("LSTMCell", (2 * len(GATES) + 3) * CELL)
    net.at((CELL, 1, 1)).dense(PROJECTED, bias=False)


def _attention(net: Net, rows: int, heads: int) -> None:
    """Draw multi-head attention between `rows` queries and as many keys, with its residual sum."""
    width = net.channels
    for _ in ("query", "key", "value"):
        net.at((width, rows, 1)).dense(width, rows=rows)
    net.batched_gemm(heads, rows, width // heads, rows).beside("Softmax", 2 * net.size)
    net.batched_gemm(heads, rows, rows, width // heads).dense(width, rows=rows)
    net.residual().beside("LayerNormalization", 2 * net.size)


def _feed_forward(net: Net, rows: int, inner: int) -> None:
    """Draw the two matrices of a layer and its residual sum."""
    width = net.channels
    net.dense(inner, rows=rows).dense(width, rows=rows)
    net.residual().beside("LayerNormalization", 2 * net.size)

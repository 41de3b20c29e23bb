"""Speech and language: the streaming recurrent transducer of PRIME, Transformer and BERT."""

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

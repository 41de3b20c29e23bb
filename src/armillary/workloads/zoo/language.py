"""Language and speech models of today, with a cache of keys and values: `seq` tokens behind `past` ones.

MACs are those of every matrix product, attention without its causal half left out, as dense hardware computes it.
Embeddings are look-ups. A decoder's scores over the vocabulary are taken for the last token of each sequence alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from armillary.workloads.experts import loads
from armillary.workloads.layer import Workload
from armillary.workloads.zoo.net import Net


@dataclass(frozen=True)
class _Block:
    """A block of a decoder.

    Attributes:
        width: of the residual stream.
        heads: of queries.
        shared: heads of keys and values.
        inner: width of the feed-forward network.
        gated: whether that has three matrices, not two.
        bias: whether its matrices have biases.
        experts: of which each token takes `chosen`; 1 for a plain feed-forward network.
        chosen: experts that each token takes.
    """

    width: int
    heads: int
    shared: int
    inner: int
    gated: bool = True
    bias: bool = False
    experts: int = 1
    chosen: int = 1


def gpt2(batch: int = 1, seq: int = 1024, past: int = 0) -> Workload:
    """Return GPT-2 small: 12 blocks of width 768 with 12 heads; its scores reuse the embedding of 50,257 tokens.

    Source: Radford et al. 2019.
    """
    net = Net(768, batch * seq).beside("Gather", 2 * 2 * batch * seq * 768)
    _decoder(net, _Block(768, 12, 12, 3072, gated=False, bias=True), 12, batch, seq, past)
    return net.at((768, batch, 1)).dense(50257, rows=batch, bias=False).workload("gpt2")


def llama3_8b(batch: int = 1, seq: int = 2048, past: int = 0) -> Workload:
    """Return Llama 3 8B: 32 blocks of width 4,096, 32 heads that share 8 of keys and values, 128,256 tokens.

    Source: Dubey et al. 2024, Table 3.
    """
    net = Net(4096, batch * seq).beside("Gather", 2 * batch * seq * 4096)
    _decoder(net, _Block(4096, 32, 8, 14336), 32, batch, seq, past)
    return net.at((4096, batch, 1)).dense(128256, rows=batch, bias=False).workload("llama3_8b")


def llama3_8b_block(batch: int = 1, seq: int = 2048, past: int = 0) -> Workload:
    """Return one of the 32 blocks of Llama 3 8B."""
    net = Net(4096, batch * seq)
    _decoder(net, _Block(4096, 32, 8, 14336), 1, batch, seq, past)
    return net.workload("llama3_8b_block")


def mixtral_block(batch: int = 1, seq: int = 2048, past: int = 0) -> Workload:
    """Return one of the 32 blocks of Mixtral 8x7B: each token takes two of eight experts.

    As many experts run as tokens that choose at random take in expectation; see `armillary.workloads.experts`.

    Source: Jiang et al. 2024, Table 1.
    """
    net = Net(4096, batch * seq)
    _decoder(net, _Block(4096, 32, 8, 14336, experts=8, chosen=2), 1, batch, seq, past)
    return net.workload("mixtral_block")


def whisper_base(batch: int = 1, seq: int = 1, past: int = 0) -> Workload:
    """Return Whisper base on 30 s of speech: the encoder, and the decoder's `seq` tokens behind `past`.

    80 channels of 3,000 frames, halved to 1,500; 6 + 6 blocks of width 512 with 8 heads; 51,865 tokens. Keys have no
    bias. The encoder and the keys and values of cross-attention run where the cache is empty.

    Source: Radford et al. 2022.
    """
    width, heads, frames = 512, 8, 1500
    net = Net(80, 2 * frames, 1)
    if past == 0:
        net.conv1d(width, 3, batch=batch).beside("Gelu", 2 * net.size)
        net.conv1d(width, 3, 2, batch=batch).beside("Gelu", 2 * net.size)
        for _ in range(6):
            _whisper_attention(net, width, heads, batch, frames, frames, keys=frames)
            _whisper_feed_forward(net, width, batch * frames)
    net.at((width, batch * seq, 1)).beside("Gather", 2 * 2 * batch * seq * width)
    for _ in range(6):
        _whisper_attention(net, width, heads, batch, seq, past + seq, keys=seq)
        _whisper_attention(net, width, heads, batch, seq, frames, keys=frames if past == 0 else 0)
        _whisper_feed_forward(net, width, batch * seq)
    return net.at((width, batch, 1)).dense(51865, rows=batch, bias=False).workload("whisper_base")


def _whisper_attention(net: Net, width: int, heads: int, batch: int, rows: int, length: int, keys: int) -> None:
    """Draw attention of `rows` queries to `length` keys, of which `keys` are computed here."""
    net.at((width, batch * rows, 1)).dense(width, rows=batch * rows)
    if keys:
        net.at((width, batch * keys, 1)).dense(width, rows=batch * keys, bias=False)
        net.at((width, batch * keys, 1)).dense(width, rows=batch * keys)
    net.batched_gemm(batch * heads, rows, width // heads, length).beside("Softmax", 2 * net.size)
    net.batched_gemm(batch * heads, rows, length, width // heads)
    net.at((width, batch * rows, 1)).dense(width, rows=batch * rows)
    net.residual().beside("LayerNormalization", 2 * net.size)


def _whisper_feed_forward(net: Net, width: int, rows: int) -> None:
    net.at((width, rows, 1)).dense(4 * width, rows=rows).beside("Gelu", 2 * net.size).dense(width, rows=rows)
    net.residual().beside("LayerNormalization", 2 * net.size)


def _decoder(net: Net, block: _Block, blocks: int, batch: int, seq: int, past: int) -> None:
    """Draw blocks of attention and feed-forward network."""
    for _ in range(blocks):
        _attention(net, block, batch, seq, past)
        _feed_forward(net, block, batch * seq)
    net.beside("Normalization", 2 * net.size)


def _attention(net: Net, block: _Block, batch: int, seq: int, past: int) -> None:
    """Draw attention whose query heads share heads of keys and values: rows of one group."""
    rows, head = batch * seq, block.width // block.heads
    stream = (block.width, rows, 1)
    net.beside("Normalization", 2 * net.size)
    for outputs in (block.width, block.shared * head, block.shared * head):
        net.at(stream).dense(outputs, rows=rows, bias=block.bias)
    net.beside("KVCache", 2 * 2 * batch * seq * block.shared * head)
    queries = seq * block.heads // block.shared
    net.batched_gemm(batch * block.shared, queries, head, past + seq).beside("Softmax", 2 * net.size)
    net.batched_gemm(batch * block.shared, queries, past + seq, head)
    net.at(stream).dense(block.width, rows=rows, bias=block.bias).residual()


def _feed_forward(net: Net, block: _Block, rows: int) -> None:
    """Draw the feed-forward network, or the experts that rows take and the router that chooses them."""
    stream = (block.width, rows, 1)
    net.beside("Normalization", 2 * net.size)
    if block.experts > 1:
        net.at(stream).dense(block.experts, rows=rows, bias=False).beside("TopK", 2 * net.size)
    for count, each in loads(rows, block.experts, block.chosen):
        for _ in range(count):
            for _ in range(2 if block.gated else 1):
                net.at((block.width, each, 1)).dense(block.inner, rows=each, bias=block.bias)
            net.beside("Gate" if block.gated else "Gelu", (3 if block.gated else 2) * net.size)
            net.dense(block.width, rows=each, bias=block.bias)
    net.at(stream).residual()

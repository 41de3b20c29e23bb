"""Decoders as ONNX files, as exporters write them: shapes alone, with weights in a file that is not there.

Open dimensions have the names that PyTorch and ONNX Runtime's builder give them, so that a file is run in any phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

_TOKENS, _PAST, _TOTAL = "sequence_length", "past_sequence_length", "total_sequence_length"
_FLOAT = TensorProto.FLOAT16
_VENDOR = "com.microsoft"


@dataclass(frozen=True)
class Decoder:
    """A language model.

    Attributes:
        name: of its file.
        blocks: of attention and a feed-forward network.
        width: of the residual stream.
        heads: of queries.
        shared: heads of keys and values.
        inner: width of the feed-forward network.
        vocabulary: tokens that are scored, 0 to leave the scores out.
        gated: whether the feed-forward network has three matrices and SiLU, or two and GELU with biases.
    """

    name: str
    blocks: int
    width: int
    heads: int
    shared: int
    inner: int
    vocabulary: int = 0
    gated: bool = True


GPT2 = Decoder("gpt2", 12, 768, 12, 12, 3072, 50257, gated=False)
"""Radford et al. 2019."""
LLAMA3_8B = Decoder("llama3_8b", 32, 4096, 32, 8, 14336, 128256)
"""Dubey et al. 2024, table 3."""
LLAMA_7B_BLOCK = Decoder("llama_7b_block", 1, 4096, 32, 32, 11008)
"""One of 32 blocks; Touvron et al. 2023, table 2."""


def write(decoder: Decoder, folder: Path) -> Path:
    """Write a decoder's file into a folder and return its path."""
    path = folder / f"{decoder.name}.onnx"
    onnx.save(_Graph(decoder).model(), str(path))
    return path


class _Graph:
    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def model(self) -> ModelProto:
        """Return the file."""
        d = self._decoder
        stream = "stream"
        self._inputs.append(_value(stream, ["batch_size", _TOKENS, d.width]))
        self._inputs.append(helper.make_tensor_value_info("seqlens", TensorProto.INT32, ["batch_size"]))
        self._inputs.append(helper.make_tensor_value_info("total", TensorProto.INT32, []))
        for number in range(d.blocks):
            stream = self._block(stream, f"block_{number}")
        if d.vocabulary:
            stream = self._scores(self._normalized(stream, "last"))
        self._outputs.append(_value(stream, ["batch_size", None, d.vocabulary or d.width]))
        graph = helper.make_graph(self._nodes, d.name, self._inputs, self._outputs, self._weights)
        versions = [helper.make_opsetid("", 20), helper.make_opsetid(_VENDOR, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=9)

    def _block(self, stream: str, name: str) -> str:
        d = self._decoder
        normal = self._normalized(stream, f"{name}_in")
        sizes = {"q": d.width, "k": d.shared * d.width // d.heads, "v": d.shared * d.width // d.heads}
        query, key, value = (self._dense(normal, f"{name}_{part}", d.width, size) for part, size in sizes.items())
        cache: list[int | str | None] = ["batch_size", d.shared, _PAST, d.width // d.heads]
        pasts = [f"past_key_values.{name}.{part}" for part in ("key", "value")]
        self._inputs += [_value(past, cache) for past in pasts]
        attended = self._node(
            "GroupQueryAttention", [query, key, value, *pasts, "seqlens", "total"], f"{name}_attention", domain=_VENDOR,
            outputs=3, num_heads=d.heads, kv_num_heads=d.shared,
        )  # fmt: skip
        mixed = self._node("Add", [stream, self._dense(attended, f"{name}_o", d.width, d.width)], f"{name}_mixed")
        return self._node("Add", [mixed, self._feed_forward(mixed, name)], f"{name}_out")

    def _feed_forward(self, mixed: str, name: str) -> str:
        d = self._decoder
        normal = self._normalized(mixed, f"{name}_mid")
        if not d.gated:
            hidden = self._node("Gelu", [self._dense(normal, f"{name}_up", d.width, d.inner)], f"{name}_gelu")
            return self._dense(hidden, f"{name}_down", d.inner, d.width)
        gate = self._dense(normal, f"{name}_gate", d.width, d.inner)
        opened = self._node("Mul", [gate, self._node("Sigmoid", [gate], f"{name}_sigmoid")], f"{name}_silu")
        up = self._dense(normal, f"{name}_up", d.width, d.inner)
        return self._dense(self._node("Mul", [opened, up], f"{name}_gated"), f"{name}_down", d.inner, d.width)

    def _scores(self, normal: str) -> str:
        """Return the scores of the last token of each sequence."""
        self._weights.append(helper.make_tensor("minus_one", TensorProto.INT64, [1], [-1]))
        last = self._node("Gather", [normal, "minus_one"], "last_token", axis=1)
        return self._dense(last, "scores", self._decoder.width, self._decoder.vocabulary, bias=False)

    def _normalized(self, stream: str, name: str) -> str:
        scale = self._weight(f"{name}_scale", [self._decoder.width])
        if self._decoder.gated:
            return self._node("SimplifiedLayerNormalization", [stream, scale], name, axis=-1)
        return self._node("LayerNormalization", [stream, scale], name, axis=-1)

    def _dense(self, stream: str, name: str, inputs: int, outputs: int, *, bias: bool = True) -> str:
        product = self._node("MatMul", [stream, self._weight(f"{name}_w", [inputs, outputs])], name)
        if self._decoder.gated or not bias:
            return product
        return self._node("Add", [product, self._weight(f"{name}_b", [outputs])], f"{name}_biased")

    def _node(
        self, kind: str, inputs: Sequence[str], name: str, *, domain: str = "", outputs: int = 1, **options: Any
    ) -> str:
        made = [name, *(f"{name}_{number}" for number in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, list(inputs), made, name=name, domain=domain, **options))
        return name

    def _weight(self, name: str, shape: Sequence[int]) -> str:
        tensor = TensorProto(name=name, data_type=_FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights.bin")
        self._weights.append(tensor)
        return name


def _value(name: str, shape: Sequence[int | str | None]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, _FLOAT, shape)

"""Prefill and decode of language models, of the zoo and of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads import load
from armillary.workloads.phases import Phase, dims_of_phase, phase_of

Sizes = Sequence[str | int]


def decoder(path: Path, names: dict[str, Sizes], past: str) -> Path:
    """Attention with a cache, its inputs as an exporter names them: tokens, mask, cache of keys."""
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Unsqueeze", ["q", "one"], ["k"]),
        helper.make_node("Concat", [past, "k"], ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["k", "t"], ["scores"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "ones"], ["mm"]),
        helper.make_node("Add", ["scores", "mm"], ["y"]),
    ]
    constants = {"embedding": np.ones((10, 8), np.float32), "w": np.ones((8, 8), np.float32), "one": np.array([1]),
                 "ones": np.array([1, 2])}  # fmt: skip
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT if name == past else TensorProto.INT64, shape)
        for name, shape in names.items()
    ]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    given = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "decoder", inputs, output, given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


EXPORTERS: list[tuple[dict[str, Sizes], str]] = [
    ({"input_ids": ["batch_size", "sequence_length"], "attention_mask": ["batch_size", "past_sequence_length + 1"],
      "past_key_values.0.key": ["batch_size", 1, "past_sequence_length", 8]}, "past_key_values.0.key"),
    ({"input_ids": ["batch_size", "sequence_length"], "attention_mask": ["batch_size", "total_sequence_length"],
      "past_key_0": ["batch_size", 1, "past_sequence_length", 8]}, "past_key_0"),
    ({"input_ids": ["batch", "seq"], "attention_mask": ["batch", "kv_len"],
      "cache_k": ["batch", 1, "kv_cache", 8]}, "cache_k"),
    ({"input_ids": ["?", "?"], "attention_mask": ["?", "?"], "past_k": ["?", 1, "?", 8]}, "past_k"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "past"), EXPORTERS)
@pytest.mark.parametrize(("phase", "seq", "cache", "batch"), [("prefill", 16, None, None), ("decode", None, 32, 4)])
def test_exports_of_every_kind_know_their_phases(
    names: dict[str, Sizes],
    past: str,
    phase: str,
    seq: int | None,
    cache: int | None,
    batch: int | None,
    tmp_path: Path,
) -> None:
    path = decoder(tmp_path / "decoder.onnx", names, past)
    dims = dims_of_phase(str(path), phase_of(phase, seq=seq, past=cache, batch=batch), {})
    rows, length, sequences = seq or 1, (seq or 1) + (cache or 0), batch or 1
    assert load(str(path), dims).macs == sequences * (rows * 64 + rows * length * 8)


def test_what_is_given_comes_before_a_phase(tmp_path: Path) -> None:
    path = decoder(tmp_path / "decoder.onnx", *EXPORTERS[0])
    dims = dims_of_phase(str(path), Phase("decode", 1, 5, 2), {"input_ids[0]": 7})
    assert (dims["input_ids[0]"], dims["attention_mask[0]"], dims["attention_mask[1]"]) == (7, 2, 6)


def test_models_of_the_zoo_have_phases() -> None:
    assert dims_of_phase("gpt2", Phase("decode", 1, 100, 8), {}) == {"batch": 8, "seq": 1, "past": 100}
    assert load("gpt2", {"seq": 4}).macs < load("gpt2", {"seq": 5}).macs


@pytest.mark.parametrize(
    ("name", "phase", "numbers", "message"),
    [
        ("gpt2", None, {"seq": 4}, "--seq says how large a phase is; give --phase prefill or decode, too"),
        ("gpt2", "train", {}, r"--phase 'train' is not allowed; choose one of \['prefill', 'decode'\]"),
        ("bert", "prefill", {"seq": 4}, r"workload 'bert' has no phases; its open dimensions are \[\]"),
    ],
)
def test_a_phase_that_is_none_is_refused(name: str, phase: str | None, numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ArmillaryError, match=message):
        dims_of_phase(name, phase_of(phase, **{"seq": None, "past": None, "batch": None, **numbers}), {})


def test_a_phase_has_a_length_where_nobody_says_one() -> None:
    assert phase_of("prefill", seq=None, past=None, batch=None) == Phase("prefill", 2048, 0, 1)
    assert phase_of("decode", seq=None, past=None, batch=4) == Phase("decode", 1, 2048, 4)
    assert phase_of("prefill", seq=3, past=None, batch=4).tokens == 12  # type: ignore[union-attr]


def test_a_size_of_the_zoo_is_given_once() -> None:
    with pytest.raises(ArmillaryError, match="--dim batch=2 sets what --phase sets; give --batch instead"):
        dims_of_phase("gpt2", Phase("decode", 1, 5, 4), {"batch": 2})


def test_a_dimension_that_the_zoo_has_not_is_refused() -> None:
    with pytest.raises(
        ArmillaryError, match=r"workload 'gpt2' has no open dimension 'tokens'; open are \['batch', 'past',"
    ):
        load("gpt2", {"tokens": 1})
    with pytest.raises(ArmillaryError, match="dimension seq=0 of 'gpt2' is not allowed"):
        load("gpt2", {"seq": 0})

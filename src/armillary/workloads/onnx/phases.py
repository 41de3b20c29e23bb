"""Which open dimensions of an exported language model are its batch, its tokens and its cache."""

from __future__ import annotations

from pathlib import Path

from armillary.types import ArmillaryError
from armillary.workloads.onnx.dimensions import open_dimensions
from armillary.workloads.onnx.reading import read

_CACHES = ("past", "cache", "kv")
_TOTALS = ("total", "+", "max", "mask", "kv_len", "context")


def sizes_of(path: Path, seq: int, past: int, batch: int) -> dict[str, int]:
    """Return sizes by `input[axis]` for the open dimensions that names of exporters tell.

    Those are the names that PyTorch, Optimum and ONNX Runtime's builder give: `batch_size`, `sequence_length`,
    `past_sequence_length`, `total_sequence_length` or `past_sequence_length + 1`, inputs `attention_mask` and
    `past_key_values.0.key` or `past_key_0`. A scalar input `use_cache_branch` says whether there is a cache.

    Raises:
        ArmillaryError: if none of them is there.
    """
    model = read(path)
    sizes = {"batch": batch, "seq": seq, "past": past, "total": seq + past}
    found: dict[str, int] = {}
    there = open_dimensions(model.graph)
    for (tensor, axis), symbol in there.items():
        kind = _kind(tensor.lower(), axis, symbol.lower())
        if kind:
            found[f"{tensor}[{axis}]"] = sizes[kind]
    if any(value.name == "use_cache_branch" for value in model.graph.input):
        found["use_cache_branch"] = int(past > 0)
    if not found:
        raise ArmillaryError(
            f"{path}: no dimension is known as batch, tokens or cache; open are "
            f"{[symbol or f'{tensor}[{axis}]' for (tensor, axis), symbol in there.items()]}; set them with --dim"
        )
    return found


def _kind(tensor: str, axis: int, symbol: str) -> str:
    """Return what a dimension is, empty if nothing tells."""
    cache = any(word in tensor for word in _CACHES)
    if "batch" in symbol or axis == 0:
        return "batch"
    if "encoder" in symbol or "encoder" in tensor:
        return ""
    if any(word in symbol for word in _TOTALS):
        return "total"
    if any(word in symbol for word in _CACHES):
        return "past"
    if "mask" in tensor:
        return "seq" if "seq" in symbol and axis == 2 else "total"
    if cache:
        return "past" if axis >= 2 else ""
    return "seq" if axis == 1 or "seq" in symbol or "len" in symbol or "token" in symbol else ""

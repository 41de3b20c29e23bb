"""Where sizes clash: which other sizes of the inputs would fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from onnx import ModelProto

from armillary.types import ArmillaryError
from armillary.workloads.onnx.dimensions import set_dimensions
from armillary.workloads.onnx.reading import read
from armillary.workloads.onnx.walk import Walk

_MOST_NODES = 20_000
_STEPS = (2, 4, 8, 16, 32, 64)


def what_would_fit(path: Path, dims: Mapping[str, int], operators: Mapping[str, str]) -> str | None:
    """Return what to say to somebody whose sizes do not fit: sizes that would, None where none are found.

    Tried are the next multiples of powers of two, since downsampling halves: of one size at first, then of all.
    """
    model = read(path) if dims else ModelProto()
    if not dims or len(model.graph.node) > _MOST_NODES:
        return None
    for tried in _candidates(dims):
        if _fits(model, tried, operators, str(path)):
            return f"it would fit with {shown({name: size for name, size in tried.items() if size != dims[name]})}"
    return None


def _candidates(dims: Mapping[str, int]) -> Iterator[dict[str, int]]:
    for step in _STEPS:
        for name, size in dims.items():
            if size % step or not size:
                yield {**dims, name: _next(size, step)}
    for step in _STEPS:
        yield {name: _next(size, step) for name, size in dims.items()}


def _next(size: int, step: int) -> int:
    """Return the next multiple of a number, at least itself."""
    return max(-(-size // step), 1) * step


def _fits(model: ModelProto, dims: Mapping[str, int], operators: Mapping[str, str], source: str) -> bool:
    tried = ModelProto()
    tried.CopyFrom(model)
    try:
        Walk(tried, source, set_dimensions(tried, dims, source), operators).run()
    except ArmillaryError:
        return False
    return True


def shown(dims: Mapping[str, int]) -> str:
    """Return sizes as options of the command line."""
    return " ".join(f"--dim {name}={size}" for name, size in dims.items())

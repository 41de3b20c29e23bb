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


def what_would_fit(path: Path, dims: Mapping[str, int], operators: Mapping[str, str]) -> str:
    """Return what to say to somebody whose sizes clash: sizes that would fit, where some are found.

    Tried are the next multiples of powers of two, since downsampling halves: of one size at first, then of all.
    """
    if not dims:
        return "no size is open, so that the model is invalid; export it again"
    model = read(path)
    if len(model.graph.node) > _MOST_NODES:
        return f"the sizes come from {_shown(dims)}; try others"
    for tried in _candidates(dims):
        if _fits(model, tried, operators, str(path)):
            changed = {name: size for name, size in tried.items() if size != dims[name]}
            return f"the sizes come from {_shown(dims)}; it would fit with {_shown(changed)}"
    return f"the sizes come from {_shown(dims)}; no multiple of a power of two near them fits"


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


def _shown(dims: Mapping[str, int]) -> str:
    return " ".join(f"--dim {name}={size}" for name, size in dims.items())

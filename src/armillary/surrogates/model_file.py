"""Model files: one format for every surrogate that can be kept, checked against the space on reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from armillary.metrics import METRICS
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Metric

FORMAT = "armillary model"
VERSION = 6
_MOST_FAULTS = 10  # that are told at once
_READABLE = (5, VERSION)  # 5 kept upper bounds of a metric to minimise alone


def save(
    target: str | Path | IO[bytes],
    kind: str,
    space: Space,
    problem: Problem,
    content: Mapping[str, Any],
    weights: Mapping[str, Tensor],
) -> None:
    """Write a model to a file, readable with `torch.load(path, weights_only=True)`.

    Args:
        target: where to.
        kind: which class reads it again.
        space: of the designs.
        problem: what was learned; its objective and bounds are kept.
        content: what the class needs besides the weights, as JSON can hold it.
        weights: tensors by name.
    """
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "space": space.name,
        "parameters": _parameters(space),
        "objective": vars(problem.objective),
        "bounds": [vars(bound) for bound in problem.bounds],
        "metrics": {name: problem.metrics[name].unit for name in _own(problem)},
        **content,
    }
    tensors = {name: w.detach().cpu().contiguous() for name, w in weights.items()}
    torch.save({"metadata": json.dumps(metadata), "weights": tensors}, target)


def read(path: Path, space: Space, kind: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a model file holds; its `problem` with the objective and bounds that were learned.

    Metrics of the problem's own have their units, but no rules.

    Args:
        path: of the file.
        space: that the model must be of.
        kind: that the model must be of; any, if left out.

    Raises:
        ArmillaryError: if the file is missing, no model of ours, or of another space, version or kind.
    """
    metadata, weights = _content(path)
    try:
        _Told.model_validate(metadata)
    except ValidationError as fault:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors()[:_MOST_FAULTS])
        raise ArmillaryError(f"{path} is no model file of ours: {told}") from None
    if metadata["version"] not in _READABLE:
        raise ArmillaryError(f"{path}: model file version {metadata['version']!r} is not {VERSION}; fit the model anew")
    if metadata["space"] != space.name:
        raise ArmillaryError(f"{path}: the model is of space {metadata['space']!r}, not of {space.name!r}")
    theirs, ours = metadata["parameters"], _parameters(space)
    if theirs == ours and list(theirs) != list(ours):
        raise ArmillaryError(f"{path}: the model was fitted when space {space.name!r} had another order; fit it anew")
    if theirs != ours:
        differ = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        raise ArmillaryError(
            f"{path}: the model was fitted when space {space.name!r} had other values of {differ}; fit it anew"
        )
    if kind not in (None, metadata["kind"]):
        raise ArmillaryError(f"{path}: holds a model of kind {metadata['kind']!r}, not {kind!r}")
    with reading(path):
        return {**metadata, "problem": _problem(metadata, space)}, weights


def kind_of(path: Path) -> str:
    """Return which class reads a model file again.

    Raises:
        ArmillaryError: if the file is missing, or no model of ours.
    """
    return str(_content(path)[0]["kind"])


def space_of(path: Path) -> str:
    """Return the name of the space that a model file is of.

    Raises:
        ArmillaryError: if the file is missing, or no model of ours.
    """
    return str(_content(path)[0]["space"])


class _Told(BaseModel):
    """What every model file tells, whatever its kind; the rest is its kind's, see `reading`."""

    model_config = ConfigDict(strict=True)

    version: int
    kind: str
    space: str
    parameters: dict[str, list[bool | int | float | str]]
    objective: dict[str, Any]
    bounds: list[dict[str, Any]] = []
    metrics: dict[str, str] = {}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever breaks while a kind takes a file's content into an error that names the file.

    Raises:
        ArmillaryError: what the block raises, or that the content is damaged.
    """
    try:
        yield
    except ArmillaryError as fault:
        if str(path) in str(fault):
            raise
        raise ArmillaryError(f"{path}: {fault}") from fault
    except Exception as fault:  # of wrong types anywhere in what a stranger's file holds
        why = (str(fault) or type(fault).__name__).splitlines()[0]
        raise ArmillaryError(
            f"{path}: the model file is damaged, or of another Armillary ({type(fault).__name__}: {why}); fit it anew"
        ) from fault


def _own(problem: Problem) -> list[str]:
    """Return the metrics of the objective and the bounds that are the problem's own."""
    asked = dict.fromkeys((problem.metric, *(bound.metric for bound in problem.bounds)))
    return [name for name in asked if name not in METRICS]


def _problem(metadata: Mapping[str, Any], space: Space) -> Problem:
    asked = metadata["objective"]
    if metadata["version"] < VERSION:
        return Problem.minimising(space, asked["metric"], asked["upper_bounds"])
    own = {name: Metric(unit) for name, unit in metadata["metrics"].items()}
    bounds = tuple(Bound(**bound) for bound in metadata["bounds"])
    return Problem(space, (Objective(**asked),), bounds, metrics={**METRICS, **own} if own else METRICS)


def _parameters(space: Space) -> dict[str, list[Any]]:
    return {p.name: list(p.values) for p in space.parameters}


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        metadata, weights = json.loads(content["metadata"]), content["weights"]
        if metadata["format"] not in (FORMAT, "armillary prime"):  # the second was that of version 1
            raise ValueError(f"its format is {metadata['format']!r}")
        if not all(isinstance(name, str) and isinstance(each, Tensor) for name, each in weights.items()):
            raise ValueError("its weights are no tensors by name")
        return metadata, weights
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: there is no such model file") from None
    except Exception as fault:  # torch.load has many ways to refuse a file
        raise ArmillaryError(
            f"{path} is no model file of ours: {(str(fault) or type(fault).__name__).splitlines()[0]}"
        ) from fault

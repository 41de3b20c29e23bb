"""Designs as YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design, Value
from armillary.yaml_file import read_yaml


def template_named(path: Path) -> str | None:
    """Return the template that a design's file names, as those that studies write do; None if it names none.

    Raises:
        ArmillaryError: if there is no such file, or it is no YAML.
    """
    content = read_yaml(path)
    named = content.get("template") if isinstance(content, dict) else None
    return named if isinstance(named, str) else None


def read_design(path: Path, space: Space, defaults: Mapping[str, Value] | None = None) -> Design:
    """Return the design of a YAML file: its parameters at the top, or under `design`; omitted ones by default.

    Raises:
        ArmillaryError: if there is no such file, it is no YAML mapping, or a value is not allowed.
    """
    content = read_yaml(path)
    values = content.get("design", content) if isinstance(content, dict) else content
    if not isinstance(values, dict):
        raise ArmillaryError(
            f"{path}: holds no design; write one line `parameter: value` for each of {list(space.names)}"
        )
    return space.design_from({**(defaults or {}), **values}, str(path))

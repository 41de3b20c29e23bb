"""Designs as YAML files."""

from __future__ import annotations

from pathlib import Path

from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design
from armillary.yaml_file import read_yaml


def read_design(path: Path, space: Space) -> Design:
    """Return the design of a YAML file: its parameters at the top, or under `design`.

    Raises:
        ArmillaryError: if there is no such file, it is no YAML mapping, or a value is not allowed.
    """
    content = read_yaml(path)
    values = content.get("design", content) if isinstance(content, dict) else content
    if not isinstance(values, dict):
        raise ArmillaryError(
            f"{path}: holds no design; write one line `parameter: value` for each of {list(space.names)}"
        )
    return space.design_from(values, str(path))

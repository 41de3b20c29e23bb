"""Designs as YAML files."""

from __future__ import annotations

from pathlib import Path

import yaml

from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design


def read_design(path: Path, space: Space) -> Design:
    """Return the design of a YAML file: its parameters at the top, or under `design`.

    Raises:
        ArmillaryError: if there is no such file, it is no YAML mapping, or a value is not allowed.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: no such file") from None
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ArmillaryError(f"{path}: is no YAML ({fault})") from fault
    values = content.get("design", content) if isinstance(content, dict) else content
    if not isinstance(values, dict):
        raise ArmillaryError(
            f"{path}: holds no design; write one line `parameter: value` for each of {list(space.names)}"
        )
    return space.design_from(values, str(path))

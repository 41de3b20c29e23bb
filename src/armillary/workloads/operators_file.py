"""What operators of others are, as a user's YAML file says."""

from __future__ import annotations

from pathlib import Path

from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml

SUFFIX = ".operators.yaml"
"""A file of this ending beside a model of the same name is read with it."""


def read_operators(path: Path) -> dict[str, str]:
    """Return what operators are, e.g. `{"com.acme.Foo": "elementwise"}`.

    Raises:
        ArmillaryError: if the file cannot be read, or holds something else.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(x, str) for pair in content.items() for x in pair):
        raise ArmillaryError(f"{path}: has to be lines of OPERATOR: KIND, e.g. com.acme.Foo: elementwise")
    return content


def beside(path: Path) -> dict[str, str]:
    """Return what the file beside a model says, nothing if there is none."""
    file = path.with_name(path.name.split(".")[0] + SUFFIX)
    return read_operators(file) if file.is_file() else {}

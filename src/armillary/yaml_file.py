"""YAML files that people write, read with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from armillary.types import ArmillaryError


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Return the content of a YAML file.

    Raises:
        ArmillaryError: if it cannot be read or is no YAML.
    """
    try:
        return yaml.load(path.read_text(), Loader=loader)
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: no such file") from None
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ArmillaryError(f"{path}: is no YAML: {' '.join(str(fault).split())}") from fault

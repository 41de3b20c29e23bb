"""Tools that come as Python packages."""

from __future__ import annotations

import functools
from importlib import metadata, util

from armillary.types import ArmillaryError


@functools.cache
def version_of(package: str, title: str, extra: str) -> str:
    """Return the version of a tool.

    Args:
        package: of the tool, and the module that it is imported as.
        title: the tool's name.
        extra: ours, that brings it.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    if util.find_spec(package) is None:
        raise ArmillaryError(f"{title} not found: pip install 'armillary[{extra}]' ({package})")
    return metadata.version(package)

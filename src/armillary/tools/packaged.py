"""Tools that come as Python packages."""

from __future__ import annotations

import functools
from importlib import metadata, util

from armillary.types import ArmillaryError


@functools.cache
def version_of(module: str, title: str, extra: str, *, package: str = "") -> str:
    """Return the version of a tool.

    Args:
        module: that it is imported as.
        title: the tool's name.
        extra: ours, that brings it.
        package: of the tool; that of the module's name if empty.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    if util.find_spec(module) is None:
        raise ArmillaryError(f"{title} not found: pip install 'armillary[{extra}]' ({package or module})")
    return metadata.version(package or module)

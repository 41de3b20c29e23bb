"""OSU018: Oklahoma State University's cell library of 180 nm, typical corner, read from where Debian installs it."""

from __future__ import annotations

from pathlib import Path

from armillary.types import ArmillaryError

TYPICAL = "OSU018, typical, 1.8 V, 25 C"
_FOLDER = Path("/usr/share/qflow/tech/osu018")


def liberty() -> Path:
    """Return the library's file of areas, functions and delays.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    return _installed("osu018_stdcells.lib")


def lef() -> tuple[Path, Path]:
    """Return the files of the technology's layers and of the cells' shapes, which are one.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    return _installed("osu018_stdcells.lef"), _installed("osu018_stdcells.lef")


def _installed(name: str) -> Path:
    path = _FOLDER / name
    if not path.is_file():
        raise ArmillaryError(f"the cell library OSU018 is not found ({path}): apt install qflow-tech-osu018")
    return path

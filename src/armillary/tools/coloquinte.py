"""Coloquinte: places standard cells in rows, around fixed macros and pins."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.packaged import version_of
from armillary.tools.process import run

_DRIVER = Path(__file__).with_name("coloquinte_driver.py")
_JOB, _PLACED = "job.json", "placed.json"


class PlacementError(Exception):
    """Coloquinte found no place for every cell; the message holds its last words."""


@dataclass(frozen=True)
class Box:
    """A cell, a macro or a pin to be placed; lengths in the job's unit.

    Attributes:
        width: of it.
        height: of it; cells have that of a row.
        x: of its lower left corner, where it is fixed or begins.
        y: likewise.
        fixed: whether it stays there.
        obstructs: whether nothing else may lie there.
        room: how many times its width it is given while cells are spread; it lies with its own width in the end.
    """

    width: int
    height: int
    x: int = 0
    y: int = 0
    fixed: bool = False
    obstructs: bool = True
    room: float = 1.0


@dataclass(frozen=True)
class Wiring:
    """A net: the boxes it joins, where in each of them its pin lies, and how much its length counts."""

    boxes: Sequence[int]
    right: Sequence[int]
    up: Sequence[int]
    weight: float = 1.0


@dataclass(frozen=True)
class Placed:
    """Where boxes lie: their lower left corners, their orientations as in DEF, and half the nets' perimeters."""

    x: list[int]
    y: list[int]
    orientation: list[str]
    hpwl: int


def version() -> str:
    """Return the version of Coloquinte.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    return version_of("coloquinte", "Coloquinte", "physical")


def place(
    boxes: Sequence[Box],
    nets: Sequence[Wiring],
    *,
    width: int,
    height: int,
    row: int,
    effort: int,
    seed: int,
    spread: float = 1.0,
    from_given: bool = False,
) -> Placed:
    """Return where boxes lie, none upon another.

    Args:
        boxes: to place.
        nets: between them.
        width: of the core, whose lower left corner is the origin.
        height: likewise, a multiple of `row`.
        row: height of a row.
        effort: 1 to 9.
        seed: of what is drawn.
        spread: part of the core that cells are taken to fill; the less, the denser they are packed.
        from_given: move cells only from where they begin to the next legal places, and improve these.

    Raises:
        ArmillaryError: if Coloquinte is missing.
        PlacementError: if it fails; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    version()
    with temporary_folder("placement") as folder:
        job = {
            "cells": [[b.width, b.height, b.x, b.y, int(b.fixed), int(b.obstructs), b.room] for b in boxes],
            "nets": [[list(net.boxes), list(net.right), list(net.up), net.weight] for net in nets],
            "width": width, "height": height, "row": row, "effort": effort, "seed": seed, "spread": spread,
            "from_given": from_given,
        }  # fmt: skip
        (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
        command = Command((sys.executable, "-I", str(_DRIVER), _JOB, _PLACED), folder=folder, inputs=(Path(_JOB),))
        ended = run(command, keep_failed=True)
        if not ended.ok:
            raise PlacementError(f"Coloquinte: {_last_line(ended.error_text) or ended.failure}{ended.kept}")
        return Placed(**json.loads((folder / _PLACED).read_text(encoding="utf-8")))


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")

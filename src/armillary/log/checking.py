"""Looking through a log: every fragment read whole, and what is none moved out of the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armillary.log.fragments import QUARANTINE_FOLDER, Fragments, Skipped
from armillary.log.store import Log


@dataclass(frozen=True)
class Checked:
    """What a table of a log holds.

    Attributes:
        table: its name.
        fragments: how many are whole.
        rows: in those.
        skipped: the other files, and why they are none.
        quarantined: whether these were moved into the folder `quarantine`.
    """

    table: str
    fragments: int
    rows: int
    skipped: tuple[Skipped, ...]
    quarantined: bool = False


def check(log: Log, *, quarantine: bool = False) -> list[Checked]:
    """Read every fragment of a log whole, checksums verified; what the index says of them does not count.

    Args:
        log: the log.
        quarantine: move what is no fragment into the folder `quarantine` beside the fragments.

    Raises:
        ArmillaryError: if the folder cannot be listed, or a file cannot be moved.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    return [_checked(table, quarantine) for table in (log.of_evaluations, log.of_layer_runs)]


def _checked(table: Fragments[Any], quarantine: bool) -> Checked:
    found, skipped = table.examined()
    moved = quarantine and bool(skipped)
    if moved:
        with table.folder.rewriting():
            for file in skipped:
                table.folder.move(file.name, QUARANTINE_FOLDER)
    return Checked(table.table.name, len(found), sum(fragment.rows for fragment in found), tuple(skipped), moved)

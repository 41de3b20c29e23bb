"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from armillary.types import ArmillaryError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a path to write to; once it is written, it takes the place of the file, with all of it on the disk.

    Raises:
        ArmillaryError: if it cannot be written; what was there before is intact.
    """
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be written ({fault.strerror or fault})") from fault
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def created(path: Path, content: str) -> None:
    """Create a file that is not there yet, whole at once.

    Raises:
        FileExistsError: if it is there already.
        ArmillaryError: if it cannot be written.
    """
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(content)
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be written ({fault.strerror or fault})") from fault
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)

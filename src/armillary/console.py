"""What the command line shows: tables and JSON on standard output, progress and faults on standard error."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

from armillary.types import AccidentError, ArmillaryError

_STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def stop(message: str, status: int) -> NoReturn:
    """End the process with a message."""
    print(message, file=sys.stderr)
    sys.exit(status)


def stop_for(fault: Exception) -> NoReturn:
    """End the process for a fault: 2 if the request was wrong, 1 if the work failed, e.g. on a full disk."""
    if isinstance(fault, ArmillaryError):
        cause = fault.__cause__
        stop(f"error: {fault}", 1 if isinstance(cause, OSError) and cause.errno in _STORAGE_FAULTS else 2)
    if isinstance(fault, AccidentError):
        stop(f"error: {fault}\nThe machine ended a program, so there is no result; run the same command again.", 1)
    show = getattr(fault, "show", None)
    if show is not None:  # Typer's own message about the request
        show()
        sys.exit(getattr(fault, "exit_code", 2))
    if isinstance(fault, OSError):
        where = f"{fault.filename}: " if fault.filename else ""
        stop(f"error: {where}{fault.strerror or fault}", 1)
    if isinstance(fault, MemoryError):
        stop(f"error: not enough memory; ask for less, e.g. fewer --samples ({fault})", 1)
    traceback.print_exception(fault)
    stop("error: this is a bug of Armillary; please report it with the lines above", 1)


def print_warning(message: str) -> None:
    """Tell something that the user should know before trusting the result."""
    print(f"warning: {message}", file=sys.stderr)


def print_result(content: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print the content as one JSON document, or show it.

    Raises:
        ArmillaryError: if standard output takes no more, e.g. because it is a file on a full disk.
    """
    try:
        if as_json:
            print(json.dumps(_finite(content), default=str))
        else:
            show()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, e.g. `head`, has enough
        raise
    except OSError as fault:
        raise ArmillaryError(f"standard output: cannot be written ({fault.strerror or fault})") from fault


def _finite(content: Any) -> Any:
    """Return the content with numbers that JSON does not know as null."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if hasattr(content, "item"):
        content = content.item()
    if isinstance(content, Decimal):  # what SQL sums up to
        content = int(content) if content == content.to_integral_value() else float(content)
    if isinstance(content, float) and (content != content or content in (float("inf"), float("-inf"))):
        return None
    return content


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of the same columns."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print("(no rows)")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(str(name), justify="left" if isinstance(rows[0][name], str) else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in rows[0]))
    # Cells are data: nothing in them is markup or an emoji.
    plain = partial(Console, markup=False, emoji=False, highlight=False)
    console = plain()
    needed = plain(width=10_000).measure(table).maximum
    # a terminal folds what is too wide; a file or a pipe gets whole lines
    plain(width=console.width if console.is_terminal else max(needed, 80)).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar per stage on standard error; a plain line per stage where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    tasks: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description:28}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
                if not console.is_terminal:
                    print(f"{stage} ...", file=sys.stderr, flush=True)
            bars.update(tasks[stage], completed=done, total=total)

        yield on_progress

"""What the command line shows: tables and JSON on standard output, progress bars on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def print_result(content: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print the content as one JSON document, or show it."""
    if as_json:
        print(json.dumps(_finite(content), default=str))
    else:
        show()


def _finite(content: Any) -> Any:
    """Return the content with numbers that JSON does not know as null."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if hasattr(content, "item"):
        content = content.item()
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
    console = Console()
    needed = Console(width=10_000).measure(table).maximum
    # a terminal folds what is too wide; a file or a pipe gets whole lines
    Console(width=console.width if console.is_terminal else max(needed, 80)).print(table)


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
        TextColumn("{task.description:28}"),
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

r"""What the command line shows: tables and JSON on standard output, progress and faults on standard error.

Names and texts come from files, maybe of strangers. What a terminal would act on is shown as an escape such as `\x1b`,
and what is too long is shortened in its middle: `tell`, tables and messages see to it, so nothing else prints.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import sys
import textwrap
import threading
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn

from armillary.types import AccidentError, ArmillaryError

LINE_EVERY_S = 30.0
"""How often a log file, and standard error where it is no terminal, are told how far a stage is."""

_MOST_COLUMNS, _LEAST_WIDTH = 20, 16
_LAID_OUT = 1000  # rows that decide how wide columns are
_MOST_LETTERS, _MOST_IN_CELL, _MOST_IN_NAME = 4000, 400, 60  # of a line, a cell, and a column's or a stage's name
_MOST_WARNINGS = 5  # of other modules that are told one by one
_SPREAD = {"W": 2, "F": 2}  # letters of East Asia
_STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_log = logging.getLogger("armillary")


@dataclass
class _Voice:
    """What standard error is told in this process.

    Attributes:
        quiet: errors alone.
        verbose: when stages end, too, and where an error came from.
        kept: what an interrupted command has kept, if anything is known to be.
    """

    quiet: bool = False
    verbose: bool = False
    kept: str = ""


_voice = _Voice()


def set_voice(*, quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """Set what standard error is told; a log file is told everything, with times.

    Raises:
        ArmillaryError: if the log file cannot be written, or both are asked for.
    """
    if quiet and verbose:
        raise ArmillaryError("--quiet and --verbose contradict each other; give one")
    _voice.quiet, _voice.verbose, _voice.kept = quiet, verbose, ""
    for handler in list(_log.handlers):
        _log.removeHandler(handler)
        handler.close()
    _log.propagate = False
    _log.setLevel(logging.INFO)
    _log.addHandler(_OfOthers())
    if log_file is not None:
        try:
            to_file = logging.FileHandler(log_file, encoding="utf-8")
        except OSError as fault:
            raise ArmillaryError(f"--log-file {log_file}: cannot be written ({fault.strerror or fault})") from fault
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _log.addHandler(to_file)


class _OfOthers(logging.Handler):
    """Tells standard error what other modules warn of, as of files that a log skips: the first ones one by one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning; our own messages print themselves."""
        if record.name == _log.name or _voice.quiet or self._told > _MOST_WARNINGS:
            return
        self._told += 1
        more = "there are more such files; `armillary log check` lists all"
        message = record.getMessage() if self._told <= _MOST_WARNINGS else more
        print(f"warning: {printable(message)}", file=sys.stderr)


def note(message: str) -> None:
    """Tell the log file, if there is one, what happens."""
    _log.info(printable(message))


def tell(text: str = "") -> None:
    """Print a text on standard output, as a terminal can show it."""
    print(printable(text))


def printable(text: str) -> str:
    """Return a text of lines as a terminal can show it: control characters as escapes, long lines shortened."""
    return "\n".join(one_line(line, _MOST_LETTERS) for line in text.split("\n"))


def one_line(text: str, most: int) -> str:
    """Return one line of text: what is not printable as an escape, and its middle left out if it is too long."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}...({len(text):,} letters)...{text[-half:]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    return "    " if letter == "\t" else letter.encode("unicode_escape").decode("ascii")


def _say(message: str) -> None:
    """Tell standard error and the log file, unless all is to be quiet."""
    note(message)
    if not _voice.quiet:
        print(printable(message), file=sys.stderr, flush=True)


def stop(message: str, status: int) -> NoReturn:
    """End the process with a message."""
    _log.error(printable(message))
    print(printable(message), file=sys.stderr)
    sys.exit(status)


def stop_interrupted(status: int, word: str) -> NoReturn:
    """End the process that Ctrl-C or a signal interrupted; says so, and what was kept."""
    stop(f"{word}; {_voice.kept or 'nothing new was kept'}", status)


def stop_for(fault: Exception) -> NoReturn:
    """End the process for a fault: 2 if the request was wrong, 1 if the work failed, e.g. on a full disk."""
    trace = printable("".join(traceback.format_exception(fault)))
    if _voice.verbose:
        print(trace, file=sys.stderr)
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
    _log.error(trace)
    if not _voice.verbose:
        print(trace, file=sys.stderr)
    stop("error: this is a bug of Armillary; please report it with the lines above", 1)


def print_warning(message: str) -> None:
    """Tell something that the user should know before trusting the result."""
    _log.warning(printable(message))
    if not _voice.quiet:
        print(f"warning: {printable(message)}", file=sys.stderr)


def print_rows(rows: Iterator[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows as they come, as a table or as one JSON list.

    Raises:
        ArmillaryError: see `print_result`.
    """

    def show() -> None:
        if not as_json:
            print_table(rows)
            return
        mark = "["
        for row in rows:
            sys.stdout.write(f"{mark}{json.dumps(_finite(row), default=str)}")
            mark = ", "
        print("[]" if mark == "[" else "]")

    print_result(None, False, show)


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


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows of the same columns: as a table, or where that is too wide to read as a block of lines per row.

    Cells and names are data: nothing in them is markup or moves the cursor, and what is long is shortened. A terminal
    folds the widest column if that is enough; a file or a pipe gets whole lines, so that they can be searched. The
    first thousand rows decide how wide the columns are; so rows are printed as they come, however many.
    """
    rest = iter(rows)
    first = list(islice(rest, _LAID_OUT))
    if not first:
        print("(no rows)")
        return
    names = [one_line(str(name), _MOST_IN_NAME) for name in first[0]]
    if len(names) > _MOST_COLUMNS:
        _print_records(names, first, rest)
        return
    cells = [[_cell(value) for value in row.values()] for row in first]
    widths = [max(map(_width, column)) for column in zip(names, *cells, strict=True)]
    room = _terminal_width()
    if room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] += room - sum(widths) - 2 * (len(widths) - 1)
        if widths[widest] < _LEAST_WIDTH:
            _print_records(names, first, rest)
            return
    left = [isinstance(value, str) for value in first[0].values()]
    for line in _lines_of(names, widths, left):
        print(line if room is None else f"\033[1m{line}\033[0m")
    for row in chain(cells, ([_cell(value) for value in row.values()] for row in rest)):
        own = widths if room is not None else [max(w, _width(c)) for w, c in zip(widths, row, strict=True)]
        print("\n".join(_lines_of(row, own, left)))


def _lines_of(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    """Return the lines of a row, more than one where a cell is wider than its column."""
    parts = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(map(len, parts))):
        columns = []
        for part, width, to_left in zip(parts, widths, left, strict=True):
            text = part[number] if number < len(part) else ""
            space = " " * (width - _width(text))
            columns.append(text + space if to_left else space + text)
        lines.append("  ".join(columns).rstrip())
    return lines


def _folded(text: str, width: int) -> list[str]:
    if _width(text) <= width:
        return [text]
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    return lines or [""]


def _print_records(names: Sequence[str], first: Sequence[Mapping[str, Any]], rest: Iterator[Mapping[str, Any]]) -> None:
    """Print a block of lines per row, `name value`."""
    width = max(map(_width, names))
    after = next(rest, None)
    total = f" of {len(first):,}" if after is None else ""
    for number, row in enumerate(chain(first, () if after is None else (after,), rest), start=1):
        block = [f"row {number:,}{total}"]
        block += [f"  {name:{width}}  {_cell(value)}".rstrip() for name, value in zip(names, row.values(), strict=True)]
        print("\n".join(block))


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(_SPREAD.get(unicodedata.east_asian_width(c), 1) for c in text)


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return one_line(" ".join(str(value).splitlines()), _MOST_IN_CELL)


@dataclass
class _Stage:
    """How far a stage is, and since when; `first` are the steps that were done when it began."""

    done: int
    total: int
    first: int
    since: float

    def told(self, name: str) -> str:
        """Return a line about a stage that is under way."""
        spent = time.monotonic() - self.since
        line = f"{name}: {self.done:,} of {self.total:,}, {_minutes(spent)} so far"
        fresh = self.done - self.first
        if fresh > 0:
            line += f", about {_minutes(spent / fresh * (self.total - self.done))} to go"
        return line


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress_bars(kept: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar per stage on standard error; plain lines, one every half a minute, where that is no terminal.

    Args:
        kept: what is kept of work that is interrupted after a step was done; nothing, if empty.
    """
    from rich.console import Console

    stages: dict[str, _Stage] = {}
    on_terminal = Console(stderr=True).is_terminal
    with _bars(shown=on_terminal and not _voice.quiet) as draw, _lines(stages, shown=not on_terminal):

        def on_progress(stage: str, done: int, total: int) -> None:
            draw(stage, done, total)
            if stage not in stages:
                (note if on_terminal else _say)(f"{stage} ...")
                stages[stage] = _Stage(done, total, done, time.monotonic())
            found = stages[stage]
            ended = found.done < total <= done
            found.done, found.total = done, total
            if done > found.first or len(stages) > 1:
                _voice.kept = kept
            if ended:
                (_say if _voice.verbose else note)(f"{stage}: {total:,} in {time.monotonic() - found.since:.1f} s")

        yield on_progress
    _voice.kept = ""


@contextmanager
def _bars(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    tasks: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description:28}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(one_line(stage, _MOST_IN_NAME), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield draw


@contextmanager
def _lines(stages: Mapping[str, _Stage], *, shown: bool) -> Iterator[None]:
    """Say every half a minute how far the latest stage is: an evaluation of minutes reports nothing meanwhile."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_EVERY_S):
            for name, stage in list(stages.items())[-1:]:
                if stage.done < stage.total:
                    (_say if shown else note)(stage.told(name))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

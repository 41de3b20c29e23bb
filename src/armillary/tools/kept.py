"""Failed runs, kept: a folder with which a run is repeated by hand."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from armillary.tools.command import Command, inherited
from armillary.user_cache import cache_folder

MOST_FOLDERS = 20
_NAME = re.compile(r".+-[0-9a-f]{16}")
_UNFINISHED = ".unfinished-"
_ABANDONED_S = 3600.0


def kept_folder() -> Path:
    """Return where failed runs are kept: `$ARMILLARY_KEPT`, or `kept` in the cache."""
    return Path(os.environ.get("ARMILLARY_KEPT") or cache_folder("kept")).absolute()


def keep(command: Command, why: str) -> Path:
    """Keep a run that failed, and of all that are kept the last twenty.

    The folder holds `files` (the command's inputs as they are now), `stdin`, and `run.sh`, which repeats the run in a
    fresh copy of the files, with the same environment and memory limit. It is named by its content: a run that fails
    again is not kept twice. Only the user can read it.

    Args:
        command: what ran.
        why: how it failed, for the reader of `run.sh`.

    Returns:
        The folder.

    Raises:
        OSError: if it cannot be written.
    """
    root = kept_folder()
    root.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
    try:
        _fill(unfinished, command, why)
        kept = root / f"{command.name}-{_digest(unfinished, command)}"
        try:
            unfinished.rename(kept)
        except OSError:
            if not kept.exists():  # else the same run was kept before
                raise
        os.utime(kept)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _forget_old(root)
    return kept


def _fill(folder: Path, command: Command, why: str) -> None:
    files = folder / "files"
    files.mkdir()
    for path in command.inputs:
        assert command.folder is not None, "a command with inputs has a folder"
        given, copy = command.folder / path, files / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if given.is_dir():
            shutil.copytree(given, copy, dirs_exist_ok=True)
        elif given.exists():  # else the run failed for that, and so will its repetition
            shutil.copy2(given, copy)
    (folder / "stdin").write_bytes(command.stdin_bytes)
    script = folder / "run.sh"
    script.write_text("\n".join(_script(command, why)), encoding="utf-8", errors="surrogateescape")
    script.chmod(0o755)


def _script(command: Command, why: str) -> Iterator[str]:
    """Yield the lines of `run.sh`."""
    yield "#!/bin/sh"
    yield f"# Repeats a run of {command.name} that failed: {' '.join(why.split())}"
    yield 'here=$(cd "$(dirname "$0")" && pwd) || exit 1'
    if command.folder is None:
        yield f"cd {shlex.quote(os.getcwd())} || exit 1"
    else:
        yield 'rm -rf "$here/run" && cp -R "$here/files" "$here/run" && cd "$here/run" || exit 1'
    if command.memory_limit_bytes is not None:
        yield f"ulimit -v {kibibytes(command.memory_limit_bytes)}"
    yield "# what it inherited"
    yield f"set -- env -i {_assigned(inherited())}"
    if command.environment:
        yield "# what it was given beside"
        yield f'set -- "$@" {_assigned(command.environment)}'
    yield f'set -- "$@" {shlex.join(command.arguments)}'
    yield 'exec "$@" < "$here/stdin"'
    yield ""


def kibibytes(limit_bytes: int) -> int:
    """Return a limit in the unit of a shell's `ulimit -v`, at least one."""
    return max(1, limit_bytes >> 10)


def _assigned(variables: Mapping[str, str]) -> str:
    return shlex.join(f"{name}={value}" for name, value in sorted(variables.items()))


def _digest(folder: Path, command: Command) -> str:
    """Return what a kept run is named by: all that it depends on, except what it inherits."""
    found = hashlib.sha256(repr((command.arguments, sorted(command.environment.items()))).encode("utf-8", "replace"))
    found.update(repr((command.memory_limit_bytes, None if command.folder else os.getcwd())).encode("utf-8", "replace"))
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run.sh"):
        content = path.read_bytes()
        found.update(f"\0{path.relative_to(folder)}\0{len(content)}\0".encode("utf-8", "replace"))
        found.update(content)
    return found.hexdigest()[:16]


def _forget_old(root: Path) -> None:
    """Remove all but the last folders, and what an interrupted process left; nothing that is not ours."""
    aged = []
    for path in root.iterdir():
        try:
            written = path.stat().st_mtime
        except FileNotFoundError:  # another process forgot it
            continue
        if path.name.startswith(_UNFINISHED) and time.time() - written > _ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
        elif _NAME.fullmatch(path.name) and (path / "run.sh").exists():
            aged.append((written, path))
    for _, path in sorted(aged, reverse=True)[MOST_FOLDERS:]:
        shutil.rmtree(path, ignore_errors=True)

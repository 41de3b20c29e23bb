"""What to run: a program, what it reads, what it sees of our environment, and its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from armillary.types import ArmillaryError

INHERITED = (
    "PATH",  # where programs are
    "LD_LIBRARY_PATH",  # where libraries are: environment modules and conda set it, and their compilers need it
    "HOME", "USER", "LOGNAME",  # whose settings and licences apply
    "LANG", "LANGUAGE",  # the language; LC_* too
    "TMPDIR",  # where there is room for temporary files
    "OMP_NUM_THREADS", "ARMILLARY_CORES",  # the share of the cores that we were given
)  # fmt: skip
"""The variables of our environment that a program inherits, beside `LC_*`; the command adds what it needs.

All else stays behind, so that an answer does not depend on the shell that Armillary was started from. `PYTHONPATH` too:
it would decide which modules a program in Python imports.
"""
OUTPUT_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        arguments: the program, which is looked up on the PATH, and its arguments. Files of the folder are named
            relative to it, so that the run can be repeated elsewhere.
        stdin: what it reads on its standard input; text is encoded as UTF-8.
        folder: where it runs; None: where we run.
        inputs: the files and folders in `folder` that it reads, relative to it; they are kept if the run fails.
        environment: variables that it gets beside those inherited (`INHERITED`).
        time_limit_s: seconds after which it is stopped; None: never.
        output_limit_bytes: of standard output and standard error together, after which it is stopped.
        foreign: it is somebody else's, and what it starts may leave its group: that is looked for when it has ended.
        memory_limit_bytes: of address space for each of its processes (RLIMIT_AS); None: what the machine has.

    Raises:
        ArmillaryError: if a field is not allowed; names it.
    """

    arguments: tuple[str, ...]
    stdin: str | bytes = b""
    folder: Path | None = None
    inputs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    time_limit_s: float | None = None
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES
    memory_limit_bytes: int | None = None
    foreign: bool = False

    def __post_init__(self) -> None:
        if not self.arguments or not self.arguments[0]:
            raise ArmillaryError(f"arguments={self.arguments!r} is not allowed; the first names the program")
        for name in ("time_limit_s", "output_limit_bytes", "memory_limit_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArmillaryError(f"{self.name}: {name}={value!r} is not allowed; it must be above zero")
        for text in (*self.arguments, *self.environment.values()):
            if "\0" in text:
                raise ArmillaryError(f"{self.name}: {text!r} is not allowed; a program takes no text with a zero byte")
        for name in self.environment:
            if not name or "=" in name or "\0" in name:
                raise ArmillaryError(f"{self.name}: environment: {name!r} is no name of a variable")
        for path in self.inputs:
            if self.folder is None or path.is_absolute() or ".." in path.parts:
                raise ArmillaryError(f"{self.name}: inputs: {path} is not allowed; name files inside the folder")

    @property
    def name(self) -> str:
        """The program's name without its folder."""
        return Path(self.arguments[0]).name

    @property
    def stdin_bytes(self) -> bytes:
        """What it reads, encoded."""
        return self.stdin.encode() if isinstance(self.stdin, str) else self.stdin

    def whole_environment(self) -> dict[str, str]:
        """Return all variables that the program sees: those inherited now, and the command's."""
        return {**inherited(), **self.environment}


def inherited() -> dict[str, str]:
    """Return the variables of our environment that programs inherit."""
    return {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("LC_")}

"""A finished benchmark as a file: what was run, with which evaluators, how long, and what was measured.

The documentation cites such files, so that no number in it outlives the run that it came from. A file holds no date;
numbers have six significant digits, and one that is not finite is null.
"""

from __future__ import annotations

import json
import math
import resource
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import armillary
from armillary.atomic_file import replaced
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, machine
from armillary.evaluators.kind import versions_asked
from armillary.types import ArmillaryError

_DIGITS = 6
_LISTS = ("rows", "checks", "notes", "preface")
_OPTIONAL = {"preface"}


@dataclass(frozen=True)
class Record:
    """What a benchmark measured.

    Attributes:
        bench: its name.
        command: that runs it again.
        size: `quick` or `full`; `quick-part` or `part` if only some applications were asked for.
        seed: of its random choices.
        machine: where it ran, in a line.
        seconds: by the clock; None if parts of an earlier run may have been used.
        cpu_seconds: of all its processes; None as `seconds`.
        release: of Armillary.
        evaluators: version of each registered evaluator that it asked, by `template.fidelity`; none where it asks the
            cost model or a simulator directly.
        rows: of its table, each a mapping of column to value.
        checks: its claims.
        notes: its remarks.
        preface: what the reader should know first: how large it is, what its numbers rest on.
    """

    bench: str
    command: str
    size: str
    seed: int
    machine: str
    seconds: float | None
    cpu_seconds: float | None
    release: str
    evaluators: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    checks: Sequence[Check]
    notes: Sequence[str]
    preface: Sequence[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    @property
    def name(self) -> str:
        """What its file is called, without the ending: the benchmark, and its size if that is not `full`."""
        return self.bench if self.size == "full" else f"{self.bench}-{self.size}"

    def as_json(self) -> dict[str, Any]:
        """Return its fields by name, numbers as they were measured."""
        return {**vars(self), "checks": [asdict(check) for check in self.checks]}

    def write(self, folder: Path) -> Path:
        """Write it to a file of a folder, a row a line, and return the file.

        Raises:
            ArmillaryError: if the file system refuses.
        """
        content = {key: value for key, value in _plain(self.as_json()).items() if value or key not in _OPTIONAL}
        parts = [f"{json.dumps(key)}: {_text(content[key], lines=key in _LISTS)}" for key in content]
        with replaced(folder / f"{self.name}.json") as path:
            path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        return folder / f"{self.name}.json"

    @staticmethod
    def read(path: Path) -> Record:
        """Return what a file holds.

        Raises:
            ArmillaryError: if it is no record; names the file and what is missing or not allowed.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise ArmillaryError(f"{path}: is no JSON file that can be read ({fault})") from None
        names = {one.name for one in fields(Record)}
        if not isinstance(content, dict) or set(content) | _OPTIONAL != names:
            there = set(content) if isinstance(content, dict) else set()
            raise ArmillaryError(
                f"{path}: a record has {sorted(names)}; missing: {sorted(names - there)}, "
                f"not allowed: {sorted(there - names)}"
            )
        return Record(**{**content, "checks": [Check(**check) for check in content["checks"]]})


def measured(name: str, run: Callable[[BenchOptions], BenchResult], options: BenchOptions) -> Record:
    """Run a benchmark and return its record.

    Args:
        name: of the benchmark.
        run: the benchmark.
        options: its options. If the folder beside its own already holds files, it may use finished parts of an earlier
            run; then the time is not recorded.
    """
    fresh = not any(path.is_file() for path in options.out.parent.rglob("*"))
    started, cpu = time.perf_counter(), _cpu_seconds()
    with versions_asked() as evaluators:
        result = run(options)
    return Record(
        bench=name,
        command=_command(name, options),
        size=_size(options),
        seed=options.seed,
        machine=machine(),
        seconds=time.perf_counter() - started if fresh else None,
        cpu_seconds=_cpu_seconds() - cpu if fresh else None,
        release=armillary.__version__,
        evaluators=dict(sorted(evaluators.items())),
        rows=list(result.rows),
        checks=list(result.checks),
        notes=list(result.notes),
        preface=list(result.preface),
    )


def _size(options: BenchOptions) -> str:
    if options.applications:
        return "quick-part" if options.quick else "part"
    return "quick" if options.quick else "full"


def _command(name: str, options: BenchOptions) -> str:
    """Return the command that measures the same, without where it keeps files."""
    words = ["armillary", "bench", name]
    words += ["--data", str(options.data)] if options.data is not None else []
    words += ["--quick"] if options.quick else []
    words += ["--seed", str(options.seed)] if options.seed else []
    words += ["--seeds", str(options.seeds)] if options.seeds is not None else []
    words += [word for name in options.applications for word in ("--application", name)]
    words += ["--device", options.device] if options.device != "cpu" else []
    return shlex.join(words)


def _cpu_seconds() -> float:
    """Return the seconds of CPU of this process and of those that it started and that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, numbers to six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | str | None):
        return value
    if hasattr(value, "item"):  # NumPy's scalars
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value if isinstance(value, int) else str(value)


def _text(value: Any, *, lines: bool) -> str:
    if not lines or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n" + ",\n".join(f" {json.dumps(one, ensure_ascii=False)}" for one in value) + "\n]"

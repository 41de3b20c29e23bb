"""Yosys and ABC: SystemVerilog becomes cells of NanGate45, each module once and kept by content.

A module with its parameters is synthesised by itself: what it instantiates is a black box then. So a design that
differs from an earlier one in a few modules costs those alone, and a thousand processing elements cost one.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.nangate45 import liberty, liberty_digest
from armillary.tools.packaged import version_of
from armillary.tools.process import run
from armillary.user_cache import is_stored, store

Fault = Literal["latch", "loop", "several drivers", "no driver"]
_DRIVER = Path(__file__).with_name("yosys_driver.py")
_JOB, _FOUND, _DESIGN = "job.json", "found.json", "design.il"
_HEADERS = (".vh", ".svh")
# What Yosys says of each fault; a name follows.
_FAULTS: Mapping[Fault, str] = {
    "latch": r"Latch inferred for signal `(\S+)'",
    "loop": r"found logic loop in module (\S+):\s+cell \S+ \(\S+\)(?: source: (\S+))?",
    "several drivers": r"multiple conflicting drivers for (\S+):",
    "no driver": r"Wire (\S+)(?: \[\d+(?::\d+)?\])? is used but has no driver",
}


class SynthesisError(Exception):
    """Yosys refused; the message holds its first error."""


@dataclass(frozen=True)
class Problem:
    """Something that hardware must not have.

    Attributes:
        fault: what.
        name: of the module and the signal.
    """

    fault: Fault
    name: str


@dataclass(frozen=True)
class Macro:
    """A module that another tool makes, a memory; one for each set of parameters.

    Attributes:
        module: its name in the source.
        parameters: their values.
        ports: direction and bits by name.
    """

    module: str
    parameters: Mapping[str, int]
    ports: Mapping[str, tuple[Literal["input", "output"], int]]


@dataclass(frozen=True)
class Mapped:
    """A module with its parameters as cells, without what it instantiates.

    Attributes:
        module: its name in the source.
        parameters: their values.
        cells: how many of each type.
        area_um2: of its cells.
        register_um2: of those that hold a bit.
        instances: of other modules and macros: the module's key by the instance's name.
        netlist: as Verilog.
        cpu_s: what it took to synthesise it, now or when it was kept.
    """

    module: str
    parameters: Mapping[str, int]
    cells: Mapping[str, int]
    area_um2: float
    register_um2: float
    instances: Mapping[str, str]
    netlist: str
    cpu_s: float


@dataclass(frozen=True)
class Synthesis:
    """A design as cells.

    Attributes:
        top: key of the top module.
        modules: by key: the module's name, with a digest of its parameters.
        macros: likewise.
        problems: what `check` finds, module by module and in the whole, and latches.
        cpu_s: of reading the design and of synthesising each module, kept ones as long as they took then.
        fresh: modules that the cache did not have.
    """

    top: str
    modules: Mapping[str, Mapped]
    macros: Mapping[str, Macro]
    problems: tuple[Problem, ...]
    cpu_s: float
    fresh: int


@dataclass(frozen=True)
class Outline:
    """What a module with its parameters is made of before synthesis, without what it instantiates.

    Attributes:
        ports: direction and bits of each.
        operators: how many of each kind (`multiplication`, `arithmetic`, `selection`, `logic`), and their bits: of a
            multiplication its partial products, else those of its widest side.
        registers: how many, and their bits together.
        memories: bits of each.
        instances: of other modules: the module's key by the instance's name.
    """

    ports: tuple[tuple[Literal["input", "output"], int], ...]
    operators: Mapping[str, tuple[int, int]]
    registers: tuple[int, int]
    memories: tuple[int, ...]
    instances: Mapping[str, str]


def version() -> str:
    """Return the version of Yosys.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    return version_of("pyosys", "Yosys", "physical")


def synthesize(
    sources: Mapping[str, str],
    top: str,
    *,
    cache: Path,
    macros: Collection[str] = (),
    flat: bool = False,
    clock_ns: float = 1.0,
) -> Synthesis:
    """Return a design as cells of NanGate45.

    Args:
        sources: text of the SystemVerilog modules by file name.
        top: the top module.
        cache: folder of modules that were synthesised before.
        macros: modules that stay black boxes.
        flat: all in one module, which is smaller and takes far longer; else each module by itself.
        clock_ns: the period that gates are sized for.

    Raises:
        ArmillaryError: if a tool is missing.
        SynthesisError: if Yosys refuses; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    with temporary_folder("synthesis") as folder:
        found, cpu_s = _elaborated(folder, sources, top, sorted(macros), flat)
        boxes = {key: _macro(each) for key, each in found.items() if each["module"] in macros}
        own = {key: each for key, each in found.items() if key not in boxes}
        texts = _texts(folder / _DESIGN)
        kept = {key: cache / f"module-{_digest(key, found, texts, macros, clock_ns)}.json" for key in own}
        missing = [key for key in own if not is_stored(kept[key])]
        if missing:
            _map(folder, {key: own[key] for key in missing}, kept, list(boxes), clock_ns)
        modules = {key: Mapped(**json.loads(path.read_text(encoding="utf-8"))) for key, path in kept.items()}
        whole_s = cpu_s + sum(module.cpu_s for module in modules.values())
        return Synthesis(top, modules, boxes, tuple(_problems(folder)), whole_s, len(missing))


@dataclass(frozen=True)
class Recipe:
    """How RTL becomes cells that are to be laid out.

    Attributes:
        aim: `speed` or `area`, of the mapping to cells.
        adder: `default`, or a name of Yosys' `choices`: `kogge-stone`, `sklansky`, `han-carlson`.
        booth: multipliers by Booth's encoding.
    """

    aim: Literal["speed", "area"] = "speed"
    adder: str = "default"
    booth: bool = True


def netlist_for_layout(
    sources: Mapping[str, str],
    top: str,
    recipe: Recipe,
    *,
    library: Path,
    dont_use: Sequence[str],
    driver: str,
    load_ff: float,
    clock_ns: float,
    macros: Collection[str] = (),
    least_words: int = 0,
) -> tuple[dict[str, Any], dict[str, Macro], tuple[Problem, ...]]:
    """Return a flattened design in cells of a library, as Yosys' JSON, with its macros by module, and its problems.

    Args:
        sources: text of the modules by file name; headers (`.vh`, `.svh`) are there to be included.
        top: the top module.
        recipe: how.
        library: liberty file.
        dont_use: cells of it to leave alone.
        driver: the cell that drives the inputs.
        load_ff: of the outputs.
        clock_ns: the period that gates are sized for.
        macros: modules that stay black boxes.
        least_words: of a macro by its parameter WORDS; one of fewer is flattened like any other module, if it has a
            body.

    Raises:
        ArmillaryError: if Yosys is missing.
        SynthesisError: if it refuses; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    with temporary_folder("netlist") as folder:
        found, _ = _elaborated(folder, sources, top, sorted(macros), flat=True, least_words=least_words)
        boxes = {key: _macro(each) for key, each in found.items() if each["module"] in macros}
        job = {
            "top": top, "recipe": recipe.aim, "adder": recipe.adder, "booth": recipe.booth, "library": str(library),
            "dont_use": list(dont_use), "driver": driver, "load_ff": load_ff, "clock_ps": round(1000 * clock_ns),
        }  # fmt: skip
        _run("netlist", job, folder, (Path(_DESIGN),))
        written: dict[str, Any] = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))
        return written, boxes, tuple(_problems(folder))


def outlines(designs: Mapping[str, Mapping[str, str]], top: str) -> dict[str, dict[str, Outline]]:
    """Return of each design what its modules are made of, by key; the top module's key is its name.

    Nothing is synthesised, so that a small design takes hundredths of a second, beside the start of Yosys.

    Args:
        designs: text of the SystemVerilog modules by file name, by a name for the design.
        top: the top module.

    Raises:
        ArmillaryError: if Yosys is missing.
        SynthesisError: if it refuses; names the folder in which its run is kept.
        AccidentError: if it is killed.
    """
    with temporary_folder("outline") as folder:
        job: dict[str, Any] = {"top": top, "designs": {}}
        for place, (design, sources) in enumerate(designs.items()):
            (folder / str(place)).mkdir()
            for file, text in sources.items():
                (folder / str(place) / file).write_text(text, encoding="utf-8")
            job["designs"][design] = [f"{place}/{file}" for file in sorted(sources)]
        found = _run("outline", job, folder, tuple(Path(str(place)) for place in range(len(designs))))
        return {
            design: {key: _outline(each) for key, each in modules.items()}
            for design, modules in found["modules"].items()
        }


def _outline(found: Mapping[str, Any]) -> Outline:
    return Outline(
        ports=tuple((direction, bits) for direction, bits in found["ports"]),
        operators={kind: (count, bits) for kind, (count, bits) in found["operators"].items()},
        registers=(found["registers"][0], found["registers"][1]),
        memories=tuple(found["memories"]),
        instances=found["instances"],
    )


def _elaborated(
    folder: Path, sources: Mapping[str, str], top: str, macros: Sequence[str], flat: bool, least_words: int = 0
) -> tuple[dict[str, dict[str, Any]], float]:
    for name, text in sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    names = sorted(sources)
    files = [name for name in names if not name.endswith(_HEADERS)]
    job = {"files": files, "top": top, "macros": macros, "flat": flat, "least_words": least_words}
    found = _run("elaborate", job, folder, tuple(map(Path, names)))
    return found["modules"], found["cpu_s"]


def _map(
    folder: Path,
    missing: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, Path],
    macros: Sequence[str],
    clock_ns: float,
) -> None:
    """Synthesise modules and put each into the cache."""
    clock_ps = round(1000 * clock_ns)
    job = {"modules": list(missing), "macros": list(macros), "clock_ps": clock_ps, "library": str(liberty())}
    found = _run("map", job, folder, (Path(_DESIGN),))
    for key, counted in found["modules"].items():
        netlist = (folder / f"{key}.v").read_text(encoding="utf-8")
        mapped = Mapped(missing[key]["module"], missing[key]["parameters"], netlist=netlist, **counted)
        made = folder / f"{key}.kept"
        made.write_text(json.dumps(asdict(mapped)), encoding="utf-8")
        store(made, kept[key])


def _texts(design: Path) -> dict[str, str]:
    """Return what each module is made of, without what differs from run to run: places in the source, counted names."""
    text = re.sub(r"^ *attribute .*\n|\S+\.sv:[\d.|-]+", "", design.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = re.finditer(r"^module \\(\S+)\n.*?^end$", text, re.MULTILINE | re.DOTALL)
    return {match[1]: _renumbered(match[0]) for match in found}


def _renumbered(text: str) -> str:
    numbers: dict[str, str] = {}
    return re.sub(r"\$\d+", lambda match: numbers.setdefault(match[0], f"${len(numbers)}"), text)


def _digest(
    key: str,
    modules: Mapping[str, Mapping[str, Any]],
    texts: Mapping[str, str],
    macros: Collection[str],
    clock_ns: float,
) -> str:
    """Return what a module's cells depend on: its content, what it instantiates, and how it is made."""
    others = modules[key]["instances"].values()
    ports = {other: (modules[other]["ports"], modules[other]["module"] in macros) for other in others}
    recipe = (version(), liberty_digest(), _DRIVER.read_text(encoding="utf-8"), str(clock_ns))
    parts = (*recipe, texts[key], json.dumps(ports, sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _macro(found: Mapping[str, Any]) -> Macro:
    ports = {name: (direction, bits) for name, (direction, bits) in found["ports"].items()}
    return Macro(found["module"], found["parameters"], ports)


def _run(what: str, job: Mapping[str, Any], folder: Path, inputs: tuple[Path, ...]) -> dict[str, Any]:
    version()
    (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
    command = Command((sys.executable, "-I", str(_DRIVER), what, _JOB), folder=folder, inputs=(Path(_JOB), *inputs))
    ended = run(command, keep_failed=True)
    if not ended.ok:
        raise SynthesisError(f"Yosys: {_first_error(ended.error_text) or ended.failure}{ended.kept}")
    found: dict[str, Any] = json.loads((folder / _FOUND).read_text(encoding="utf-8"))
    return found


def _first_error(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if "ERROR" in line), "")


def _problems(folder: Path) -> list[Problem]:
    """Return each problem once; what the modules have is not told again by the names that it has in the whole."""
    own = [*_told(folder / "proc.txt"), *_told(folder / "check.txt")]
    known = {problem.fault for problem in own}
    whole = [problem for problem in _told(folder / "flat_check.txt") if problem.fault not in known]
    return list(dict.fromkeys([*own, *whole]))


def _told(path: Path) -> Iterator[Problem]:
    text = path.read_text(encoding="utf-8")
    for fault, pattern in _FAULTS.items():
        for match in re.finditer(pattern, text):
            yield Problem(fault, " at ".join(part.replace("\\", "") for part in match.groups() if part))

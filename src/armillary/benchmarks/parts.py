"""Kept parts of long benchmarks, each named by all that its numbers depend on, so that no old number passes for new.

The name of a part's file ends with a digest of its inputs, of the evaluator's specification and of the code that
measures it: the text of the module that measures, of those that hold the methods it loads by name, and of everything
of the same packages that these import. What only shows results is left out.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, TypeVar

from armillary.atomic_file import replaced
from armillary.benchmarks.result import in_processes
from armillary.evaluators import EVALUATORS
from armillary.types import EvaluatorSpec

_SHOWING = ("armillary.reports", "armillary.console", "armillary.cli", "armillary.benchmarks.figures")
_DIGITS = 16
Key = TypeVar("Key")


@dataclass(frozen=True)
class Part:
    """A part of a long benchmark that is measured once and kept in a file.

    Attributes:
        folder: where.
        label: how the file's name begins, for people.
        inputs: all that the measurement is given, as JSON can hold it: method, task, sizes, seeds, device.
        sources: import paths, `module` or `module:attribute` as in a registry, of what measures and of every method
            that it loads by name.
        evaluator: what it evaluates with, if it does.
        ending: of the file's name.
    """

    folder: Path
    label: str
    inputs: Mapping[str, Any]
    sources: tuple[str, ...]
    evaluator: EvaluatorSpec | None = None
    ending: str = ".json"

    @property
    def path(self) -> Path:
        """The file: another one for other inputs, another evaluator or other code."""
        key = json.dumps([self.given, code_digest(self._starts())], sort_keys=True)
        return self.folder / f"{self.label}-{digest(key)}{self.ending}"

    @property
    def given(self) -> dict[str, Any]:
        """The inputs, and of an evaluator its name, version and options."""
        if self.evaluator is None:
            return dict(self.inputs)
        spec = self.evaluator
        return {
            **self.inputs,
            "evaluator": {"name": spec.name, "version": spec.version, "options": dict(spec.options)},
        }

    def measured(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what the part measured, read from its file if that is there; the file says what was given, too."""
        path = self.path
        if not path.exists():
            content = {"inputs": self.given, "part": measure()}
            with replaced(path) as unfinished:
                unfinished.write_text(json.dumps(content), encoding="utf-8")
        return self.kept()

    def kept(self) -> dict[str, Any]:
        """Return what the part measured before.

        Raises:
            OSError: if it did not.
        """
        part: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))["part"]
        return part

    def _starts(self) -> frozenset[str]:
        every = list(self.sources)
        if self.evaluator is not None:
            every.append(EVALUATORS.paths()[f"{self.evaluator.template}.{self.evaluator.fidelity}"])
        return frozenset(path.partition(":")[0] for path in every)


def measured_each(
    work: Mapping[Key, tuple[Part, Callable[[], dict[str, Any]]]], on_done: Callable[[int, int], None]
) -> dict[Key, dict[str, Any]]:
    """Return what each part measured, by key; those that were not measured before are now, on all cores.

    Args:
        work: a part and what measures it, picklable.
        on_done: called with the parts done and in total.
    """
    in_processes({part.path: partial(part.measured, measure) for part, measure in work.values()}, on_done)
    return {key: part.kept() for key, (part, _) in work.items()}


@cache
def code_digest(starts: frozenset[str]) -> str:
    """Return a digest of the text of modules and of all that they import, see `modules`; kept for the process."""
    return digest("\0".join(f"{name}\0{_module(name).text}" for name in modules(starts)))


def modules(starts: frozenset[str]) -> list[str]:
    """Return the names of modules and of all that they import of their own packages, but for what shows; sorted.

    Imports within functions count, those for type checkers do not, nor what a package does when a module of it is
    imported.
    """
    packages = {name.partition(".")[0] for name in starts} | {"armillary"}
    found: set[str] = set()
    open_ = set(starts)
    while open_:
        name = open_.pop()
        found.add(name)
        named = (other for other in _module(name).imports if other.partition(".")[0] in packages)
        open_ |= {other for other in named if not _shows(other)} - found
    return sorted(found)


def read(path: Path) -> str:
    """Return the source text of a module."""
    return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class _Module:
    text: str
    imports: frozenset[str]


@cache
def _module(name: str) -> _Module:
    path = _file(name)
    assert path is not None, f"there is no module {name}"
    text = read(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _Module(text, frozenset(_imports(ast.parse(text), package)))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the modules that a module of a package imports when it runs."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _file(alias.name))
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            for whole in (f"{origin}.{alias.name}" for alias in node.names):
                yield from (name for name in (whole if _file(whole) else origin,) if _file(name))


@cache
def _file(name: str) -> Path | None:
    """Return where a module's source is; None if it is no module, or of a library that is not written in Python."""
    top, *inner = name.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not inner and spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin)
    for root in spec.submodule_search_locations or ():
        place = Path(root, *inner)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _shows(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in _SHOWING)


def digest(text: str) -> str:
    """Return a short name of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

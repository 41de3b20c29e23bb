"""YAML files that people write: one loader for all of them, with limits, and errors that name file and line.

Values are what most people expect (YAML's core schema): `1e9` is a number, only `true` and `false` are booleans, and
`2020-01-01` is text. Refused are what no such file needs and what could exhaust the machine or mislead a reader: a key
that stands twice in a table, an alias of what it stands in, values nested deeper or repeated more often by aliases than
the limits below, longer numbers, larger files, and every tag that is not of a plain value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from armillary.types import ArmillaryError

MOST_BYTES = 16 << 20
MOST_DEPTH = 100  # of tables and lists in one another
MOST_REPEATED = 100_000  # values that aliases repeat
MOST_DIGITS = 40  # of a whole number
_MOST_FAULTS = 10  # that are told at once
_TOO_DEEP = f"values are nested deeper than {MOST_DEPTH}"


class Loader(yaml.SafeLoader):
    """The loader; a dialect adds its tags in a class of its own."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._repeated = 0
        self._sizes: dict[int, int] = {}  # values in each whole node, those that aliases repeat counted again

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, refusing what is beyond a limit."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._count_alias(event)
            return super().compose_node(parent, index)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _refused(_TOO_DEEP, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None:
            self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in _children(node))
        return node

    def _count_alias(self, event: yaml.AliasEvent) -> None:
        node = self.anchors.get(event.anchor)
        if node is None:  # which our base refuses
            return
        if id(node) not in self._sizes:
            raise _refused(f"*{event.anchor} is an alias of what it stands in", event)
        self._repeated += self._sizes[id(node)]
        if self._repeated > MOST_REPEATED:
            raise _refused(f"aliases repeat more than {MOST_REPEATED:,} values", event)

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """Begin a list or table in brackets; the scanner is ahead of the nodes, and slow if there are many."""
        if self.flow_level >= MOST_DEPTH:
            raise yaml.scanner.ScannerError(None, None, _TOO_DEEP, self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number, refusing a long one."""
        if len(node.value) > MOST_DIGITS:
            problem = f"a number of more than {MOST_DIGITS} digits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return int(node.value, 0 if re.match("[-+]?0[box]", node.value) else 10)


def _refused(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, event.start_mark)  # type: ignore[arg-type]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


_TAG = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
Loader.yaml_constructors = {
    tag: made for tag, made in yaml.SafeLoader.yaml_constructors.items() if tag in {_TAG + name for name in _PLAIN}
}
Loader.yaml_constructors[None] = yaml.SafeLoader.yaml_constructors[None]
Loader.add_constructor(f"{_TAG}int", Loader.construct_yaml_int)
Loader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if pair[0] in {_TAG + name for name in ("null", "merge")}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile(r"^[-+]?(?:\d[\d_]*|0x[\da-fA-F_]+|0o[0-7_]+|0b[01_]+)$", re.ASCII),
    list("-+0123456789"),
)
Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"^[-+]?(?:(?:\.\d+|\d+\.\d*)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def read_yaml(path: Path, loader: type[Loader] = Loader) -> Any:
    """Return the content of a YAML file.

    Raises:
        ArmillaryError: if it cannot be read, is no YAML, goes beyond a limit, or has a key twice in one table.
    """
    found = read_located(path, loader)
    if found.faults:
        raise ArmillaryError(f"{path}: " + "; ".join(found.faults[:_MOST_FAULTS]))
    return found.content


Place = tuple[str | int, ...]
"""Where something stands in a document: keys and positions from its top."""


@dataclass(frozen=True)
class Located:
    """The content of a YAML file, and where in it everything stands.

    Attributes:
        path: of the file.
        content: plain values.
        lines: the line, from 1, on which the key or the item of a place begins.
        faults: keys that stand twice in one table, each with its line.
    """

    path: Path
    content: Any
    lines: dict[Place, int]
    faults: tuple[str, ...] = ()

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest place around it that the file has."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_located(path: Path, loader: type[Loader] = Loader) -> Located:
    """Return the content of a YAML file with the line of everything in it.

    Raises:
        ArmillaryError: if it cannot be read, is no YAML, or goes beyond a limit.
    """
    reader = None
    try:
        reader = loader(_text(path))
        root = reader.get_single_node()
        # Before the content is made, which puts what `<<` names into the tables themselves.
        places = list(_places(root, ())) if root is not None else []
        content = reader.construct_document(root) if root is not None else None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, LookupError) as fault:
        raise ArmillaryError(f"{path}: is no YAML: {' '.join(str(fault).split())}") from fault
    finally:
        if reader is not None:
            reader.dispose()
    lines: dict[Place, int] = {}
    for place, line, _ in places:
        lines.setdefault(place, line)
    faults = tuple(f"line {line}: {_dotted(place)} stands twice" for place, line, twice in places if twice)
    return Located(path, content, lines, faults)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ArmillaryError(f"{path}: has {size:,} bytes, and a YAML file at most {MOST_BYTES:,}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: no such file") from None
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}") from fault


def _places(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int, bool]]:
    """Yield the place of every key and item, the line that it begins on, and whether the key stood there before."""
    if isinstance(node, yaml.MappingNode):
        met: set[tuple[str, str]] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):  # no key of a table can be
                continue
            inner, name = (*place, key.value), (key.tag, key.value)
            yield inner, key.start_mark.line + 1, name in met
            met.add(name)
            yield from _places(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*place, position), item.start_mark.line + 1, False
            yield from _places(item, (*place, position))


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))

"""YAML files that people write, read with errors that name the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from armillary.types import ArmillaryError


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Return the content of a YAML file.

    Raises:
        ArmillaryError: if it cannot be read or is no YAML.
    """
    try:
        return yaml.load(path.read_text(), Loader=loader)
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: no such file") from None
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ArmillaryError(f"{path}: is no YAML: {' '.join(str(fault).split())}") from fault


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


class _Core(yaml.SafeLoader):
    """YAML as most people think it is (its core schema): 1e9 is a number, and only true and false are booleans."""


_Core.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Core.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Core.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.\d+|\d+\.\d*)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def read_located(path: Path) -> Located:
    """Return the content of a YAML file with the line of everything in it.

    Raises:
        ArmillaryError: if it cannot be read or is no YAML.
    """
    content = read_yaml(path, _Core)
    root = yaml.compose(path.read_text(), Loader=_Core)
    lines: dict[Place, int] = {}
    faults = []
    for place, node, twice in _places(root, ()) if root is not None else ():
        lines.setdefault(place, node.start_mark.line + 1)
        if twice:
            faults.append(f"line {node.start_mark.line + 1}: {_dotted(place)} stands twice")
    return Located(path, content, lines, tuple(faults))


def _places(
    node: yaml.Node, place: Place, around: frozenset[int] = frozenset()
) -> Iterator[tuple[Place, yaml.Node, bool]]:
    """Yield the place of every key and item, the node that begins it, and whether the key stood there before."""
    if id(node) in around:  # an alias of what it stands in
        return
    around |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        met: set[str] = set()
        for key, value in node.value:
            inner = (*place, key.value)
            yield inner, key, key.value in met
            met.add(key.value)
            yield from _places(value, inner, around)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*place, position), item, False
            yield from _places(item, (*place, position), around)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))

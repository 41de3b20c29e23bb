"""Reading YAML such that every fault is told with its place, all of a file at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from armillary.types import ArmillaryError
from armillary.yaml_file import Loader, read_yaml

Version = Literal["0.3", "0.4"]
TAG = "!"


class _Loader(Loader):
    """Keeps the tags of version 0.4 (`!Container`, `!Component`, ...) under the key `TAG`."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, f"!{suffix} is no mapping", node.start_mark)
    return {TAG: suffix, **loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _tagged)


class Document:
    """One part of a file, and the faults found in it so far.

    Raises:
        ArmillaryError: if the file cannot be read, is no YAML, or lacks the part.
    """

    def __init__(self, path: Path, part: str) -> None:
        self.path, self.part = path, part
        self.faults: list[str] = []
        content = read_yaml(path, _Loader)
        if not isinstance(content, Mapping) or part not in content:
            there = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
            raise ArmillaryError(f"{path}: has no {part!r} at its top, but {there}")
        self.content: Any = content[part]

    def fault(self, place: str, message: str) -> None:
        """Note a fault; `finish` tells all of them."""
        self.faults.append(f"{place}: {message}")

    def known(self, place: str, table: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
        """Return a table, noting every key that is not allowed; an empty one if it is no table."""
        if table is None:
            return {}
        if not isinstance(table, Mapping):
            self.fault(place, f"{table!r} is not allowed; write keys and values")
            return {}
        for key in table:
            if key not in allowed:
                self.fault(f"{place}.{key}", f"{table[key]!r} is not modelled; {sorted(allowed)} are")
        return table

    def count(self, place: str, value: Any, least: int = 1) -> int:
        """Return a whole number, noting a fault and returning the least if it is none or too small."""
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.fault(place, f"{value!r} is not allowed; it must be a whole number of at least {least}")
            return least
        return value

    def listed(self, place: str, value: Any) -> list[Any]:
        """Return a list, noting a fault and returning an empty one if it is none; nothing is an empty list."""
        if value is None or isinstance(value, list):
            return value or []
        self.fault(place, f"{value!r} is not allowed; it must be a list")
        return []

    def names(self, place: str, value: Any, allowed: Collection[str]) -> list[str]:
        """Return a list of allowed names, noting every item that is none."""
        found = []
        for item in self.listed(place, value):
            if isinstance(item, str) and item in allowed:
                found.append(item)
            else:
                self.fault(place, f"{item!r} is not modelled; {list(allowed)} are")
        return found

    def finish(self) -> None:
        """Raise if there was a fault.

        Raises:
            ArmillaryError: names the file and every fault.
        """
        if self.faults:
            raise ArmillaryError(f"{self.path}: " + "; ".join(self.faults))


def dump(content: Any) -> str:
    """Return YAML text with keys in their order."""
    text: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    return text

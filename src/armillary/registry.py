"""Registries of extension kinds: names and import paths as text, so that listing loads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from armillary.types import ArmillaryError


@dataclass(frozen=True)
class Registry:
    """The members of one kind: ours, and those of other packages through an entry-point group.

    Attributes:
        kind: what a member is, for messages, e.g. `surrogate`.
        group: entry-point group of other packages, e.g. `armillary.surrogates`.
        members: our own, name to import path `module:attribute`; they win over foreign names.
    """

    kind: str
    group: str
    members: Mapping[str, str]

    def paths(self) -> dict[str, str]:
        """Return every member's import path by name, sorted by name."""
        foreign = {entry.name: entry.value for entry in metadata.entry_points(group=self.group)}
        return dict(sorted({**foreign, **self.members}.items()))

    def names(self) -> list[str]:
        """Return the names of all members, sorted."""
        return list(self.paths())

    def load(self, name: str) -> Any:
        """Return the member (a class or function).

        Raises:
            ArmillaryError: if there is no such member, or its package cannot be imported.
        """
        paths = self.paths()
        if name not in paths:
            close = difflib.get_close_matches(name, paths, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ArmillaryError(f"{self.kind} {name!r} is unknown; {hint}choose one of {list(paths)}")
        module, _, attribute = paths[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as fault:
            raise ArmillaryError(f"{self.kind} {name!r} at {paths[name]} cannot be loaded: {fault}") from fault

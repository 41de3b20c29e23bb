"""Registries of extension kinds: names and import paths as text, so that listing loads nothing."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
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
        former: names that members once had, to those of today: they load, and are not listed.
    """

    kind: str
    group: str
    members: Mapping[str, str]
    former: Mapping[str, str] = field(default_factory=dict)

    def packages(self, name: str) -> dict[str, str]:
        """Return which other packages bring a member of this name, with their versions; none if the member is ours."""
        if name in self.members:
            return {}
        found = metadata.entry_points(group=self.group, name=name)
        return {entry.dist.name: entry.dist.version for entry in found if entry.dist is not None}

    def paths(self) -> dict[str, str]:
        """Return every member's import path by name, sorted by name."""
        foreign = {entry.name: entry.value for entry in metadata.entry_points(group=self.group)}
        return dict(sorted({**foreign, **self.members}.items()))

    def names(self) -> list[str]:
        """Return the names of all members, sorted."""
        return list(self.paths())

    def load(self, name: str, of: type | None = None) -> Any:
        """Return the member (a class, a function or a value).

        Args:
            name: of the member.
            of: what it has to be an instance of; anything, if not given.

        Raises:
            ArmillaryError: if there is no such member, its package cannot be imported, or it is something else.
        """
        paths = self.paths()
        name = name if name in paths else self.former.get(name, name)
        if name not in paths:
            close = difflib.get_close_matches(name, paths, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ArmillaryError(f"{self.kind} {name!r} is unknown; {hint}choose one of {list(paths)}")
        module, _, attribute = paths[name].partition(":")
        # other people's modules may fail in any way when they are imported; ours are only ever missing something
        faults = (ImportError, AttributeError, OSError) if name in self.members else (Exception,)
        try:
            found = getattr(import_module(module), attribute)
        except faults as fault:
            why = traceback.format_exception_only(fault)[-1].strip()
            raise ArmillaryError(f"{self.kind} {name!r} at {paths[name]} cannot be loaded: {why}") from fault
        if of is not None and not isinstance(found, of):
            raise ArmillaryError(
                f"{self.kind} {name!r} at {paths[name]} is no {of.__name__}, it is a {type(found).__name__}"
            )
        return found

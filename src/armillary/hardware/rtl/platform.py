"""What a platform is: a family of accelerators with hardware of its own, written out as SystemVerilog."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from armillary.atomic_file import replaced

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A = TypeVar("A", bound="DataclassInstance")
SHARED_BLOCKS = Path(__file__).parent / "blocks"
"""Modules that several platforms use."""


@dataclass(frozen=True)
class Platform(Generic[A]):
    """A family of accelerators that can be written out.

    Attributes:
        template: whose designs they are.
        accelerator: what a design stands for: a dataclass with a default for every parameter.
        top: the top module.
        sources: the text of every module of an accelerator, by file name; the top module's file is named after it.
        tables: what else comes with them, likewise.
        memories: ports of each module that is a memory, which a macro may replace: 1, or 2 for one that reads and one
            that writes.
        clocks_ns: the least and the greatest period worth asking a layout in 45 nm for: the least is out of reach of
            all but the smallest designs, the greatest is slack for all but the largest.
    """

    template: str
    accelerator: type[A]
    top: str
    sources: Callable[[A], dict[str, str]]
    tables: Callable[[A], dict[str, str]] = lambda _: {}
    memories: Mapping[str, int] = field(default_factory=dict)
    clocks_ns: tuple[float, float] = (0.8, 3.2)

    def files(self, accelerator: A) -> dict[str, str]:
        """Return the text of every file by name; the top module begins with the accelerator's parameters."""
        texts = self.sources(accelerator)
        top = f"{self.top}.sv"
        return {**texts, top: self._header(accelerator) + texts[top], **self.tables(accelerator)}

    def generate(self, accelerator: A, folder: Path) -> list[Path]:
        """Write every file of an accelerator, each at once, and return their paths.

        Raises:
            ArmillaryError: if one cannot be written.
        """
        paths = []
        for name, text in self.files(accelerator).items():
            paths.append(folder / name)
            with replaced(paths[-1]) as unfinished:
                unfinished.write_text(text)
        return paths

    def _header(self, accelerator: A) -> str:
        values = {each.name: getattr(accelerator, each.name) for each in fields(accelerator)}
        width = max(map(len, values))
        lines = [f"//   {name:<{width}}  {value}" for name, value in values.items()]
        return "\n".join([f"// An accelerator of the {self.template} template:", "//", *lines, "//", ""])


def with_defaults(text: str, parameters: Mapping[str, int], name: str) -> str:
    """Return a module's text with other defaults of its parameters.

    Args:
        text: of the module.
        parameters: their values by name; the module declares each, with a number as its default.
        name: of the file.
    """
    for parameter, value in parameters.items():
        text, found = re.subn(rf"(parameter int {parameter}\s*=\s*)\d+", rf"\g<1>{value}", text)
        if found != 1:
            raise AssertionError(f"{name} declares {parameter} {found} times")
    return text

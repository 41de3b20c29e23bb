"""Bit widths by role: weights, inputs, partial sums and final outputs are not equally wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from armillary.types import ArmillaryError

ROLES = "WIPO"
"""Weights, inputs, partial sums, final outputs: the order of every role axis."""

NumberKind = Literal["int", "float"]
_KINDS: tuple[NumberKind, ...] = ("int", "float")
_FORM = "write e.g. W=4,I=8,P=32,O=8,kind=int, each at most once"


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits of one element of each role; None leaves a role to whoever else sets it.

    Attributes:
        W: of a weight.
        I: of an input.
        P: of a partial sum, which more is added to.
        O: of a final output.
        kind: `int` or `float`; decides what a multiply-accumulate costs.

    Raises:
        ArmillaryError: names the field, its value and what is allowed.
    """

    W: int | None = None
    I: int | None = None  # noqa: E741 - the field's name for inputs
    P: int | None = None
    O: int | None = None  # noqa: E741 - the field's name for outputs
    kind: NumberKind | None = None

    def __post_init__(self) -> None:
        for role in ROLES:
            width = getattr(self, role)
            if width is not None and (type(width) is not int or width < 1):
                raise ArmillaryError(f"bits: {role}={width!r} is not allowed; it must be an integer of at least 1")
        if self.kind not in (None, *_KINDS):
            raise ArmillaryError(f"bits: kind={self.kind!r} is not allowed; choose one of {list(_KINDS)}")

    @staticmethod
    def parse(text: str) -> Bits:
        """Return the widths of a text such as `W=4,I=8,P=32,O=8`, `P=24`, `W=8,I=8,kind=float` or a preset's name.

        Raises:
            ArmillaryError: names what is wrong and what is allowed.
        """
        if text.strip() in PRESETS:
            return PRESETS[text.strip()]
        found: dict[str, Any] = {}
        for part in text.split(","):
            name, equals, value = map(str.strip, part.partition("="))
            if not equals or name in found or name not in (*ROLES, "kind"):
                raise ArmillaryError(
                    f"bits: {part.strip()!r} in {text!r} is not allowed; {_FORM}, or choose one of {list(PRESETS)}"
                )
            found[name] = int(value) if value.isascii() and value.isdecimal() else value
        return Bits(**found)

    def over(self, other: Bits | None) -> Bits:
        """Return these widths, and those of another where these are not set."""
        if other is None:
            return self
        return Bits(*(getattr(other if mine is None else self, name) for name, mine in self._fields()))

    def _fields(self) -> list[tuple[str, int | str | None]]:
        return [(name, getattr(self, name)) for name in (*ROLES, "kind")]

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self._fields() if value is not None)


PRESETS = {
    "int4": Bits(4, 4, 32, O=4, kind="int"),
    "int8": Bits(8, 8, 32, O=8, kind="int"),
    "fp8": Bits(8, 8, 32, O=8, kind="float"),
    "fp16": Bits(16, 16, 32, O=16, kind="float"),
}
"""Widths that networks are often run with: operands and outputs alike, sums of 32 bits."""

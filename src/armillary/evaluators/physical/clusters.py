"""Groups of pins that lie close to each other, for buffers and for the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from armillary.evaluators.physical.netlist import PinName

Located = tuple[PinName, int, int]
"""A pin with its place."""


def clusters(pins: Sequence[Located], fits: Callable[[Sequence[Located]], bool]) -> list[list[Located]]:
    """Return pins in groups that fit, by halving across the longer side until they do; a single pin always fits."""
    if len(pins) < 2 or fits(pins):
        return [list(pins)]
    wide = max(x for _, x, _ in pins) - min(x for _, x, _ in pins)
    high = max(y for _, _, y in pins) - min(y for _, _, y in pins)
    ordered = sorted(pins, key=lambda pin: (pin[1], pin[2], pin[0]) if wide >= high else (pin[2], pin[1], pin[0]))
    half = math.ceil(len(ordered) / 2)
    return [*clusters(ordered[:half], fits), *clusters(ordered[half:], fits)]


def centre(pins: Sequence[Located]) -> tuple[int, int]:
    """Return the middle of pins."""
    return sum(x for _, x, _ in pins) // len(pins), sum(y for _, _, y in pins) // len(pins)


def span(pins: Sequence[Located]) -> int:
    """Return half the perimeter of the box around pins."""
    across = max(x for _, x, _ in pins) - min(x for _, x, _ in pins)
    return across + max(y for _, _, y in pins) - min(y for _, _, y in pins)

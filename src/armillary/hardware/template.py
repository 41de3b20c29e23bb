"""What a template is: a space, and what is known of its designs without evaluating them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Space
from armillary.types import Design


@dataclass(frozen=True)
class Template:
    """A parameterised accelerator.

    `area_mm2` maps coded designs, shape [designs, parameters], to their area, shape [designs]; above `max_area_mm2` a
    design cannot be built; a search that is given no bound keeps to `area_budget_mm2`. `baseline` is a design of the
    space to compare with, and `baseline_note` what it is.
    """

    name: str
    space: Space
    area_mm2: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    max_area_mm2: float
    baseline: Design
    baseline_name: str
    baseline_note: str = "published design"
    area_budget_mm2: float = 29.0  # PRIME's bound

"""Whether an area bound can be met at all."""

from __future__ import annotations

import heapq
import math

import numpy as np

from armillary.hardware.template import Template
from armillary.studies.evaluation import evaluate_codes
from armillary.types import ArmillaryError, Evaluator
from armillary.workloads.layer import Workload

_BATCH = 512
_LIMIT = 40_000


def check_area(template: Template, evaluator: Evaluator, workload: Workload, area_mm2: float) -> None:
    """Check that some legal design is no larger than a bound.

    Raises:
        ArmillaryError: if the bound is not positive, or below the smallest legal design; says its area.
    """
    check_positive(area_mm2)
    smallest = smallest_legal_area_mm2(template, evaluator, workload, area_mm2)
    if smallest is not None and smallest > area_mm2:
        raise ArmillaryError(
            f"area={area_mm2:g} mm2 cannot be met: the smallest legal design for {workload.name} has {smallest:.2g} mm2"
        )


def check_positive(area_mm2: float) -> None:
    """Check that a bound on the area is a positive number.

    Raises:
        ArmillaryError: if it is not.
    """
    if not (area_mm2 > 0 and math.isfinite(area_mm2)):
        raise ArmillaryError(f"area={area_mm2:g} mm2 is not allowed; it must be a positive number")


def smallest_legal_area_mm2(
    template: Template, evaluator: Evaluator, workload: Workload, enough_mm2: float
) -> float | None:
    """Return the area of the smallest legal design, or None if it is not known to exceed `enough_mm2`.

    Designs are met in order of area, from the smallest values of all parameters upwards. That order
    is right where area never shrinks from one value of a parameter to the next, as in all our
    templates. None also when tens of thousands of ever larger designs were tried in vain.
    """
    space = template.space
    origin = (0,) * len(space.parameters)
    queue = [(float(template.area_mm2(np.array([origin]))[0]), origin)]
    seen = {origin}
    met, smallest = 0, math.inf
    while queue and met < _LIMIT:
        if smallest <= queue[0][0]:  # a batch holds designs that are larger than some not yet queued
            return smallest
        batch = [heapq.heappop(queue) for _ in range(min(_BATCH, len(queue)))]
        met += len(batch)
        codes = np.array([code for _, code in batch])
        feasible = evaluate_codes(evaluator, space, codes, workload).feasible
        smallest = min([smallest, *(area for (area, _), legal in zip(batch, feasible, strict=True) if legal)])
        if batch[0][0] > enough_mm2 and batch[0][0] > template.max_area_mm2:
            return None
        _push_larger(template, queue, seen, codes)
    return smallest if math.isfinite(smallest) and not queue else None


def _push_larger(
    template: Template,
    queue: list[tuple[float, tuple[int, ...]]],
    seen: set[tuple[int, ...]],
    codes: np.ndarray[tuple[int, int], np.dtype[np.int64]],
) -> None:
    """Queue every design that is one step up in one parameter from one of the codes."""
    last = np.array(template.space.cardinalities) - 1
    steps = np.eye(len(last), dtype=np.int64)
    larger = [
        tuple(int(c) for c in code + step)
        for code in codes
        for step, limit in zip(steps, last - code, strict=True)
        if (limit * step).sum() > 0
    ]
    fresh = [code for code in dict.fromkeys(larger) if code not in seen]
    if not fresh:
        return
    seen.update(fresh)
    for area, code in zip(template.area_mm2(np.array(fresh)), fresh, strict=True):
        heapq.heappush(queue, (float(area), code))

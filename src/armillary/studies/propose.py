"""Propose: the best designs by a surrogate, within the bounds that are known without evaluating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.optimizers.surrogate_search import keys, top_designs
from armillary.studies.bounds import check_positive
from armillary.types import Evaluations, Surrogate
from armillary.workloads.context import Context


@dataclass(frozen=True)
class Proposals:
    """Coded designs, shape [designs, parameters], the best first, and what the surrogate expects of them."""

    codes: NDArray[np.int64]
    predicted: NDArray[np.float64]
    p_feasible: NDArray[np.float64]


def propose(
    surrogate: Surrogate,
    template: Template,
    context: Context,
    *,
    area_mm2: float,
    top: int = 256,
    seed: int = 0,
    known: Evaluations | None = None,
) -> Proposals:
    """Return the designs within an area that the surrogate ranks best.

    Args:
        surrogate: a fitted surrogate.
        template: whose space and area law to use.
        context: the workload.
        area_mm2: the bound; the template's own limit holds too.
        top: how many designs; 256 in PRIME Section 3.
        seed: same seed, same proposals.
        known: designs already evaluated; they are not proposed again.

    Raises:
        ArmillaryError: if the bound is not positive, or no design meets it.
    """
    check_positive(area_mm2)
    bound = min(area_mm2, template.max_area_mm2)
    met = keys(template.space.encode_columns(known.design)) if known is not None else None

    def allowed(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        small = template.area_mm2(codes) <= bound
        return small if met is None else small & ~np.isin(keys(codes), met)

    codes = top_designs(
        lambda codes: surrogate.predict(codes, context).mean, template.space, n=top, seed=seed, keep=allowed
    )
    expected = surrogate.predict(codes, context)
    return Proposals(codes=codes, predicted=expected.mean, p_feasible=expected.p_feasible)

"""Software candidates on the `gemmini` template: a Sobol sample of the mappings that use the array as far as they can.

Source: the dissertation, Section 6.1.5: the space of mappings is constrained, sampled, and each sample assessed. What
differs: of a large sample the cost model picks those worth being assessed, and the best of a search of all mappings, by
the closed form's delay, may stand beside them.
"""

from __future__ import annotations

import numpy as np

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.evaluators.gemmini.full_array import full_array_mappings
from armillary.evaluators.gemmini.layers import UNFIT, best_mapping, packed
from armillary.evaluators.gemmini.sampling import fitting
from armillary.evaluators.sampling import Proposing
from armillary.hardware.templates.gemmini import Accelerator, accelerator_of
from armillary.spaces.samplers import SAMPLERS
from armillary.types import Design
from armillary.workloads.layer import Layer


def proposed(design: Design, layer: Layer, proposing: Proposing) -> list[str]:
    """Return mappings of a layer; see `ProposesMappings`. The best by the cost model come first, if some are dropped.

    Raises:
        ArmillaryError: if there is no accelerator of the design.
    """
    accelerator = accelerator_of(design)
    own = packed(layer, accelerator.dim)
    mappings = full_array_mappings(accelerator, own, remainders=proposing.remainders)
    codes = mappings.codes(SAMPLERS["sobol"](proposing.drawn, mappings.width, proposing.seed))
    codes = codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]
    codes = codes[fitting(accelerator, own, mappings.batch(codes))]
    if proposing.kept < proposing.drawn and len(codes):
        costs = summaries(HierarchyBatch.of([accelerator.hierarchy()]), LayerBatch.of([own]), mappings.batch(codes))
        value = (costs.delay_cycles * costs.energy_pj).numpy()
        codes = codes[np.argsort(value, kind="stable")[: proposing.kept]]
    found = [str(mappings.mapping(code)) for code in codes]
    return list(dict.fromkeys([*_searched(accelerator, own, proposing), *found]))


def _searched(accelerator: Accelerator, layer: Layer, proposing: Proposing) -> list[str]:
    if not proposing.searched:
        return []
    try:
        best = best_mapping(accelerator, layer, seed=proposing.seed, budget=proposing.searched, choice="physics")
    except UNFIT:
        return []
    return [str(best)]

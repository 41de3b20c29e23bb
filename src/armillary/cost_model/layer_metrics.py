"""The metrics of one layer's run, as the log and reports name them, from what the cost model counted."""

from __future__ import annotations

from armillary.cost_model.cost import Costs
from armillary.hardware.hierarchy import Hierarchy


def layer_metrics(costs: Costs, candidate: int, hierarchy: Hierarchy) -> dict[str, float]:
    """Return the metrics of one feasible candidate.

    Returns:
        `delay_cycles` and what it is the largest of: `compute_cycles`, `dram_cycles` (the outermost level's bandwidth)
        and `onchip_cycles` (the slowest of the other levels); `energy_pj`; `dram_bytes` and `onchip_bytes`, all words
        read, filled and updated at the outermost level and at the others; `utilization` of the compute units.
    """
    bandwidth = costs.bandwidth_cycles[:, candidate].tolist()
    words = costs.words_moved[..., candidate].sum(dim=(1, 2)) * costs.instances[:, candidate]
    bits = [level.word_bits for level in hierarchy.inner_first]
    moved = [float(count) * width / 8 for count, width in zip(words.tolist(), bits, strict=True)]
    return {
        "delay_cycles": float(costs.delay_cycles[candidate]),
        "energy_pj": float(costs.energy_pj[candidate]),
        "compute_cycles": float(costs.compute_cycles[candidate]),
        "dram_cycles": bandwidth[-1],
        "onchip_cycles": max(bandwidth[:-1], default=0.0),
        "dram_bytes": moved[-1],
        "onchip_bytes": sum(moved[:-1]),
        "utilization": float(costs.utilization[candidate]),
    }

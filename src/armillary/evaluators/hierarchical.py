"""Taking an evaluation apart whose layers run on a memory hierarchy: where its energy and area go, level by level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from armillary.cost_model.cost import evaluate
from armillary.evaluators.explanation import ChipRates, Explanation, LayerCost
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import Mapping
from armillary.hardware.technology import compute_area_mm2, level_area_mm2
from armillary.types import LayerRun

_MAC = "MAC"


def explanation(hierarchy: Hierarchy, runs: Sequence[LayerRun], macs: Sequence[int], *, area_mm2: float) -> Explanation:
    """Return the parts of an inference on one hierarchy.

    Args:
        hierarchy: on which all layers run.
        runs: of the layers.
        macs: multiply-accumulates of one run of each.
        area_mm2: of the design; what the hierarchy's levels and compute units leave of it is shown as `other`.
    """
    return Explanation(
        layers=tuple(LayerCost.of(run, work) for run, work in zip(runs, macs, strict=True)),
        rates=rates_of(hierarchy),
        area_parts_mm2=_area_parts(hierarchy, area_mm2),
        energy_parts_pj=energy_parts([(hierarchy, run) for run in runs]),
    )


def rates_of(hierarchy: Hierarchy) -> ChipRates:
    """Return the peak rates of a hierarchy: all compute units, and reads of the outermost level."""
    clock_hz, outermost = hierarchy.clock_ghz * 1e9, hierarchy.inner_first[-1]
    allowed = [rate for rate in (outermost.shared_bandwidth, outermost.read_bandwidth) if rate is not None]
    words = min(allowed, default=float("inf"))
    return ChipRates(
        clock_hz=clock_hz,
        macs_per_s=hierarchy.instances()[-1] * clock_hz,
        dram_bytes_per_s=words * outermost.word_bits / 8 * clock_hz,
    )


def energy_parts(runs: Sequence[tuple[Hierarchy, LayerRun]]) -> dict[str, float]:
    """Return the energy of an inference by level, and of the multiply-accumulates, in pJ, by the cost model."""
    parts: defaultdict[str, float] = defaultdict(float)
    for depth in sorted({len(hierarchy.levels) for hierarchy, _ in runs}):  # the cost model takes one depth at a time
        for name, energy in _energy_parts([pair for pair in runs if len(pair[0].levels) == depth]):
            parts[name] += energy
    return {name: energy for name, energy in parts.items() if energy > 0}


def _energy_parts(runs: Sequence[tuple[Hierarchy, LayerRun]]) -> Iterator[tuple[str, float]]:
    """Yield shares of the energy on hierarchies of as many levels, by level or multiply-accumulate."""
    costs = evaluate(
        [hierarchy for hierarchy, _ in runs],
        [run.layer for _, run in runs],
        [Mapping.parse(run.mapping) for _, run in runs],
    )
    for number, (hierarchy, run) in enumerate(runs):
        yield _MAC, run.runs * float(costs.mac_energy_pj[number])
        energies = costs.access_energy_pj[:, :, number].sum(dim=1).tolist()
        for level, energy in zip(hierarchy.inner_first, energies, strict=True):
            yield level.memory, run.runs * energy


def _area_parts(hierarchy: Hierarchy, area_mm2: float) -> dict[str, float]:
    counts = hierarchy.instances()
    parts = {_MAC: counts[-1] * compute_area_mm2(hierarchy)}
    for count, level in zip(counts, hierarchy.levels, strict=False):
        parts[level.name] = count * level_area_mm2(hierarchy, level)
    rest = area_mm2 - sum(parts.values())
    if rest > 1e-9 * area_mm2:
        parts["other"] = rest
    return {name: area for name, area in parts.items() if area > 0}

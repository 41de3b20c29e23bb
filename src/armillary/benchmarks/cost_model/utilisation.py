"""How busy the compute units can be at most, whatever the mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from math import ceil, prod

from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import loop_bounds
from armillary.workloads.layer import Layer


def utilisation_bound(hierarchy: Hierarchy, layer: Layer) -> float:
    """Return the largest share of the compute units that a mapping, imperfect factors included, can keep busy.

    A dimension of bound b that u instances share takes ceil(b / u) rounds; and every word of the layer crosses the
    outermost level's ports once. The layer's windows leave no input between them unread.
    """
    cycles = max(least_rounds(hierarchy, layer), _outermost_cycles(hierarchy, layer))
    return layer.macs / (cycles * hierarchy.instances()[-1])


def least_rounds(hierarchy: Hierarchy, layer: Layer) -> int:
    """Return the fewest steps of the compute units: the best way to spread dimensions over the fan-outs.

    All ways that the rules allow are tried; they should name few dimensions per axis.
    """
    bounds = {d: bound for d, bound in loop_bounds(layer).items() if bound > 1}
    axes = [
        list(_spreads(size, "".join(d for d in allowed if d in bounds), bounds))
        for level in hierarchy.levels
        for size, allowed in zip(level.fanout, (level.rules.spatial_x, level.rules.spatial_y), strict=True)
        if size > 1
    ]
    return min(_rounds(bounds, ways) for ways in product(*axes))


def _spreads(size: int, allowed: str, bounds: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield how many instances of an axis each dimension gets; the last gets all there is room for."""
    if not allowed:
        yield {}
        return
    first, rest = allowed[0], allowed[1:]
    most = min(size, bounds[first])
    for factor in range(1, most + 1) if rest else (most,):
        for others in _spreads(size // factor, rest, bounds):
            yield {first: factor, **others}


def _rounds(bounds: Mapping[str, int], ways: tuple[dict[str, int], ...]) -> int:
    shared = Counter(dict.fromkeys(bounds, 1))
    for way in ways:
        for dimension, factor in way.items():
            shared[dimension] *= factor
    return prod(ceil(bound / shared[d]) for d, bound in bounds.items())


def _outermost_cycles(hierarchy: Hierarchy, layer: Layer) -> float:
    level = hierarchy.levels[0]
    read, written = layer.weights + layer.inputs, layer.outputs
    words = ((level.read_bandwidth, read), (level.write_bandwidth, written), (level.shared_bandwidth, read + written))
    return max((count / rate for rate, count in words if rate is not None), default=0.0)

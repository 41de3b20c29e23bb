"""NVDLA-style arrays: weights stay in the PEs, input and output channels lie side by side.

PRIME Appendix C; an array of its own for every layer, see `armillary.hardware.templates.layerwise`. The
fixed dataflow picks how many PEs go to input channels, whose partial sums are added on the way out: the
power of two with the fewest rounds.
"""

from __future__ import annotations

from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.hardware.templates.layerwise import Layerwise, filter_dimension, split
from armillary.workloads.layer import Layer


def weight_stationary(layer: Layer, pes: int, filters: int) -> Mapping:
    """Return the mapping of a layer: filters and channels over the PEs, outputs streamed through them."""
    bounds, along = loop_bounds(layer), filter_dimension(layer)
    tiles = -(-bounds[along] // filters)
    channels = min(
        (2**k for k in range(pes.bit_length()) if 2**k <= max(1, bounds["C"])),
        key=lambda c: (-(-tiles // (pes // c)) * -(-bounds["C"] // c), -c),
    )
    rounds, side, tile = split(along, bounds[along], filters, pes // channels)
    turns = -(-bounds["C"] // channels)
    depth = [Loop("C", channels, "Y", (bounds["C"] - (turns - 1) * channels) % channels)] if channels > 1 else []
    return Mapping(
        (
            LevelMapping("WIO", temporal=_loops(layer, "N" if along == "G" else "GN")),
            LevelMapping(
                "WIO",
                temporal=(*rounds, *([Loop("C", turns)] if turns > 1 else []), *_loops(layer, "PQ")),
                spatial=(*side, *depth),
            ),
            LevelMapping("WIO", temporal=(*tile, *_loops(layer, "RS"))),
        )
    )


def _loops(layer: Layer, dimensions: str) -> tuple[Loop, ...]:
    bounds = loop_bounds(layer)
    return tuple(Loop(d, bounds[d]) for d in dimensions if bounds[d] > 1)


TEMPLATE = Layerwise("nvdla", weight_stationary)

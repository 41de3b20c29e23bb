"""ShiDianNao-style arrays: partial sums stay in the PEs, output rows and columns lie side by side.

PRIME Appendix C and its Figure 10; an array of its own for every layer, see
`armillary.hardware.templates.layerwise`. The fixed dataflow shapes the array so that the outputs take
the fewest rounds. A matrix product has one column of outputs.
"""

from __future__ import annotations

from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.hardware.templates.layerwise import Layerwise, filter_dimension, split
from armillary.workloads.layer import Layer


def output_stationary(layer: Layer, pes: int, filters: int) -> Mapping:
    """Return the mapping of a layer: output rows and columns over the PEs, channels one after the other."""
    bounds, along = loop_bounds(layer), filter_dimension(layer)
    rows = min(range(1, min(pes, bounds["P"]) + 1), key=lambda p: (_rounds(bounds, p, pes // p), -p))
    columns = min(pes // rows, bounds["Q"])
    outer, tile = _tiled(along, bounds[along], filters)
    p_turns, p_side = _side_by_side("P", bounds["P"], rows, "X")
    q_turns, q_side = _side_by_side("Q", bounds["Q"], columns, "Y")
    channels = [Loop("C", bounds["C"])] if bounds["C"] > 1 else []
    rest = [Loop(d, bounds[d]) for d in ("N" if along == "G" else "GN") if bounds[d] > 1]
    taps = [Loop(d, bounds[d]) for d in "RS" if bounds[d] > 1]
    return Mapping(
        (
            LevelMapping("WIO", temporal=tuple(rest)),
            LevelMapping("WIO", temporal=(*outer, *p_turns, *q_turns, *channels), spatial=(*p_side, *q_side)),
            LevelMapping("WIO", temporal=(*tile, *taps)),
        )
    )


def _rounds(bounds: dict[str, int], rows: int, columns: int) -> int:
    return -(-bounds["P"] // rows) * -(-bounds["Q"] // columns)


def _tiled(dimension: str, bound: int, tile: int) -> tuple[list[Loop], list[Loop]]:
    rounds, _, inner = split(dimension, bound, tile, 1)
    return rounds, inner


def _side_by_side(dimension: str, bound: int, instances: int, axis: str) -> tuple[list[Loop], list[Loop]]:
    turns = -(-bound // instances)
    outer = [Loop(dimension, turns)] if turns > 1 else []
    last = bound - (turns - 1) * instances
    return outer, [Loop(dimension, instances, axis, last % instances)] if instances > 1 else []  # type: ignore[arg-type]


TEMPLATE = Layerwise("shidiannao", output_stationary)

"""Random layers with random mappings onto small accelerators, for tests."""

from dataclasses import dataclass

from hypothesis import strategies as st

from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.hardware.rtl.gemmini.compiler import Padding, Requantization
from armillary.hardware.templates.gemmini import Accelerator
from armillary.workloads.layer import Layer

# Few, as each takes two builds, and as different as can be: every knob has two values here or more.
ACCELERATORS = (
    Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4, burst_rows=4, outstanding=2, queue_depth=2),
    Accelerator(
        dim=6, scratchpad_kib=16, accumulator_kib=8, bus_bytes=8, scratchpad_banks=2, accumulator_banks=4, burst_rows=3
    ),
    Accelerator(
        dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=2, dataflow="output_stationary", scratchpad_banks=8,
        queue_depth=3, outstanding=5,
    ),
    Accelerator(dim=6, scratchpad_kib=8, accumulator_kib=16, bus_bytes=4, dataflow="output_stationary"),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    layer: Layer
    mapping: Mapping
    padding: Padding
    requantization: Requantization


@st.composite
def cases(draw, accelerator):
    def one_of(*values):
        return draw(st.sampled_from(values))

    groups = one_of(1, 1, 2, 3)
    layer = Layer(
        "random",
        "conv",
        N=one_of(1, 1, 2),
        K=groups * one_of(1, 2, 4, 5, 8, 13),
        C=groups * one_of(1, 2, 3, 7, 8, 12),
        P=one_of(1, 2, 3, 5, 6, 8),
        Q=one_of(1, 2, 3, 4, 7),
        R=one_of(1, 2, 3),
        S=one_of(1, 3),
        stride_h=one_of(1, 2),
        stride_w=one_of(1, 2),
        dilation_h=one_of(1, 2),
        dilation_w=one_of(1, 3),
        groups=groups,
    )
    sides = [draw(st.integers(0, 2)) for _ in range(4)]
    fits_h, fits_w = layer.input_height > sides[0] + sides[2], layer.input_width > sides[1] + sides[3]
    padding = Padding(*sides) if fits_h and fits_w else Padding()
    how = Requantization(draw(st.integers(1, 65535)), draw(st.integers(0, 63)), draw(st.booleans()))
    return Case(layer, draw(mappings(accelerator, layer)), padding, how)


@st.composite
def mappings(draw, accelerator, layer):
    """Every bound is split over some of the loops that the hierarchy allows, with or without remainders."""
    inside, across = ("NPQ", "C") if accelerator.stationary == "W" else ("CRS", "NPQ")
    bounds, room = loop_bounds(layer), {"K": accelerator.dim, "across": accelerator.dim}
    loops = {}  # by dimension, those of DRAM, scratchpad, columns, accumulator, rows and registers
    for d in draw(st.permutations(list(bounds))):
        columns, rows = room["K"] if d == "K" else 1, room["across"] if d in across else 1
        most = [bounds[d], bounds[d], columns, bounds[d], rows, bounds[d] if d in inside else 1]
        loops[d] = split(draw, d, bounds[d], most)
        room["across"] //= loops[d][4].factor
    turning = [draw(st.permutations([own[place] for own in loops.values()])) for place in (0, 1, 3, 5)]
    unrolled = [(), (loops["K"][2],), tuple(loops[d][4] for d in across), ()]
    return Mapping(
        tuple(
            LevelMapping(keeps, *(tuple(loop for loop in kind if loop.factor > 1) for kind in kinds))
            for keeps, *kinds in zip(("WIO", "WI", "O", accelerator.stationary), turning, unrolled, strict=True)
        )
    )


def split(draw, dimension, bound, most):
    """Return loops whose last rounds end at the bound, the outermost first, none of more iterations than `most`."""
    perfect, left, last, found = draw(st.booleans()), bound, bound - 1, []
    for place in reversed(range(len(most))):
        allowed = [f for f in range(1, min(left, most[place]) + 1) if left % f == 0 or not perfect]
        factor = left if place == 0 else draw(st.sampled_from(allowed))
        rest = last % factor + 1
        axis = "X" if place in (2, 4) else ""
        found.append(Loop(dimension, factor, axis, 0 if rest == factor else rest))
        left, last = -(-left // factor), last // factor
    return found[::-1]

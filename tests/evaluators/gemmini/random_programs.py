"""Random layers with random mappings onto small accelerators, for tests."""

from dataclasses import dataclass

from hypothesis import strategies as st

from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.hardware.rtl.gemmini.compiler import Padding, Requantization
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.mapspace import primes
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
        K=groups * one_of(1, 2, 4, 6, 8, 12),
        C=groups * one_of(1, 2, 3, 4, 8, 12),
        P=one_of(1, 2, 3, 4, 6, 8),
        Q=one_of(1, 2, 3, 4, 6),
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
    """Every prime factor of every bound goes to one of the loops that the hierarchy allows."""
    inside, across = ("NPQ", "C") if accelerator.stationary == "W" else ("CRS", "NPQ")
    temporal = [dict.fromkeys("NKCPQRSG", 1) for _ in range(4)]
    columns, rows = 1, dict.fromkeys(across, 1)
    for d, bound in loop_bounds(layer).items():
        for prime, power in primes(bound):
            for _ in range(power):
                places = [0, 1, 2, *([3] if d in inside else [])]
                places += ["columns"] if d == "K" and columns * prime <= accelerator.dim else []
                product = 1
                for factor in rows.values():
                    product *= factor
                places += ["rows"] if d in across and product * prime <= accelerator.dim else []
                place = draw(st.sampled_from(places))
                if place == "columns":
                    columns *= prime
                elif place == "rows":
                    rows[d] *= prime
                else:
                    temporal[place][d] *= prime
    levels = []
    spatial = [(), (Loop("K", columns, "X"),), tuple(Loop(d, f, "X") for d, f in rows.items() if f > 1), ()]
    for keeps, factors, unrolled in zip(("WIO", "WI", "O", accelerator.stationary), temporal, spatial, strict=True):
        turning = [Loop(d, factor) for d, factor in factors.items() if factor > 1]
        order = draw(st.permutations(turning))
        levels.append(LevelMapping(keeps, tuple(order), tuple(loop for loop in unrolled if loop.factor > 1)))
    return Mapping(tuple(levels))

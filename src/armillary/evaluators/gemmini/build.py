"""Simulators of the `gemmini` template: one program per hardware configuration, built by Verilator."""

from __future__ import annotations

from pathlib import Path

from armillary.cores import available
from armillary.hardware.rtl.gemmini.generator import TOP, sources
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.verilator import Simulator, Trace, Unknown, build
from armillary.user_cache import cache_folder

HARNESS = Path(__file__).parent / "harness.cpp"


def simulator(accelerator: Accelerator, *, full: bool = False, trace: Trace = "", unknown: Unknown = "fast") -> Path:
    """Return the simulator of an accelerator, built if it is not there yet.

    Args:
        accelerator: what to simulate; its DRAM is set per run.
        full: every multiplier as hardware, instead of the array as a C++ model with the same timing.
        trace: what the simulator can write of every signal: `fst` waves or `saif` activity.
        unknown: `unique` for a simulator that starts from the random values of a seed; see `simulate`.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    defines = {"DIM": accelerator.dim, "BUS_BYTES": accelerator.bus_bytes}
    made_of = Simulator(
        sources=sources(accelerator, model=not full),
        top=TOP,
        harness=HARNESS.read_text(),
        parameters={} if full else {"PSUM": 32},
        defines=defines if full else {**defines, f"MODEL_{accelerator.dataflow.upper()}": 1},
        trace=trace,
        optimization="-O1" if full else "-O3",  # -O3 gains a full one nothing
        unknown=unknown,
    )
    return build(made_of, cache=cache_folder("rtl"), compilers=available())

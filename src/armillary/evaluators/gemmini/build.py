"""Simulators of the `gemmini` template: one program per array, dataflow and bus, built by Verilator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from armillary.cores import available
from armillary.hardware.rtl.gemmini.generator import CORE, MEMORIES, TOP, parameters, sources
from armillary.hardware.templates.gemmini import MOST_ROWS, SPACE, Accelerator
from armillary.tools.verilator import Simulator, Trace, Unknown, build
from armillary.user_cache import cache_folder

HARNESS = Path(__file__).parent / "harness.cpp"
MEMORIES_OF_HARNESS = tuple(HARNESS.with_name(name) for name in ("dram.hpp", "soc.hpp"))
_SHARED = (
    "scratchpad_kib", "accumulator_kib", "scratchpad_banks", "accumulator_banks", "outstanding", "queue_depth",
)  # fmt: skip


def simulator(accelerator: Accelerator, *, full: bool = False, trace: Trace = "", unknown: Unknown = "fast") -> Path:
    """Return a simulator for an accelerator, built if it is not there yet.

    It serves all accelerators of the same array, dataflow and bus: its memories and queues are as large as any of the
    template's, and a job says how much of them is used.

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
    largest = with_largest(accelerator)
    psum = {} if full and accelerator.dataflow == "weight_stationary" else {"PSUM": 32}
    defines = {"DIM": accelerator.dim, "BUS_BYTES": accelerator.bus_bytes}
    made_of = Simulator(
        sources={name: text for name, text in sources(largest, model=not full).items() if name != f"{TOP}.sv"},
        top=CORE,
        harness=harness(),
        parameters={**{n: value for n, value in parameters(largest).items() if n != "BURST_ROWS"}, **psum},
        defines=defines if full else {**defines, "MODEL": 1},
        trace=trace,
        optimization="-O1" if full else "-O3",  # -O3 gains a full one nothing
        unknown=unknown,
    )
    return build(made_of, cache=cache_folder("rtl"), compilers=available())


def harness() -> str:
    """Return what runs the simulated accelerator: the memories that it plays, and the program around."""
    return "".join(path.read_text() for path in (*MEMORIES_OF_HARNESS, HARNESS))


def simulated_text(accelerator: Accelerator) -> str:
    """Return all that decides what a fast simulation says beside its job: every module, and the harness."""
    return "\0".join([*sources(accelerator, model=True).values(), harness()])


def with_largest(accelerator: Accelerator) -> Accelerator:
    """Return an accelerator with the memories, banks and queues of the template's largest, or its own if larger."""
    columns = {parameter.name: parameter.values for parameter in SPACE.parameters}
    found = {}
    for name in _SHARED:
        most = max(int(value) for value in columns[name])
        if name in MEMORIES:
            row_bytes = accelerator.dim * (4 if name == "accumulator_kib" else 1)
            most = min(most, (MOST_ROWS * row_bytes - 1) // 1024)
        found[name] = max(most, getattr(accelerator, name))
    return replace(accelerator, **found)

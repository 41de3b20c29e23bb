"""The generator: SystemVerilog of one accelerator, out of modules with parameters.

The hardware is written in SystemVerilog by hand, in `blocks`: modules with parameters are what a reader of hardware
expects, every tool takes them, and what comes out reads as what went in. An accelerator is these modules and
a top module whose parameters' defaults are its own.
"""

from __future__ import annotations

from pathlib import Path

from armillary.hardware.rtl.gemmini.memories import table
from armillary.hardware.rtl.platform import SHARED_BLOCKS, Platform, with_defaults
from armillary.hardware.templates.gemmini import Accelerator

BLOCKS = Path(__file__).parent / "blocks"
TOP, CORE = "accelerator", "core"
ELABORATED = (
    "dim",
    "scratchpad_kib",
    "scratchpad_banks",
    "accumulator_kib",
    "accumulator_banks",
    "bus_bytes",
    "burst_rows",
    "outstanding",
    "queue_depth",
    "activation_tables",
    "pitch",
    "scratchpad_rows",
    "accumulator_rows",
)
"""What the hardware tells of itself, in the order of its port `elaborated`."""
PARAMETERS = ELABORATED[:10]
_DATAFLOW = {"weight_stationary": 1, "output_stationary": 2}
"""Of which the hardware's parameter is the sum."""
STRAPS = ("burst_rows", "outstanding", "queue_depth", "scratchpad_banks", "accumulator_banks")
"""Inputs of the core that say how much of what it has is used."""
MEMORIES = ("scratchpad_kib", "accumulator_kib", "scratchpad_rows", "accumulator_rows")
"""Sizes that change no cycle of a program that fits."""
MEMORY_TABLE = "memories.csv"
_MEMORY_MODULES = {"sram_1rw": 1, "sram_1r1w": 2}
_SHARED = ("delay", "fetch", "fifo", "queue", *_MEMORY_MODULES)
_ARRAY, _ELEMENT = "systolic_array.sv", "pe.sv"


def sources(accelerator: Accelerator, *, model: bool = False) -> dict[str, str]:
    """Return the text of every module by file name, the top module among them.

    Args:
        accelerator: whose parameters become the defaults.
        model: the array and the conversion as C++ models behind the same ports, for simulation.
    """
    shared = (SHARED_BLOCKS / f"{name}.sv" for name in _SHARED)
    files = {path.name: path for path in sorted((*BLOCKS.glob("*.sv"), *shared), key=lambda path: path.name)}
    if model:
        for name in (_ELEMENT, "convert_lane.sv"):
            del files[name]
        for name in (_ARRAY, "convert.sv"):
            files[name] = BLOCKS / "model" / name
    text = {name: path.read_text() for name, path in files.items()}
    text[f"{TOP}.sv"] = _with_defaults(text[f"{TOP}.sv"], accelerator)
    return text


def parameters(accelerator: Accelerator) -> dict[str, int]:
    """Return the parameters of the top module by name."""
    numbers = {name.upper(): getattr(accelerator, name) for name in PARAMETERS}
    return {**numbers, "DATAFLOW": sum(_DATAFLOW[dataflow] for dataflow in accelerator.dataflows)}


def _with_defaults(text: str, accelerator: Accelerator) -> str:
    text = with_defaults(text, parameters(accelerator), f"{TOP}.sv")
    sums = "16 + $clog2(DIM)" if accelerator.dataflow == "weight_stationary" else "32"
    return text.replace("16 + $clog2(DIM)", sums)


PLATFORM = Platform(
    "gemmini",
    Accelerator,
    TOP,
    sources,
    tables=lambda accelerator: {MEMORY_TABLE: table(accelerator)},
    memories=_MEMORY_MODULES,
)
generate = PLATFORM.generate
"""Write the synthesizable modules of an accelerator and the table of its memories, and return their paths."""

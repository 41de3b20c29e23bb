"""The generator: SystemVerilog of one accelerator, out of modules with parameters.

The hardware is written in SystemVerilog by hand, in `blocks`: modules with parameters are what a reader of hardware
expects, every tool takes them, and what comes out reads as what went in. An accelerator is the modules of its
dataflow and a top module whose parameters' defaults are its own.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from armillary.atomic_file import replaced
from armillary.hardware.rtl.gemmini.memories import table
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
STRAPS = ("burst_rows", "outstanding", "queue_depth", "scratchpad_banks", "accumulator_banks")
"""Inputs of the core that say how much of what it has is used."""
MEMORIES = ("scratchpad_kib", "accumulator_kib", "scratchpad_rows", "accumulator_rows")
"""Sizes that change no cycle of a program that fits."""
MEMORY_TABLE = "memories.csv"
_ARRAY = "systolic_array.sv"


def sources(accelerator: Accelerator, *, model: bool = False) -> dict[str, str]:
    """Return the text of every module by file name, the top module among them.

    Args:
        accelerator: whose parameters become the defaults.
        model: the array and the conversion as C++ models behind the same ports, for simulation.
    """
    folder = BLOCKS / accelerator.dataflow
    files = {path.name: path for path in sorted([*BLOCKS.glob("*.sv"), *folder.glob("*.sv")])}
    if model:
        for name in ("pe.sv", "convert_lane.sv"):
            del files[name]
        files[_ARRAY] = BLOCKS / "model" / f"{accelerator.dataflow}.sv"
        files["convert.sv"] = BLOCKS / "model" / "convert.sv"
    text = {name: path.read_text() for name, path in files.items()}
    text[f"{TOP}.sv"] = _with_defaults(text[f"{TOP}.sv"], accelerator)
    return text


def generate(accelerator: Accelerator, folder: Path) -> list[Path]:
    """Write the synthesizable modules of an accelerator and the table of its memories, and return their paths.

    Raises:
        ArmillaryError: if one cannot be written.
    """
    paths = []
    for name, text in sources(accelerator).items():
        paths.append(folder / name)
        with replaced(paths[-1]) as unfinished:
            unfinished.write_text(_header(accelerator) + text if name == f"{TOP}.sv" else text)
    paths.append(folder / MEMORY_TABLE)
    with replaced(paths[-1]) as unfinished:
        unfinished.write_text(table(accelerator))
    return paths


def _header(accelerator: Accelerator) -> str:
    values = {field.name: getattr(accelerator, field.name) for field in fields(accelerator)}
    width = max(map(len, values))
    lines = [f"//   {name:<{width}}  {value}" for name, value in values.items()]
    return "\n".join(["// An accelerator of the gemmini template:", "//", *lines, "//", ""])


def _with_defaults(text: str, accelerator: Accelerator) -> str:
    for name in PARAMETERS:
        pattern = rf"(parameter int {name.upper()}\s*=\s*)\d+"
        text, found = re.subn(pattern, rf"\g<1>{getattr(accelerator, name)}", text)
        if found != 1:
            raise AssertionError(f"{TOP}.sv declares {name.upper()} {found} times")
    sums = "32" if accelerator.dataflow == "output_stationary" else r"16 + $clog2(DIM)"
    return text.replace("16 + $clog2(DIM)", sums)

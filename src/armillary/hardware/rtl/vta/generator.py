"""The generator of `vta`: SystemVerilog of one accelerator, out of modules with parameters, in `blocks`."""

from __future__ import annotations

from pathlib import Path

from armillary.hardware.rtl.platform import SHARED_BLOCKS, Platform, with_defaults
from armillary.hardware.templates.vta import Accelerator

BLOCKS = Path(__file__).parent / "blocks"
TOP = "vta"
_SHARED = ("fetch", "queue", "sram_1r1w")


def sources(accelerator: Accelerator) -> dict[str, str]:
    """Return the text of every module by file name, the top module `vta` among them."""
    paths = [*sorted(BLOCKS.glob("*.sv")), *(SHARED_BLOCKS / f"{name}.sv" for name in _SHARED)]
    files = {path.name: path.read_text() for path in paths}
    return {**files, f"{TOP}.sv": with_defaults(files[f"{TOP}.sv"], parameters(accelerator), f"{TOP}.sv")}


def parameters(accelerator: Accelerator) -> dict[str, int]:
    """Return the parameters of the top module by name."""
    tiles = accelerator.tiles
    return {
        "BATCH": accelerator.batch,
        "BLOCK_IN": accelerator.block_in,
        "BLOCK_OUT": accelerator.block_out,
        "INPUT": accelerator.input_width,
        "WEIGHT": accelerator.weight_width,
        "ACCUMULATOR": accelerator.accumulator_width,
        "UOPS": tiles["uop"],
        "INPUTS": tiles["input"],
        "WEIGHTS": tiles["weight"],
        "ACCUMULATORS": tiles["accumulator"],
        "BUS": accelerator.bus_bytes,
    }


PLATFORM = Platform("vta", Accelerator, TOP, sources, memories={"sram_1r1w": 2})

"""The generator of `tabla`: SystemVerilog of one accelerator, out of modules with parameters, in `blocks`."""

from __future__ import annotations

from pathlib import Path

from armillary.hardware.rtl.platform import SHARED_BLOCKS, Platform, with_defaults
from armillary.hardware.templates.tabla import Accelerator

BLOCKS = Path(__file__).parent / "blocks"
TOP = "tabla"
_SHARED = ("saturate", "sigmoid", "sram_1r1w", "sram_1rw")


def sources(accelerator: Accelerator) -> dict[str, str]:
    """Return the text of every module by file name, the top module `tabla` among them."""
    paths = [*sorted(BLOCKS.glob("*.sv")), *(SHARED_BLOCKS / f"{name}.sv" for name in _SHARED)]
    files = {path.name: path.read_text() for path in paths}
    top = f"{TOP}.sv"
    return {**files, top: with_defaults(files[top], parameters(accelerator), top)}


def config_bits(accelerator: Accelerator) -> int:
    """Return the bits that the host writes at once: of an instruction or a weight."""
    return max(accelerator.instruction_bits, accelerator.internal_bit_width)


def word_bits(accelerator: Accelerator) -> int:
    """Return the bits of the number of a word of a step."""
    return (accelerator.groups * accelerator.data_depth - 1).bit_length()


def parameters(accelerator: Accelerator) -> dict[str, int]:
    """Return the parameters of the top module by name."""
    deepest = max(accelerator.instruction_depth, accelerator.weight_depth)
    return {
        "UNITS": accelerator.num_pu,
        "ELEMENTS": accelerator.num_pe,
        "LANES": accelerator.axi_width,
        "BITS": accelerator.bit_width,
        "INTERNAL": accelerator.internal_bit_width,
        "DATA": accelerator.data_depth,
        "WEIGHT": accelerator.weight_depth,
        "INTERMEDIATE": accelerator.intermediate_depth,
        "INBOX": accelerator.inbox_depth,
        "INSTRUCTIONS": accelerator.instruction_depth,
        "INSTRUCTION": accelerator.instruction_bits,
        "CONFIG": config_bits(accelerator),
        "CONFIG_ADDRESS": (deepest - 1).bit_length(),
        "WORD": word_bits(accelerator),
    }


PLATFORM = Platform("tabla", Accelerator, TOP, sources, memories={"sram_1rw": 1, "sram_1r1w": 2})

"""The generator of `genesys`: SystemVerilog of one accelerator, out of modules with parameters, in `blocks`."""

from __future__ import annotations

from pathlib import Path

from armillary.hardware.rtl.genesys.arithmetic import lookup_source
from armillary.hardware.rtl.platform import SHARED_BLOCKS, Platform, with_defaults
from armillary.hardware.templates.genesys import Accelerator

BLOCKS = Path(__file__).parent / "blocks"
TOP = "genesys"
_SHARED = ("delay", "fifo", "sram_1r1w")


def sources(accelerator: Accelerator) -> dict[str, str]:
    """Return the text of every module by file name, the top module `genesys` among them."""
    files = {path.name: path.read_text() for path in sorted(BLOCKS.glob("*.sv"))}
    files |= {f"{name}.sv": (SHARED_BLOCKS / f"{name}.sv").read_text() for name in _SHARED}
    top = with_defaults(files[f"{TOP}.sv"], parameters(accelerator), f"{TOP}.sv")
    return {**files, "lookup.sv": lookup_source(), f"{TOP}.sv": top}


def parameters(accelerator: Accelerator) -> dict[str, int]:
    """Return the parameters of the top module by name."""
    return {
        "ARRAY": accelerator.array,
        "DATA": accelerator.data_width,
        "WEIGHT": accelerator.weight_width,
        "IBUF_WORDS": accelerator.ibuf_words,
        "WBUF_WORDS": accelerator.wbuf_words,
        "OBUF_WORDS": accelerator.obuf_words,
        "BBUF_WORDS": accelerator.bbuf_words,
        "VMEM_WORDS": accelerator.vmem_words,
        "PORT": accelerator.port_width,
    }


PLATFORM = Platform("genesys", Accelerator, TOP, sources, memories={"sram_1r1w": 2})

"""The generator of `axiline`: SystemVerilog of one accelerator, out of modules with parameters, in `blocks`."""

from __future__ import annotations

from pathlib import Path

from armillary.hardware.rtl.platform import SHARED_BLOCKS, Platform, with_defaults
from armillary.hardware.templates.axiline import Accelerator
from armillary.workloads.algorithm import ALGORITHMS

BLOCKS = Path(__file__).parent / "blocks"
TOP = "axiline"
_LINEAR = ("saturate", "sigmoid")
_MODULES = {
    "inference": (("dot_product", "predict"), _LINEAR),
    "training": (("descend", "dot_product", "predict", "step"), _LINEAR),
    "tree": (("tree_stage",), ()),
}
"""Of each pipeline, beside the top module: its own, and those that it shares with other platforms."""


def sources(accelerator: Accelerator) -> dict[str, str]:
    """Return the text of every module by file name, the top module `axiline` among them."""
    own, shared = _MODULES[accelerator.pipeline]
    paths = [*(BLOCKS / f"{name}.sv" for name in own), *(SHARED_BLOCKS / f"{name}.sv" for name in shared)]
    files = {path.name: path.read_text() for path in paths}
    top = (BLOCKS / accelerator.pipeline / f"{TOP}.sv").read_text()
    return {**files, f"{TOP}.sv": with_defaults(top, parameters(accelerator), f"{TOP}.sv")}


def parameters(accelerator: Accelerator) -> dict[str, int]:
    """Return the parameters of the top module by name."""
    shape = {"LANES": accelerator.lanes, "CYCLES": accelerator.cycles, "INTERNAL": accelerator.internal_width}
    if accelerator.pipeline == "tree":
        own = {"FEATURES": accelerator.dimension, "INPUT": accelerator.input_width, "DEPTH": accelerator.depth}
        return {**shape, **own}
    shape |= {"ALGORITHM": ALGORITHMS.index(accelerator.algorithm), "FRACTION": accelerator.internal_fraction}
    shape |= {"VECTOR": accelerator.vector_width, "VECTOR_FRACTION": accelerator.vector_fraction}
    if accelerator.pipeline == "training":
        shape |= {"LABEL": accelerator.input_width, "LABEL_FRACTION": accelerator.input_fraction}
    return shape


PLATFORM = Platform("axiline", Accelerator, TOP, sources, clocks_ns=(0.6, 2.4))

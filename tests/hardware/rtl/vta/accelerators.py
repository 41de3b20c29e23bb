"""Small accelerators that differ in every parameter."""

from armillary.hardware.templates.vta import Accelerator

SMALL = Accelerator(
    block_in=4, block_out=4, input_buffer=256, weight_buffer=4096, accumulator_buffer=1024, uop_buffer=256, bus_bytes=4
)
NARROW = Accelerator(
    batch=2, block_in=8, block_out=4, weight_width=4, accumulator_width=16, input_buffer=1024, weight_buffer=1024,
    accumulator_buffer=1024, uop_buffer=512, bus_bytes=8,
)  # fmt: skip
MIXED = Accelerator(
    batch=4, block_in=16, block_out=8, input_width=4, weight_width=2, accumulator_width=16, input_buffer=1024,
    weight_buffer=4096, accumulator_buffer=4096, uop_buffer=1024, bus_bytes=16,
)  # fmt: skip
FEW = {"small": SMALL, "mixed": MIXED}

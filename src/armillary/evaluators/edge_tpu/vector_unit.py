"""What runs the operators beside the array on an Edge TPU design: the processing elements' own lanes.

Coral's list of operators that the Edge TPU runs on the chip has addition, pooling, softmax, logistic, tanh, resizing,
concatenation and transposition; arXiv 2102.10423 has pooling among the instructions that processing elements execute.
No source says how fast. So these are assumptions, with the constants by which layers are timed:

- A lane adds or multiplies one value a cycle, in 32 bits; a function of a byte is one look-up.
- Values lie spread over the PE memories, whose ports are as wide as a controller memory's entry. Values that change
  places cross the columns' buses, as inputs that are broadcast do.
- What fits into the activation half of all PE memories stays there, as for layers; what does not comes from DRAM.
- Bounds and scales are applied on the way out of a layer. Everything else is an operator with a layer's set-up.
"""

from __future__ import annotations

import numpy as np

from armillary.evaluators.edge_tpu.compiler import COLUMN_BUS_BYTES, DRAM_LATENCY_S, LAYER_SETUP_CYCLES
from armillary.hardware.technology import DRAM_PJ_PER_BIT, add_pj, multiply_pj, sram_pj_per_bit
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, ENTRY_BYTES, NODE_NM, EdgeTpuChips
from armillary.hardware.vector_unit import VectorEnergy, VectorUnit


def vector_unit(chip: EdgeTpuChips) -> VectorUnit:
    """Return the unit of designs; its rates have shape [designs]."""
    columns = chip.columns
    request = chip.controller_bytes("activation") / 2
    dram = 1 / (CLOCK_HZ / chip.dram_bytes_per_s + DRAM_LATENCY_S * CLOCK_HZ / request)
    return VectorUnit(
        lanes=chip.pes * columns["cores"] * columns["lanes"],
        function_adds=0,
        function_multiplies=1,
        behind=frozenset({"clamp", "scale"}),
        buffer_values=chip.pes * ENTRY_BYTES,
        move_values=columns["pes_x"] * COLUMN_BUS_BYTES,
        resident_values=chip.pes * columns["pe_memory_bytes"] / 2,
        dram_reads=dram,
        dram_writes=dram,
        dram_values=dram,
        setup_cycles=float(LAYER_SETUP_CYCLES),
        value_bytes=1.0,
        energy=VectorEnergy(
            add_pj=add_pj(NODE_NM),
            multiply_pj=multiply_pj(NODE_NM),
            buffer_pj=np.asarray(8 * sram_pj_per_bit(columns["pe_memory_bytes"], NODE_NM)),
            dram_pj=8 * DRAM_PJ_PER_BIT,
        ),
    )

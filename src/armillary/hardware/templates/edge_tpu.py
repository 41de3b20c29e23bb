"""The Edge TPU template: the ten parameters of PRIME Table 1."""

from __future__ import annotations

from armillary.spaces.space import Parameter, Space

_ARRAY = (1, 2, 4, 6, 8, 10, 12, 14, 16, 32)

SPACE = Space(
    "edge_tpu",
    (
        Parameter("pes_x", _ARRAY),
        Parameter("pes_y", _ARRAY),
        Parameter("lanes", (4, 8, 16, 32, 64, 128, 256)),
        Parameter("cores", _ARRAY),
        Parameter("pe_memory_bytes", tuple(2**k for k in range(18, 25)), unit="bytes"),
        Parameter("core_memory_bytes", tuple(2**k for k in range(12, 23)), unit="bytes"),
        Parameter("activation_memory_entries", tuple(2**k for k in range(8, 15)), unit="entries"),
        Parameter("instruction_memory_entries", tuple(2**k for k in range(13, 17)), unit="entries"),
        Parameter("parameter_memory_entries", tuple(2**k for k in range(11, 16)), unit="entries"),
        Parameter("dram_bandwidth_gbps", (5, 10, 16, 20, 25, 30), unit="Gbit/s"),
    ),
)

"""One file per published table or figure, printed beside the published numbers."""

from __future__ import annotations

from armillary.registry import Registry

BENCHES = Registry(
    "benchmark",
    "armillary.benchmarks",
    {
        "cost-speed": "armillary.benchmarks.cost_speed:run",
        "edge-tpu-optimum": "armillary.benchmarks.edge_tpu_optimum:run",
        "edge-tpu-sanity": "armillary.benchmarks.edge_tpu_sanity:run",
        "first-light": "armillary.benchmarks.first_light:run",
        "speed": "armillary.benchmarks.speed:run",
        "timeloop-parity": "armillary.benchmarks.timeloop_parity:run",
    },
)

"""One file per published table or figure, printed beside the published numbers."""

from __future__ import annotations

from armillary.registry import Registry

_PRIME_TABLES = (3, 4, 5, 7, 8, 9, 10, 13, 14, 15, 16, 18, 21)

BENCHES = Registry(
    "benchmark",
    "armillary.benchmarks",
    {
        "cost-speed": "armillary.benchmarks.cost_speed:run",
        "edge-tpu-optimum": "armillary.benchmarks.edge_tpu_optimum:run",
        "edge-tpu-sanity": "armillary.benchmarks.edge_tpu_sanity:run",
        "first-light": "armillary.benchmarks.first_light:run",
        "maestro-agreement": "armillary.benchmarks.maestro_agreement:run",
        **{f"prime-table{n}": f"armillary.benchmarks.prime_tables:table{n}" for n in _PRIME_TABLES},
        "prime-table6": "armillary.benchmarks.prime_table6:run",
        "prime-figures": "armillary.benchmarks.prime_figures:run",
        "prime-online": "armillary.benchmarks.prime_online:run",
        "prime-schedules": "armillary.benchmarks.prime_schedules:run",
        "prime-surrogates": "armillary.benchmarks.prime_surrogates:run",
        "prime-table11-12": "armillary.benchmarks.prime_tables:table11_12",
        "rtl": "armillary.benchmarks.rtl:run",
        **{f"spotlight-fig{n}": f"armillary.benchmarks.spotlight_figures:fig{n}" for n in range(42, 48)},
        "speed": "armillary.benchmarks.speed:run",
        "timeloop-parity": "armillary.benchmarks.timeloop_parity:run",
    },
)

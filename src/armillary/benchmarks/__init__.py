"""One file per published table or figure, printed beside the published numbers."""

from __future__ import annotations

from armillary.registry import Registry

_PRIME_TABLES = (3, 4, 5, 7, 8, 9, 10, 13, 15, 16, 18, 21)

BENCHES = Registry(
    "benchmark",
    "armillary.benchmarks",
    {
        "cost-speed": "armillary.benchmarks.cost_model.cost_speed:run",
        "edge-tpu-optimum": "armillary.benchmarks.prime.edge_tpu_optimum:run",
        "edge-tpu-sanity": "armillary.benchmarks.prime.edge_tpu_sanity:run",
        "firesim": "armillary.benchmarks.rtl.firesim:run",
        "first-light": "armillary.benchmarks.prime.first_light:run",
        "llm": "armillary.benchmarks.llm:run",
        "maestro-agreement": "armillary.benchmarks.cost_model.maestro_agreement:run",
        "mapping": "armillary.benchmarks.cost_model.mapping_search:run",
        "mapping-proofs": "armillary.benchmarks.cost_model.mapping_proofs:run",
        "mapping-uneven": "armillary.benchmarks.cost_model.uneven_tiles:run",
        "own-log": "armillary.benchmarks.own_log.proposing:run",
        "physical": "armillary.benchmarks.physical.speed:run",
        "physical-knobs": "armillary.benchmarks.physical.knobs:run",
        "physical-published": "armillary.benchmarks.physical.published:run",
        "physical-sweep": "armillary.benchmarks.physical.sweep:run",
        "polaris-acquisition": "armillary.benchmarks.polaris.figures:acquisition",
        **{f"polaris-fig{n}": f"armillary.benchmarks.polaris.figures:fig{n}" for n in range(62, 67)},
        "polaris-improvements": "armillary.benchmarks.polaris.figures:improvements",
        **{f"prime-table{n}": f"armillary.benchmarks.prime.tables:table{n}" for n in _PRIME_TABLES},
        **{
            f"prime-table3-{part}": f"armillary.benchmarks.prime.tables:table3_{part}"
            for part in ("oversize", "searches")
        },
        "prime-table6": "armillary.benchmarks.prime.table6:run",
        "prime-conservatism": "armillary.benchmarks.prime.conservatism:run",
        "prime-figures": "armillary.benchmarks.prime.figures:run",
        "prime-heldout": "armillary.benchmarks.prime.heldout:run",
        "prime-searches": "armillary.benchmarks.prime.searches:run",
        "prime-schedules": "armillary.benchmarks.prime.schedules:run",
        "prime-surrogates": "armillary.benchmarks.prime.surrogates:run",
        "prime-table11-12": "armillary.benchmarks.prime.design_tables:table11_12",
        "prime-table14": "armillary.benchmarks.prime.design_tables:table14",
        "rtl": "armillary.benchmarks.rtl.agreement:run",
        "rtl-area": "armillary.benchmarks.rtl.area:run",
        "rtl-area-fit": "armillary.benchmarks.rtl.area_sweep:run",
        "ppa-dse": "armillary.benchmarks.ppa.exploration:run",
        **{f"ppa-dse-{name}": f"armillary.benchmarks.ppa.exploration:{name}" for name in ("tabla", "genesys", "vta")},
        "ppa-gcn": "armillary.benchmarks.ppa.graphs:run",
        "ppa-metrics4ml": "armillary.benchmarks.ppa.metrics4ml:run",
        "ppa-prediction": "armillary.benchmarks.ppa.prediction:run",
        "ppa-roi": "armillary.benchmarks.ppa.region:run",
        "ppa-sampling": "armillary.benchmarks.ppa.sampling:run",
        "ppa-transfer": "armillary.benchmarks.ppa.transfer:run",
        "scale": "armillary.benchmarks.scale.bench:run",
        "several-objectives": "armillary.benchmarks.several_objectives:run",
        **{f"spotlight-fig{n}": f"armillary.benchmarks.spotlight.figures:fig{n}" for n in range(42, 48)},
        "speed": "armillary.benchmarks.speed:run",
        "starlight-choice": "armillary.benchmarks.starlight.choice:run",
        **{f"starlight-fig{n}": f"armillary.benchmarks.starlight.figures:fig{n}" for n in (52, 53, 55, 56, 57)},
        "starlight-firesim": "armillary.benchmarks.starlight.firesim:run",
        "starlight-section511": "armillary.benchmarks.starlight.figures:section511",
        "starlight-splits": "armillary.benchmarks.starlight.splits:run",
        "starlight-physics": "armillary.benchmarks.starlight.physics:run",
        "timeloop-parity": "armillary.benchmarks.cost_model.timeloop_parity:run",
    },
    former={"prime-online": "prime-searches"},
)

BY_APPLICATION = (
    "prime-conservatism",
    "prime-heldout",
    *(f"prime-table{n}" for n in _PRIME_TABLES),
    "prime-table3-oversize",
    "prime-table3-searches",
)
"""Those that can be run for some applications alone."""

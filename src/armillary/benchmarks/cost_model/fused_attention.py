"""Attention of Llama 7B with its scores on the chip, beside AccelForge's best fused mapping of it.

The architecture and the energies are those of `examples/arches/tpu_v4i.yaml` in AccelForge's repository, the problem
is a prefill of 4,096 tokens in 8 bits: queries by keys, and what comes of them by values, without the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level, LoopRules
from armillary.mapping.fused import FoundPair, search_pair
from armillary.mapping.search import search
from armillary.workloads.layer import Layer

_HEADS, _WIDTH, _TOKENS = 32, 128, 4096
_CLOCK_GHZ = 1.05
_BUDGET = 50_000


@dataclass(frozen=True)
class Reference:
    """What another program found.

    Attributes:
        energy_pj: of the two layers.
        delay_cycles: likewise, at the architecture's clock.
    """

    energy_pj: float
    delay_cycles: float


ACCELFORGE = Reference(energy_pj=41.622e9, delay_cycles=1.997287617996335e-3 * _CLOCK_GHZ * 1e9)
"""AccelForge 1.0.467 (PyPI, Python 3.12.1), `spec.map_workload_to_arch()` for the metric `ENERGY`, MainMemory keeping
`~Intermediates`; the two Einsums `QK[b, m, p, h] = Q[b, m, h, e] * K[b, M: p, h, e]` and `AV[b, m, h, f] = QK[b, m, p,
h] * V[b, M: p, h, E: f]` of its `gpt3_6.7B.yaml`, N_TOKENS=4096. 41.622 mJ and 1.9973 ms; it took 921 s on two busy
cores."""


def layers() -> tuple[Layer, Layer]:
    """Return the two products of attention."""
    sizes: dict[str, Any] = {"P": _TOKENS, "groups": _HEADS, "dynamic": True}
    scores = Layer("scores", "gemm", K=_HEADS * _TOKENS, C=_HEADS * _WIDTH, **sizes)
    values = Layer("values", "gemm", K=_HEADS * _WIDTH, C=_HEADS * _TOKENS, **sizes)
    return scores, values


def tpu_v4i() -> Hierarchy:
    """Return AccelForge's TPU v4i: energies are per bit there, and so are the rates of its memories."""
    nowhere = LoopRules(spatial_x="", spatial_y="")
    inside = LoopRules(temporal="NPQ", spatial_x="", spatial_y="", max_tile=dict.fromkeys("KCRSG", 1))
    return Hierarchy(
        name="accelforge_tpu_v4i",
        clock_ghz=_CLOCK_GHZ,
        compute=Compute(bits=8, energy_pj=0.084),
        levels=(
            Level(
                name="MainMemory",
                kind="dram",
                shared_bandwidth=614 / _CLOCK_GHZ,
                energy=_byte(7.03, 7.03),
                rules=nowhere,
            ),
            Level(
                name="GlobalBuffer",
                capacity_words=128 << 20,
                read_bandwidth=2048 / _CLOCK_GHZ,
                write_bandwidth=1024 / _CLOCK_GHZ,
                energy=_byte(1.88, 2.36),
                fanout=(4, 1),
                multicast=False,
                spatial_reduction=False,
                rules=LoopRules(spatial_y="", may_bypass="WIO"),
            ),
            Level(
                name="LocalBuffer",
                keeps="IO",
                capacity_words=4 << 20,
                energy=_byte(0.249, 0.293),
                fanout=(128, 128),
                rules=LoopRules(spatial_x="K", spatial_y="CRS"),
            ),
            Level(name="Register", kind="regfile", keeps="W", capacity_words=1, energy=_byte(0, 0), rules=inside),
        ),
    )


def _byte(read: float, write: float) -> AccessEnergy:
    return AccessEnergy(read_pj=8 * read, fill_pj=8 * write, update_pj=8 * write)


def ours(seed: int = 0) -> FoundPair:
    """Return our best fused mapping by energy times delay: the least energy alone may come with idle units."""
    scores, values = layers()
    return search_pair(tpu_v4i(), scores, values, goal="edp", budget=_BUDGET, seed=seed)


def ours_apart(seed: int = 0) -> Reference:
    """Return the two layers one after the other, each under its own best mapping by energy."""
    found = [search(tpu_v4i(), layer, goal="energy", budget=_BUDGET, seed=seed) for layer in layers()]
    return Reference(sum(one.energy_pj for one in found), sum(one.delay_cycles for one in found))

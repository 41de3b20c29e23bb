"""What uneven tiles save: the same networks onto the same hierarchies, with one tile shape per level and with two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, tpu, uneven
from armillary.benchmarks.cost_model.mapping_layers import vit_encoder
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.hardware.hierarchy import Hierarchy
from armillary.mapping.goals import Goal, value_of
from armillary.studies.map_network import MappedLayer, map_by_search
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

BUDGET = 200_000
"""Nodes and mappings that a search of a layer looks at; that of uneven tiles as many again."""
_SAME = 1e-9


@dataclass(frozen=True)
class Case:
    """A network on a hierarchy whose shared buffers may hold uneven tiles."""

    hierarchy: Hierarchy
    network: Workload
    goal: Goal


@dataclass(frozen=True)
class Mapped:
    """A network's layers with the best mappings found, and the seconds that took."""

    layers: Sequence[MappedLayer]
    goal: Goal
    seconds: float

    def total(self, metric: Callable[[MappedLayer], float]) -> float:
        """Return the sum of a metric over all runs of all layers."""
        return sum(layer.use.count * metric(layer) for layer in self.layers)

    def values(self) -> list[float]:
        """Return the goal of one run of each layer."""
        return [value_of(self.goal, layer.delay_cycles, layer.energy_pj) for layer in self.layers]

    @property
    def gap(self) -> float:
        """By how much another mapping of some layer can be better at most, as a share."""
        return max(1.0 if layer.gap is None else layer.gap for layer in self.layers)


def run(options: BenchOptions) -> BenchResult:
    """Map ResNet-50 and ViT-B/16 onto three hierarchies with even and with uneven tiles in the shared buffers.

    Every layer is searched with `proven`, for 200,000 nodes and mappings. `saved` is the share of the energy and of the
    cycles of an inference; `gap` is that of the layer whose proof is open widest. `--quick`: ViT-B/16 on two
    hierarchies for energy.
    """
    cases = list(_cases(options.quick))
    rows, checks = [], []
    for number, case in enumerate(cases):
        options.on_progress("networks", number, len(cases))
        even, free = (_mapped(chip, case, options.seed) for chip in (case.hierarchy.even(), case.hierarchy))
        rows.append(_row(case, even, free))
        checks.append(_check(case, even, free))
    options.on_progress("networks", len(cases), len(cases))
    return BenchResult(rows=rows, checks=checks)


def _cases(quick: bool) -> Iterator[Case]:
    for hierarchy in (eyeriss(), gemmini()) if quick else (eyeriss(), gemmini(), tpu()):
        for network in (vit_encoder(),) if quick else (vit_encoder(), zoo.build("resnet50")):
            for goal in _GOALS[:1] if quick else _GOALS:
                yield Case(uneven(hierarchy), network, goal)


_GOALS: tuple[Goal, ...] = ("energy", "edp")


def _mapped(chip: Hierarchy, case: Case, seed: int) -> Mapped:
    start = time.perf_counter()
    layers = map_by_search(
        chip, case.network, method="proven", goal=case.goal, budget=BUDGET, seed=seed, on_progress=lambda *_: None
    )
    return Mapped(layers, case.goal, time.perf_counter() - start)


def _row(case: Case, even: Mapped, free: Mapped) -> dict[str, Any]:
    energy, delay = ([m.total(one) for m in (even, free)] for one in (lambda x: x.energy_pj, lambda x: x.delay_cycles))
    shares = [1 - new / old for new, old in zip(free.values(), even.values(), strict=True)]
    return {
        "hierarchy": case.hierarchy.name,
        "network": case.network.name,
        "goal": case.goal,
        "even energy uJ": energy[0] / 1e6,
        "saved energy": f"{1 - energy[1] / energy[0]:.2%}",
        "saved cycles": f"{1 - delay[1] / delay[0]:.2%}",
        "layers better": f"{sum(share > _SAME for share in shares)} of {len(shares)}",
        "most of a layer": f"{max(shares):.2%}",
        "gap even": f"{even.gap:.2%}",
        "gap uneven": f"{free.gap:.2%}",
        "s even": even.seconds,
        "s uneven": free.seconds,
    }


def _check(case: Case, even: Mapped, free: Mapped) -> Check:
    worst = max(new / old for new, old in zip(free.values(), even.values(), strict=True))
    name = f"{case.network.name} on {case.hierarchy.name} for {case.goal}: uneven over even, worst layer"
    return Check(name, worst, "at most 1", worst <= 1 + _SAME)

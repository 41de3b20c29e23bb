"""Which pairs of a network's layers keep what is between them on the chip, and what that saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from armillary.cost_model.fused import Tiling
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.beside import VectorCost, cost_of, cost_on_chip
from armillary.evaluators.explanation import FusedCost
from armillary.hardware.vector_unit import VectorUnit
from armillary.mapping.fused import FoundPair
from armillary.mapping.goals import Goal, value_of
from armillary.types import LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.pairs import LayerPair
from armillary.workloads.vector_work import VectorUse, VectorWork

Search = Callable[[Layer, Layer], FoundPair | None]
_WORTH = 0.01
_AMOUNTS = ("delay_cycles", "energy_pj", "dram_bytes")


@dataclass(frozen=True)
class FusedRuns:
    """A pair that is fused.

    Attributes:
        pair: of the workload.
        count: how often it is fused per inference.
        found: how.
        runs: of both layers, as they are fused.
        beside: what the operators between them cost, in one run of the pair.
        saved: delay_cycles, energy_pj and dram_bytes that one run of the pair saves.
    """

    pair: LayerPair
    count: int
    found: FoundPair
    runs: tuple[LayerRun, LayerRun]
    beside: VectorCost
    saved: dict[str, float]

    def cost(self) -> FusedCost:
        """Return what the fusion saves in an inference."""
        first, second = (run.layer.name for run in self.runs)
        saved = {f"saved_{name}": self.count * self.saved[name] for name in _AMOUNTS}
        return FusedCost(first, second, self.count, str(self.found.mapping.tiling), **saved)


@dataclass(frozen=True)
class Fusion:
    """The runs of a network's layers with those of its pairs that pay.

    Attributes:
        layers: runs of all layers, in the order of the workload's; of a layer that is fused in some of its runs, first
            those in which it is not.
        pairs: that are fused.
        beside: operators that lie between no fused layers.
    """

    layers: tuple[LayerRun, ...]
    pairs: tuple[FusedRuns, ...] = ()
    beside: tuple[VectorUse, ...] = ()

    @property
    def runs_between(self) -> int:
        """How often operators between fused layers run."""
        return sum(one.count * use.count for one in self.pairs for use in one.pair.between)

    @property
    def between(self) -> VectorCost:
        """What the operators between fused layers cost."""
        start = VectorCost(energy_pj=0.0)
        return sum((one.beside.times(one.count) for one in self.pairs), start)

    def metrics(self) -> dict[str, float]:
        """Return what fusion saves in all; empty where nothing is fused."""
        if not self.pairs:
            return {}
        names = {"delay_cycles": "fused_saved_cycles", "energy_pj": "fused_saved_energy_pj"}
        return {
            names.get(name, f"fused_saved_{name}"): sum(one.count * one.saved[name] for one in self.pairs)
            for name in _AMOUNTS
        }


def apart(workload: Workload, runs: Sequence[LayerRun]) -> Fusion:
    """Return a network none of whose layers are fused."""
    return Fusion(tuple(runs), beside=workload.beside)


def fused(workload: Workload, runs: Sequence[LayerRun], unit: VectorUnit, goal: Goal, search: Search) -> Fusion:
    """Return a network whose pairs are fused where their goal is better than that of the two layers apart.

    Pairs with more between them come first, so that a layer that could be fused with both its neighbours goes with the
    one that has more to save. Pairs whose intermediate is next to nothing of their traffic stay apart.

    Args:
        workload: with its pairs.
        runs: of its layers, each by itself, in their order.
        unit: that runs the operators between them.
        goal: that decides.
        search: the best fused mapping of two layers, None where there is none.
    """
    left = [use.count for use in workload.layers]
    taken = []
    for pair in sorted(workload.pairs, key=lambda pair: -pair.count * workload.layers[pair.producer].layer.outputs):
        first, second = pair.producer, pair.consumer
        count = min(pair.count, left[first] // 2 if first == second else min(left[first], left[second]))
        if not count or not _may_pay(workload.layers[first].layer, runs[first], runs[second]):
            continue
        one = _better(pair, workload.layers, runs, unit, goal, search)
        if one is not None:
            left[first] -= count
            left[second] -= count
            taken.append(replace(one, count=count))
    return Fusion(tuple(_ordered(workload.layers, runs, taken)), tuple(taken), _left(workload.beside, taken))


def _may_pay(producer: Layer, first: LayerRun, second: LayerRun) -> bool:
    """Return whether the intermediate, written and read once, is a share of what the two layers move that counts."""
    if first.failure is not None or second.failure is not None:
        return False
    moved = first.metrics["dram_bytes"] + second.metrics["dram_bytes"]
    return 2 * producer.outputs > _WORTH * moved  # at a byte each, the least of any width of use


def _better(
    pair: LayerPair,
    uses: Sequence[LayerUse],
    runs: Sequence[LayerRun],
    unit: VectorUnit,
    goal: Goal,
    search: Search,
) -> FusedRuns | None:
    producer, consumer = (uses[place].layer for place in (pair.producer, pair.consumer))
    best = search(producer, consumer)
    if best is None:
        return None
    first, second = (runs[place] for place in (pair.producer, pair.consumer))
    fused_runs = (_run(first, best, producer=True), _run(second, best, producer=False))
    beside = _between(unit, pair.between, producer, consumer, best.mapping.tiling)
    apart = sum((cost_of(unit, use.work).times(use.count) for use in pair.between), VectorCost())
    before = _amounts((first, second), apart)
    after = _amounts(fused_runs, beside)
    saved = {name: before[name] - after[name] for name in _AMOUNTS}
    pays = _value(goal, after) < _value(goal, before)
    return FusedRuns(pair, pair.count, best, fused_runs, beside, saved) if pays else None


def _run(apart: LayerRun, best: FoundPair, *, producer: bool) -> LayerRun:
    mapping, costs = best.mapping, best.costs
    text = mapping.producer if producer else mapping.consumer
    side = costs.producer if producer else costs.consumer
    return replace(apart, mapping=str(text), metrics=layer_metrics(side, 0, best.hierarchy))


def _amounts(runs: Sequence[LayerRun], beside: VectorCost) -> dict[str, float]:
    own = {
        "delay_cycles": beside.cycles,
        "energy_pj": 0.0 if beside.energy_pj is None else beside.energy_pj,
        "dram_bytes": beside.dram_bytes,
    }
    return {name: float(own[name]) + sum(run.metrics[name] for run in runs) for name in _AMOUNTS}


def _value(goal: Goal, amounts: dict[str, float]) -> float:
    return value_of(goal, amounts["delay_cycles"], amounts["energy_pj"])


def _between(
    unit: VectorUnit, uses: Sequence[VectorUse], producer: Layer, consumer: Layer, tiling: Tiling
) -> VectorCost:
    """Return what operators on the intermediate cost while it stays on the chip.

    A softmax whose rows are cut scales the outputs so far with every block of a row but the first.
    """
    total = VectorCost(energy_pj=None if unit.energy is None else 0.0)
    for use in uses:
        total = total + cost_on_chip(unit, use.work, producer.outputs).times(use.count)
    blocks = tiling.counts(consumer=True).get("C", 1)
    if blocks > 1 and any(use.work.kind == "softmax" for use in uses):
        scaled = consumer.outputs * (blocks - 1)
        work = VectorWork("rescale", "scale", multiplies=scaled, reads=scaled, writes=scaled)
        total = total + cost_on_chip(unit, work, scaled)
    return total


def _ordered(uses: Sequence[LayerUse], runs: Sequence[LayerRun], taken: Sequence[FusedRuns]) -> list[LayerRun]:
    """Return the runs of all layers; those of one layer have names of their own."""
    found: list[LayerRun] = []
    for place, (use, apart) in enumerate(zip(uses, runs, strict=True)):
        own = [
            replace(run, runs=one.count)
            for one in taken
            for at, run in zip((one.pair.producer, one.pair.consumer), one.runs, strict=True)
            if at == place
        ]
        left = use.count - sum(run.runs for run in own)
        own = [replace(apart, runs=left), *own] if left else own
        found += [own[0], *(_numbered(run, number) for number, run in enumerate(own[1:], 2))]
    return found


def _numbered(run: LayerRun, number: int) -> LayerRun:
    return replace(run, layer=replace(run.layer, name=f"{run.layer.name} ({number})"))


def _left(uses: Sequence[VectorUse], taken: Sequence[FusedRuns]) -> tuple[VectorUse, ...]:
    """Return the operators without those between fused layers."""
    gone: Counter[VectorWork] = Counter()
    for one in taken:
        for use in one.pair.between:
            gone[use.work] += one.count * use.count
    rest = [replace(use, count=count) for use in uses if (count := use.count - gone[use.work])]
    return tuple(rest)

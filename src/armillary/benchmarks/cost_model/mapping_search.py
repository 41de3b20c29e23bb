"""Our search of mappings beside living peers: how good, how fast, and whether it stops too early."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from statistics import median
from typing import Any

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla, tpu
from armillary.benchmarks.cost_model.mapping_layers import PRIME, layers, llama_block, vit_encoder
from armillary.benchmarks.cost_model.mapping_peers import Judged, Peer, judged, peers
from armillary.benchmarks.cost_model.utilisation import utilisation_bound
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.cost_model.cost import evaluate
from armillary.hardware.hierarchy import Hierarchy
from armillary.mapping.goals import GOALS, Goal, value_of
from armillary.mapping.search import Found, NoLegalMappingError, search
from armillary.studies.map_network import MappedLayer, map_by_search
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, Workload

WORSE = 1.001
MAPPINGS_PER_S = 300_000
LAYER_S = 3.0
GAP = 0.01
SHARE_OF_BOUND = 0.9
NETWORK_S = {"resnet50": 40.0, "llama_7b_block": 15.0}
_TIMES = 10
_BUDGET: int | None = None  # the product's default: a search ends when it no longer improves
# What a quick run takes of each hierarchy: these layers, peers and ten times the budget on the first two.
_QUICK = {
    "gemmini_16": ("gemm_17", "resnet_3x3", "vit_qk", "gemv_4096"),
    "eyeriss_like": ("vit_av", "conformer", "resnet_conv1", "mobilenet_dw"),
    "tpu_like": ("gemm_1024", "gemm_17", "llama_q", "vocabulary"),
    "nvdla_like": ("resnet_1x1", "vit_qk", "dilated_3x3", "mobilenet_dw"),
}
_QUICK_COMPARED = 2


@dataclass(frozen=True)
class Case:
    """A layer to map onto a hierarchy for a goal; `compared`: by peers and with ten times the budget, too."""

    hierarchy: Hierarchy
    layer: Layer
    goal: Goal
    compared: bool


@dataclass(frozen=True)
class Measured:
    """What became of a case.

    Attributes:
        case: which.
        found: our best mapping; None if the search met no legal one.
        seconds: that the search took, all included.
        longer: the best with ten times the budget; None if that was not asked for, or found nothing.
        judged: the best of each peer that was asked, by its name.
    """

    case: Case
    found: Found | None
    seconds: float
    longer: Found | None
    judged: dict[str, Judged]

    @property
    def value(self) -> float:
        """Our best, infinite if there is none."""
        return inf if self.found is None else self.found.value

    @property
    def gap(self) -> float:
        """By how much the search of ten times the budget is better, as a share of it; 0 if it is not."""
        return 0.0 if self.longer is None else max(0.0, self.value / self.longer.value - 1)

    @property
    def utilisation(self) -> float:
        """Share of the compute units that our mapping keeps busy."""
        if self.found is None:
            return 0.0
        return float(evaluate(self.case.hierarchy, self.case.layer, self.found.mapping).utilization)

    @property
    def bound(self) -> float:
        """What no mapping's utilisation exceeds."""
        return utilisation_bound(self.case.hierarchy, self.case.layer)


def run(options: BenchOptions) -> BenchResult:
    """Map 15 layers onto four hierarchies for three goals, and three networks, beside the peers that are installed.

    Every value is our cost model's: what ZigZag or AccelForge finds becomes a mapping of ours, which is costed. The
    peers' answers are kept in `--out`. `--quick`: four layers per hierarchy, two of them compared with peers.
    """
    asked = peers()
    cases = list(_cases(options.quick))
    measured = []
    for number, case in enumerate(cases):
        options.on_progress("layers", number, len(cases))
        measured.append(_measured(case, asked, options))
    options.on_progress("layers", len(cases), len(cases))
    networks = list(_networks(options))
    rows = [_row(one, asked) for one in measured] + [_network_row(one, asked) for one in networks]
    checks = [*_checks(measured), *_network_checks(networks)]
    return BenchResult(rows=rows, checks=checks, notes=[peer.note for peer in asked])


def _cases(quick: bool) -> Iterator[Case]:
    every = layers()
    for hierarchy in (gemmini(), eyeriss(), tpu(), nvdla()):
        names = _QUICK[hierarchy.name] if quick else tuple(every)
        for number, name in enumerate(names):
            compared = not quick or number < _QUICK_COMPARED
            for goal in _goals(name, number) if quick else GOALS:
                yield Case(hierarchy, every[name], goal, compared and (goal == "edp" or not quick))


def _goals(name: str, number: int) -> tuple[Goal, ...]:
    """Return a quick run's goals: delay, too, where divisors fit badly, and energy once per hierarchy."""
    goals: tuple[Goal, ...] = ("edp", "delay") if name in PRIME else ("edp",)
    return goals if number else (*goals, "energy")


def _measured(case: Case, asked: Sequence[Peer], options: BenchOptions) -> Measured:
    start = time.perf_counter()
    found = _searched(case, options.seed, _BUDGET)
    seconds = time.perf_counter() - start
    longer = None
    if case.compared and case.goal == "edp" and found is not None:
        longer = _searched(case, options.seed, _TIMES * found.evaluated)
    there = [peer for peer in asked if case.compared and peer.version is not None]
    answers = {peer.name: judged(peer, case.hierarchy, case.layer, case.goal, options.out) for peer in there}
    return Measured(case, found, seconds, longer, answers)


def _searched(case: Case, seed: int, budget: int | None) -> Found | None:
    try:
        return search(case.hierarchy, case.layer, goal=case.goal, seed=seed, budget=budget)
    except NoLegalMappingError:
        return None


def _row(one: Measured, asked: Sequence[Peer]) -> dict[str, Any]:
    case, found, longer = one.case, one.found, one.longer
    row: dict[str, Any] = {
        "hierarchy": case.hierarchy.name,
        "layer": case.layer.name,
        "goal": case.goal,
        "ours": "nothing legal" if found is None else found.value,
        "s": one.seconds,
        "mappings": "" if found is None else found.evaluated,
        "mappings/s": "" if found is None else found.evaluated / one.seconds,
        "stopped": "" if found is None else found.stopped,
        "10 x budget": "" if longer is None else longer.value,
        "gap": "" if longer is None else f"{one.gap:.2%}",
        "utilisation": one.utilisation,
        "bound": one.bound,
    }
    for peer in asked:
        row |= peer_columns(peer, one.judged.get(peer.name), one.value)
    return row


def peer_columns(peer: Peer, theirs: Judged | None, ours: float) -> dict[str, Any]:
    """Return a peer's best beside ours, for a table; empty where it was not asked."""
    cells = ("", "", "", "") if theirs is None else _cells(theirs, ours)
    return dict(zip(_columns(peer), cells, strict=True))


def _columns(peer: Peer) -> tuple[str, str, str, str]:
    return peer.name, f"{peer.name}, s", f"{peer.name} / ours", f"{peer.name}: remark"


def _cells(theirs: Judged, ours: float) -> tuple[float | str, float, float | str, str]:
    if not isfinite(theirs.value):
        return "", theirs.seconds, "", theirs.remark
    return theirs.value, theirs.seconds, theirs.value / ours, theirs.remark


@dataclass(frozen=True)
class Network:
    """A network with all its mappings: its value, the goal and how long the search took."""

    hierarchy: Hierarchy
    workload: Workload
    goal: Goal
    value: float
    seconds: float


def _networks(options: BenchOptions) -> Iterator[Network]:
    given: tuple[tuple[Hierarchy, Workload, Goal], ...] = (
        (gemmini(), zoo.build("resnet50"), "edp"),
        (tpu(), llama_block(), "edp"),
        (gemmini(), vit_encoder(197), "delay"),
        (gemmini(), vit_encoder(208), "delay"),
    )
    for number, (hierarchy, workload, goal) in enumerate(given):
        options.on_progress("networks", number, len(given))
        start = time.perf_counter()
        mapped = map_by_search(
            hierarchy,
            workload,
            method="annealing",
            goal=goal,
            budget=_BUDGET,
            seed=options.seed,
            on_progress=lambda *_: None,
        )
        yield Network(hierarchy, workload, goal, _total(mapped, goal), time.perf_counter() - start)
    options.on_progress("networks", len(given), len(given))


def _total(mapped: Sequence[MappedLayer], goal: Goal) -> float:
    """Return a network's goal; infinite if a layer has no mapping."""
    if any(layer.mapping is None for layer in mapped):
        return inf
    delay = sum(layer.use.count * layer.delay_cycles for layer in mapped)
    energy = sum(layer.use.count * layer.energy_pj for layer in mapped)
    return value_of(goal, delay, energy)


def _network_row(one: Network, asked: Sequence[Peer]) -> dict[str, Any]:
    nothing = dict.fromkeys(("mappings", "mappings/s", "stopped", "10 x budget", "gap", "utilisation", "bound"), "")
    for peer in asked:
        nothing |= dict.fromkeys(_columns(peer), "")
    layer = f"all {len(one.workload.layers)} of {one.workload.name}"
    value = one.value if isfinite(one.value) else "nothing legal"
    return {
        "hierarchy": one.hierarchy.name,
        "layer": layer,
        "goal": one.goal,
        "ours": value,
        "s": one.seconds,
        **nothing,
    }


def _checks(measured: Sequence[Measured]) -> Iterator[Check]:
    for name in sorted({name for one in measured for name in one.judged}):
        theirs = [(one.value, one.judged[name].value) for one in measured if name in one.judged]
        worst = max((ours / value for ours, value in theirs if isfinite(value)), default=0.0)
        yield Check(f"ours over {name}'s, worst", worst, f"at most {WORSE:g}", worst <= WORSE)
    rates = [one.found.evaluated / one.seconds for one in measured if one.found is not None]
    rate = median(rates) if rates else 0.0
    yield Check("mappings/s of a search, median", rate, f"at least {MAPPINGS_PER_S:,}", rate >= MAPPINGS_PER_S)
    slowest = max(one.seconds for one in measured)
    yield Check("slowest search of a layer, s", slowest, f"under {LAYER_S:g}", slowest < LAYER_S)
    gap = max(one.gap for one in measured)
    yield Check("largest gap to ten times the budget", gap, f"at most {GAP:g}", gap <= GAP)
    share = min(
        one.utilisation / one.bound for one in measured if one.case.goal == "delay" and one.case.layer.name in PRIME
    )
    name = "utilisation over its bound, prime layers, least"
    yield Check(name, share, f"at least {SHARE_OF_BOUND:g}", share >= SHARE_OF_BOUND)


def _network_checks(networks: Sequence[Network]) -> Iterator[Check]:
    by_name = {one.workload.name: one for one in networks}
    for name, limit in NETWORK_S.items():
        seconds = by_name[name].seconds
        yield Check(f"search of {name}, s", seconds, f"under {limit:g}", seconds < limit)
    ratio = by_name["vit_b16_197"].value / by_name["vit_b16_208"].value
    yield Check("cycles of ViT-B/16, 197 tokens over 208", ratio, "at most 1", ratio <= 1)

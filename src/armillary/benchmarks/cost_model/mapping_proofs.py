"""How near to the optimum a mapping is, proven: by layer and hierarchy, beside what peers find."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla, tpu
from armillary.benchmarks.cost_model.mapping_layers import layers
from armillary.benchmarks.cost_model.mapping_peers import Judged, Peer, judged, peers
from armillary.benchmarks.cost_model.mapping_search import Case, peer_columns
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.hardware.hierarchy import Hierarchy
from armillary.mapping.goals import GOALS
from armillary.mapping.proven.proof import prepare_proofs
from armillary.mapping.search import Found, search
from armillary.studies.map_network import map_by_search
from armillary.workloads import zoo

GAP = 0.01
SHARE = 12 / 14
LAYER_S = 10.0
_ASKED_S = LAYER_S - 1
"""What a search is given: it ends with the step that it is in when that is over."""
NETWORK_S = 60.0
BUDGET = 2_000_000
"""Nodes and mappings of a proof at most, twice as many as the product looks at where nobody asks for more."""
_QUICK = ("gemm_1024", "vit_qk", "resnet_1x1", "resnet_3x3")


@dataclass(frozen=True)
class Proof:
    """A layer's mapping with its bound, and what peers find.

    Attributes:
        case: which layer.
        found: the mapping.
        seconds: that mapping and bound took.
        processor_s: likewise of all cores together, which a busy machine does not lengthen.
        judged: the best of each peer by its name.
    """

    case: Case
    found: Found
    seconds: float
    processor_s: float
    judged: dict[str, Judged]

    @property
    def gap(self) -> float:
        """How much better another mapping can be at most, as a share."""
        assert self.found.gap is not None
        return self.found.gap


def run(options: BenchOptions) -> BenchResult:
    """Prove mappings of 15 layers onto four hierarchies for three goals, and of ResNet-50 onto one.

    A layer has ten seconds. A gap of 0 is an optimum of our cost model over all mappings, imperfect factors included.
    Where ZigZag or AccelForge is installed, their best mapping stands beside it, costed by our model. `--quick`: four
    layers, and no peers.
    """
    asked = [] if options.quick else [peer for peer in peers() if peer.version is not None]
    cases = list(_cases(options.quick))
    options.on_progress("compiling", 0, 1)
    prepare_proofs()  # compiled once per machine, which is no part of a layer's time
    proofs = []
    for number, case in enumerate(cases):
        options.on_progress("layers", number, len(cases))
        proofs.append(_proof(case, asked, options))
    options.on_progress("layers", len(cases), len(cases))
    rows = [_row(proof, asked) for proof in proofs]
    checks = list(_checks(proofs))
    if not options.quick:
        row, network_checks = _network(gemmini(), options)
        rows.append(row | dict.fromkeys(set(rows[0]) - set(row), ""))
        checks += network_checks
    return BenchResult(rows=rows, checks=checks, notes=[peer.note for peer in asked])


def _cases(quick: bool) -> Iterator[Case]:
    every = layers()
    for hierarchy in (gemmini(), eyeriss(), tpu(), nvdla()):
        for name in _QUICK if quick else tuple(every):
            for goal in ("edp",) if quick else GOALS:
                yield Case(hierarchy, every[name], goal, True)


def _proof(case: Case, asked: Sequence[Peer], options: BenchOptions) -> Proof:
    start, processor_start = time.perf_counter(), time.process_time()
    found = search(
        case.hierarchy, case.layer, method="proven", goal=case.goal, budget=BUDGET, seed=options.seed,
        seconds=_ASKED_S,
    )  # fmt: skip
    seconds, processor_s = time.perf_counter() - start, time.process_time() - processor_start
    answers = {peer.name: judged(peer, case.hierarchy, case.layer, case.goal, options.out) for peer in asked}
    return Proof(case, found, seconds, processor_s, answers)


def _row(proof: Proof, asked: Sequence[Peer]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "hierarchy": proof.case.hierarchy.name,
        "layer": proof.case.layer.name,
        "goal": proof.case.goal,
        "value": proof.found.value,
        "bound": proof.found.bound,
        "gap": f"{proof.gap:.3%}",
        "s": proof.seconds,
        "processor s": proof.processor_s,
        "mappings": proof.found.evaluated,
        "stopped": proof.found.stopped,
    }
    for peer in asked:
        row |= peer_columns(peer, proof.judged[peer.name], proof.found.value)
    return row


def _checks(proofs: Sequence[Proof]) -> Iterator[Check]:
    for name in dict.fromkeys(proof.case.hierarchy.name for proof in proofs):
        own = [proof for proof in proofs if proof.case.hierarchy.name == name]
        goal = ceil(SHARE * len(own))
        near = sum(proof.gap < GAP for proof in own)
        yield Check(f"{name}: proven within {GAP:.0%}, of {len(own)}", near, f"at least {goal}", near >= goal)
    slowest = max(proof.seconds for proof in proofs)
    yield Check("slowest search of a layer, s", slowest, f"under {LAYER_S:g}", slowest < LAYER_S)
    for name in sorted({name for proof in proofs for name in proof.judged}):
        worst = max(proof.found.value / proof.judged[name].value for proof in proofs if name in proof.judged)
        yield Check(f"ours over {name}'s, worst", worst, "at most 1", worst <= 1 + 1e-9)


def _network(hierarchy: Hierarchy, options: BenchOptions) -> tuple[dict[str, Any], list[Check]]:
    """Return ResNet-50 with the mappings that are proven layer by layer for energy, which adds up over layers."""
    workload = zoo.build("resnet50")
    start = time.perf_counter()
    mapped = map_by_search(
        hierarchy, workload, method="proven", goal="energy", budget=BUDGET, seed=options.seed,
        on_progress=lambda *_: None,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    value = sum(layer.use.count * layer.energy_pj for layer in mapped)
    bound = sum(layer.use.count * layer.energy_pj * (1 - (layer.gap or 0.0)) for layer in mapped)
    gap = 1 - bound / value
    row = {
        "hierarchy": hierarchy.name,
        "layer": f"all {len(workload.layers)} of {workload.name}",
        "goal": "energy",
        "value": value,
        "bound": bound,
        "gap": f"{gap:.3%}",
        "s": seconds,
    }
    return row, [
        Check(f"gap of {workload.name}", gap, f"under {GAP:g}", gap < GAP),
        Check(f"proof of {workload.name}, s", seconds, f"under {NETWORK_S:g}", seconds < NETWORK_S),
    ]

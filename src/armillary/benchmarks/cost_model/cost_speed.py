"""How fast the analytical cost model is, and how fast a search on it ends near the best."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch

from armillary.benchmarks.cost_model.hierarchies import gemmini
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import Hierarchy
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.peers import zigzag
from armillary.mapping.search import search
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse

MAPPINGS_PER_S = 3e6
MEMORY_GIB = 2.0
FLATNESS = 2.0
NEAR = 1.01
SEARCH_S = 60.0
_AT_ONCE = 250_000
_BUDGET = 20_000
_SHARED_LAYER = 3
_NODE_NM = 40.0
# Measured by us on 2 cores, evaluations per second; the range where there is one.
PEERS = {
    "timeloop-mapper": "600 to 6,800",
    "timeloop-model as a subprocess": "33",
    "ZigZag, per CPU second": "350",
    "MAESTRO as Spotlight's library": "120 to 525",
    "MAESTRO's binary": "56 to 81",
}


def run(options: BenchOptions) -> BenchResult:
    """Time batches of 10^4 to 10^7 mappings of ResNet-50's layers, then a search of the whole network.

    Mappings are drawn from the whole map-space, legal or not, of a Gemmini-like hierarchy of four
    levels; drawing and decoding them is not timed. The search is annealing, with its defaults,
    and is compared with random search of an hour (`--quick`: two minutes, and batches up to 10^6).
    Where ZigZag is installed (`pip install 'armillary[zigzag]'`), it maps one of the layers, too.
    """
    sizes = [10**4, 10**5, 10**6] if options.quick else [10**4, 10**5, 10**6, 10**7]
    layers = zoo.build("resnet50").layers
    rows: list[dict[str, Any]] = []
    for i, n in enumerate(sizes):
        options.on_progress("batches", i, len(sizes))
        rows += [_batch(layers, n, compiled, options.seed) for compiled in (False, True) if compiled or n <= 10**6]
    options.on_progress("batches", len(sizes), len(sizes))
    rows += [_row(name, rate) for name, rate in PEERS.items()]
    rows += list(_side_by_side(layers, options.seed)) if zigzag.installed() else []
    rows += _gpu(layers, options.seed) if torch.cuda.is_available() else []
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = _whole_network(layers, options)
    return BenchResult(rows=rows, checks=list(_checks(rows, memory, found)), notes=_notes(found))


def _batch(uses: tuple[LayerUse, ...], n: int, compiled: bool, seed: int) -> dict[str, Any]:
    """Time n mappings, shared out evenly among the layers, in batches that mix them all."""
    chip = gemmini(_NODE_NM)
    hierarchy = HierarchyBatch.of([chip])
    spaces = [MapSpace(chip, use.layer) for use in uses]
    rng = np.random.default_rng(seed)
    summaries(hierarchy, *_mixed(spaces, min(n, 1_000), rng), compiled=compiled)
    seconds, legal, done = 0.0, 0, 0
    while done < n:
        layers, mappings = _mixed(spaces, min(_AT_ONCE, n - done), rng)
        start = time.perf_counter()
        found = summaries(hierarchy, layers, mappings, compiled=compiled)
        seconds += time.perf_counter() - start
        legal += int(found.feasible.sum())
        done += len(found.feasible)
    kind = "compiled" if compiled else "one by one"
    return _row(f"{kind}, {legal / done:.1%} legal", done / seconds, done, seconds)


def _row(what: str, rate: float | str, mappings: float | str = "", s: float | str = "", **more: Any) -> dict[str, Any]:
    return {"what": what, "mappings/s": rate, "mappings": mappings, "s": s, "EDP, pJ cycles": "", **more}


def _side_by_side(uses: tuple[LayerUse, ...], seed: int) -> Iterator[dict[str, Any]]:
    """Map one layer by our search and by ZigZag; each judges its best mapping by its own model."""
    chip, layer = gemmini(_NODE_NM), uses[_SHARED_LAYER].layer
    ours = search(chip, layer, budget=_BUDGET, seed=seed)
    theirs = zigzag.best_mapping(chip, layer)
    for name, found, edp in (
        ("our search", ours, ours.delay_cycles * ours.energy_pj),
        (theirs.failure or theirs.program, theirs, theirs.edp),
    ):
        rate = found.evaluated / found.seconds
        yield _row(f"{layer.name}, {name}", rate, found.evaluated, found.seconds, **{"EDP, pJ cycles": edp})


def _mixed(spaces: Sequence[MapSpace], n: int, rng: np.random.Generator) -> tuple[LayerBatch, MappingBatch]:
    """Return n random mappings of all layers, and the layer of each."""
    counts = [len(part) for part in np.array_split(np.arange(n), len(spaces))]
    batches = [space.decode(space.random(count, rng)) for space, count in zip(spaces, counts, strict=True)]
    joined = MappingBatch.joined(batches)
    return LayerBatch.of([s.layer for s, count in zip(spaces, counts, strict=True) for _ in range(count)]), joined


def _gpu(uses: tuple[LayerUse, ...], seed: int) -> list[dict[str, Any]]:
    """Time a batch that lies on the GPU, beside the bound that reading it once sets."""
    chip, layer = gemmini(_NODE_NM), uses[5].layer
    space = MapSpace(chip, layer)
    device = torch.device("cuda")
    codes = space.random(1 << 22, np.random.default_rng(seed))
    batch = space.decode(codes).to(device)
    fixed = HierarchyBatch.of([chip]).to(device), LayerBatch.of([layer]).to(device)

    def once() -> None:
        summaries(*fixed, batch, compiled=True)
        torch.cuda.synchronize()

    once()
    seconds = _best(once)
    read = sum(t.numel() * t.element_size() for t in _tensors(batch))
    copied = torch.empty(read // 8, dtype=torch.float64, device=device)

    def read_and_write() -> None:
        copied.clone()
        torch.cuda.synchronize()

    bound = _best(read_and_write) / 2
    name = torch.cuda.get_device_name()
    return [
        _row(f"compiled, {name}", len(codes) / seconds, len(codes), seconds),
        _row(f"bound by reading, {name}", len(codes) / bound, len(codes), bound),
    ]


def _tensors(batch: MappingBatch) -> list[torch.Tensor]:
    return list(vars(batch).values())


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _whole_network(uses: tuple[LayerUse, ...], options: BenchOptions) -> dict[str, float]:
    """Return the network's EDP by a search and by long random search, and the time each took."""
    chip = gemmini(_NODE_NM)
    random_s = 120.0 if options.quick else 3600.0
    start = time.perf_counter()
    searched = [search(chip, use.layer, seed=options.seed) for use in uses]
    search_s = time.perf_counter() - start
    long_run = []
    for number, use in enumerate(uses):
        options.on_progress("layers of the random search", number, len(uses))
        part = _random_part(chip, use.layer, random_s / len(uses), options, number)
        long_run.append(part.measured(partial(_random, chip, use.layer, random_s / len(uses), options.seed)))
    options.on_progress("layers of the random search", len(uses), len(uses))
    return {
        "search_edp": _edp(uses, [asdict(found) for found in searched]),
        "random_edp": _edp(uses, long_run),
        "search_s": search_s,
        "search_mappings": sum(found.evaluated for found in searched),
        "random_s": sum(part["seconds"] for part in long_run),
        "random_mappings": sum(part["evaluated"] for part in long_run),
    }


def _random_part(chip: Hierarchy, layer: Layer, seconds: float, options: BenchOptions, number: int) -> Part:
    """Return where the random search of a layer is kept; its code is that of the search alone."""
    inputs = {"chip": chip.model_dump(mode="json"), "layer": asdict(layer), "seconds": seconds, "seed": options.seed}
    return Part(options.out, f"random-seed{options.seed}-layer{number}", inputs, ("armillary.mapping.search",))


def _random(chip: Hierarchy, layer: Layer, seconds: float, seed: int) -> dict[str, Any]:
    found = search(chip, layer, method="random", budget=10**12, seconds=seconds, seed=seed)
    return {name: getattr(found, name) for name in ("delay_cycles", "energy_pj", "evaluated", "seconds")}


def _edp(uses: tuple[LayerUse, ...], found: list[dict[str, Any]]) -> float:
    delay, energy = (
        sum(use.count * one[name] for use, one in zip(uses, found, strict=True))
        for name in ("delay_cycles", "energy_pj")
    )
    return float(delay * energy)


def _checks(rows: list[dict[str, Any]], memory_gib: float, found: Mapping[str, float]) -> Iterator[Check]:
    compiled = {row["mappings"]: row["mappings/s"] for row in rows if str(row["what"]).startswith("compiled, ")}
    cpu = {n: rate for n, rate in compiled.items() if n}
    large = max(cpu)
    rate = cpu[large]
    yield Check("mappings/s, compiled, largest batch", rate, f"at least {MAPPINGS_PER_S:,.0f}", rate >= MAPPINGS_PER_S)
    yield Check("memory, GiB", memory_gib, f"at most {MEMORY_GIB:g}", memory_gib <= MEMORY_GIB)
    spread = max(cpu.values()) / min(cpu.values())
    yield Check("fastest over slowest rate, compiled", spread, f"at most {FLATNESS:g}: flat", spread <= FLATNESS)
    ratio = found["search_edp"] / found["random_edp"]
    yield Check("EDP, search over long random search", ratio, f"at most {NEAR:g}", ratio <= NEAR)
    seconds = found["search_s"]
    yield Check("search of ResNet-50, s", seconds, f"under {SEARCH_S:g}", seconds < SEARCH_S)


def _notes(found: Mapping[str, float]) -> list[str]:
    return [
        f"ResNet-50, EDP of the whole network: search {found['search_edp']:.4e} pJ*cycles after "
        f"{found['search_mappings']:,.0f} mappings in {found['search_s']:.1f} s; random {found['random_edp']:.4e} "
        f"after {found['random_mappings']:,.0f} in {found['random_s']:,.0f} s.",
        "Peers' rates were measured on 2 cores of another machine of this kind; what they count differs.",
        "The first compiled batch of a machine waits about a minute for the compiler; that is not in the rates.",
    ]

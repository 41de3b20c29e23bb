"""One method on one network of Polaris's experiments: run once, kept in a file, shared by all figures.

Every method spends the same number of simulations of the whole network. Models that are asked before cost none.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators, optimizers, workloads
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight.physics import cut
from armillary.evaluators.gemmini.build import simulated_text
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import TEMPLATE, VARIED, Accelerator, published_designs
from armillary.log.store import Log
from armillary.optimizers.polaris import Polaris
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.samplers import SAMPLERS
from armillary.studies.ask_tell import by_candidates, evaluated_each
from armillary.studies.layer_source import AnalyticalSource
from armillary.types import Candidate, Evaluation, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import LayerUse, Workload

NETWORKS = ("unet", "resnet50", "retinanet", "bert")
HUMBLEST = "physics"
METHODS = ("polaris", HUMBLEST, "polaris-scratch", "polaris-random")
"""Polaris; the best designs of the closed form under the mapper, each simulated once; Polaris without transfer; random
designs and mappings."""


@dataclass(frozen=True)
class Sizes:
    """How much each method may do.

    Attributes:
        hardware: designs that Polaris chooses; 8 in the dissertation.
        software: mappings of each layer on each; 6 in the dissertation.
        pool: designs that the humblest method judges by the closed form.
        mapped: mappings that its mapper evaluates per layer.
        most_macs: of a layer, by which longer ones are cut; 0 for any.
    """

    hardware: int
    software: int
    pool: int
    mapped: int
    most_macs: int = 0

    @property
    def evaluations(self) -> int:
        """Simulations of the whole network."""
        return self.hardware * self.software


FULL = Sizes(hardware=8, software=6, pool=256, mapped=10_000)
QUICK = Sizes(hardware=4, software=3, pool=64, mapped=2000, most_macs=1_000_000)


def network_of(name: str, sizes: Sizes) -> Workload:
    """Return a network, its layers cut to what the sizes allow; those that become equal are one that runs oftener."""
    whole = workloads.load(name)
    if not sizes.most_macs:
        return whole
    counts: dict[Any, int] = {}
    for use in whole.layers:
        layer = cut(use.layer, sizes.most_macs)
        counts[layer] = counts.get(layer, 0) + use.count
    return Workload(f"{name}, cut", tuple(LayerUse(layer, count) for layer, count in counts.items()))


def trial(method: str, network: str, sizes: Sizes, seed: int, options: BenchOptions) -> dict[str, Any]:
    """Return the least delay times energy of the network after each simulation, `values`, and the seconds it took."""
    rtl = evaluators.spec_of(TEMPLATE.name, Fidelity.RTL, {"goal": "edp"}, seed=seed)
    inputs = {
        "method": method,
        "network": network,
        "sizes": vars(sizes),
        "seed": seed,
        "hardware": digest(simulated_text(Accelerator())),
    }
    of_method = [] if method == HUMBLEST else [optimizers.REGISTRY.paths()[method]]
    path = (__name__, zoo.paths()[network], *of_method)
    part = Part(options.out.parent / "polaris-runs", f"{method}-{network}-seed{seed}", inputs, path, rtl)

    def measure() -> dict[str, Any]:
        start, work = time.perf_counter(), network_of(network, sizes)
        problem = Problem.minimising(TEMPLATE.space, "edp_pj_cycles", workloads=(work,))
        with tempfile.TemporaryDirectory() as folder:
            executor = LocalExecutor(Log(Path(folder)))
            if method == HUMBLEST:
                values, best = _humblest(problem, executor, rtl, sizes, seed)
            else:
                values, best = _searched(method, problem, executor, rtl, sizes, seed)
        told = {**best.design.as_dict(), **{n: best.metrics[n] for n in ("delay_cycles", "energy_pj")}}
        return {"values": values, "best": told, "seconds": time.perf_counter() - start}

    return part.measured(measure)


Found = tuple[list[float], Evaluation]


def _searched(method: str, problem: Problem, executor: LocalExecutor, rtl: Any, sizes: Sizes, seed: int) -> Found:
    (work,) = problem.workloads
    source = AnalyticalSource(TEMPLATE.name)
    optimizer: Polaris = optimizers.load(method)(problem, layers=source, seed=seed, software=sizes.software)

    def evaluate(candidates: Sequence[Candidate]) -> list[Evaluation]:
        return evaluated_each(executor, rtl, candidates, workload=work)

    values: list[float] = []
    made: list[Evaluation] = []
    for _ in by_candidates(optimizer, evaluate, sizes.evaluations):
        made = evaluate(optimizer.recombined())  # of layers that ran: nothing is simulated
        values.append(float(problem.values(Outcomes.of_each(made)).min(initial=np.inf)))
    return values, made[int(problem.values(Outcomes.of_each(made)).argmin())]


def _humblest(problem: Problem, executor: LocalExecutor, rtl: Any, sizes: Sizes, seed: int) -> Found:
    """Return what the designs are worth that are best by the closed form, each with its mapper's mappings."""
    (work,) = problem.workloads
    closed = {"choice": "physics", "goal": "edp", "budget": sizes.mapped}
    spec = evaluators.spec_of(TEMPLATE.name, Fidelity.ANALYTICAL, closed, seed=seed)
    pool = [
        Candidate(design) for design in TEMPLATE.space.designs(_pool(problem, max(sizes.pool, sizes.evaluations), seed))
    ]
    judged = list(executor.run(spec, pool, work))
    order = np.argsort(problem.values(Outcomes.of_each(judged)), kind="stable")[: sizes.evaluations]
    chosen = [judged[number] for number in order.tolist() if judged[number].feasible]
    candidates = [Candidate(one.design, {run.layer.name: run.mapping for run in one.layers}) for one in chosen]
    found = evaluated_each(executor, rtl, candidates, workload=work)
    values = problem.values(Outcomes.of_each(found))
    return np.minimum.accumulate(values).tolist(), found[int(values.argmin())]


def _pool(problem: Problem, amount: int, seed: int) -> NDArray[np.int64]:
    """Return designs of Table 6.1 spread evenly over its array and memories."""
    table = published_designs(problem.space)
    points = SAMPLERS["sobol"](amount, len(VARIED), seed)
    sizes = np.array([len(p.values) for p in problem.space.parameters if p.name in VARIED])
    places = np.ravel_multi_index(tuple((points * sizes).astype(np.int64).T), tuple(sizes))
    order = np.lexsort(tuple(table[:, problem.space.names.index(name)] for name in VARIED[::-1]))
    return np.asarray(table[order][np.unique(places)])

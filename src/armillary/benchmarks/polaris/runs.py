"""One method on one network of Polaris's experiments: run once, kept in a file, shared by all figures.

Every method spends the same number of simulations of the whole network, in the product's own loop of ask and tell.
Models that are asked before cost none.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from armillary import evaluators, optimizers, workloads
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight.physics import cut
from armillary.evaluators.gemmini.build import simulated_text
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import TEMPLATE, VARIED, Accelerator
from armillary.log.store import Log
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.studies.ask_tell import by_candidates, evaluated_each
from armillary.studies.layer_source import AnalyticalSource
from armillary.types import Design, Evaluation, EvaluatorSpec, Fidelity, LayerRun
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

NETWORKS = ("unet", "resnet50", "retinanet", "bert")
WARM_FROM: Mapping[str, str] = {"unet": "resnet50", "resnet50": "unet", "retinanet": "resnet50", "bert": "unet"}
"""By network, the other one whose random simulations a warm start learns from."""


@dataclass(frozen=True)
class Sizes:
    """How much each method may do.

    Attributes:
        hardware: designs that Polaris chooses; 8 in the dissertation.
        software: mappings of each layer on each; 6 in the dissertation.
        judged: designs that the closed form judges at first, all over the table and then around the best.
        mapped: mappings that its mapper evaluates per layer.
        descent: starts and steps of gradient descent.
        most_macs: of a layer, by which longer ones are cut; 0 for any.
    """

    hardware: int
    software: int
    judged: tuple[int, int]
    mapped: int
    descent: tuple[int, int]
    most_macs: int = 0

    @property
    def evaluations(self) -> int:
        """Simulations of the whole network."""
        return self.hardware * self.software


FULL = Sizes(hardware=4, software=6, judged=(64, 32), mapped=2_000, descent=(16, 150), most_macs=1_000_000)
QUICK = Sizes(hardware=3, software=4, judged=(16, 16), mapped=500, descent=(8, 60), most_macs=1_000_000)


@dataclass(frozen=True)
class Method:
    """A way to choose what is simulated.

    Attributes:
        optimizer: as registered.
        more: options of it beside those that the sizes set.
        warm: whether it learns first from random simulations of another network, as many as it may do itself.
    """

    optimizer: str
    more: Mapping[str, Any] = field(default_factory=dict)
    warm: bool = False

    def made(self, problem: Problem, sizes: Sizes, seed: int) -> Any:
        """Return the optimizer."""
        source = AnalyticalSource(TEMPLATE.name)
        if self.optimizer == "closed-form":
            sized: dict[str, Any] = dict(zip(("first", "near"), sizes.judged, strict=True), searched=sizes.mapped)
        elif self.optimizer.startswith("dosa"):
            sized = dict(zip(("starts", "steps"), sizes.descent, strict=True))
        else:
            sized = {"software": sizes.software}
        if self.optimizer == "polaris-offline":
            sized["training"] = -(-sizes.evaluations // 4)
        return optimizers.load(self.optimizer)(problem, layers=source, seed=seed, **{**sized, **self.more})


METHODS: Mapping[str, Method] = {
    "polaris": Method("polaris"),
    "polaris-paced": Method("polaris-paced"),
    "closed-form": Method("closed-form"),
    "dosa": Method("dosa"),
    "dosa-corrected": Method("dosa-corrected"),
    "offline": Method("polaris-offline"),
    "spotlight": Method("polaris-spotlight"),
    "spotlight, warm": Method("polaris-spotlight", warm=True),
    "polaris-scratch": Method("polaris-scratch"),
    "random": Method("polaris-random"),
}
IMPROVED: Mapping[str, Method] = {
    "polaris": METHODS["polaris"],
    "polaris, warm": Method("polaris", warm=True),
    "polaris, 4 together": Method("polaris", {"together": 4}),
    "polaris-paced": METHODS["polaris-paced"],
    "closed-form": METHODS["closed-form"],
}


def by_acquisition(names: Sequence[str]) -> dict[str, Method]:
    """Return Polaris with each of some acquisition functions."""
    return {name: Method("polaris", {"acquisition": name}) for name in names}


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


def trial(
    method: Method,
    network: str,
    sizes: Sizes,
    seed: int,
    options: BenchOptions,
    design: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a method found on a network.

    Args:
        method: which.
        network: of the zoo.
        sizes: of the experiment.
        seed: of all that is drawn.
        options: of the benchmark, beside whose folder the trial is kept.
        design: array and memories that alone are to be mapped; all of Table 6.1 if None.

    Returns:
        `values`, the network's least delay times energy after each simulation; `best`, array, memories, delay and
        energy; `seconds` that it took; `runs`, what was simulated.
    """
    rtl = evaluators.spec_of(TEMPLATE.name, Fidelity.RTL, {"goal": "edp"}, seed=seed)
    inputs = {
        "method": asdict(method), "network": network, "sizes": asdict(sizes), "seed": seed, "design": design,
        "hardware": digest(simulated_text(Accelerator())),
    }  # fmt: skip
    path = (
        __name__,
        zoo.paths()[network],
        zoo.paths()[WARM_FROM[network]],
        optimizers.REGISTRY.paths()[method.optimizer],
    )
    label = f"{method.optimizer}-{network}-seed{seed}"
    part = Part(options.out.parent / "polaris-runs", label, inputs, path, rtl)
    known: list[LayerRun] = []
    if method.warm and not part.path.exists():
        other = trial(METHODS["random"], WARM_FROM[network], sizes, seed, options)
        known = [_run_of(row) for row in other["runs"]]
    return part.measured(partial(_measure, method, network, sizes, seed, rtl, design, known))


def _measure(
    method: Method,
    network: str,
    sizes: Sizes,
    seed: int,
    rtl: EvaluatorSpec,
    design: Mapping[str, Any] | None,
    known: Sequence[LayerRun],
) -> dict[str, Any]:
    start, work = time.perf_counter(), network_of(network, sizes)
    problem = Problem.minimising(TEMPLATE.space, "edp_pj_cycles", workloads=(work,))
    if design is not None:
        problem = replace(problem, candidates=TEMPLATE.space.encode([design_of(design)]))
    optimizer = method.made(problem, sizes, seed)
    if known:
        optimizer.learn(known)
    with tempfile.TemporaryDirectory() as folder:
        evaluate = partial(evaluated_each, LocalExecutor(Log(Path(folder))), rtl, workload=work)
        values: list[float] = []
        runs: list[LayerRun] = []
        made: list[Evaluation] = []
        for batch in by_candidates(optimizer, evaluate, sizes.evaluations):
            runs += [run for evaluation in batch for run in evaluation.layers]
            made = evaluate(optimizer.recombined())  # of layers that ran: nothing is simulated
            least = float(problem.values(Outcomes.of_each(made)).min(initial=np.inf)) if made else float("inf")
            values += [least] * len(batch)
    best = made[int(problem.values(Outcomes.of_each(made)).argmin())]
    told = {**_varied(best.design), **{n: best.metrics[n] for n in ("delay_cycles", "energy_pj")}}
    rows = [_row_of(run) for run in runs]
    return {"values": values, "best": told, "seconds": time.perf_counter() - start, "runs": rows}


def design_of(varied: Mapping[str, Any]) -> Design:
    """Return the design of Table 6.1 with array and memories of these sizes."""
    values = {name: varied[name] for name in VARIED}
    bus = min(int(values["dim"]), Accelerator().bus_bytes)
    return TEMPLATE.space.design_from({**TEMPLATE.defaults, **values, "bus_bytes": bus}, "a design of Table 6.1")


def _varied(design: Design) -> dict[str, Any]:
    return {name: design[name] for name in VARIED}


def _row_of(run: LayerRun) -> dict[str, Any]:
    layer = {name: value for name, value in asdict(run.layer).items() if name != "bits"}
    told = {name: run.metrics[name] for name in ("delay_cycles", "energy_pj")}
    return {**_varied(run.design), "layer": layer, "mapping": run.mapping, "runs": run.runs, **told}


def _run_of(row: Mapping[str, Any]) -> LayerRun:
    told = {name: row[name] for name in ("delay_cycles", "energy_pj")}
    return LayerRun(design_of(row), Layer(**row["layer"]), row["mapping"], told, runs=row["runs"])

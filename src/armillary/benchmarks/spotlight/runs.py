"""One method on one network of Spotlight's experiments: run once, kept in a file, shared by all figures.

Every method keeps to the same area; a chip's mappings are searched by the method's own search. Hand-designed chips
are scaled to that area with at most as many lanes and as large memories as the space has, get the lanes per PE and the
width of the bus that suit them best, and daBO searches the mappings that their dataflow allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from armillary import optimizers
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions, in_processes
from armillary.evaluators import spec_of
from armillary.evaluators.spotlight import MappedNetwork, map_network
from armillary.execution.local import LocalExecutor
from armillary.hardware import templates
from armillary.hardware.template import Template
from armillary.hardware.templates.spotlight import (
    EYERISS_LIKE,
    MAERI_LIKE,
    NVDLA_LIKE,
    Chip,
    chip_of,
    cloud,
)
from armillary.mapping.goals import Goal
from armillary.mapping.spotlight.features import SPOTLIGHT_SW
from armillary.mapping.spotlight.mappers import GRID, MAPPERS, dabo_mapper
from armillary.mapping.spotlight.mapspace import EYERISS, FLEXIBLE, NVDLA, Dataflow, UnrolledSpace
from armillary.mapping.spotlight.search import Mapper
from armillary.optimizers.co_design import CoDesign, Mapped, best_of, starts_of
from armillary.problems.outcomes import Outcomes
from armillary.studies.ask_tell import by_candidates
from armillary.types import Candidate, Evaluation, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

MODELS = ("vgg16", "resnet50", "mobilenet_v2", "mnasnet", "transformer")
VARIANTS = ("spotlight", "spotlight-v", "spotlight-a", "spotlight-f", "spotlight-r", "spotlight-ga", "spotlight-exact")
TOOLS = ("confuciux", "hasco")
HAND: Mapping[str, tuple[Chip, Dataflow]] = {
    "eyeriss-like": (EYERISS_LIKE, EYERISS),
    "nvdla-like": (NVDLA_LIKE, NVDLA),
    "maeri-like": (MAERI_LIKE, FLEXIBLE),
}
Hand = Literal["bounded", "unbounded", "original"]
_METRICS: Mapping[Goal, str] = {"edp": "edp_pj_cycles", "delay": "delay_cycles"}
_LANES = (2, 4, 8, 16)
Bus = Callable[[int], int]


@dataclass(frozen=True)
class Study:
    """What is asked: a chip for some networks.

    Attributes:
        models: the networks, whose sums are minimised.
        goal: `edp` or `delay`.
        scale: `edge` or `cloud`.
        hand: hand-designed chips scaled to the area within the bounds of the space, with memories as large as the area
            allows and a bus as wide as their PEs ask for, or as they are, with one lane.
    """

    models: tuple[str, ...]
    goal: Goal
    scale: str = "edge"
    hand: Hand = "bounded"

    @property
    def template(self) -> Template:
        """The template."""
        return templates.load("spotlight" if self.scale == "edge" else "spotlight_cloud")

    def workload(self) -> Workload:
        """Return the layers of all networks."""
        every = [(model, use) for model in self.models for use in zoo.build(model).layers]
        named = (replace(u, layer=replace(u.layer, name=f"{model}/{u.layer.name}")) for model, u in every)
        return Workload("+".join(self.models), tuple(named))


@dataclass(frozen=True)
class Runs:
    """The sizes of all runs of a figure.

    Attributes:
        options: of the benchmark.
        trials: runs of each method, with a seed each.
        hardware: chips evaluated per run; 100 in the chapter.
        software: mappings evaluated per layer and chip; 100 in the chapter.
    """

    options: BenchOptions
    trials: int
    hardware: int
    software: int

    @staticmethod
    def of(options: BenchOptions) -> Runs:
        """Return the chapter's sizes and ten trials; with `--quick` one trial of 25 chips and 50 mappings."""
        return Runs(options, 1, 25, 50) if options.quick else Runs(options, 10, 100, 100)

    def prepare(self, pairs: Sequence[tuple[Study, str]]) -> None:
        """Run what was not run before of these studies and methods, every trial, on all cores."""
        quiet = replace(self, options=self.options.quiet())
        every = {
            self.part(method, study, self.options.seed + trial).path: partial(
                quiet._one, method, study, self.options.seed + trial
            )
            for trial in range(self.trials)
            for study, method in pairs
        }
        in_processes(every, partial(self.options.on_progress, "trials"))

    def trials_of(self, method: str, study: Study) -> list[dict[str, Any]]:
        """Return what every trial measured, running those that were not run before."""
        return [self._one(method, study, self.options.seed + trial) for trial in range(self.trials)]

    def _one(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        measure = self._hand if method in HAND else self._search
        return self.part(method, study, seed).measured(lambda: measure(method, study, seed))

    def part(self, method: str, study: Study, seed: int) -> Part:
        """Return where one trial is kept."""
        by_hand = method in HAND
        template = study.template.name
        inputs = {
            "method": method,
            "models": study.models,
            "goal": study.goal,
            "scale": study.scale,
            "hardware": self.hardware,
            "software": self.software,
            "seed": seed,
            **({"hand": study.hand} if by_hand else {}),
        }
        sources = [templates.TEMPLATES.paths()[template], *(zoo.paths()[model] for model in study.models)]
        if not by_hand:
            sources.append(optimizers.REGISTRY.paths()[method])
        return Part(
            self.options.out.parent / "spotlight-runs",
            f"{method}-{'+'.join(study.models)}-{study.goal}-{study.scale}-seed{seed}",
            inputs,
            (__name__, *sources),
            spec_of(template, Fidelity.ANALYTICAL, {"goal": study.goal}),
        )

    def _search(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        template, workload = study.template, study.workload()
        problem = template.problem(_METRICS[study.goal], template.budgets, workloads=(workload,))
        search: CoDesign = optimizers.load(method)(problem, seed=seed, **self.options_of(method))
        mapper = self.mapper_of(MAPPERS.load(search.mapper))
        options = {"goal": study.goal, "samples": mapper.samples}
        spec, executor = spec_of(template.name, Fidelity.ANALYTICAL, options, seed=seed), LocalExecutor()
        found: list[Evaluation] = []
        seconds: list[float] = []
        started = time.perf_counter()

        def evaluate(candidates: Sequence[Candidate]) -> list[Evaluation]:
            evaluations = []
            for evaluation in executor.run(spec, candidates, workload):
                evaluations.append(evaluation)
                seconds.append(time.perf_counter() - started)
            return evaluations

        for evaluations in by_candidates(search, evaluate, self.hardware):
            found += evaluations
        values = problem.values(Outcomes.of_each(found))
        best = found[int(values.argmin())]
        costs = {**best.metrics, "value": float(values.min())}
        told = self._told(chip_of(best.design), costs, mapper, study, seed)
        return {**told, "values": values.tolist(), "seconds": seconds}

    def _hand(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        chip, dataflow = HAND[method]
        space = partial(UnrolledSpace, dataflow=dataflow)
        mapper = replace(dabo_mapper(method, SPOTLIGHT_SW, samples=self.software), space=space)
        area = study.template.budgets["area_mm2"]
        larger = chip if study.scale == "edge" else cloud(chip)
        buses = _buses(chip, study)
        chips = [larger] if study.hand == "original" else _scaled(larger, area, study, buses)
        workload, started = study.workload(), time.perf_counter()
        found: list[tuple[Chip, MappedNetwork]] = []
        mapped: tuple[Mapped, ...] = ()
        for one in chips:  # as a co-design's: each begins with the best mappings of those before
            starts = starts_of(mapped)
            on_it = map_network(one, workload.layers, mapper=mapper, goal=study.goal, seed=seed, starts=starts)
            mapped = best_of([*mapped, (on_it.value(study.goal), on_it.by_layer)])
            found.append((one, on_it))
        best, network = min(found, key=lambda pair: pair[1].value(study.goal))
        costs = {
            "delay_cycles": network.delay_cycles,
            "energy_pj": network.energy_pj,
            "value": network.value(study.goal),
        }
        values = [network.value(study.goal) for _, network in found]
        seconds = [time.perf_counter() - started] * len(values)
        return {**self._told(best, costs, mapper, study, seed), "values": values, "seconds": seconds}

    def options_of(self, method: str) -> dict[str, int]:
        """Return a method's options that follow from the size of a run: ConfuciuX learns for half of its chips."""
        return {"learned": self.hardware // 2} if method == "confuciux" else {}

    def mapper_of(self, mapper: Mapper) -> Mapper:
        """Return a search for mappings with this run's number of samples, where it has the chapter's."""
        return replace(mapper, samples=self.software) if mapper.samples == 100 else mapper

    def _told(self, chip: Chip, costs: Mapping[str, float], mapper: Mapper, study: Study, seed: int) -> dict[str, Any]:
        """Return what a run found: `each` is every network alone, mapped anew where several were searched together."""
        each = dict.fromkeys(study.models, costs["value"])
        if len(study.models) > 1:
            each = {model: self.on(chip, mapper, model, study.goal, seed) for model in study.models}
        return {
            **{name: costs[name] for name in ("value", "delay_cycles", "energy_pj")},
            "area_mm2": chip.area_mm2,
            "chip": vars(chip),
            "each": each,
        }

    def on(self, chip: Chip, mapper: Mapper, model: str, goal: Goal, seed: int) -> float:
        """Return the goal of a network on a chip."""
        return map_network(chip, zoo.build(model).layers, mapper=mapper, goal=goal, seed=seed).value(goal)


def chip_from(run: Mapping[str, Any]) -> Chip:
    """Return the chip that a run found."""
    return Chip(**run["chip"])


def grid_mapper() -> Mapper:
    """Return the search that needs none: a grid of sensible mappings."""
    return GRID


def values_of(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the best value of every trial."""
    return [float(run["value"]) for run in runs]


def _buses(released: Chip, study: Study) -> list[Bus]:
    """Return the widths of the bus that a hand-designed chip is tried with, each for a number of PEs.

    Those are the released one, one that grows with the PEs, and the space's widest. The release scales an array up for
    the cloud by a factor of up to 56 and leaves its bus as it is.

    Args:
        released: the chip for the edge.
        study: that the chip is scaled for; unless it is unbounded, no bus is narrower or wider than the space has it.
    """
    widths = study.template.space.parameters[study.template.space.names.index("bandwidth")].values
    least, most = int(widths[0]), int(widths[-1])

    def grown(pes: int) -> int:
        width = round(released.bandwidth * pes / released.pes)
        return max(1, width) if study.hand == "unbounded" else min(max(width, least), most)

    return [lambda _: released.bandwidth, grown, lambda _: most]


def _scaled(chip: Chip, area_mm2: float, study: Study, buses: Sequence[Bus]) -> list[Chip]:
    """Return a hand-designed chip scaled to the area, with every number of lanes per PE and bus that is tried."""
    space = study.template.space
    largest = chip_of(space.design([n - 1 for n in space.cardinalities]))
    most_kib = None if study.hand == "unbounded" else (largest.scratchpad_kib, largest.register_file_kib)
    most_lanes = largest.pes * largest.simd_lanes
    every = [
        chip.scaled_to(area_mm2, simd_lanes=lanes, most_lanes=most_lanes, bus=bus, most_kib=most_kib)
        for lanes in _LANES
        for bus in buses
    ]
    return list(dict.fromkeys(every))

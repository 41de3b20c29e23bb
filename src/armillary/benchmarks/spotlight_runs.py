"""One method on one network of Spotlight's experiments: run once, kept in a file, shared by all figures.

Every method keeps to the same area; a chip's mappings are searched by the method's own search. Hand-designed chips
are scaled to that area and at most as many lanes as the space has, get the lanes per PE that suit them best, and daBO
searches the mappings that their dataflow allows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from armillary import optimizers
from armillary.benchmarks.result import BenchOptions, saved_part
from armillary.evaluators.analytical.search import Goal
from armillary.evaluators.spotlight.evaluator import MappedNetwork, SpotlightEvaluator, map_network
from armillary.evaluators.spotlight.fixed import GridMaps
from armillary.evaluators.spotlight.mapspace import EYERISS, FLEXIBLE, NVDLA, Dataflow, UnrolledSpace
from armillary.evaluators.spotlight.search import Mapper
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
from armillary.optimizers.features import SPOTLIGHT_SW
from armillary.optimizers.spotlight import dabo_mapper
from armillary.spaces.space import Space
from armillary.types import Objective
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
_METRICS: Mapping[Goal, str] = {"edp": "edp_pj_cycles", "delay": "delay_cycles"}
_LANES = (2, 4, 8, 16)
_GRID = "grid"
_REVISION = 3


@dataclass(frozen=True)
class Study:
    """What is asked: a chip for some networks.

    Attributes:
        models: the networks, whose sums are minimised.
        goal: `edp` or `delay`.
        scale: `edge` or `cloud`.
        original: hand-designed chips as they are, with one lane, instead of scaled to the area.
    """

    models: tuple[str, ...]
    goal: Goal
    scale: str = "edge"
    original: bool = False

    @property
    def template(self) -> Template:
        """The template."""
        return templates.load("spotlight" if self.scale == "edge" else "spotlight_cloud")

    def workload(self) -> Workload:
        """Return the layers of all networks."""
        return Workload("+".join(self.models), tuple(u for m in self.models for u in zoo.build(m).layers))


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
        """Return the chapter's sizes and ten trials; with `--quick` two trials of 25 chips and 50 mappings."""
        return Runs(options, 2, 25, 50) if options.quick else Runs(options, 10, 100, 100)

    def trials_of(self, method: str, study: Study) -> list[dict[str, Any]]:
        """Return what every trial measured, running those that were not run before."""
        return [self._one(method, study, self.options.seed + trial) for trial in range(self.trials)]

    def _one(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        folder = self.options.out.parent / f"spotlight-runs-{SpotlightEvaluator.version}-{_REVISION}"
        where = f"{study.scale}{'-original' if study.original else ''}"
        label = f"{method}-{'+'.join(study.models)}-{study.goal}-{where}-{self.hardware}x{self.software}-seed{seed}"
        measure = self._hand if method in HAND else self._search
        return saved_part(folder / f"{label}.json", lambda: measure(method, study, seed))

    def _search(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        template, workload = study.template, study.workload()
        objective = Objective(_METRICS[study.goal], {"area_mm2": template.area_budget_mm2})
        search = optimizers.load(method)(space=template.space, objective=objective, seed=seed)
        search.within = lambda codes: template.area_mm2(codes) <= template.area_budget_mm2
        mapper = self.mapper_of(search.mapper)
        values: list[float] = []
        seconds: list[float] = []
        best: tuple[Chip, MappedNetwork] | None = None
        started = time.perf_counter()
        while len(values) < self.hardware:
            codes = search.ask_codes(min(search.asks_after(len(values)), self.hardware - len(values)))
            fresh = []
            for design in template.space.designs(codes):
                chip = chip_of(design)
                found = map_network(chip, workload, mapper=mapper, goal=study.goal, seed=seed)
                fresh.append(found.value(study.goal))
                seconds.append(time.perf_counter() - started)
                if best is None or fresh[-1] < best[1].value(study.goal):
                    best = chip, found
            search.tell_batch(codes, np.array(fresh))
            values += fresh
        assert best is not None
        return {**self._told(*best, mapper, study, seed), "values": values, "seconds": seconds}

    def _hand(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        chip, dataflow = HAND[method]
        space = partial(UnrolledSpace, dataflow=dataflow)
        mapper = replace(dabo_mapper(method, SPOTLIGHT_SW, samples=self.software), space=space)
        area = study.template.area_budget_mm2
        chip = chip if study.scale == "edge" else cloud(chip)
        most = _most_lanes(study.template.space)
        scaled = [chip.scaled_to(area, simd_lanes=lanes, most_lanes=most) for lanes in _LANES]
        chips = [chip] if study.original else scaled
        workload, started = study.workload(), time.perf_counter()
        found = [(c, map_network(c, workload, mapper=mapper, goal=study.goal, seed=seed)) for c in chips]
        best = min(found, key=lambda pair: pair[1].value(study.goal))
        values = [network.value(study.goal) for _, network in found]
        seconds = [time.perf_counter() - started] * len(values)
        return {**self._told(*best, mapper, study, seed), "values": values, "seconds": seconds}

    def mapper_of(self, mapper: Mapper) -> Mapper:
        """Return a search for mappings with this run's number of samples, where it has the chapter's."""
        return replace(mapper, samples=self.software) if mapper.samples == 100 else mapper

    def _told(self, chip: Chip, found: MappedNetwork, mapper: Mapper, study: Study, seed: int) -> dict[str, Any]:
        """Return what a run found: `each` is every network alone, mapped anew where several were searched together."""
        value = found.value(study.goal)
        several = len(study.models) > 1
        return {
            "value": value,
            "delay_cycles": found.delay_cycles,
            "energy_pj": found.energy_pj,
            "area_mm2": chip.area_mm2,
            "illegal": int(sum(best.illegal for best in found.best)),
            "chip": vars(chip),
            "each": {m: self.on(chip, mapper, m, study.goal, seed) if several else value for m in study.models},
        }

    def on(self, chip: Chip, mapper: Mapper, model: str, goal: Goal, seed: int) -> float:
        """Return the goal of a network on a chip."""
        return map_network(chip, zoo.build(model), mapper=mapper, goal=goal, seed=seed).value(goal)


def chip_from(run: Mapping[str, Any]) -> Chip:
    """Return the chip that a run found."""
    return Chip(**run["chip"])


def grid_mapper() -> Mapper:
    """Return the search that needs none: a grid of sensible mappings."""
    return Mapper(_GRID, GridMaps, samples=500, batch=100)


def values_of(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the best value of every trial."""
    return [float(run["value"]) for run in runs]


def _most_lanes(space: Space) -> int:
    """Return the lanes of the largest chip of a space: hand-designed ones get no more."""
    largest = chip_of(space.design([n - 1 for n in space.cardinalities]))
    return largest.pes * largest.simd_lanes

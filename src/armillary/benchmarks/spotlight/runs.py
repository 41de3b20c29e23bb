"""One method on one network of Spotlight's experiments: run once, kept in a file, shared by all figures.

Every method keeps to the same area; a chip's mappings are searched by the method's own search. Hand-designed chips
are scaled to that area with at most as many lanes and as large memories as the space has, get the lanes per PE that
suit them best, and daBO searches the mappings that their dataflow allows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from armillary import optimizers
from armillary.benchmarks.result import BenchOptions, in_processes, saved_part
from armillary.evaluators.spotlight import MappedNetwork, SpotlightEvaluator, map_network
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
from armillary.mapping.search import Goal
from armillary.mapping.spotlight.features import SPOTLIGHT_SW
from armillary.mapping.spotlight.fixed import GridMaps
from armillary.mapping.spotlight.mapspace import EYERISS, FLEXIBLE, NVDLA, Dataflow, UnrolledSpace
from armillary.mapping.spotlight.search import Mapper
from armillary.optimizers.coded import KnowsWorkload
from armillary.optimizers.spotlight import dabo_mapper
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
Hand = Literal["bounded", "any-memory", "original"]
_METRICS: Mapping[Goal, str] = {"edp": "edp_pj_cycles", "delay": "delay_cycles"}
_LANES = (2, 4, 8, 16)
_GRID = "grid"
_REVISION = 7


@dataclass(frozen=True)
class Study:
    """What is asked: a chip for some networks.

    Attributes:
        models: the networks, whose sums are minimised.
        goal: `edp` or `delay`.
        scale: `edge` or `cloud`.
        hand: hand-designed chips scaled to the area within the bounds of the space, with memories as large as the area
            allows, or as they are, with one lane.
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

    def prepare(self, pairs: Sequence[tuple[Study, str]]) -> None:
        """Run what was not run before of these studies and methods, every trial, on all cores."""
        quiet = replace(self, options=self.options.quiet())
        every = {
            self._path(method, study, self.options.seed + trial): partial(
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
        return saved_part(self._path(method, study, seed), lambda: measure(method, study, seed))

    def _path(self, method: str, study: Study, seed: int) -> Path:
        folder = self.options.out.parent / f"spotlight-runs-{SpotlightEvaluator.version}-{_REVISION}"
        where = f"{study.scale}-{study.hand}" if method in HAND else study.scale
        label = f"{method}-{'+'.join(study.models)}-{study.goal}-{where}-{self.hardware}x{self.software}-seed{seed}"
        return folder / f"{label}.json"

    def _search(self, method: str, study: Study, seed: int) -> dict[str, Any]:
        template, workload = study.template, study.workload()
        objective = Objective(_METRICS[study.goal], {"area_mm2": template.area_budget_mm2})
        search = optimizers.load(method)(space=template.space, objective=objective, seed=seed)
        search.within = lambda codes: template.area_mm2(codes) <= template.area_budget_mm2
        if isinstance(search, KnowsWorkload):
            search.for_workload(workload)
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
        chips = [chip] if study.hand == "original" else _scaled(chip, area, study)
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


def _scaled(chip: Chip, area_mm2: float, study: Study) -> list[Chip]:
    """Return a hand-designed chip scaled to the area, with every number of lanes per PE that is tried."""
    space = study.template.space
    largest = chip_of(space.design([n - 1 for n in space.cardinalities]))
    most_kib = (largest.scratchpad_kib, largest.register_file_kib) if study.hand == "bounded" else None
    return [
        chip.scaled_to(area_mm2, simd_lanes=lanes, most_lanes=largest.pes * largest.simd_lanes, most_kib=most_kib)
        for lanes in _LANES
    ]

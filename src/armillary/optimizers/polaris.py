"""Polaris: hardware and mappings by the confidence bound of Starlight, with every choice simulated.

An outer loop chooses designs, an inner one mappings of every layer on the design. A candidate is a design with a
mapping of each layer, and what its simulation says of every layer is learned before the next is chosen.

    polaris          as described
    polaris-scratch  without transfer: Starlight without the analytical evaluator as its prior
    polaris-random   random designs, random mappings of the same spaces

Source: the dissertation, Section 6.1. What differs. Starlight's prior is a closed form of the hardware, see
`surrogates.starlight`. A point of the continuous space of hardware is rounded to the nearest design before it is
judged, not after (Garrido-Merchan & Hernandez-Lobato, Neurocomputing 2020): mappings exist on whole arrays only. A
design is worth what the bound says of the network under the best of a few mappings per layer. The choice of the
evaluator's own mapper is assessed beside the mappings that are sampled. In the end each layer of a design gets that of
its measured mappings which minimises the network's objective, the product of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.templates.gemmini import accelerator_of
from armillary.mapping.balance import least_product
from armillary.optimizers.acquisitions import acquisition_of
from armillary.optimizers.coded import CodedOptimizer
from armillary.optimizers.design_table import DIMENSIONS, DesignTable, nearest, spread
from armillary.optimizers.polaris_layers import Choices, LayerModel, LayerSource, weights_of
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate, Design, LayerRun

SOFTWARE = 6
"""Mappings of each layer per design, Section 6.2."""
_POINTS, POINTS_NEAR, _REACH = 48, 16, 0.1
"""Points of the unit cube among which the first design is chosen, those that each choice adds around the best so far,
and how far these spread."""
SCOUTED, _SCOUTS = 128, 4
"""Mappings drawn of each layer for judging a design, and how many of them count."""
_DRAWN, _KEPT, _SEARCHED = 1024, 64, 2000
"""Mappings drawn of each layer on the design that was chosen, and how many of them are assessed; and how many a search
evaluates whose best is assessed beside them."""


@dataclass
class _OnDesign:
    """The inner loop on one design."""

    code: NDArray[np.int64]
    design: Design
    choices: list[Choices]
    asked: list[set[str]]
    turns: int = 0


Measured = dict[str, dict[str, tuple[float, float]]]
"""What was simulated on one design: of each layer by name, delay and energy by mapping."""


class Polaris(CodedOptimizer):
    """Starlight's confidence bound over hardware, and over each layer's mappings.

    Args:
        problem: on the space of template `gemmini`, with its workload.
        layers: of mappings and what is known of them.
        seed: same seed and results, same candidates.
        software: candidates per design.
        acquisition: what a mapping and a design are judged by, one of `ACQUISITIONS`.
        together: candidates that are best asked for at once, where several simulations run side by side. Those of one
            design differ in every layer that has so many mappings.

    Raises:
        ArmillaryError: if the space is another template's, there is no or more than one workload, the objective is
            none that mappings can be chosen by, nobody tells of layers, or there is no such acquisition function.
    """

    needs_layers = True
    transfer = True

    def __init__(
        self,
        problem: Problem,
        *,
        layers: LayerSource | None = None,
        seed: int = 0,
        software: int = SOFTWARE,
        acquisition: str = "ucb",
        together: int = 1,
    ) -> None:
        self._table = DesignTable(problem.space)
        if layers is None:
            raise ArmillaryError("this optimizer has to be told of layers; run `armillary search --template gemmini`")
        if len(problem.workloads) != 1:
            raise ArmillaryError(f"Polaris maps one workload; the problem has {len(problem.workloads)}")
        super().__init__(problem, seed=seed)
        self._weights = weights_of(problem.metric)
        self._uses = problem.workloads[0].layers
        self._layers = [use.layer for use in self._uses]
        self._acquisition = acquisition_of(acquisition)
        self._model = self._modelled(layers, seed)
        self.batch, self._software = together, software
        self._waiting: list[_OnDesign] = []
        self._scouted: dict[bytes, list[Choices]] = {}
        self._points = spread(_POINTS, seed)
        self._measured: dict[Design, Measured] = {}

    def _modelled(self, layers: LayerSource, seed: int) -> LayerModel:
        """Return what learns of layers."""
        return LayerModel(self.space, layers, seed=seed, transfer=self.transfer)

    def learn(self, runs: Sequence[LayerRun]) -> None:
        """Take runs of layers of other networks or designs, as a log holds them: a warm start."""
        self._model.tell(runs)

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates with mappings: the next of the designs under way, then those of new designs.

        A design on which a layer has no mapping comes without; nothing but its evaluation tells why.
        """
        under_way = sum(self._software - one.turns for one in self._waiting)
        if under_way < n:
            self._begin(-(-(n - under_way) // self._software))
        return [self._next() for _ in range(n)]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates, and learn the runs of their layers."""
        for runs in outcomes.layers:
            if self._learns():
                self._model.tell(runs)
            self._remember(runs)
        super().tell(candidates, outcomes)

    def _learns(self) -> bool:
        """Return whether what is told next is learned, not only remembered."""
        return True

    def recombined(self) -> list[Candidate]:
        """Return each design on which all layers ran, with the best of the mappings that were measured of each layer.

        Nothing is left to simulate: each layer ran under its mapping. The first design told comes first.
        """
        found = []
        for design, measured in self._measured.items():
            if all(use.layer.name in measured for use in self._uses):
                found.append(Candidate(design, self._best_of(measured)))
        return found

    def _best_of(self, measured: Measured) -> dict[str, str]:
        runs = np.array([use.count for use in self._uses], dtype=float)
        tables = [measured[use.layer.name] for use in self._uses]
        costs = [np.array(list(table.values())).T for table in tables]
        if self._weights == (1, 1):
            numbers = least_product(costs, runs)
        else:
            numbers = [int((np.array(self._weights) @ cost).argmin()) for cost in costs]
        named = zip(self._uses, tables, numbers, strict=True)
        return {use.layer.name: list(table)[number] for use, table, number in named}

    def _remember(self, runs: Sequence[LayerRun]) -> None:
        for run in runs:
            if run.failure is None and run.mapping:
                of_layer = self._measured.setdefault(run.design, {}).setdefault(run.layer.name, {})
                of_layer[run.mapping] = run.metrics["delay_cycles"], run.metrics["energy_pj"]

    def _begin(self, designs: int) -> None:
        """Choose new designs, by a model that is fitted anew."""
        self._model.refit()
        for code in self.ask_codes(designs):
            design = self.space.design(code)
            choices = self._model.choices(design, self._layers, drawn=_DRAWN, kept=_KEPT, searched=_SEARCHED)
            self._waiting.append(_OnDesign(code, design, choices, [set() for _ in choices]))

    def _next(self) -> Candidate:
        one = self._waiting[0]
        one.turns += 1
        if one.turns == self._software:
            self._waiting.pop(0)
        if not all(map(len, one.choices)):
            return Candidate(one.design)
        mappings = {}
        for use, choices, asked in zip(self._uses, one.choices, one.asked, strict=True):
            values = self._values(choices, self._least_of(one.design, use.layer.name))
            new = [number for number, each in enumerate(choices.mapped) if each.mapping not in asked]
            number = min(new or range(len(choices)), key=lambda number: float(values[number]))
            text = choices.mapped[number].mapping
            asked.add(text)
            mappings[use.layer.name] = text
        return Candidate(one.design, mappings)

    def _values(self, choices: Choices, least: float) -> NDArray[np.float64]:
        """Return what to minimise of mappings, given the least logarithm of a cost so far, shape [choices]."""
        told = self._model.expected(choices, self._acquisition.level)
        mean = np.array(self._weights) @ np.log([told.delay, told.energy])
        return self._acquisition.worth(mean, self._weights[0] * told.spread, least, self._rng)

    def _least_of(self, design: Design, layer: str) -> float:
        """Return the logarithm of the least cost that was measured of a layer on a design, infinite before any was."""
        measured = self._measured.get(design, {}).get(layer, {})
        return min((float(np.array(self._weights) @ np.log(one)) for one in measured.values()), default=float("inf"))

    def _propose(self, n: int) -> NDArray[np.int64]:
        designs = self._table.codes[self._unmet(self._table.codes)]
        if not len(designs):
            return self._drawn(n)
        if not self._model.informed:
            return self._rng.permutation(designs)[:n]
        self._look_around(designs)
        pool = self._near_points(designs)
        return np.asarray(pool[np.argsort(self._worth(pool), kind="stable")][:n])

    def _look_around(self, designs: NDArray[np.int64]) -> float:
        """Add points around the best of those that there are; return what that design is worth."""
        pool = self._near_points(designs)
        worth = self._worth(pool)
        at = self._table.places(pool[worth.argmin()][None])
        near = np.clip(at + self._rng.normal(0.0, _REACH, (POINTS_NEAR, DIMENSIONS)), 0.0, 1.0)
        self._points = np.concatenate([self._points, near])
        return float(worth.min())

    def _near_points(self, designs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some designs that are nearest to a point, each once, shape [n, parameters]."""
        return np.asarray(designs[np.unique(nearest(self._points, self._table.places(designs)))])

    def _worth(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what to minimise of designs, infinite where one cannot run the network, shape [designs]."""
        each = np.array([self._network_on(code) for code in codes])
        able, worth = np.isfinite(each[:, 0]), np.full(len(codes), np.inf)
        least = float(np.log(self.best_value)) if self.best_value > 0 else float("-inf")
        worth[able] = self._acquisition.worth(each[able, 0], each[able, 1], least, self._rng)
        return worth

    def _network_on(self, code: NDArray[np.int64]) -> tuple[float, float]:
        """Return the logarithm of what the network costs on a design, infinite if it cannot run, and its spread.

        Errors of layers are taken to go together, as they do where the prior is off for a design.
        """
        key, design = code.tobytes(), self.space.design(code)
        if key not in self._scouted:
            self._scouted[key] = self._model.choices(design, self._layers, drawn=SCOUTED, kept=_SCOUTS)
        every = self._scouted[key]
        if not all(map(len, every)):
            return float("inf"), 0.0
        mean, low = np.zeros(2), np.zeros(2)
        for use, choices in zip(self._uses, every, strict=True):
            told = self._model.expected(choices, self._acquisition.level)
            bound = told.delay * np.exp(-told.spread)
            number = (np.array(self._weights) @ np.log([bound, told.energy])).argmin()
            mean += use.count * np.array([told.delay[number], told.energy[number]])
            low += use.count * np.array([bound[number], told.energy[number]])
        logs, at_bound = (float(np.array(self._weights) @ np.log(sums)) for sums in (mean, low))
        return logs - self._log_units(design), logs - at_bound

    def _log_units(self, design: Design) -> float:
        """Return the logarithm of what a design's delay is divided by: by its clock, where seconds are minimised."""
        return float(np.log(accelerator_of(design).clock_ghz * 1e9)) if self.problem.metric == "runtime_s" else 0.0

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn nothing of whole designs: the runs of their layers tell more."""

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing."""


class PolarisScratch(Polaris):
    """Polaris without transfer."""

    transfer = False


class PolarisRandom(PolarisScratch):
    """Random designs and mappings of Polaris's spaces."""

    def _learns(self) -> bool:
        return False

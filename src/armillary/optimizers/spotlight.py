"""Spotlight: daBO over the hardware, and for each chip daBO over the mappings of each layer.

The optimizer asks for chips, and each candidate names the search that finds its mappings. The variants of the chapter
replace both searches:

    spotlight        daBO in the feature space
    spotlight-v      the same on the raw parameters alone (vanilla Bayesian optimisation), no prior knowledge either
    spotlight-a      on features and parameters together
    spotlight-f      only three fixed dataflows, only the tile factors of K and C
    spotlight-r      random search
    spotlight-ga     genetic search
    spotlight-exact  daBO outside, a thorough search of every layer's mappings inside

Source: the Spotlight chapter, Sections 4.2, 4.3 and 4.4.5. What differs: where the network is known, its roofline is
the prior mean of the search for chips, but for spotlight-v; a share of the mappings of spotlight, -a and -exact follow
known dataflows or fill the array.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.templates.spotlight import EDGE, Chip, chip_of
from armillary.mapping.spotlight.dabo import DomainModel
from armillary.mapping.spotlight.features import RAW_HW, SPOTLIGHT_HW, FeatureSpace, union
from armillary.mapping.spotlight.roofline import Roofline
from armillary.optimizers.co_design import CoDesign
from armillary.optimizers.genetic import Genetic
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.surrogate_search import neighbours
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError

_DELAYS = ("delay_cycles", "runtime_s", "edp_pj_cycles")
_ENERGIES = ("energy_pj", "edp_pj_cycles")
ALL_HW = union(SPOTLIGHT_HW, RAW_HW)


def check_space(space: Space) -> None:
    """Check that designs of a space are chips of the `spotlight` family.

    Raises:
        ArmillaryError: if they are not.
    """
    if set(space.names) != set(EDGE.names):
        raise ArmillaryError(
            f"space {space.name!r} has the parameters {list(space.names)}; Spotlight searches {list(EDGE.names)}: "
            "choose --template spotlight or spotlight_cloud"
        )


class Spotlight(CoDesign):
    """daBO over the hardware (daBO_HW).

    Args:
        problem: on the space of a `spotlight` template.
        seed: same seed and results, same designs.
        features: of the hardware.
        model: the GP; by default with a linear trend and what deviates from it, and the lower confidence bound.
        warm_up: random designs evaluated first.
        explore: share of the later designs that are random.
        candidates: drawn per design.
        around: how many of the best designs have all designs that differ in one parameter among the candidates.
        mapper: the name of the search for mappings that goes with it.
        prior_mean: expect of a chip what the roofline of the problem's workloads says. Delays come in steps, as
            unrolled factors divide the layers' dimensions, and no feature of the chip alone sees them.

    Raises:
        ArmillaryError: if the space is another template's.
    """

    batch = 1

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        features: FeatureSpace = SPOTLIGHT_HW,
        model: DomainModel | None = None,
        warm_up: int = 10,
        explore: float = 0.1,
        candidates: int = 1000,
        around: int = 3,
        mapper: str = "dabo",
        prior_mean: bool = True,
    ) -> None:
        check_space(problem.space)
        super().__init__(problem, seed=seed)
        self.mapper = mapper
        self.model = DomainModel("trend") if model is None else model
        self._features, self._warm_up = features, warm_up
        layers = tuple(use for workload in problem.workloads for use in workload.layers)
        self._roofline = Roofline.of(layers) if prior_mean and layers else None
        self._explore, self._candidates, self._around = explore, candidates, around
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._values = np.empty(0)

    def _propose(self, n: int) -> NDArray[np.int64]:
        learned = len(self.model) >= self._warm_up and np.isfinite(self.best_value)
        if not learned or self._rng.random() < self._explore:
            return self._drawn(n)
        best = self._codes[np.argsort(self._values, kind="stable")[: self._around]]
        near = neighbours(self.space, best)
        drawn = np.concatenate([self._drawn(self._candidates), near[self._unmet(near)]])
        return drawn[np.argsort(self.model.rank(*self._known_of(drawn)), kind="stable")][:n]

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        features, expected = self._known_of(codes)
        self.model.add(features, values, expected)
        self._codes, self._values = np.concatenate([self._codes, codes]), np.concatenate([self._values, values])

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing: candidates meet the constraint by construction."""

    def _known_of(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the features of chips and what is expected of them, if the network is known."""
        chips = [chip_of(design) for design in self.space.designs(codes)]
        return self._features.of_chips(chips), self._expected_of(chips)

    def _expected_of(self, chips: Sequence[Chip]) -> NDArray[np.float64] | None:
        metric = self.problem.metric
        if self._roofline is None or metric not in (*_DELAYS, *_ENERGIES):
            return None
        expected = np.ones(len(chips))
        if metric in _DELAYS:
            expected *= [self._roofline.least_cycles(chip) for chip in chips]
        if metric in _ENERGIES:
            expected *= [self._roofline.usual_energy_pj(chip) for chip in chips]
        return expected


class SpotlightRandom(CoDesign, RandomSearch):
    """Random hardware, random mappings."""

    batch, mapper = 1, "random"
    takes_several = False

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        check_space(problem.space)
        super().__init__(problem, seed=seed)


class SpotlightGenetic(CoDesign, Genetic):
    """Genetic search of hardware and mappings, with the release's settings."""

    batch, mapper = 20, "genetic"

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        check_space(problem.space)
        mutation = 0.05 * len(problem.space.names)
        Genetic.__init__(self, problem, seed=seed, population=20, crossover=0.8, mutation=mutation)


def vanilla(problem: Problem, *, seed: int = 0) -> Spotlight:
    """Return Spotlight-V."""
    return Spotlight(problem, seed=seed, features=RAW_HW, mapper="dabo-vanilla", prior_mean=False)


def everything(problem: Problem, *, seed: int = 0) -> Spotlight:
    """Return Spotlight-A."""
    return Spotlight(problem, seed=seed, features=ALL_HW, mapper="dabo-all")


def fixed(problem: Problem, *, seed: int = 0) -> Spotlight:
    """Return Spotlight-F."""
    return Spotlight(problem, seed=seed, mapper="dabo-fixed")


def exact(problem: Problem, *, seed: int = 0) -> Spotlight:
    """Return Spotlight with a thorough search inside, which starts from the best mappings of other chips."""
    return Spotlight(problem, seed=seed, mapper="exact")

"""DOSA-like: designs and mappings by gradient descent through the cost model, each checked by one simulation.

    dosa            the cost model as it is
    dosa-corrected  with a correction of its delay that is learned of the simulations so far

Source: Hong et al., "DOSA", MICRO 2023; see `evaluators.gemmini.descent` for what is left out. There one design is
simulated in the end; here the best of a descent come first, and when all were asked for the next descent begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer
from armillary.optimizers.polaris_layers import weights_of
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate, LayerRun
from armillary.workloads.layer import Workload

STARTS, STEPS, KEPT = 16, 150, 8
"""Of a descent, and how many of its results are simulated before the next."""


class DescentSource(Protocol):
    """Gradient descent on a network."""

    def descended(
        self,
        workload: Workload,
        *,
        weights: tuple[int, int],
        starts: int,
        steps: int,
        seed: int,
        known: Sequence[LayerRun],
    ) -> list[Candidate]:
        """Return designs with mappings, the best by the differentiable cost model first.

        Args:
            workload: the network.
            weights: powers of delay and energy in what is minimised.
            starts: which descend side by side.
            steps: of each.
            seed: same seed, same results.
            known: simulated layers, from which the cost model's error is learned; none for none.
        """
        ...


class Dosa(CodedOptimizer):
    """Designs and mappings by gradient descent.

    Args:
        problem: on a space of the family, with its workload.
        layers: which descends.
        seed: same seed and results, same candidates.
        starts: of a descent.
        steps: of each start.
        kept: candidates of a descent.

    Raises:
        ArmillaryError: if there is no or more than one workload, or nobody descends.
    """

    batch = 1
    needs_layers = True
    corrects = False

    def __init__(
        self,
        problem: Problem,
        *,
        layers: DescentSource | None = None,
        seed: int = 0,
        starts: int = STARTS,
        steps: int = STEPS,
        kept: int = KEPT,
    ) -> None:
        if layers is None:
            raise ArmillaryError("this optimizer has to be told of layers; run `armillary search --template gemmini`")
        if len(problem.workloads) != 1:
            raise ArmillaryError(f"this optimizer maps one workload; the problem has {len(problem.workloads)}")
        super().__init__(problem, seed=seed)
        self._source, self._weights = layers, weights_of(problem.metric)
        self._seed, self._starts, self._steps, self._kept = seed, starts, steps, kept
        self._descents = 0
        self._waiting: list[Candidate] = []
        self._runs: list[LayerRun] = []
        self._ran: list[Candidate] = []

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates with mappings; where no descent ends with one that can run, designs without."""
        while len(self._waiting) < n:
            found = self._descend()
            if not found:
                return [*self._taken(len(self._waiting)), *super().ask(n - len(self._waiting))]
            self._waiting += found
        return self._taken(n)

    def _taken(self, n: int) -> list[Candidate]:
        taken, self._waiting = self._waiting[:n], self._waiting[n:]
        return taken

    def _descend(self) -> list[Candidate]:
        self._descents += 1
        (workload,) = self.problem.workloads
        seed, known = self._seed + 1000 * self._descents, tuple(self._runs) if self.corrects else ()
        found = self._source.descended(
            workload, weights=self._weights, starts=self._starts, steps=self._steps, seed=seed, known=known
        )
        return self._within_bounds(found)[: self._kept]

    def _within_bounds(self, found: list[Candidate]) -> list[Candidate]:
        if self.within is None or not found:
            return found
        kept = self.within(self.space.encode([one.design for one in found]))
        return [one for one, keep in zip(found, kept, strict=True) if keep]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates, and the runs of their layers."""
        for runs in outcomes.layers:
            self._runs += [run for run in runs if run.mapping]
        values = self.problem.values(outcomes)
        self._ran += [one for one, v in zip(candidates, values, strict=True) if one.mappings and np.isfinite(v)]
        super().tell(candidates, outcomes)

    def recombined(self) -> list[Candidate]:
        """Return the candidates that ran; see `Recombines`."""
        return list(self._ran)

    def _propose(self, n: int) -> NDArray[np.int64]:
        return self._drawn(n)

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn nothing of whole designs."""

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing."""


class DosaCorrected(Dosa):
    """Gradient descent through a corrected cost model."""

    corrects = True

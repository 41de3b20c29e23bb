"""`closed-form`: the designs that are best by the closed form of the hardware, each simulated once under its mapper.

The humblest baseline of Polaris: nothing is learned of a simulation. The analytical evaluator judges some designs of
Table 6.1, those around the best of them, and the mappings that its mapper finds. The best designs are simulated in that
order, under those mappings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer, keys
from armillary.optimizers.design_table import DIMENSIONS, DesignTable, nearest, spread
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate, Design, Evaluation
from armillary.workloads.layer import Workload

FIRST, NEAR, SEARCHED = 24, 24, 2000
"""Designs judged all over the table, then around the best; and mappings that the mapper evaluates of each layer."""
_AT_ONCE = 8
_REACH = np.repeat([0.03, 0.2], _AT_ONCE // 2)
"""How far designs lie from the best that are judged around it, in the unit cube of array and memories."""
_NO_WORSE = 0.25
"""By what share a design may be worse than the best, both by the closed form, before more are judged instead."""


class NetworkSource(Protocol):
    """What an analytical evaluator says of a network on designs, under the mappings that its own mapper finds."""

    def networks(
        self, designs: Sequence[Design], workload: Workload, metric: str, *, searched: int, seed: int
    ) -> list[Evaluation]:
        """Return an evaluation of each design, with its mappings; those that cannot run the network say why.

        Args:
            designs: of the template.
            workload: the network.
            metric: which the mapper's goal is to serve.
            searched: mappings that it evaluates of each layer.
            seed: same seed, same mappings.
        """
        ...


class ClosedForm(CodedOptimizer):
    """The best designs of the closed form, best first.

    Args:
        problem: on a space of the family, with its workload.
        layers: of what the analytical evaluator says.
        seed: same seed, same candidates.
        first: designs that it judges all over the table.
        near: designs that it judges around the best of those, and later as many again, when those asked for become
            much worse.
        searched: mappings that its mapper evaluates of each layer.

    Raises:
        ArmillaryError: if the space is another template's, there is no or more than one workload, or nobody tells of
            layers.
    """

    batch = 1
    needs_layers = True

    def __init__(
        self,
        problem: Problem,
        *,
        layers: NetworkSource | None = None,
        seed: int = 0,
        first: int = FIRST,
        near: int = NEAR,
        searched: int = SEARCHED,
    ) -> None:
        self._table = DesignTable(problem.space)
        if layers is None:
            raise ArmillaryError("this optimizer has to be told of layers; run `armillary search --template gemmini`")
        if len(problem.workloads) != 1:
            raise ArmillaryError(f"this optimizer maps one workload; the problem has {len(problem.workloads)}")
        super().__init__(problem, seed=seed)
        self._source, self._seed = layers, seed
        self._first, self._near, self._searched = first, near, searched
        self._judged: dict[bytes, tuple[float, Candidate]] = {}
        self._told: list[Candidate] = []

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates, the best by the closed form that were not asked for yet, with their mappings.

        When all designs of the table were, others follow without mappings.
        """
        designs = self.space.designs(codes := self.ask_codes(n))
        known = [self._judged.get(key) for key in keys(codes)]
        return [Candidate(design) if one is None else one[1] for design, one in zip(designs, known, strict=True)]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates."""
        self._told += [one for one, value in zip(candidates, self.problem.values(outcomes), strict=True)
                       if one.mappings is not None and np.isfinite(value)]  # fmt: skip
        super().tell(candidates, outcomes)

    def recombined(self) -> list[Candidate]:
        """Return the designs that ran, with their mappings; see `Recombines`."""
        return list(self._told)

    def _propose(self, n: int) -> NDArray[np.int64]:
        if not self._judged and len(free := self._free()):
            self._judge(free[np.unique(nearest(spread(self._first, self._seed), self._table.places(free)))])
            for _ in range(-(-self._near // _AT_ONCE)):
                self._climb()
        more = len(self._judged) < self._first + 2 * self._near and len(self._waiting(_NO_WORSE)) < n
        if more or not self._waiting():
            self._climb()
        waiting = self._waiting()[:n]
        if not waiting:
            return self._drawn(n)
        return self.space.encode([self._judged[key][1].design for key in waiting])

    def _climb(self) -> None:
        """Judge a few designs around the best so far, some close and some far, after which another may be the best."""
        free = self._free()
        if not len(free):
            return
        best = min(self._judged.values(), key=lambda one: one[0])[1].design
        at = self._table.places(self.space.encode([best]))
        points = np.clip(at + self._rng.normal(size=(_AT_ONCE, DIMENSIONS)) * _REACH[:, None], 0.0, 1.0)
        self._judge(free[np.unique(nearest(points, self._table.places(free)))])

    def _free(self) -> NDArray[np.int64]:
        """Return the designs within the bounds that nobody judged or asked for, shape [n, parameters]."""
        codes = self._table.codes
        known = np.array([key in self._judged for key in keys(codes)], dtype=bool)
        return np.asarray(codes[self._unmet(codes) & ~known])

    def _waiting(self, worse: float = np.inf) -> list[bytes]:
        """Return the keys of designs that were not asked for and are at most so much worse than the best, best first.

        Designs that cannot run by the closed form are none of them.
        """
        values = {key: value for key, (value, _) in self._judged.items() if np.isfinite(value)}
        least = min(values.values(), default=0.0)
        most = least + worse * abs(least) if np.isfinite(worse) else np.inf
        able = [key for key, value in values.items() if value <= most and key not in self._met]
        return sorted(able, key=lambda key: values[key])

    def _judge(self, codes: NDArray[np.int64]) -> None:
        (workload,) = self.problem.workloads
        found = self._source.networks(
            self.space.designs(codes), workload, self.problem.metric, searched=self._searched, seed=self._seed
        )
        values = self.problem.values(Outcomes.of_each(found)).tolist()
        for key, value, one in zip(keys(codes), values, found, strict=True):
            mappings = {run.layer.name: run.mapping for run in one.layers}
            self._judged[key] = value, Candidate(one.design, mappings if one.feasible else None)

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn nothing."""

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing."""

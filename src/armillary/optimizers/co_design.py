"""What the optimizers share that search hardware and mappings together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armillary.optimizers.coded import CodedOptimizer
from armillary.problems.outcomes import Outcomes
from armillary.types import Candidate, MappingSearch

_REMEMBERED = 8
Mapped = tuple[float, Mapping[str, str]]
"""The value of a design that was told, and its mappings by layer name."""


class CoDesign(CodedOptimizer):
    """An optimizer whose candidates name the search that finds their mappings, and where that begins.

    It begins with the mappings of the best designs that the optimizer was told: so what an evaluation answers depends
    on its candidate alone, and a search that resumes from its log goes on as if it had never stopped.

    Attributes:
        mapper: the search, by the name under which it is registered.
    """

    mapper: str
    _best: tuple[Mapped, ...] = ()

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates to evaluate, each with the search that finds its mappings."""
        search = MappingSearch(self.mapper, starts_of(self._best))
        return [Candidate(design, search=search) for design in self.space.designs(self.ask_codes(n))]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates; the mappings of the best are remembered."""
        values = self.problem.values(outcomes)
        told = [
            (float(value), {run.layer.name: run.mapping for run in runs})
            for value, runs in zip(values, outcomes.layers, strict=False)
            if runs
        ]
        self._best = best_of([*self._best, *told])
        super().tell(candidates, outcomes)


def best_of(mapped: Sequence[Mapped]) -> tuple[Mapped, ...]:
    """Return the best designs, best first: those whose mappings are worth beginning with."""
    return tuple(sorted(mapped, key=lambda one: one[0])[:_REMEMBERED])


def starts_of(best: Sequence[Mapped]) -> dict[str, tuple[str, ...]]:
    """Return the mappings of designs by layer name, each once, those of the first design first."""
    names = dict.fromkeys(name for _, mappings in best for name in mappings)
    return {name: tuple(dict.fromkeys(m[name] for _, m in best if m.get(name))) for name in names}

"""What Polaris knows of a layer's mappings before it simulates them: Starlight, as it learns run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Space
from armillary.surrogates.layers import Prior
from armillary.surrogates.layers.dataset import LayerDataset
from armillary.surrogates.starlight.residual import LEAST_ROWS
from armillary.surrogates.starlight.surrogate import Starlight
from armillary.types import ArmillaryError, Design, LayerRun, MappedLayer
from armillary.workloads.layer import Layer

Values = NDArray[np.float64]
WEIGHTS: Mapping[str, tuple[int, int]] = {
    "edp_pj_cycles": (1, 1), "delay_cycles": (1, 0), "runtime_s": (1, 0), "energy_pj": (0, 1),
}  # fmt: skip
"""The powers of delay and energy in each objective that mappings can be chosen by."""


class LayerSource(Protocol):
    """Mappings of layers, and what is known of them before they run."""

    def mappings(
        self, design: Design, layer: Layer, *, drawn: int, kept: int, seed: int, searched: int = 0
    ) -> list[str]:
        """Return different mappings as text: of so many that are drawn, the best so many by a cheap model.

        Before them comes the best of a search that evaluates so many, if any.

        Where as many are kept as are drawn, nothing is known of their order.
        """
        ...

    def prior(self, mapped: Sequence[MappedLayer]) -> Prior:
        """Return what the analytical evaluator says of mapped layers."""
        ...


@dataclass(frozen=True)
class Choices:
    """Mappings of one layer on one design, and what is known of them; there may be none."""

    mapped: tuple[MappedLayer, ...]
    prior: Prior | None

    def __len__(self) -> int:
        return len(self.mapped)


NONE = Choices((), None)


@dataclass(frozen=True)
class Expected:
    """What is expected of mappings; arrays of shape [mappings].

    Attributes:
        delay: in cycles.
        spread: by how much its logarithm may be off.
        energy: in pJ; certain, as a simulation does not tell it.
    """

    delay: Values
    spread: Values
    energy: Values


class LayerModel:
    """Starlight, fitted to the runs that it was told.

    Before there are enough of them the prior stands alone, and is taken for certain.

    Args:
        space: of the designs.
        source: of what is known before a run.
        seed: of the surrogate and of what is random.
        transfer: whether the analytical evaluator's word is the prior. If not, the mean of the delays that were told
            is, and no metric of that evaluator is seen; before there are enough runs everything is random.
    """

    def __init__(self, space: Space, source: LayerSource, *, seed: int, transfer: bool) -> None:
        self._space, self._source, self._seed, self.transfer = space, source, seed, transfer
        self._runs: list[LayerRun] = []
        self._prior: Prior | None = None
        self._model: Starlight | None = None
        self._rng = np.random.default_rng([seed, 1])

    @property
    def informed(self) -> bool:
        """Whether anything is known."""
        return self.transfer or self._model is not None

    def choices(
        self, design: Design, layers: Sequence[Layer], *, drawn: int, kept: int, searched: int = 0
    ) -> list[Choices]:
        """Return mappings of each layer that can run by the prior; see `LayerSource`.

        Without transfer they are any of the sample, and there is no search.
        """
        drawn, searched = (drawn, searched) if self.transfer else (kept, 0)
        each = [
            self._source.mappings(design, layer, drawn=drawn, kept=kept, seed=self._seed, searched=searched)
            for layer in layers
        ]
        if not all(each):
            return [NONE] * len(layers)
        mapped = [MappedLayer(design, layer, text) for layer, texts in zip(layers, each, strict=True) for text in texts]
        prior, ends = self._source.prior(mapped), np.cumsum([len(texts) for texts in each])
        found = []
        for numbers in np.split(np.arange(len(mapped)), ends[:-1]):
            able = numbers[prior.feasible[numbers]]
            found.append(Choices(tuple(mapped[number] for number in able.tolist()), prior.select(able)))
        return found

    def tell(self, runs: Sequence[LayerRun]) -> None:
        """Take runs of mapped layers; a model that is fitted learns them at once, else it is fitted once it can be."""
        settled = [run for run in runs if run.mapping and (run.failure is None or run.failure.kind == "infeasible")]
        if not settled:
            return
        said = self._source.prior([MappedLayer(run.design, run.layer, run.mapping) for run in settled])
        self._runs += settled
        self._prior = said if self._prior is None else Prior.joined([self._prior, said])
        if self._model is None:
            self.refit()
        else:
            self._model.update(LayerDataset.of_runs(self._space, self._runs), self._seen(self._prior))

    def refit(self) -> None:
        """Fit the model to all runs, if there are enough, of more than one layer or design."""
        if self._prior is None:
            return
        rows, prior = LayerDataset.of_runs(self._space, self._runs), self._seen(self._prior)
        both = rows.feasible & self._prior.feasible
        groups = {*rows.layer[both].tolist()}, {*rows.hardware[both].tolist()}
        if both.sum() >= LEAST_ROWS and max(map(len, groups)) > 1:
            self._model = Starlight(self._space, seed=self._seed).fit(rows, prior)

    def expected(self, choices: Choices, level: float) -> Expected:
        """Return what is expected of mappings, the delay within the spread with a chance of `level`."""
        assert choices.prior is not None, "there are no choices"
        energy, sure = choices.prior.metrics["energy_pj"], np.zeros(len(choices))
        if self._model is not None:
            return Expected(*self._model.expected(choices.mapped, self._seen(choices.prior), level), energy)
        if self.transfer:
            return Expected(choices.prior.metrics["delay_cycles"], sure, energy)
        return Expected(self._rng.random(len(choices)), sure, np.ones(len(choices)))

    def _seen(self, prior: Prior) -> Prior:
        """Return the prior as the model sees it; without transfer, the same delay everywhere."""
        if self.transfer:
            return prior
        told = [run.metrics["delay_cycles"] for run in self._runs if run.failure is None]
        same = np.full(len(prior.feasible), np.exp(np.mean(np.log(told))))
        return Prior({"delay_cycles": same}, prior.feasible, prior.source)


def weights_of(metric: str) -> tuple[int, int]:
    """Return the powers of delay and energy in an objective.

    Raises:
        ArmillaryError: if mappings cannot be chosen by it.
    """
    if metric not in WEIGHTS:
        raise ArmillaryError(
            f"objective {metric!r} is not allowed; Polaris chooses mappings by one of {list(WEIGHTS)}: give --minimize"
        )
    return WEIGHTS[metric]

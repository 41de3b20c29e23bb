"""Surrogates of layers: models fitted to a log's layer runs that predict mapped layers, each on a design of its own.

A kind stands in the registry, or in the entry-point group `armillary.layer_surrogates`. What a cheaper evaluator says
of a mapped layer is at hand when a model is fitted and when it predicts, as `Prior`; a model itself evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from armillary.registry import Registry
from armillary.types import ArmillaryError, MappedLayer, Value

if TYPE_CHECKING:
    from armillary.spaces.space import Space
    from armillary.surrogates.layers.dataset import LayerDataset

DEFAULT = "starlight"
INTERVAL = 0.9
"""How likely the truth is to lie within an interval."""

REGISTRY = Registry(
    kind="surrogate of layers",
    group="armillary.layer_surrogates",
    members={
        "calibrated": "armillary.surrogates.layers.calibrated:KIND",
        "starlight": "armillary.surrogates.starlight.surrogate:KIND",
        "starlight-paper": "armillary.surrogates.starlight.paper:KIND",
    },
)


@dataclass(frozen=True)
class Prior:
    """What an evaluator that is cheap says of mapped layers; arrays of shape [rows].

    Attributes:
        metrics: all that it tells, `delay_cycles` and `energy_pj` among them; NaN where it says that a layer cannot
            run.
        feasible: whether it says that the layer can run.
        source: which evaluator, its version and its options.
    """

    metrics: Mapping[str, NDArray[np.float64]]
    feasible: NDArray[np.bool_]
    source: str

    def select(self, rows: NDArray[Any]) -> Prior:
        """Return chosen rows (boolean mask or indices), in that order."""
        return Prior({name: column[rows] for name, column in self.metrics.items()}, self.feasible[rows], self.source)

    @staticmethod
    def joined(parts: Sequence[Prior]) -> Prior:
        """Return the rows of all parts, at least one, of the same source; what a part does not tell becomes NaN."""
        names = dict.fromkeys(name for part in parts for name in part.metrics)
        metrics = {
            name: np.concatenate([part.metrics.get(name, np.full(len(part.feasible), np.nan)) for part in parts])
            for name in names
        }
        return Prior(metrics, np.concatenate([part.feasible for part in parts]), parts[0].source)


@dataclass(frozen=True)
class LayerPrediction:
    """What a surrogate expects of mapped layers; arrays of shape [rows], in the unit of the metric.

    Attributes:
        mean: what is expected, if the layer can run; NaN where the model has nothing to go by.
        low: end of the interval that holds the truth with a chance of `INTERVAL`.
        high: its other end.
        p_feasible: the chance that the design runs the layer under the mapping.
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_feasible: NDArray[np.float64]


@runtime_checkable
class PredictsLayers(Protocol):
    """The capability of a fitted model to predict mapped layers."""

    @property
    def metric(self) -> str:
        """What it predicts."""
        ...

    @property
    def prior_source(self) -> str:
        """The `source` of the prior that it was fitted with; it predicts with no other."""
        ...

    def predict_layers(self, mapped: Sequence[MappedLayer], prior: Prior) -> LayerPrediction:
        """Predict mapped layers.

        Args:
            mapped: each on a design of its own.
            prior: what the evaluator whose word was at hand in the training says of them.
        """
        ...


class LayerSurrogate(PredictsLayers, Protocol):
    """A model of layers that can be fitted and kept in a file."""

    def fit(self, rows: LayerDataset, prior: Prior) -> LayerSurrogate:
        """Learn from layer runs; return itself.

        Raises:
            ArmillaryError: if they cannot be learned from.
        """
        ...

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        ...

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file, see `model_file.save`; its kind is the name in the registry."""
        ...


@runtime_checkable
class LearnsBeforehand(Protocol):
    """The capability of a surrogate of layers to learn many rows of the analytical evaluator before it is fitted.

    It cannot be fitted without.
    """

    @property
    def samples(self) -> int:
        """How many rows it wants."""
        ...

    @property
    def analytical_options(self) -> Mapping[str, Value]:
        """Options of the evaluator whose rows it wants."""
        ...

    def learn_beforehand(self, rows: LayerDataset, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Learn layer runs of the analytical evaluator.

        Args:
            rows: of it; how many is up to the caller.
            on_progress: called with steps done and in total.

        Raises:
            ArmillaryError: if they cannot be learned from.
        """
        ...


@dataclass(frozen=True)
class LayerSurrogateKind:
    """A surrogate of layers as it is registered.

    Attributes:
        make: of `space`, `metric` and `seed`.
        read: the fitted model of a file, of its path and `space`.
    """

    make: Callable[..., LayerSurrogate]
    read: Callable[..., LayerSurrogate]


def names() -> list[str]:
    """Return the names of all surrogates of layers, sorted; loads none of them."""
    return REGISTRY.names()


def kind_of(name: str) -> LayerSurrogateKind:
    """Return how a surrogate of layers is registered.

    Raises:
        ArmillaryError: if there is none of that name, or it cannot be loaded.
    """
    kind: LayerSurrogateKind = REGISTRY.load(name, LayerSurrogateKind)
    return kind


def read(path: str | Path, space: Space) -> LayerSurrogate:
    """Return the fitted model of layers of a file.

    Raises:
        ArmillaryError: if the file is missing, no model of layers, of another space or version, or
            damaged.
    """
    from armillary.surrogates import model_file

    kind: Any = model_file.read(Path(path), space)[0]["kind"]
    if kind not in names():
        raise ArmillaryError(f"{path}: holds a model of kind {kind!r}, which predicts no layers; those are {names()}")
    with model_file.reading(Path(path)):
        return kind_of(kind).read(path, space=space)

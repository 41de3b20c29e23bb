"""Surrogates: models fitted to a log that predict one metric; one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

from armillary.hardware.rtl import is_written
from armillary.problems.problem import Problem
from armillary.registry import Registry
from armillary.types import ArmillaryError, Prediction, Surrogate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from armillary.spaces.space import Space
    from armillary.surrogates.kind import SurrogateKind
    from armillary.surrogates.selection import Selection
    from armillary.workloads.context import Context

DEFAULT = "hurdle"
DEFAULT_WITHOUT_KNOWLEDGE = "auto"
"""Of users' own problems, of which nobody here knows anything beforehand."""

REGISTRY = Registry(
    kind="surrogate",
    group="armillary.surrogates",
    members={
        "auto": "armillary.surrogates.auto.surrogate:KIND",
        "coms": "armillary.surrogates.coms:KIND",
        "deep-ensemble": "armillary.surrogates.deep_ensemble:KIND",
        "hurdle": "armillary.surrogates.hurdle:KIND",
        "ppa": "armillary.surrogates.ppa.surrogate:KIND",
        "ppa-gcn": "armillary.surrogates.ppa.graph_surrogate:KIND",
        "ppa-rtl": "armillary.surrogates.ppa.rtl_surrogate:KIND",
        "ppa-transfer": "armillary.surrogates.ppa.transfer_surrogate:KIND",
        "prime": "armillary.surrogates.prime.surrogate:KIND",
        "prime-without-infeasible": "armillary.surrogates.prime.surrogate:WITHOUT_INFEASIBLE",
        "prime-without-opt": "armillary.surrogates.prime.surrogate:WITHOUT_OPT",
        "ram-listnet": "armillary.surrogates.deep_ensemble:RANKING",
        "tri-mentoring": "armillary.surrogates.tri_mentoring:KIND",
        "standard": "armillary.surrogates.prime.surrogate:STANDARD",
    },
)


def default_of_layouts(space: Space) -> str:
    """Return which surrogate learns of layouts where none is named: `ppa-rtl`, or `ppa` of designs without RTL."""
    return "ppa-rtl" if is_written(space.name) else "ppa"


def names() -> list[str]:
    """Return the names of all surrogates, sorted; loads none of them."""
    return REGISTRY.names()


def kind_of(name: str) -> SurrogateKind:
    """Return how a surrogate is registered.

    Raises:
        ArmillaryError: if there is no surrogate of that name, or it cannot be loaded.
    """
    from armillary.surrogates.kind import SurrogateKind

    kind: SurrogateKind = REGISTRY.load(name, SurrogateKind)
    return kind


def load(name: str) -> Callable[..., Any]:
    """Return what makes a surrogate: called with `space`, `seed` and the surrogate's own options.

    Raises:
        ArmillaryError: if there is no surrogate of that name.
    """
    return kind_of(name).make


def savable() -> list[str]:
    """Return the names of the surrogates that have a model file; loads all that can be loaded."""
    return [name for name in names() if _has_file(name)]


def _has_file(name: str) -> bool:
    try:
        return kind_of(name).read is not None
    except ArmillaryError:  # it cannot be offered
        return False


class Savable(Surrogate, Protocol):
    """A surrogate that can be kept in a file; `read` brings it back."""

    space: Space

    @property
    def problem(self) -> Problem:
        """What was learned."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of a context that it was fitted with."""
        ...

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on, else None."""
        ...

    def below_the_log(self, metric: str, at_most: float) -> str | None:
        """Return a warning if an upper bound on a metric lies below every design learned from, else None."""
        ...

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        ...

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        ...


@runtime_checkable
class TellsReliability(Protocol):
    """The capability of a fitted surrogate to tell how good its probability of feasibility is."""

    @property
    def brier(self) -> float:
        """Mean squared error of the probability on rows that were not trained on."""
        ...

    @property
    def reliability(self) -> tuple[tuple[float, float, int], ...]:
        """Per bin of predicted probability: its mean, the share that is feasible, and the rows."""
        ...


@runtime_checkable
class GatesProposals(Protocol):
    """The capability of a fitted surrogate whose calibrated chance to be feasible decides what is proposed."""

    @property
    def least_chance(self) -> float:
        """The chance from which on a design is proposed for its value."""
        ...


@runtime_checkable
class PredictsHopefully(Protocol):
    """The capability of a fitted surrogate to predict without the failures that a log may have for want of the best.

    Among the designs that it expects to be better than all that worked, a log has only failures. They may tell that
    what is better fails, or only that the log lacks what is better and works. The hopeful prediction leans towards what
    the other rows tell of what is feasible.
    """

    @property
    def least_hope(self) -> float:
        """The hopeful prediction's chance from which on a design is proposed for that prediction's value."""
        ...

    def hopeful(self, designs: NDArray[np.int64], context: Context) -> Prediction:
        """Return the hopeful prediction of designs given as value indices, shape [designs, parameters]."""
        ...


@runtime_checkable
class HoldsOpinions(Protocol):
    """The capability of a surrogate of several members to tell what each ranks designs by."""

    def opinions(self, designs: NDArray[np.int64], context: Context) -> NDArray[np.float64]:
        """Return values like the `mean` of a prediction, shape [members, designs]."""
        ...


@runtime_checkable
class TellsRemarks(Protocol):
    """The capability of a fitted surrogate to tell a person in words what it learned and how."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence each."""
        ...


@runtime_checkable
class SelectsAmongTrials(Protocol):
    """The capability of a fitted surrogate to tell what was trained and compared before it was chosen."""

    @property
    def selection(self) -> Selection:
        """What was compared, and what was chosen."""
        ...


def read(path: str | Path, space: Space, *, device: str = "cpu") -> Savable:
    """Return the fitted surrogate of a model file.

    Args:
        path: of the file.
        space: that the model must be of.
        device: where the networks predict: `cpu`, or `cuda` for a GPU.

    Raises:
        ArmillaryError: if the file is missing, no model of ours, or of another space or version.
    """
    from armillary.surrogates import model_file

    content = model_file.read(Path(path), space)[0]
    kind = content["kind"]
    registered = kind_of(kind) if kind in names() else None
    if registered is None or registered.read is None:
        raise ArmillaryError(f"{path}: holds a model of kind {kind!r}, which this installation cannot read")
    return _tried(registered, content, path, space, device)


def read_as(kind: SurrogateKind, path: str | Path, space: Space, *, device: str = "cpu") -> Savable:
    """Return the fitted surrogate of a model file of a kind that has such, once it has predicted a design.

    Raises:
        ArmillaryError: if the file is missing, no model of ours, of another kind, space or version, or damaged.
    """
    from armillary.surrogates import model_file

    return _tried(kind, model_file.read(Path(path), space)[0], path, space, device)


def _tried(kind: SurrogateKind, content: Mapping[str, Any], path: str | Path, space: Space, device: str) -> Savable:
    from armillary.surrogates import model_file

    assert kind.read is not None, "the kind has no model file"
    with model_file.reading(Path(path)):
        fitted: Savable = kind.read(path, space=space, device=device)
        _try(fitted, content)
    return fitted


def _try(fitted: Savable, content: Mapping[str, Any]) -> None:
    """Ask of a model what others will ask: wrong types in its file are then found here.

    Raises:
        Exception: whatever breaks.
    """
    import numpy as np

    from armillary.workloads.context import with_numbers

    known = [[float(value) for value in row] for row in content.get("contexts", ())]
    names = fitted.feature_names  # none of a model that tells workloads by name, whatever numbers its file has
    numbers = dict.fromkeys(names, 1.0) | (dict(zip(names, known[0], strict=True)) if known and names else {})
    context = with_numbers(numbers, content["workloads"][0] if content.get("workloads") else "")
    prediction = fitted.predict(np.zeros((1, len(fitted.space.parameters)), dtype=np.int64), context)
    for column in (prediction.mean, prediction.std, prediction.p_feasible):
        if column.shape != (1,) or column.dtype.kind != "f":
            raise TypeError("its prediction is no number")
    fitted.unlike(context)
    for bound in fitted.problem.bounds:
        fitted.below_the_log(bound.metric, 1.0)
    for name, value in fitted.facts().items():
        if not isinstance(name, str) or not isinstance(value, int | float):
            raise TypeError(f"{name!r} is no number")

"""Surrogates: models fitted to a log that predict one metric; one file each."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

from armillary.registry import Registry
from armillary.types import ArmillaryError, Objective, Surrogate

if TYPE_CHECKING:
    from armillary.spaces.space import Space
    from armillary.workloads.context import Context

DEFAULT = "hurdle"

REGISTRY = Registry(
    kind="surrogate",
    group="armillary.surrogates",
    members={
        "coms": "armillary.surrogates.coms:Coms",
        "deep-ensemble": "armillary.surrogates.deep_ensemble:DeepEnsemble",
        "hurdle": "armillary.surrogates.hurdle:Hurdle",
        "prime": "armillary.surrogates.prime.surrogate:Prime",
        "prime-without-infeasible": "armillary.surrogates.prime.surrogate:without_infeasible",
        "prime-without-opt": "armillary.surrogates.prime.surrogate:without_opt",
        "ram-listnet": "armillary.surrogates.deep_ensemble:ranking",
        "tri-mentoring": "armillary.surrogates.tri_mentoring:TriMentoring",
        "standard": "armillary.surrogates.prime.surrogate:standard",
    },
)


def names() -> list[str]:
    """Return the names of all surrogates, sorted; loads none of them."""
    return REGISTRY.names()


def load(name: str) -> Any:
    """Return what makes a surrogate: called with `space`, `seed` and the surrogate's own options.

    Raises:
        ArmillaryError: if there is no surrogate of that name.
    """
    return REGISTRY.load(name)


class Savable(Surrogate, Protocol):
    """A surrogate that can be kept in a file; `read` brings it back."""

    space: Space

    @property
    def objective(self) -> Objective:
        """What was learned."""
        ...

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on, else None."""
        ...

    def below_the_log(self, area_mm2: float) -> str | None:
        """Return a warning if an area lies below that of every design learned from, else None."""
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


SAVABLE = (
    "deep-ensemble",
    "hurdle",
    "prime",
    "prime-without-infeasible",
    "prime-without-opt",
    "ram-listnet",
    "standard",
)
"""The surrogates that are `Savable`."""


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
    from armillary.surrogates.deep_ensemble import DeepEnsemble
    from armillary.surrogates.hurdle import Hurdle
    from armillary.surrogates.prime import fitted as prime_fitted
    from armillary.surrogates.prime.surrogate import Prime

    kind = model_file.read(Path(path), space)[0]["kind"]
    if kind == prime_fitted.KIND:
        return Prime.load(path, space=space, device=device)
    for ensemble in (DeepEnsemble, Hurdle):
        if kind == ensemble.kind:
            return ensemble.load(path, space=space, device=device)
    raise ArmillaryError(f"{path}: holds a model of kind {kind!r}, which this version cannot read")

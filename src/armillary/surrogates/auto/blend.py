"""How much each member of the surrogate `auto` counts: by how well it expects designs better than all it has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Member, Opinion, Parts
from armillary.surrogates.auto.network import Ensemble
from armillary.surrogates.auto.process import Process, WholeProcess
from armillary.surrogates.auto.trees import Trees, TrendAndTrees

KINDS: tuple[type[Member], ...] = (Ensemble, Process, WholeProcess, TrendAndTrees, Trees)
_HELD_SHARE = 0.2
_LEAST_ERROR = 0.01  # in standard units: no member is trusted without end
_LEAST_WEIGHT = 0.1


@dataclass(frozen=True)
class Trial:
    """A member in the validation.

    Attributes:
        name: its kind.
        error: root mean square error of designs better than all that it had seen, in standard units.
        order: their rank correlation with what it expected of them; NaN if it expected the same of all.
        weight: its share in what the blend says; 0 if it was left out.
    """

    name: str
    error: float
    order: float
    weight: float


class Blend:
    """The members that were chosen, each with its weight.

    Args:
        members: fitted.
        trials: of all kinds, the chosen ones among them.
    """

    def __init__(self, members: Sequence[Member], trials: Sequence[Trial]) -> None:
        self.members, self.trials = tuple(members), tuple(trials)
        weight = {trial.name: trial.weight for trial in trials}
        self._weights = np.array([weight[member.name] for member in members])

    @staticmethod
    def learned(
        encoding: Encoding, lesson: Lesson, workload: NDArray[np.int64], seed: int, on_step: Callable[[int, int], None]
    ) -> Blend:
        """Return the members that count after a validation, trained on the whole lesson.

        The best fifth of each workload's designs is kept from the members that are compared. A member's weight goes
        with the reciprocal of its error there; one of less than a tenth is left out.
        """
        held = best_fifth(lesson.targets, workload)
        tried: list[Member] = []
        for kind in KINDS:
            on_step(len(tried), 2 * len(KINDS))
            tried.append(kind.learned(encoding, lesson.part(~held), seed))
        scored = [_scored(lesson.targets[held], member.predict(lesson.points[held])[0]) for member in tried]
        weights = _weights([error for error, _ in scored])
        trials = [Trial(k.name, *score, float(w)) for k, score, w in zip(KINDS, scored, weights, strict=True)]
        members = []
        for k, member in enumerate(tried):
            on_step(len(KINDS) + k, 2 * len(KINDS))
            if weights[k] > 0:
                members.append(member.again(lesson, seed))
        on_step(2 * len(KINDS), 2 * len(KINDS))
        return Blend(members, trials)

    def opinions(self, points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what each member expects of points and how unsure it is, both of shape [members, points]."""
        every = [member.predict(points) for member in self.members]
        return np.stack([value for value, _ in every]), np.stack([spread for _, spread in every])

    def of(self, values: NDArray[np.float64], spreads: NDArray[np.float64]) -> Opinion:
        """Return the weighted mean of opinions, and how unsure all are: each of itself, and all of one another."""
        mean = np.average(values, axis=0, weights=self._weights)
        variance = np.average(spreads**2 + (values - mean) ** 2, axis=0, weights=self._weights)
        return mean, np.sqrt(variance)

    def parts(self) -> Parts:
        """Return what `read` makes the blend of again."""
        content: dict[str, Any] = {"trials": [vars(trial) for trial in self.trials], "members": {}}
        tensors: dict[str, Tensor] = {}
        for member in self.members:
            content["members"][member.name], own = member.parts()
            tensors.update({f"{member.name}/{name}": tensor for name, tensor in own.items()})
        return content, tensors

    @staticmethod
    def read(encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Blend:
        """Return the blend that `parts` described."""
        members = []
        for kind in KINDS:
            if kind.name in content["members"]:
                own = {name.split("/", 1)[1]: t for name, t in tensors.items() if name.startswith(f"{kind.name}/")}
                members.append(kind.of(encoding, content["members"][kind.name], own))
        return Blend(members, [Trial(**trial) for trial in content["trials"]])


def best_fifth(targets: NDArray[np.float64], workload: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which designs are the best fifth of their workload's, two at least, shape [points]."""
    held = np.zeros(len(targets), dtype=bool)
    for number in np.unique(workload):
        own = np.flatnonzero(workload == number)
        held[own[np.argsort(targets[own], kind="stable")[: max(2, round(_HELD_SHARE * len(own)))]]] = True
    return held


def _scored(truth: NDArray[np.float64], expected: NDArray[np.float64]) -> tuple[float, float]:
    """Return root mean square error and rank correlation."""
    error = float(np.sqrt(np.mean((truth - expected) ** 2)))
    flat = np.ptp(truth) == 0 or np.ptp(expected) == 0
    return error, float("nan") if flat else float(spearmanr(truth, expected).statistic)


def _weights(errors: Sequence[float]) -> NDArray[np.float64]:
    weights = 1 / np.maximum(errors, _LEAST_ERROR)
    weights /= weights.sum()
    weights[weights < _LEAST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())

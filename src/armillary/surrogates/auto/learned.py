"""What surrogates share that learn the examples of a log: what they know besides their regression, and tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.problems.problem import Problem
from armillary.surrogates.auto.encoding import Encoding
from armillary.surrogates.auto.feasibility import Feasibility
from armillary.surrogates.rows import Scale, below_the_log, scale_of, unlike
from armillary.types import ArmillaryError
from armillary.workloads.context import Context


@dataclass(frozen=True)
class Learned:
    """What a fitted model knows besides its regression.

    Attributes:
        problem: what was learned.
        workloads: names, in the order of the contexts.
        contexts: features per workload, shape [workloads, features].
        scales: of the objective, per workload.
        encoding: of points.
        feasibility: the chance to be feasible.
        least: of each metric the least of the feasible rows.
        rows: points that were learned from.
    """

    problem: Problem
    workloads: tuple[str, ...]
    contexts: NDArray[np.float64]
    scales: tuple[Scale, ...]
    encoding: Encoding
    feasibility: Feasibility
    least: Mapping[str, float]
    rows: int


L = TypeVar("L", bound=Learned)


class OfExamples(Generic[L]):
    """A surrogate that keeps what it learned of examples."""

    _state: L | None = None

    @property
    def _fitted(self) -> L:
        if self._state is None:
            raise ArmillaryError("this surrogate has not been fitted; call fit(log, problem) first")
        return self._state

    @property
    def problem(self) -> Problem:
        """What was learned."""
        return self._fitted.problem

    @property
    def brier(self) -> float:
        """Mean squared error of the probability of feasibility on rows that were not trained on."""
        return self._fitted.feasibility.brier

    def judged(self) -> dict[str, float]:
        """Return `brier` by name; nothing where too few rows are infeasible to measure it."""
        return {"brier": self.brier} if np.isfinite(self.brier) else {}

    @property
    def reliability(self) -> tuple[tuple[float, float, int], ...]:
        """Per bin of predicted probability: its mean, the share that is feasible, and the rows."""
        return self._fitted.feasibility.reliability

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the numbers of a context that it was fitted with; none where it tells workloads by their names."""
        encoding = self._fitted.encoding
        return () if encoding.named else encoding.feature_names

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on; see `rows.unlike`."""
        fitted = self._fitted
        return unlike(context.as_dict(), self.feature_names, fitted.contexts, fitted.workloads)

    def below_the_log(self, metric: str, at_most: float) -> str | None:
        """Return a warning if a bound lies below every design learned from; see `rows.below_the_log`."""
        return below_the_log(metric, at_most, self._fitted.least)

    def _scale(self, features: NDArray[np.float64], scales: Sequence[Scale]) -> Scale:
        """Return the scale of a workload with these features, of those of each workload learned from."""
        fitted = self._fitted
        if len(fitted.workloads) == 1:
            return scales[0]
        return scale_of(features, fitted.encoding.feature_names, fitted.contexts, scales)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}

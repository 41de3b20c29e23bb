"""A surrogate: ridge regressions of the logarithm on one-hot columns, and a logistic one of feasibility."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import below_the_log, least_of
from armillary.surrogates.several import evaluators_of
from armillary.types import ArmillaryError, Log, Prediction
from armillary.workloads.context import Context

NAME = "one-hot-ridge"
_MEMBERS, _FEWEST, _SURE = 16, 20, 6.0


class OneHotRidge:
    """Ridge regressions on bootstrapped rows.

    Args:
        space: of the designs.
        seed: same seed and log, same model.
        on_progress: called with the regressions done and in total.
    """

    def __init__(
        self, *, space: Space, seed: int = 0, on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        self.space, self._seed, self._on_progress = space, seed, on_progress

    def fit(self, log: Log, problem: Problem) -> "OneHotRidge":
        """Learn the problem's metric, and what is feasible and within the bounds that no law tells.

        Raises:
            ArmillaryError: if too few rows are.
        """
        rows = log.evaluations(self.space.name)
        rows = rows.select(rows.settled())  # where the evaluation broke, rows tell nothing of their designs
        values = problem.with_bounds(lambda metric: metric not in problem.laws).values(rows)
        good = np.isfinite(values)
        if good.sum() < _FEWEST:
            raise ArmillaryError(f"{good.sum()} of {len(rows)} rows are feasible and within the bounds, not {_FEWEST}")
        evaluators = evaluators_of(rows)
        if len(evaluators) > 1:
            raise ArmillaryError(f"the log mixes results of {', '.join(evaluators)}; fit the rows of one of them")
        self._features = {name: np.unique(column).tolist() for name, column in rows.context.items()}
        inputs = self._inputs(self.space.encode_columns(rows.design), rows.context)
        rng, members = np.random.default_rng(self._seed), []
        for member in range(_MEMBERS):
            drawn = rng.choice(np.flatnonzero(good), int(good.sum()))
            ridge = Ridge(alpha=1.0, fit_intercept=False).fit(inputs[drawn], np.log(values[drawn]))
            members.append(ridge.coef_)
            self._on_progress(member + 1, _MEMBERS)
        self._problem, self._members = problem, np.array(members)
        self._odds = np.append(np.zeros(inputs.shape[1] - 1), _SURE)
        if not good.all():
            self._odds = LogisticRegression(fit_intercept=False, max_iter=2000).fit(inputs, good).coef_[0]
        self._rows, self._least = len(rows), least_of(rows)
        return self

    def predict(self, designs: NDArray[np.int64], context: Context) -> Prediction:
        """Predict designs given as value indices; the mean is higher where a design may be infeasible."""
        inputs = self._inputs(designs, context.as_dict())
        each = inputs @ self._members.T
        likely = np.clip(expit(inputs @ self._odds), 1e-3, 1 - 1e-3)
        mean = np.exp(each.mean(axis=1))
        return Prediction(mean=mean / likely, std=mean * each.std(axis=1), p_feasible=likely)

    @property
    def problem(self) -> Problem:
        """What was learned."""
        return self._problem

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of a context that it was fitted with."""
        return tuple(self._features)

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is of another size than those that were learned from."""
        learned = self._features["compute_ops"]
        low, high = min(learned) / 2, max(learned) * 2
        if low <= context.compute_ops <= high:
            return None
        return f"the workload has {context.compute_ops:.3g} operations; learned were {low:.3g} to {high:.3g}"

    def below_the_log(self, metric: str, at_most: float) -> str | None:
        """Return a warning if a bound lies below every design that was learned from."""
        return below_the_log(metric, at_most, self._least)

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        return {"members": len(self._members), "settled_rows": self._rows}

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        content = {"features": self._features, "rows": self._rows, "least": self._least}
        weights = {"members": torch.from_numpy(self._members), "odds": torch.from_numpy(self._odds)}
        model_file.save(target, NAME, self.space, self._problem, content, weights)

    @staticmethod
    def read(path: str | Path, *, space: Space, device: str = "cpu") -> "OneHotRidge":  # noqa: ARG004
        """Return the fitted model of a file; it predicts on the CPU, whatever the device.

        Raises:
            ArmillaryError: if the file is missing, or holds another model.
        """
        content, weights = model_file.read(Path(path), space, NAME)
        model = OneHotRidge(space=space)
        model._problem, model._rows, model._least = content["problem"], content["rows"], content["least"]
        model._features = content["features"]
        model._members, model._odds = weights["members"].numpy(), weights["odds"].numpy()
        return model

    def _inputs(self, codes: NDArray[np.int64], context: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return columns of designs, shape [designs, one_hot_width + features + 1]: one hot, the workload, and 1."""
        workload = [np.log1p(np.broadcast_to(context[name], len(codes))) for name in self._features]
        return np.column_stack([self.space.one_hot(codes), *workload, np.ones(len(codes))])


KIND = SurrogateKind(OneHotRidge, read=OneHotRidge.read)

"""What PRIME learns from: the rows of a log, split and standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import METRICS, with_derived
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads.context import difference

Transform = Literal["log", "linear"]
TRANSFORMS: tuple[Transform, ...] = ("log", "linear")
Validation = Literal["best", "worst"]
VALIDATIONS: tuple[Validation, ...] = ("best", "worst")
OPS = "compute_ops"
NAMED = "workload is "
_PARAMETERS = "parameter_mb"
_ALIKE = 2.0
_NAMED_ROWS = 10
_FEWEST_VALIDATING = 10  # of one workload; Kendall's correlation of fewer is chance
_RIDGE = 1.0
_SAME = 1e-6


@dataclass(frozen=True)
class Scale:
    """How the metric of one workload is standardised: y' = (t(y) - location) / spread, t = log or identity."""

    transform: Transform
    location: float
    spread: float

    @staticmethod
    def of(values: NDArray[np.float64], transform: Transform) -> Scale:
        """Return the scale under which the values have mean 0 and variance 1 (constant values: spread 1)."""
        seen = np.log(values) if transform == "log" else values
        spread = float(seen.std())
        negligible = spread <= 1e-12 * max(1.0, abs(float(seen.mean())))
        return Scale(transform, float(seen.mean()), 1.0 if negligible else spread)

    def standardise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the metric in standard units, same shape."""
        seen = np.log(values) if self.transform == "log" else values
        return np.asarray((seen - self.location) / self.spread)

    def restore(self, standard: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standard values in the unit of the metric, same shape."""
        seen = self.location + self.spread * standard
        return np.exp(seen) if self.transform == "log" else seen

    def restore_spread(self, standard: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return deviations around restored means in the unit of the metric, to first order."""
        return standard * self.spread * (mean if self.transform == "log" else 1.0)


@dataclass(frozen=True)
class Rows:
    """Designs with the workload that each ran: codes [rows, parameters], workload number [rows].

    `targets` are standardised values, shape [rows]; empty for infeasible rows.
    """

    codes: NDArray[np.int64]
    workload: NDArray[np.int64]
    targets: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.codes)


def joined(a: Rows, b: Rows) -> Rows:
    """Return the rows of both."""
    return Rows(
        np.concatenate([a.codes, b.codes]),
        np.concatenate([a.workload, b.workload]),
        np.concatenate([a.targets, b.targets]),
    )


@dataclass(frozen=True)
class Dataset:
    """The split of Section 4: the worst feasible rows train, the best validate.

    Attributes:
        workloads: names, in the order of the workload numbers.
        contexts: raw features per workload, shape [workloads, features]; no feature where the log has none.
        feature_names: names of the features.
        scales: how each workload's metric is standardised.
        train: worst feasible rows within the bounds, and all that exceed an exact bound alone.
        valid: best feasible rows within the bounds.
        infeasible: infeasible rows, and feasible ones beyond a bound that is not exact, that train.
        infeasible_held: the same, kept out of training to calibrate the probability of feasibility.
        feasible_share: feasible rows within the bounds that are not exact, over all rows.
        least: of each metric that the log has, the least of the feasible rows, within the bounds or not.
    """

    workloads: tuple[str, ...]
    contexts: NDArray[np.float64]
    feature_names: tuple[str, ...]
    scales: tuple[Scale, ...]
    train: Rows
    valid: Rows
    infeasible: Rows
    infeasible_held: Rows
    feasible_share: float
    least: Mapping[str, float]


def prepare(
    space: Space,
    log: Evaluations,
    problem: Problem,
    *,
    transform: Transform,
    validation_share: float,
    minimum_rows: int,
    rng: np.random.Generator,
    validation: Validation = "best",
) -> Dataset:
    """Split and standardise a log.

    A bound is exact, known of every design by a law of the problem, or learned. A feasible row beyond a learned one
    joins the infeasible pool, as in PRIME's public release. One beyond an exact bound is a feasible row, as in PRIME
    Equation 1, where Area(x) <= alpha and Feasible(x) are apart; only it does not validate, unless fewer than ten
    rows of its workload would. A log need not have the metric of an exact bound.
    Where no feasible row is beyond an exact bound, as the evaluator refuses what is, infeasible rows beyond it are
    left out: they tell of the bound, not of Feasible(x), and would make what is close to the bound look infeasible.
    Rows whose evaluation broke (`error`, `timeout`) are left out.

    Raises:
        ArmillaryError: if the log has no or too few feasible rows within the learned bounds, lacks a needed
            metric, holds objective values that are not positive numbers, or mixes evaluators.
    """
    log = usable(log, problem)
    learned = problem.with_bounds(lambda name: name not in problem.laws)
    known = problem.with_bounds(lambda name: name in log.metrics)
    _check_metrics(log, learned)
    good, within = learned.satisfied(log), known.satisfied(log)
    _check_enough(log, good, learned, minimum_rows)
    workloads, number = np.unique(log.workload.astype(str), return_inverse=True)
    codes = space.encode_columns(log.design)
    values = log.metrics[problem.metric]
    masks = number == np.arange(len(workloads))[:, None]
    valid = [_held_out(good & own, within & own, values, validation_share, validation) for own in masks]
    train = [np.setdiff1d(np.flatnonzero(good & own), held) for own, held in zip(masks, valid, strict=True)]
    scales = [Scale.of(values[rows], transform) for rows in train]
    standard = np.full(len(log), np.nan)
    for scale, own in zip(scales, masks, strict=True):
        standard[good & own] = scale.standardise(values[good & own])
    held_bad, bad = np.split(rng.permutation(np.flatnonzero(~good)), [int((~good).sum()) // 5])

    def rows_of(index: NDArray[np.int64]) -> Rows:
        return Rows(codes[index], number[index].astype(np.int64), standard[index])

    names, contexts = _contexts(log, workloads.tolist())
    return Dataset(
        workloads=tuple(str(name) for name in workloads),
        contexts=contexts,
        feature_names=names,
        scales=tuple(scales),
        train=rows_of(np.concatenate(train)),
        valid=rows_of(np.concatenate(valid)),
        infeasible=rows_of(bad),
        infeasible_held=rows_of(held_bad),
        feasible_share=float(good.mean()),
        least=least_of(log),
    )


def usable(log: Evaluations, problem: Problem) -> Evaluations:
    """Return the rows that ended, without the infeasible ones beyond exact bounds that no feasible one exceeds.

    They have the metrics of the objective and of the bounds that follow from others.

    Raises:
        ArmillaryError: if the log mixes evaluators.
    """
    log = log.select(log.settled())
    log = with_derived(log, (problem.metric, *(bound.metric for bound in problem.bounds)), problem.metrics)
    refused = np.zeros(len(log), dtype=bool)
    for bound in problem.bounds:
        if bound.metric in problem.laws and bound.metric in log.metrics:
            column = log.metrics[bound.metric]
            beyond = ~np.isnan(column) & ~bound.met_by(column)
            if not (beyond & log.feasible).any():
                refused |= beyond
    log = log.select(~refused)
    _check_source(log)
    return log


def _held_out(
    good: NDArray[np.bool_],
    within: NDArray[np.bool_],
    values: NDArray[np.float64],
    share: float,
    validation: Validation,
) -> NDArray[np.int64]:
    rows = np.flatnonzero(within if round(share * within.sum()) >= _FEWEST_VALIDATING else good)
    rows = rows[np.argsort(values[rows] * (1 if validation == "best" else -1), kind="stable")]
    return rows[: int(np.clip(round(share * len(rows)), 2, good.sum() - 2))]


def least_of(log: Evaluations) -> dict[str, float]:
    """Return the least value of each metric among the feasible rows, for `below_the_log`."""
    known = {name: column[log.feasible & np.isfinite(column)] for name, column in log.metrics.items()}
    return {name: float(column.min()) for name, column in known.items() if column.size}


def _check_source(log: Evaluations) -> None:
    sources = sorted({" ".join(part) for part in zip(log.evaluator, log.version, log.options, strict=True)})
    if len(sources) > 1:
        raise ArmillaryError(
            f"the log mixes results of {len(sources)} evaluators ({', '.join(map(str.strip, sources))}), whose metrics "
            "do not compare; fit on the rows of one of them, or with the evaluator as a column (--by-evaluator)"
        )


def check_some_feasible(log: Evaluations) -> None:
    """Check that a log has a feasible row.

    Raises:
        ArmillaryError: if it has none.
    """
    if not log.feasible.any():
        raise ArmillaryError(
            f"the log has {len(log)} usable rows and none is feasible; collect more designs, or from a smaller workload"
        )


def check_finite(log: Evaluations, name: str) -> None:
    """Check that all feasible rows tell a metric.

    Raises:
        ArmillaryError: if the log lacks it, or a feasible row has no finite number.
    """
    column = _column(log, name)
    _check_rows(log, name, np.isfinite(column), "a finite number")


def _check_metrics(log: Evaluations, problem: Problem) -> None:
    check_some_feasible(log)
    for name in (problem.metric, *problem.upper_bounds):
        column = _column(log, name)
        _check_rows(log, name, (column > 0) & np.isfinite(column), "a positive number")


def _column(log: Evaluations, name: str) -> NDArray[np.float64]:
    if name not in log.metrics:
        raise ArmillaryError(f"the log has no metric {name!r}; it has {sorted(log.metrics)}")
    return log.metrics[name]


def _check_rows(log: Evaluations, name: str, right: NDArray[np.bool_], what: str) -> None:
    column, wrong = log.metrics[name], np.flatnonzero(log.feasible & ~right)
    if wrong.size:
        listed = ", ".join(f"row {i}: {column[i]:g}" for i in wrong[:_NAMED_ROWS])
        more = f" and {wrong.size - _NAMED_ROWS} more" if wrong.size > _NAMED_ROWS else ""
        raise ArmillaryError(
            f"{name} of {wrong.size} feasible rows is not {what} ({listed}{more}); "
            "rows count from 0 among those that ended feasible or infeasible; remove or repair them"
        )


def _check_enough(log: Evaluations, good: NDArray[np.bool_], problem: Problem, minimum_rows: int) -> None:
    bounds = " and ".join(f"{name} <= {bound:g}" for name, bound in problem.upper_bounds.items())
    for workload in dict.fromkeys(log.workload):
        own = log.workload == workload
        count = int((good & own).sum())
        if count >= minimum_rows:
            continue
        feasible = log.feasible & own
        text = f"workload {workload}: {count} feasible rows" + (f" have {bounds}" if bounds else "")
        text += f", training needs {minimum_rows}"
        if bounds and feasible.any():
            least = ", ".join(f"{n} {log.metrics[n][feasible].min():.4g}" for n in problem.upper_bounds)
            text += f"; of the {int(feasible.sum())} feasible rows the smallest has {least}; raise the bound or"
        else:
            text += ";"
        raise ArmillaryError(text + " collect more designs")


def _contexts(log: Evaluations, workloads: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the feature names and each workload's features, shape [workloads, features]."""
    names = tuple(log.context)
    first = [int(np.flatnonzero(log.workload == workload)[0]) for workload in workloads]
    table = np.array([[log.context[name][row] for name in names] for row in first], dtype=float)
    table = table.reshape(len(workloads), len(names))
    if len(workloads) > 1 and (not names or not np.isfinite(table).all()):
        missing = [
            str(w) for w, row in zip(workloads, table, strict=True) if not len(row) or not np.isfinite(row).all()
        ]
        raise ArmillaryError(f"the log has no complete context for workloads {missing}; evaluate them anew")
    for workload, row in zip(workloads, table, strict=True):
        _check_one_network(log, workload, dict(zip(names, row, strict=True)))
    return names, table


def told_apart(log: Evaluations, workloads: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float64], bool]:
    """Return what tells the workloads of a log apart: feature names, each workload's features, whether these name it.

    The context counts, where it is complete and no two are the same. Else one workload needs no feature, and each of
    several has a feature of its own, 1 for itself and 0 for the others.
    """
    names = tuple(log.context)
    first = [int(np.flatnonzero(log.workload == workload)[0]) for workload in workloads]
    table = np.array([[log.context[name][row] for name in names] for row in first], dtype=float)
    table = table.reshape(len(workloads), len(names))
    if names and np.isfinite(table).all() and len(np.unique(table, axis=0)) == len(workloads):
        for workload, row in zip(workloads, table, strict=True):
            _check_one_network(log, workload, dict(zip(names, row, strict=True)))
        return names, table, False
    if len(workloads) == 1:
        return (), np.zeros((1, 0)), False
    return tuple(NAMED + workload for workload in workloads), np.eye(len(workloads)), True


def _check_one_network(log: Evaluations, workload: str, context: Mapping[str, float]) -> None:
    of_it = log.workload == workload
    differs = difference(context, {name: column[of_it] for name, column in log.context.items()})
    if differs:
        name, other = differs
        raise ArmillaryError(
            f"the log holds two networks of the name {workload!r}: their {name} are {context[name]:g} and {other:g}; "
            "fit on the rows of one, or log the other under another name"
        )


def feature_vector(names: Sequence[str], context: Mapping[str, float]) -> NDArray[np.float64]:
    """Return a context's features in the order that a model was fitted with.

    Raises:
        ArmillaryError: if a feature is missing.
    """
    missing = [name for name in names if name not in context]
    if missing:
        raise ArmillaryError(f"the context lacks {missing}; the model was fitted with {list(names)}")
    return np.array([float(context[name]) for name in names])


def features_of(
    context: Mapping[str, float] | None,
    names: Sequence[str],
    contexts: NDArray[np.float64],
    workloads: Sequence[str],
) -> NDArray[np.float64] | None:
    """Return the features that a model needs of a context: none if it serves one workload without any.

    Raises:
        ArmillaryError: if a model of several workloads is not told which, a feature is missing, or a model of
            one workload is asked about another.
    """
    several = len(workloads) > 1
    if context is None:
        if several:
            raise ArmillaryError(f"the model serves several workloads ({', '.join(workloads)}): name a context")
        return None
    if not names or not np.isfinite(contexts).all():
        return None
    features = feature_vector(names, context)
    if not several and place_of(features, contexts) is None:
        raise ArmillaryError(
            f"the model was fitted to workload {workloads[0]!r} alone and its context, "
            f"{dict(zip(names, contexts[0].tolist(), strict=True))}; it says nothing about "
            f"{dict(zip(names, features.tolist(), strict=True))}; fit a log of several workloads"
        )
    return features


def place_of(features: NDArray[np.float64], contexts: NDArray[np.float64]) -> int | None:
    """Return which of the workloads trained on has these features, None for an unseen one."""
    same = np.flatnonzero(np.isclose(features, contexts, rtol=_SAME).all(axis=1))
    return int(same[0]) if len(same) else None


def scale_of(
    features: NDArray[np.float64] | None,
    names: Sequence[str],
    contexts: NDArray[np.float64],
    scales: Sequence[Scale],
) -> Scale:
    """Return the scale of the workload with these features, that of the only workload if there are none.

    An unseen workload's location follows those of the known ones with their compute operations, as
    far as a ridge regression dares: several unseen workloads can only be averaged if their sizes
    relative to each other are about right.
    """
    if features is None:
        return scales[0]
    place = place_of(features, contexts)
    if place is not None:
        return scales[place]
    location, spread = (float(np.mean([getattr(s, name) for s in scales])) for name in ("location", "spread"))
    if OPS in names and scales[0].transform == "log":
        column = list(names).index(OPS)
        ops = np.log(contexts[:, column])
        away = ops - ops.mean()
        slope = float(away @ np.array([s.location for s in scales]) / (away @ away + _RIDGE))
        location += slope * float(np.log(features[column]) - ops.mean())
    return Scale(scales[0].transform, location, spread)


def unlike(
    context: Mapping[str, float],
    names: Sequence[str],
    contexts: NDArray[np.float64],
    workloads: Sequence[str],
) -> str | None:
    """Return a warning if a workload's compute-to-memory ratio lies outside those trained on, else None.

    Args:
        context: of the workload.
        names: features that the model was fitted with.
        contexts: of the workloads trained on, shape [workloads, features].
        workloads: their names.

    Source: PRIME, Appendix D: zero-shot designs are good where the ratio of compute operations to
        parameters is like that of a training application. A factor of two is allowed here.
    """
    if not {OPS, _PARAMETERS} <= set(names):
        return None
    ops, parameters = (contexts[:, list(names).index(name)] for name in (OPS, _PARAMETERS))
    with np.errstate(divide="ignore", invalid="ignore"):  # a network without parameters: infinitely many per MB
        ratios = ops / parameters
        ratio = float(np.float64(context[OPS]) / context[_PARAMETERS])
    if ratios.min() / _ALIKE <= ratio <= ratios.max() * _ALIKE:
        return None
    return (
        f"the workload computes {ratio:.3g} operations per MB of parameters; those trained on, "
        f"{', '.join(workloads)}, {ratios.min():.3g} to {ratios.max():.3g}. Its best design is likely another "
        "kind; evaluate some of its designs and train on them too"
    )


def below_the_log(metric: str, at_most: float, least: Mapping[str, float]) -> str | None:
    """Return a warning if an upper bound lies below every feasible design that a model learned from, else None.

    Args:
        metric: that is bounded.
        at_most: the bound.
        least: of each metric that the log had; see `least_of`.
    """
    if metric not in least or at_most >= least[metric]:
        return None
    unit = METRICS[metric].unit if metric in METRICS else "1"
    written = "" if unit == "1" else f" {unit}"
    return (
        f"the bound {metric}={at_most:g}{written} lies below every feasible design that the model learned from; the "
        f"least is {least[metric]:.4g}{written}. What it says of designs within it is a guess; log some and fit anew"
    )

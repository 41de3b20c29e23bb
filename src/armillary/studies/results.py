"""What a finished study found, as values: the only input of its report.

Whoever ran the study builds them; nobody who reads them needs an evaluator, a surrogate or a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.explanation import ChipRates, Explanation, LayerCost
from armillary.metrics import derived
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.studies.bounds import telling
from armillary.studies.fronts import Front
from armillary.types import Design, Evaluations, Failure
from armillary.workloads.layer import NotMapped

Role = Literal["winner", "log", "baseline"]


@dataclass(frozen=True)
class Contender:
    """A design that a study compares with others.

    `failure` is set for a design that cannot run the workload; its metrics are then those that are known anyway (an
    area, say) and it has no explanation. `note` says in a few words where the design comes from.
    """

    name: str
    design: Design
    metrics: Mapping[str, float]
    explanation: Explanation | None = None
    failure: Failure | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.explanation is not None and self.failure is not None:
            raise ValueError(f"contender {self.name} failed ({self.failure}) and so cannot be explained")

    @property
    def layers(self) -> tuple[LayerCost, ...]:
        """The layers; empty where they are not known."""
        return () if self.explanation is None else self.explanation.layers

    @property
    def rates(self) -> ChipRates | None:
        """The peak rates, where they are known."""
        return None if self.explanation is None else self.explanation.rates

    @property
    def area_parts_mm2(self) -> Mapping[str, float]:
        """The area by component; empty where it is not known."""
        return {} if self.explanation is None else self.explanation.area_parts_mm2

    @property
    def energy_parts_pj(self) -> Mapping[str, float]:
        """The energy of an inference by component; empty where it is not known."""
        return {} if self.explanation is None else self.explanation.energy_parts_pj

    @property
    def overhead_s(self) -> Mapping[str, float]:
        """What an inference takes beside its layers, by cause; empty where it is not known."""
        return {} if self.explanation is None else self.explanation.overhead_s

    @property
    def fixed_s(self) -> float:
        """The part of the overhead that no design changes."""
        return 0.0 if self.explanation is None else sum(self.overhead_s[cause] for cause in self.explanation.fixed)

    @property
    def total_s(self) -> float:
        """What an inference takes, all its layers and the overhead together; 0 where the layers are not known."""
        return float(self.layer_seconds().sum()) + sum(self.overhead_s.values())

    @property
    def rest_s(self) -> float:
        """What an inference takes without the fixed overhead: what a design can change."""
        return self.total_s - self.fixed_s

    def layer_seconds(self) -> NDArray[np.float64]:
        """Return the time of each layer, all its runs together, shape [layers]."""
        clock_hz = self.rates.clock_hz if self.rates else 1.0
        return np.array([layer.delay_cycles for layer in self.layers], dtype=float) / clock_hz


@dataclass(frozen=True)
class Proof:
    """Designs of a study, measured anew on a truer evaluator.

    Attributes:
        evaluations: one row per design, the best first by the evaluator of the study.
        cheaper: the objective of the same designs by that evaluator, shape [rows].
    """

    evaluations: Evaluations
    cheaper: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.cheaper.shape != (len(self.evaluations),):
            raise ValueError(f"cheaper has shape {self.cheaper.shape}, expected ({len(self.evaluations)},)")


@dataclass(frozen=True)
class LaidOut:
    """A design that was laid out at the end of a study: what was predicted of it, and what became of it.

    Attributes:
        name: what the report calls it.
        design: of it.
        predicted: the mean of metrics before the layout.
        spread: their standard deviations, where the prediction has any.
        measured: the metrics of the layout; those that are known of one that failed.
        failure: why there is no layout; None if there is one.
        pictures: of it, PNG files by their titles.
    """

    name: str
    design: Design
    predicted: Mapping[str, float]
    measured: Mapping[str, float]
    spread: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def error(self, metric: str) -> float:
        """Return by which share of the layout's a predicted metric is off; NaN where either is not known."""
        said, true = self.predicted.get(metric, np.nan), self.measured.get(metric, np.nan)
        return float("nan") if self.failure is not None else (said - true) / true


@dataclass(frozen=True)
class Candidates:
    """The designs that the surrogate proposed and the evaluator then measured, in that order.

    `predicted` is the surrogate's mean for each row, in the unit of the objective's metric.
    """

    evaluations: Evaluations
    predicted: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.predicted.shape != (len(self.evaluations),):
            raise ValueError(f"predicted has shape {self.predicted.shape}, expected ({len(self.evaluations)},)")


@dataclass(frozen=True)
class Proposed:
    """What a study proposes to evaluate, the best first: parameters, laws, what is expected, each under its name."""

    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Importances:
    """How much each parameter matters; the shares add up to 1. `method` says how that was measured."""

    shares: Mapping[str, float]
    method: str


@dataclass(frozen=True)
class Trial:
    """One trained surrogate: its loss weights, its checkpoint, and its rank correlation when validated."""

    alpha: float
    beta: float
    checkpoint: int
    kendall: float


@dataclass(frozen=True)
class Selection:
    """Every surrogate that was tried, and which one was chosen (its position in `trials`)."""

    trials: tuple[Trial, ...]
    chosen: int

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.trials):
            raise ValueError(f"chosen={self.chosen} is not allowed; there are {len(self.trials)} trials")


@dataclass(frozen=True)
class Reliability:
    """How well the surrogate tells what is feasible, on logged designs kept out of its training.

    `brier` is the mean squared error of its probability. Each bin holds the designs of like probability: their
    mean probability, the share that was feasible, and how many they are.
    """

    brier: float
    bins: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class StudyResults:
    """Everything that is told of one study on one workload.

    `log` holds every row of this workload, infeasible ones included, in the order of evaluation.
    When no candidate is legal, or none beats the log, `winner` is `best_of_log`. `baseline` is a
    published design for comparison. What a study did not do (no surrogate, say) is None or empty and
    its section says so or is left out. `front` is what several objectives trade. `proof` holds designs that were
    measured again on a truer evaluator, `layouts` those that were laid out at the end. `command` runs the study again,
    `report_command` only writes the page again. `proposals` are designs that nobody has evaluated yet. `combination`
    says how several workloads became one, `facts` and `remarks` what there is to tell of the surrogate, `warnings` what
    to know of the proposals. `unknown_work` and `import_warnings` are what the workload leaves out and what to know of
    its numbers.
    """

    title: str
    workload: str
    problem: Problem
    command: str
    versions: Mapping[str, str]
    created: datetime
    seed: int
    stage_seconds: Mapping[str, float]
    log: Evaluations
    winner: Contender
    best_of_log: Contender
    baseline: Contender | None = None
    candidates: Candidates | None = None
    importances: Importances | None = None
    selection: Selection | None = None
    reliability: Reliability | None = None
    proof: Proof | None = None
    layouts: tuple[LaidOut, ...] = ()
    front: Front | None = None
    not_mapped: tuple[NotMapped, ...] = ()
    unknown_work: tuple[str, ...] = ()
    import_warnings: tuple[str, ...] = ()
    report_command: str = ""
    proposals: Proposed | None = None
    combination: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        contenders = [c for c in (self.winner, self.best_of_log, self.baseline) if c is not None]
        for contender in contenders:
            if contender.design.space != self.space.name:
                raise ValueError(
                    f"contender {contender.name} is a design of {contender.design.space!r}, not of {self.space.name!r}"
                )
        names = [contender.name for _, contender in self.contenders()]
        if len(set(names)) < len(names):
            raise ValueError(f"two contenders share a name: {names}")
        listings = {tuple(layer.name for layer in c.layers) for c in contenders if c.layers}
        if len(listings) > 1:
            raise ValueError("the contenders list different layers; they must all show the same workload")

    @property
    def space(self) -> Space:
        """The space of its designs."""
        return self.problem.space

    @cached_property
    def bounds(self) -> dict[str, float]:
        """The upper bounds by metric that leave some design out."""
        return telling(self.problem)

    @property
    def winner_is_from_log(self) -> bool:
        """Whether the winner is the best logged design itself."""
        return self.winner.design == self.best_of_log.design

    def contenders(self) -> tuple[tuple[Role, Contender], ...]:
        """Return the designs to compare, winner first; the best of the log only where it is another design."""
        shown: list[tuple[Role, Contender]] = [("winner", self.winner)]
        if not self.winner_is_from_log:
            shown.append(("log", self.best_of_log))
        if self.baseline is not None:
            shown.append(("baseline", self.baseline))
        return tuple(shown)

    def measured(self, evaluations: Evaluations) -> NDArray[np.float64]:
        """Return the objective of feasible rows and NaN for the others, shape [rows]."""
        return self.feasible_metric(evaluations, self.problem.metric)

    def legal(self, evaluations: Evaluations) -> NDArray[np.bool_]:
        """Return which rows are feasible, measured and within every bound, shape [rows].

        A row that lacks a bounded metric is not legal: rows that all failed may lack the column.
        """
        ok = np.isfinite(self.measured(evaluations))
        for name, bound in self.problem.upper_bounds.items():
            ok &= self.feasible_metric(evaluations, name) <= bound
        return ok

    def feasible_metric(self, evaluations: Evaluations, metric: str) -> NDArray[np.float64]:
        """Return a metric, or what follows from others, of feasible rows and NaN for the others, shape [rows]."""
        column = derived(evaluations.metrics, metric, self.problem.metrics)
        return np.where(evaluations.feasible, np.nan if column is None else column, np.nan)

"""PRIME: a conservative surrogate learned from a log, infeasible designs included.

Source: Kumar, Yazdanbakhsh, Hashemi, Swersky, Levine, "Data-Driven Offline Optimization for
    Architecting Hardware Accelerators", ICLR 2022, Section 4 and Appendix B. We minimise latency, so
    the value is pushed up at negatives and at infeasible designs.

Where we differ:

* the metric is standardised per workload (by default its logarithm is), so alpha, beta and the
  clip apply to standard units; in the paper they apply to milliseconds;
* the schedules `full` and `quick` train in minutes what the paper trains in days, see
  `training`, and then train a last network with the chosen alpha and beta on the validation
  rows too; `paper` is the paper's;
* the log of a single workload gives a model without context, several give a contextual one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.problems.problem import Problem
from armillary.spaces.moves import Moves
from armillary.spaces.space import Space
from armillary.surrogates.devices import device_of
from armillary.surrogates.feasibility import fit_feasibility
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.prime.device import DeviceTrainer
from armillary.surrogates.prime.fitted import FittedPrime, normalised
from armillary.surrogates.prime.model import Architecture
from armillary.surrogates.prime.schedules import SCHEDULES, Schedule
from armillary.surrogates.prime.training import Progress, Snapshot, Trainer
from armillary.surrogates.rows import (
    TRANSFORMS,
    VALIDATIONS,
    Dataset,
    Rows,
    Transform,
    Validation,
    below_the_log,
    joined,
    prepare,
    unlike,
)
from armillary.surrogates.selection import Selection, with_seconds
from armillary.types import ArmillaryError, Log, Prediction

if TYPE_CHECKING:
    from armillary.workloads.context import Context

ALPHAS = (0.0, 0.01, 0.1, 0.5, 1.0, 5.0)
BETAS = (0.0, 0.01, 0.1, 1.0, 5.0)
_LEAST_ROWS = 4


class Prime:
    """The surrogate of PRIME.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        schedule: `paper`, `full` (minutes), `quick` (a minute), `brief` (a third of that), or a `Schedule`.
        alphas: weights of the mined negatives to choose from.
        betas: weights of the infeasible rows to choose from.
        clip: predictions at negatives and infeasible rows are clipped to +-clip standard units. The
            paper clips to +-10,000 ms where latencies are O(1000) ms, ten times the range.
        transform: `log` standardises the metric's logarithm, `linear` the metric, as the paper.
        members: how many grid members (their best checkpoints) are kept and averaged; 1 in the paper.
        hidden: width of the hidden layers of the prediction networks.
        feed_forward: width inside the transformer layers.
        validation_share: rows that are kept for selection; 0.2 in the paper, 0.05 in its Appendix A.9.
        validation: whether these are the best rows, or the worst (Appendix A.9).
        minimum_rows: feasible rows within the bounds that are learned that each workload needs at least.
        device: where to train and predict: `cpu`, or `cuda` for a GPU, on which `prime_device` trains.
        on_progress: called during `fit` with the member steps done and in total.
    """

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        schedule: str | Schedule = "full",
        alphas: Sequence[float] = ALPHAS,
        betas: Sequence[float] = BETAS,
        clip: float = 10.0,
        transform: Transform = "log",
        members: int = 1,
        hidden: int = 64,
        feed_forward: int = 128,
        validation_share: float = 0.2,
        validation: Validation = "best",
        minimum_rows: int = 50,
        device: str = "cpu",
        on_progress: Progress | None = None,
    ) -> None:
        if isinstance(schedule, str):
            if schedule not in SCHEDULES:
                raise ArmillaryError(f"schedule {schedule!r} is unknown; choose one of {sorted(SCHEDULES)}")
            schedule = SCHEDULES[schedule]
        if transform not in TRANSFORMS:
            raise ArmillaryError(f"transform {transform!r} is unknown; choose one of {list(TRANSFORMS)}")
        if not len(alphas) or not len(betas):
            raise ArmillaryError(f"alphas={alphas}, betas={betas} must each hold a value")
        if min(*alphas, *betas, 0.0) < 0 or not clip > 0 or members < 1:
            raise ArmillaryError(
                f"alphas={alphas}, betas={betas} must be >= 0, clip={clip} > 0, members={members} >= 1"
            )
        if schedule.rungs[0].members < len(alphas) * len(betas):
            raise ArmillaryError(
                f"the first rung of the schedule trains {schedule.rungs[0].members} members, "
                f"but alphas x betas are {len(alphas) * len(betas)}; it takes the whole grid"
            )
        if not 0 < validation_share < 1:
            raise ArmillaryError(f"validation_share={validation_share} is not allowed; it lies between 0 and 1")
        if minimum_rows < _LEAST_ROWS:
            raise ArmillaryError(
                f"minimum_rows={minimum_rows} must be at least {_LEAST_ROWS}: some train, some validate"
            )
        if validation not in VALIDATIONS:
            raise ArmillaryError(f"validation {validation!r} is unknown; choose one of {list(VALIDATIONS)}")
        self.space = space
        self._seed, self._schedule = seed, schedule
        self._grid = [(float(a), float(b)) for a in alphas for b in betas]
        self._clip, self._transform, self._members = clip, transform, members
        self._feed_forward = feed_forward
        self._hidden, self._validation_share, self._minimum_rows = hidden, validation_share, minimum_rows
        self._validation = validation
        self._device = device_of(device)
        self._on_progress = on_progress
        self._fitted: FittedPrime | None = None

    def fit(self, log: Log, problem: Problem) -> Prime:
        """Train the whole grid on a log and keep the best checkpoint.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        started = time.perf_counter()
        data = prepare(
            self.space,
            log.evaluations(self.space.name),
            problem,
            transform=self._transform,
            validation_share=self._validation_share,
            validation=self._validation,
            minimum_rows=self._minimum_rows,
            rng=np.random.default_rng([self._seed, 1]),
        )
        last = self._schedule.for_refit(len(data.workloads))
        done, more = self._schedule.member_steps(len(self._grid)), last.member_steps(1)
        total = done + self._members * more
        trainer = self._trainer(data, self._grid, self._schedule, self._progress_from(0, total))
        best = trainer.run(self._members)
        if more:
            best = [
                self._refitted(data, chosen, last, self._progress_from(done + number * more, total))
                for number, chosen in enumerate(best)
            ]
        self._fitted = self._assemble(problem, data, trainer, best, started)
        return self

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict designs given as value indices.

        Args:
            designs: codes, shape [designs, parameters].
            context: the workload; a model of one workload checks that it is that one.

        Returns:
            `mean`: the conservative value in the unit of the metric. It ranks designs; it does not estimate.
            `std`: disagreement of the predictors and kept members, in the same unit.
            `p_feasible`: probability of being feasible and within the bounds that are not exact, for designs drawn
            like those of the log; see `FeasibilityMap` for when it says little.
            For a workload that was not trained on, `mean` and `std` are on the average scale of
            those that were.

        Raises:
            ArmillaryError: if the model is not fitted, or not to this workload.
        """
        return self.fitted.predict(designs, [None if context is None else context.as_dict()])[0]

    def predict_each(self, designs: NDArray[np.int64], contexts: Sequence[Context]) -> list[Prediction]:
        """Return what `predict` says for every context; the network reads the designs once.

        Raises:
            ArmillaryError: as `predict`.
        """
        return self.fitted.predict(designs, [context.as_dict() for context in contexts])

    @property
    def fitted(self) -> FittedPrime:
        """The fitted model.

        Raises:
            ArmillaryError: before `fit` or `load`.
        """
        if self._fitted is None:
            raise ArmillaryError("this PRIME has not been fitted; call fit(log, problem) or load(path) first")
        return self._fitted

    @property
    def selection(self) -> Selection:
        """What was compared and chosen, and the seconds it took."""
        return self.fitted.selection

    @property
    def problem(self) -> Problem:
        """What was learned."""
        return self.fitted.problem

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of a context that it was fitted with."""
        return self.fitted.feature_names

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on; see `rows.unlike`."""
        fitted = self.fitted
        return unlike(context.as_dict(), fitted.feature_names, fitted.contexts, fitted.workloads)

    def below_the_log(self, metric: str, at_most: float) -> str | None:
        """Return a warning if a bound lies below every design learned from; see `rows.below_the_log`."""
        return below_the_log(metric, at_most, self.fitted.least)

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        best = self.selection.chosen[0]
        told = {"alpha": best.alpha, "beta": best.beta, "checkpoint": best.checkpoint, "kendall": best.kendall}
        return with_seconds(told, self.selection.seconds)

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        self.fitted.save(target, self.space)

    def adopt(self, fitted: FittedPrime) -> None:
        """Take a model that was fitted before."""
        self._fitted = fitted

    @classmethod
    def load(cls, path: str | Path, *, space: Space, device: str = "cpu") -> Prime:
        """Read a fitted model.

        Raises:
            ArmillaryError: if the file is missing, no model of ours, or of another space or version.
        """
        prime = cls(space=space, device=device)
        prime.adopt(FittedPrime.load(Path(path), space, device_of(device)))
        return prime

    def _progress_from(self, done: int, total: int) -> Progress | None:
        """Return what reports the steps of one run as part of all, `done` steps having gone before."""
        if self._on_progress is None:
            return None
        report = self._on_progress
        return lambda steps, _: report(done + steps, total)

    def _refitted(self, data: Dataset, chosen: Snapshot, schedule: Schedule, on_progress: Progress | None) -> Snapshot:
        """Return a network trained as the chosen one was, on all feasible rows."""
        grid = [(chosen.candidate.alpha, chosen.candidate.beta)]
        every = replace(data, train=joined(data.train, data.valid))
        trainer = self._trainer(every, grid, schedule, on_progress)
        return replace(chosen, weights=trainer.run(1)[0].weights)

    def _trainer(
        self, data: Dataset, grid: list[tuple[float, float]], schedule: Schedule, on_progress: Progress | None
    ) -> Trainer:
        contextual = len(data.workloads) > 1
        trainer = Trainer if self._device.type == "cpu" else DeviceTrainer
        return trainer(
            shape=Architecture(
                self.space.cardinalities,
                contexts=len(data.feature_names) if contextual else 0,
                feed_forward=self._feed_forward,
                hidden=self._hidden,
            ),
            moves=Moves(self.space),
            data=data,
            contexts=normalised(data.contexts, data.contexts) if contextual else None,
            grid=grid,
            schedule=schedule,
            clip=self._clip,
            seed=self._seed,
            device=self._device,
            on_progress=on_progress,
        )

    def _assemble(
        self, problem: Problem, data: Dataset, trainer: Trainer, best: list[Snapshot], started: float
    ) -> FittedPrime:
        """Return the kept members with a map to feasibility that is fitted on rows kept out of training."""
        weights = {name: torch.cat([s.weights[name] for s in best]).to(self._device) for name in best[0].weights}

        def values(rows: Rows) -> NDArray[np.float64]:
            shape = (len(best), *rows.codes.shape)
            codes = np.broadcast_to(rows.codes, shape).copy()
            every = trainer.values(weights, codes, np.tile(rows.workload, (len(best), 1)))
            return np.asarray(every.mean(axis=0))

        feasibility = fit_feasibility(values(data.valid), values(data.infeasible_held), data.feasible_share)
        return FittedPrime(
            problem=problem,
            shape=trainer.shape,
            weights=weights,
            workloads=data.workloads,
            feature_names=data.feature_names,
            contexts=data.contexts,
            scales=data.scales,
            feasibility=feasibility,
            selection=Selection(
                candidates=tuple(trainer.candidates),
                chosen=tuple(s.candidate for s in best),
                seconds=time.perf_counter() - started,
            ),
            least=data.least,
        )


def standard(**options: Any) -> Prime:
    """Return PRIME's network as a standard surrogate: neither negatives nor infeasible rows."""
    return Prime(alphas=(0.0,), betas=(0.0,), **options)


def without_opt(**options: Any) -> Prime:
    """Return the ablation "PRIME-Opt" of Table 13: no negatives are mined."""
    return Prime(alphas=(0.0,), **options)


def without_infeasible(**options: Any) -> Prime:
    """Return the ablation "PRIME-Infeasible" of Table 13: infeasible rows are not learned from."""
    return Prime(betas=(0.0,), **options)


KIND = SurrogateKind(Prime, read=Prime.load, scheduled=True)
STANDARD = SurrogateKind(standard, read=Prime.load, scheduled=True)
WITHOUT_OPT = SurrogateKind(without_opt, read=Prime.load, scheduled=True)
WITHOUT_INFEASIBLE = SurrogateKind(without_infeasible, read=Prime.load, scheduled=True)

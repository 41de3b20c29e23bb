"""The stages of a study that searches architectures and knobs of the back end by layouts, and what it asks and leaves.

Layouts of a few designs, surrogates of every metric, MOTPE on these, layouts of what they promise, until the budget is
nearly spent. Then the surrogates' front is ranked by a weighted sum of the goals, and the first of it are laid out:
what was predicted of these stands beside what became of them.

Source: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
    Accelerators" (arXiv 2308.12120): MOTPE minimises energy and area under bounds on power and runtime; alpha * energy
    + beta * area ranks the front, and the first three are laid out. Layouts before that, in rounds, are ours.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import optimizers, surrogates
from armillary.evaluators.kind import LaysOut, rungs_of
from armillary.log.store import Log
from armillary.optimizers.surrogate_front import (
    FEWEST_LEARNED,
    TRIALS,
    Expected,
    Visited,
    expected_front,
    learnable,
    learned_metrics,
)
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung
from armillary.studies.ask_tell import PacesItself
from armillary.studies.comparing import Compared, write_results
from armillary.studies.fit import fit_surrogate, save_atomically
from armillary.studies.fronts import write_front
from armillary.studies.joint_recipe import contender_of
from armillary.studies.ladder import Climbs, climbing
from armillary.studies.laying_out import WINNER, keep_pictures
from armillary.studies.layout_picks import best_of, cost_of, legal, nothing_legal, promised
from armillary.studies.results import Contender
from armillary.studies.stages import Setting, Stage
from armillary.surrogates import Savable
from armillary.types import ArmillaryError, Candidate, Evaluation, Evaluations, Optimizer, options_text
from armillary.workloads.context import context_of

SEARCHED, PREDICTED, RUNGS = "searched.json", "predicted.json", "rungs"
OPTIMIZER = "ppa-motpe"
BUDGET, PICKS = 40, 3
_FIGURES = ("runtime_s", "delay_cycles", "power_mw", "area_mm2", "effective_mhz", "core_mm2", "cells", "wire_mm")
CAUTIOUS = 1.645
"""Standard deviations by which a cautious study takes metrics for worse: one end of the 90% interval."""


@dataclass(frozen=True)
class LayoutRequest:
    """What is asked for; see `DesignRequest` for source, digest, template, objectives, bounds and options.

    `budget` counts layouts, `samples` are the first of them, before anything is learned, and `picks` the last.
    `optimizer` asks for those between: the default learns by `surrogate`, others are told of layouts themselves. One
    that climbs a ladder of fidelities spends the seconds of so many layouts, on fewer whole ones perhaps.
    An empty `surrogate` is `ppa-rtl`, or `ppa` of spaces whose designs have no RTL.
    `caution` are standard deviations by which predictions are taken for worse; `trials` are MOTPE's on surrogates;
    `prefer` weighs the goals.
    """

    source: str
    digest: str
    template: str
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()
    budget: int = BUDGET
    samples: int = BUDGET // 2
    picks: int = PICKS
    optimizer: str = OPTIMIZER
    surrogate: str = ""
    caution: float = 0.0
    trials: int = TRIALS
    seed: int = 0
    log: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    prefer: Mapping[str, float] = field(default_factory=dict)
    fidelity: str = "physical"
    problem: str | None = None


@dataclass(frozen=True)
class Recipe:
    """The stages."""

    request: LayoutRequest

    def stages(self) -> list[Stage]:
        """Return the recipe."""
        return [
            Stage("search", (), "rows", self.searched),
            Stage("predict", ("rows",), "predicted", self.predicted, kept=_kept_prediction),
            Stage("lay out", ("predicted",), "picked", self.laid_out),
            Stage("draw", ("rows", "picked", "predicted"), "files", self.drawn),
            Stage("explain", ("rows", "picked", "predicted"), "compared", self.explained),
        ]

    def searched(self, setting: Setting) -> Evaluations:
        """Return the layouts of all designs that the optimizer asked for, or of those of an earlier run."""
        wanted = max(self.request.budget - self.request.picks, 1)
        if setting.folder.has(SEARCHED):
            codes = np.array(setting.folder.read(SEARCHED)["codes"], dtype=np.int64)
            return laid_out(setting, codes, (0, wanted))
        optimizer = self._optimizer(setting, wanted)
        if isinstance(optimizer, Climbs):
            parts = _climbed(optimizer, setting, wanted)
        else:
            parts = _asked(optimizer, setting, wanted)
        rows = Evaluations.concat(list(parts))
        codes = setting.template.space.encode_columns(rows.design)
        setting.folder.write(SEARCHED, {"codes": codes.tolist()})
        return rows

    def _optimizer(self, setting: Setting, wanted: int) -> Optimizer:
        request, evaluator = self.request, setting.executor.evaluator(setting.spec)
        make = optimizers.load(request.optimizer)
        known = inspect.signature(make).parameters
        own = {
            "rungs": rungs_of(evaluator),
            "initial": min(request.samples, wanted),
            "surrogate": request.surrogate,
            "caution": request.caution,
            "trials": request.trials,
        }
        found: Optimizer = make(
            setting.problem, seed=request.seed, **{name: value for name, value in own.items() if name in known}
        )
        return found

    def predicted(self, setting: Setting, rows: Evaluations) -> dict[str, Any]:
        """Return the front that surrogates of all layouts expect, and which of it are to be laid out.

        Of too few feasible layouts nothing is learned, and nothing is expected or picked.

        Raises:
            ArmillaryError: if no layout is feasible and within the bounds, and none is expected to be.
        """
        problem, request = setting.problem, self.request
        if learnable(rows.to_list(), problem) < FEWEST_LEARNED:
            content = _nothing_learned(problem, rows, request.prefer)
            setting.folder.write(PREDICTED, content)
            return content
        models = self._models(setting, rows)
        expected = Expected(models, problem, context_of(setting.workload), request.caution)
        setting.on_progress("searching the surrogates", 0, 1)
        found = promised(
            expected, rows, most=request.picks, seed=request.seed, trials=request.trials, prefer=request.prefer
        )
        content = {
            "cost": dict(zip(problem.metric_names, found.share.tolist(), strict=True)),
            "front": _expected_front(expected, found.visited),
            "picks": _told(expected, found.picks.codes),
            "facts": {f"{metric}: {name}": value for metric, m in models.items() for name, value in m.facts().items()},
        }
        setting.folder.write(PREDICTED, content)
        setting.on_progress("searching the surrogates", 1, 1)
        return content

    def _models(self, setting: Setting, rows: Evaluations) -> dict[str, Savable]:
        """Return a surrogate of each metric, those of an earlier run where they are there."""
        models: dict[str, Savable] = {}
        for metric, objective in learned_metrics(setting.problem).items():
            path = setting.folder.path / f"model-{metric}.pt"
            if not path.exists():
                asked = replace(setting.problem, objectives=(objective,), bounds=())
                model = fit_surrogate(
                    rows, asked, kind=self.request.surrogate, seed=setting.seed, on_progress=setting.on_progress
                )
                save_atomically(model, path)
            models[metric] = surrogates.read(path, setting.template.space)
        return models

    def laid_out(self, setting: Setting, predicted: Mapping[str, Any]) -> Evaluations | None:
        """Return the layouts of what the surrogates promise most; None if they promise nothing."""
        codes = np.array(predicted["picks"]["codes"], dtype=np.int64)
        return laid_out(setting, codes, (0, len(codes)), "laying out the picks") if len(codes) else None

    def drawn(
        self, setting: Setting, rows: Evaluations, picks: Evaluations | None, predicted: Mapping[str, Any]
    ) -> Any:
        """Leave pictures of the winner and of the picks, and the winner's RTL, where the evaluator makes layouts."""
        evaluator = setting.executor.evaluator(setting.spec)
        if not isinstance(evaluator, LaysOut):
            return ()
        winner, _ = best_of(setting.problem, every(rows, picks), share_of(setting.problem, predicted))
        laid = {pick_name(place): row for place, row in enumerate(_listed(picks)) if row.feasible}
        chosen = {WINNER: winner, **laid}
        for done, (name, row) in enumerate(chosen.items()):
            setting.on_progress("drawing", done, len(chosen))
            keep_pictures(evaluator, row.design, setting.folder, name)
        setting.on_progress("drawing", len(chosen), len(chosen))
        return tuple(chosen)

    def explained(
        self, setting: Setting, rows: Evaluations, picks: Evaluations | None, predicted: Mapping[str, Any]
    ) -> Compared:
        """Compare the best layout of all with the best before the picks, and write what the study found."""
        problem, share = setting.problem, share_of(setting.problem, predicted)
        best, front_found = best_of(problem, every(rows, picks), share)
        before = best_of(problem, rows, share)[0] if legal(problem, rows) else best
        if front_found is not None:
            write_front(setting.folder.path, front_found)
        is_pick = any(row.design == best.design for row in _listed(picks))
        note = "picked from the front of the surrogates" if is_pick else predicted.get("note", "found on the way")
        found = Compared(
            winner=_shown("Winner", f"{note}, laid out", best, setting),
            best_of_log=_shown("Best before the picks", f"best of {len(rows):,} layouts", before, setting),
        )
        spec = setting.spec
        evaluator = {"evaluator": spec.name, "version": spec.version, "options": options_text(spec.options)}
        write_results(setting, found, None, {"facts": predicted["facts"], "evaluator": evaluator})
        return found


def _asked(optimizer: Optimizer, setting: Setting, wanted: int) -> Iterator[Evaluations]:
    """Yield the layouts that an optimizer asks for, so many in all."""
    done = 0
    while done < wanted:
        rest = wanted - done
        amount = optimizer.asks_after(done) if isinstance(optimizer, PacesItself) else 1
        # models are not fitted anew for one or two last designs
        candidates = optimizer.ask(rest if rest - amount < amount / 2 else amount)
        codes = setting.template.space.encode([candidate.design for candidate in candidates])
        rows = laid_out(setting, codes, (done, wanted))
        setting.problem.matrix(rows)  # which misses metrics that no row has: soon, not after the whole budget
        optimizer.tell(candidates, Outcomes.of(rows))
        done += len(codes)
        yield rows


def _climbed(optimizer: Climbs, setting: Setting, wanted: int) -> Iterator[Evaluations]:
    """Yield the whole layouts that a climb makes, which takes the seconds of so many of them in all.

    What stopped early is kept in a log of its own.
    """
    aside = setting.executor.onto(Log(setting.folder.path / RUNGS))
    shown = 0

    def answer(rung: Rung | None, codes: NDArray[np.int64]) -> Evaluations:
        if rung is None and not shown:
            return laid_out(setting, codes, (0, wanted))
        setting.on_progress("laying out", shown, wanted)
        executor, spec = (setting.executor, setting.spec) if rung is None else (aside, rung.spec)
        candidates = [Candidate(design) for design in setting.template.space.designs(codes)]
        return Evaluations.from_list(list(executor.run(spec, candidates, setting.workload)))

    for step in climbing(optimizer, answer, wanted):
        setting.problem.matrix(step.rows)
        done = int(step.spent[-1]) if shown else len(step.rows)
        shown = min(max(shown, done), wanted)
        if step.rung is None:
            yield step.rows
    setting.on_progress("laying out", wanted, wanted)


def laid_out(
    setting: Setting, codes: NDArray[np.int64], among: tuple[int, int], stage: str = "laying out"
) -> Evaluations:
    """Return the layouts of coded designs, shape [designs, parameters]; `among` is how many were done of how many."""
    found: list[Evaluation] = []
    done, total = among
    setting.on_progress(stage, done, total)
    candidates = [Candidate(design) for design in setting.template.space.designs(codes)]
    for evaluation in setting.executor.run(setting.spec, candidates, setting.workload):
        found.append(evaluation)
        setting.on_progress(stage, done + len(found), total)
    return Evaluations.from_list(found)


def share_of(problem: Problem, predicted: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the weight of each objective in the cost, shape [objectives], as a study keeps it."""
    return np.array([predicted["cost"][name] for name in problem.metric_names], dtype=float)


def every(rows: Evaluations, picks: Evaluations | None) -> Evaluations:
    """Return the layouts of the search and of the picks."""
    return rows if picks is None else Evaluations.concat([rows, picks])


def pick_name(place: int) -> str:
    """Return what a pick is called."""
    return f"pick-{place + 1}"


def _shown(name: str, note: str, row: Evaluation, setting: Setting) -> Contender:
    """Return a layout to compare, without what its steps tell of themselves; the log has all."""
    found = contender_of(name, note, row, setting)
    asked = (*setting.problem.metric_names, *(bound.metric for bound in setting.problem.bounds), *_FIGURES)
    return replace(found, metrics={name: found.metrics[name] for name in dict.fromkeys(asked) if name in found.metrics})


def _kept_prediction(setting: Setting) -> dict[str, Any] | None:
    return setting.folder.read(PREDICTED) if setting.folder.has(PREDICTED) else None


def _listed(picks: Evaluations | None) -> list[Evaluation]:
    return [] if picks is None else picks.to_list()


def _nothing_learned(problem: Problem, rows: Evaluations, prefer: Mapping[str, float]) -> dict[str, Any]:
    """Return what is kept in place of predictions where too few layouts are feasible; the best of them then wins."""
    matrix = problem.matrix(rows)
    if not np.isfinite(matrix).any():
        raise ArmillaryError(nothing_legal(problem, rows))
    share = cost_of(problem, matrix, prefer)
    feasible = int(rows.feasible.sum())
    return {
        "cost": dict(zip(problem.metric_names, share.tolist(), strict=True)),
        "front": {"codes": [], "metrics": {}},
        "picks": {"codes": [], "mean": {}, "std": {}},
        "facts": {},
        "note": f"only {feasible} of {len(rows)} layouts are feasible, and surrogates need {FEWEST_LEARNED}",
    }


def _expected_front(expected: Expected, visited: Visited) -> dict[str, Any]:
    """Return the designs that are expected on the front, and their metrics as they are expected."""
    found = visited.select(expected_front(visited, expected.problem))
    metrics = {name: column.tolist() for name, column in found.expected.metrics.items()}
    return {"codes": found.codes.tolist(), "metrics": metrics}


def _told(expected: Expected, codes: NDArray[np.int64]) -> dict[str, Any]:
    """Return designs with the mean and the standard deviation of each metric that surrogates predict."""
    said = expected.predictions(codes) if len(codes) else {}
    return {
        "codes": codes.tolist(),
        "mean": {name: prediction.mean.tolist() for name, prediction in said.items()},
        "std": {name: prediction.std.tolist() for name, prediction in said.items()},
    }

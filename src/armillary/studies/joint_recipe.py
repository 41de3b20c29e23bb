"""The stages of a study of several workloads, or of a user's own log, and what it asks and leaves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from armillary import surrogates
from armillary.execution.known import of_evaluator
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.studies.collect import collect
from armillary.studies.combining import Combination, beside_best, combined
from armillary.studies.comparing import Compared, write_results
from armillary.studies.design import PROPOSALS, VERIFIED, reliability_of, selection_of, unproposed
from armillary.studies.fit import fit_surrogate, save_atomically
from armillary.studies.importance import importances
from armillary.studies.occurrence import fewest
from armillary.studies.propose import propose
from armillary.studies.results import Contender
from armillary.studies.stages import Setting, Stage
from armillary.surrogates import Savable, TellsRemarks
from armillary.types import ArmillaryError, Candidate, Evaluation, Evaluations, options_text
from armillary.workloads.context import Context, context_of
from armillary.workloads.layer import Workload

CSV, YAML, LEARNED = "proposals.csv", "proposals.yaml", "learned.json"
Models = dict[str, Savable]
"""A surrogate of each goal that is learned, by its metric."""
_FEWEST = 20  # feasible rows of a workload from which its own rows are learned from alone


@dataclass(frozen=True)
class JointRequest:
    """What is asked for; see `DesignRequest`.

    `workloads` are names, `digests` tell what they held. `weights` and `worst` say how they are combined. `samples` are
    evaluated before anything is learned, where there is an evaluator and fewer rows are logged.
    """

    template: str
    workloads: tuple[str, ...]
    digests: tuple[str, ...]
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()
    weights: tuple[float, ...] = ()
    worst: bool = False
    samples: int = 0
    sampler: str = "sobol"
    top: int = 16
    surrogate: str = surrogates.DEFAULT
    schedule: str = "quick"
    seed: int = 0
    log: str | None = None
    problem: str | None = None
    sources: tuple[str, ...] = ()
    fidelity: str = "external"
    options: Mapping[str, Any] = field(default_factory=dict)
    prefer: Mapping[str, float] = field(default_factory=dict)
    running: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Designs:
    """Designs to propose, coded, shape [designs, parameters], and what is expected of them, shape [designs] each.

    `predicted` is of the first goal, `expected` by the metric of each goal that a surrogate learned.
    """

    codes: NDArray[np.int64]
    predicted: NDArray[np.float64]
    expected: Mapping[str, NDArray[np.float64]]
    p_feasible: NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """The stages of a joint study; `designs`, `contenders` and `told` are those of one goal."""

    request: JointRequest
    workloads: tuple[Workload, ...]
    combination: Combination
    can_evaluate: bool

    def stages(self) -> list[Stage]:
        """Return the recipe."""
        return [
            Stage("log", (), "rows", self.logged),
            Stage("train", ("rows",), "models", self.trained),
            Stage("propose", ("rows", "models"), "proposals", self.proposed),
            Stage("verify", ("proposals",), "verified", self.verified),
            Stage("explain", ("rows", "models", "verified"), "compared", self.explained),
        ]

    def logged(self, setting: Setting) -> Evaluations:
        """Return the rows to learn from, sampling first where there is an evaluator and too few are logged."""
        if self.can_evaluate:
            for workload in self.workloads:
                self._sampled(setting, workload)
        rows = rows_to_learn(setting, self.workloads)
        if not self.can_evaluate:
            return rows
        return rows.select(unproposed(rows, setting.folder, setting.template.space))

    def _sampled(self, setting: Setting, workload: Workload) -> None:
        there = _rows_of(setting.log, setting)
        missing = self.request.samples - (0 if there is None else int((there.workload == workload.name).sum()))
        if missing > 0:
            executor, spec = setting.executor, setting.spec
            collect(
                setting.template,
                workload,
                executor,
                spec,
                samples=missing,
                sampler=self.request.sampler,
                seed=setting.seed,
                on_progress=setting.on_progress,
            )

    def trained(self, setting: Setting, rows: Evaluations) -> Models:
        """Return a model of each goal, those of an earlier run unless the log has grown: then it is a new round."""
        kept, models, fitted = self._same_round(setting, rows), Models(), False
        for objective in goals_to_learn(setting.problem):
            path = _model_path(setting, objective.metric)
            if not (kept and path.exists()):
                model = fit_surrogate(
                    rows,
                    replace(setting.problem, objectives=(objective,)),
                    kind=self.request.surrogate,
                    schedule=self.request.schedule,
                    seed=setting.seed,
                    on_progress=setting.on_progress,
                )
                save_atomically(model, path)
                fitted = True
            models[objective.metric] = surrogates.read(path, setting.template.space)
        if fitted:
            setting.folder.write(LEARNED, {"rows": len(rows)})
        return models

    def proposed(self, setting: Setting, rows: Evaluations, models: Models) -> dict[str, Any]:
        """Return the proposals of an earlier run of the same round, else new ones."""
        if (kept := self._kept_proposals(setting, rows)) is not None:
            return kept
        stage = "optimising the surrogate" if len(models) == 1 else "optimising the surrogates"
        setting.on_progress(stage, 0, 1)
        known = rows.select(np.isin(rows.workload.astype(str), self.combination.workloads))
        found = self.designs(setting, rows, models, known if len(known) else None)
        content = {
            "codes": found.codes.tolist(),
            "predicted": found.predicted.tolist(),
            "expected": {name: values.tolist() for name, values in found.expected.items()},
            "p_feasible": found.p_feasible.tolist(),
            "rows": len(rows),
            **occurrence_of(setting.template, rows, found.codes),
        }
        setting.folder.write(PROPOSALS, content)
        write_proposals(setting, content)
        setting.on_progress(stage, 1, 1)
        return content

    def designs(self, setting: Setting, rows: Evaluations, models: Models, known: Evaluations | None) -> Designs:
        """Return the designs to propose; those that are known are not proposed again."""
        (model,) = models.values()
        found = propose(
            model,
            setting.problem,
            self.contexts,
            top=self.request.top,
            seed=setting.seed,
            known=known,
            combine=partial(beside_best(self.combination, rows, setting.problem), objective=setting.problem.objective),
        )
        return Designs(found.codes, found.predicted, {setting.problem.metric: found.predicted}, found.p_feasible)

    @property
    def contexts(self) -> list[Context]:
        """What is known of the workloads."""
        return [context_of(workload) for workload in self.workloads]

    def _kept_proposals(self, setting: Setting, rows: Evaluations) -> dict[str, Any] | None:
        if not setting.folder.has(PROPOSALS):
            return None
        kept = setting.folder.read(PROPOSALS)
        return kept if self.can_evaluate or kept["rows"] == len(rows) else None

    def _same_round(self, setting: Setting, rows: Evaluations) -> bool:
        """Return whether what the folder holds was learned from these rows: a log that has grown begins a new round.

        Where there is an evaluator the study ends with what it verified, whatever is logged later.
        """
        return self.can_evaluate or not setting.folder.has(LEARNED) or setting.folder.read(LEARNED)["rows"] == len(rows)

    def verified(self, setting: Setting, proposals: Mapping[str, Any]) -> Evaluations | None:
        """Return the proposals' rows on every workload; None where nobody can evaluate them here."""
        if not self.can_evaluate:
            return None
        kept = Log(setting.folder.path / VERIFIED)
        if kept.fragments():
            return kept.evaluations(setting.template.space.name)
        designs = setting.template.space.designs(np.array(proposals["codes"], dtype=np.int64))
        candidates, done, found = [Candidate(design) for design in designs], 0, list[Evaluation]()
        total = len(candidates) * len(self.workloads)
        for workload in self.workloads:
            for evaluation in setting.executor.run(setting.spec, candidates, workload):
                found.append(evaluation)
                done += 1
                setting.on_progress("verifying candidates", done, total)
        rows = Evaluations.from_list(found)
        kept.append(rows)
        return rows

    def explained(
        self,
        setting: Setting,
        rows: Evaluations,
        models: Models,
        verified: Evaluations | None,
    ) -> Compared:
        """Compare the best of the log with what was verified, and write what the study found."""
        problem = setting.problem
        every = rows if verified is None else Evaluations.concat([rows, verified])
        combination = beside_best(self.combination, rows, problem)
        joint, old = (together(part, combination, problem) for part in (every, rows))
        if not has_legal(joint, problem):
            raise ArmillaryError(nothing_legal(setting, self.combination))
        found = self.contenders(setting, joint, old)
        first = next(iter(models.values()))
        learned = {
            "combination": self.combination.words,
            "evaluator": {
                "evaluator": setting.spec.name,
                "version": setting.spec.version,
                "options": options_text(setting.spec.options),
            },
            "warnings": self.warnings(setting, first),
            **self.told(setting, models, old),
            **reliability_of(first),
        }
        write_results(setting, found, None, learned)
        return found

    def contenders(self, setting: Setting, joint: Evaluations, old: Evaluations) -> Compared:
        """Return what is compared: the best of all designs, and of those that were logged before."""
        problem = setting.problem
        best = joint.row(int(problem.values(joint).argmin()))
        of_log = old.row(int(problem.values(old).argmin())) if has_legal(old, problem) else None
        ahead = of_log is None or best.design != of_log.design
        note = f"proposed by {self.request.surrogate}, verified" if ahead else "best of the log"
        return Compared(
            winner=contender_of("Winner", note, best, setting),
            best_of_log=contender_of("Best of log", f"best of {len(old):,} logged designs", of_log or best, setting),
        )

    def told(self, setting: Setting, models: Models, old: Evaluations) -> dict[str, Any]:
        """Return what the model, and the log, tell a reader."""
        (model,) = models.values()
        return {
            "importances": importances(old, setting.problem, setting.seed) if len(old) else {},
            "facts": dict(model.facts()),
            "remarks": list(remarks_of(model)),
            **selection_of(model),
        }

    def warnings(self, setting: Setting, model: Savable) -> list[str]:
        """Return what a reader of the proposals should know."""
        found = [model.unlike(context) for context in self.contexts]
        found += [
            model.below_the_log(bound.metric, bound.at_most)
            for bound in setting.problem.bounds
            if bound.at_most is not None
        ]
        problem = setting.problem
        if self.request.problem is not None and problem.exists is None and problem.candidates is None:
            found.append(
                "no rule says which designs exist: any combination of values is proposed; columns rarest_pair and "
                "rarest_triple tell how many logged rows share a proposal's rarest combination"
            )
        return [warning for warning in found if warning is not None]


def goals_to_learn(problem: Problem) -> tuple[Objective, ...]:
    """Return the goals that a surrogate learns: those that no law tells; one at least, to learn what is feasible."""
    return tuple(o for o in problem.objectives if o.metric not in problem.laws) or problem.objectives[:1]


def _model_path(setting: Setting, metric: str) -> Path:
    """Return where the model of a goal is kept: of the only one, where every study keeps its model."""
    only = len(setting.problem.objectives) == 1
    return setting.folder.model if only else setting.folder.path / f"model-{metric}.pt"


def together(rows: Evaluations, combination: Combination, problem: Problem) -> Evaluations:
    """Return one row per design for all workloads together."""
    return combined(rows, combination, problem.objectives, [bound.metric for bound in problem.bounds])


def has_legal(rows: Evaluations, problem: Problem) -> bool:
    """Return whether a row is feasible and keeps to the bounds."""
    return len(rows) > 0 and bool(np.isfinite(problem.matrix(rows)).any())


def remarks_of(model: Savable) -> Sequence[str]:
    """Return what a model remarks on, where it does."""
    return model.remarks if isinstance(model, TellsRemarks) else ()


def rows_to_learn(setting: Setting, workloads: Sequence[Workload]) -> Evaluations:
    """Return the rows to learn from: those of the workloads, where each has enough, else all of the evaluator's.

    Raises:
        ArmillaryError: if the log holds no row of the evaluator, or no feasible one.
    """
    rows = _rows_of(setting.log, setting)
    if rows is None:
        raise ArmillaryError(
            f"{setting.log.path}: holds no row of {setting.spec.name} {setting.spec.version}; log some with "
            "`armillary log import` or `armillary collect`"
        )
    if not rows.feasible.any():
        raise ArmillaryError(f"{setting.log.path}: none of its {len(rows):,} rows of {setting.spec.name} is feasible")
    names = [workload.name for workload in workloads]
    enough = all(int((rows.feasible & (rows.workload == name)).sum()) >= _FEWEST for name in names)
    return rows.select(np.isin(rows.workload.astype(str), names)) if enough else rows


def _rows_of(log: Log, setting: Setting) -> Evaluations | None:
    """Return the evaluator's rows of a log; None if it holds none."""
    if setting.template.space.name not in log.spaces():
        return None
    rows = log.evaluations(setting.template.space.name)
    rows = rows.select(of_evaluator(rows, setting.spec))
    return rows if len(rows) else None


def occurrence_of(template: Template, rows: Evaluations, codes: NDArray[np.int64]) -> dict[str, list[int]]:
    """Return how many logged rows share the rarest pair and triple of values of each proposal."""
    logged = template.space.encode_columns(rows.design)
    found = {
        "rarest_pair": fewest(template.space, logged, codes, 2),
        "rarest_triple": fewest(template.space, logged, codes, 3),
    }
    return {name: counts.tolist() for name, counts in found.items() if counts is not None}


def write_proposals(setting: Setting, content: Mapping[str, Any]) -> None:
    """Write proposals for a user's own simulator: a CSV with the parameters as they are named, and all as YAML."""
    rows = proposal_rows(setting.template, content)
    with setting.folder.replaced(CSV) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    designs = [design.as_dict() for design in setting.template.space.designs(np.array(content["codes"]))]
    document = {"problem": setting.template.name, "command": setting.command, "designs": designs}
    setting.folder.write_text(YAML, yaml.safe_dump(document, sort_keys=False))


def proposal_rows(template: Template, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return proposals as rows: parameters, laws, what is expected of the objective, and the chance to be feasible."""
    codes = np.array(content["codes"], dtype=np.int64)
    columns: dict[str, Sequence[Any]] = {
        name: column.tolist() for name, column in template.space.columns(codes).items()
    }
    columns |= {name: law(codes).tolist() for name, law in template.laws.items()}
    columns |= {f"predicted_{name}": values for name, values in content["expected"].items()}
    columns |= {name: content[name] for name in ("p_feasible", "rarest_pair", "rarest_triple") if name in content}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def contender_of(name: str, note: str, row: Evaluation, setting: Setting) -> Contender:
    """Return a design to compare; rows of a user's log, and of several workloads together, cannot be taken apart."""
    return Contender(name, row.design, setting.problem.with_derived(row.metrics), None, None, note)


def nothing_legal(setting: Setting, combination: Combination) -> str:
    """Return the message for a study in which no design keeps to the bounds."""
    bounds = " and ".join(map(str, setting.problem.bounds)) or "no bounds"
    return (
        f"{setting.log.path}: no design of the log or of the proposals is feasible on {combination.label} within "
        f"{bounds}; loosen the bounds, or log more designs"
    )

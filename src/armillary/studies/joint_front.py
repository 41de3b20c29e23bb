"""Designs for several goals from a log: a surrogate of each goal, and proposals from the front that they expect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from armillary import surrogates
from armillary.studies.comparing import Compared, write_results
from armillary.studies.design import PROPOSALS, reliability_of
from armillary.studies.fit import fit_surrogate, save_atomically
from armillary.studies.fronts import front_of, propose_front, write_front
from armillary.studies.joint_recipe import (
    LEARNED,
    Recipe,
    contender_of,
    nothing_legal,
    occurrence_of,
    write_proposals,
)
from armillary.studies.stages import Setting
from armillary.surrogates import Savable, TellsRemarks
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads.context import context_of

Models = dict[str, Savable]
"""A surrogate of each goal that no law tells, by its metric."""


class FrontRecipe(Recipe):
    """The stages of a joint study of several goals."""

    def trained(self, setting: Setting, rows: Evaluations) -> Models:  # type: ignore[override]  # several models
        """Return a model of each goal, those of an earlier run of the same round."""
        same, models = self._same_round(setting, rows), Models()
        for objective in setting.problem.objectives:
            if objective.metric in setting.problem.laws:
                continue
            path = _model_path(setting, objective.metric)
            if not (path.exists() and same):
                model = fit_surrogate(
                    rows,
                    replace(setting.problem, objectives=(objective,)),
                    kind=self.request.surrogate,
                    schedule=self.request.schedule,
                    seed=setting.seed,
                    on_progress=setting.on_progress,
                )
                save_atomically(model, path)
            models[objective.metric] = surrogates.read(path, setting.template.space)
        setting.folder.write(LEARNED, {"rows": len(rows)})
        return models

    def proposed(self, setting: Setting, rows: Evaluations, model: Models) -> dict[str, Any]:  # type: ignore[override]
        """Return the designs that the models expect on the front, spread over it."""
        if (kept := self._kept_proposals(setting, rows)) is not None:
            return kept
        setting.on_progress("optimising the surrogates", 0, 1)
        contexts = [context_of(workload) for workload in self.workloads]
        known = rows.select(np.isin(rows.workload.astype(str), self.combination.workloads))
        codes = propose_front(
            model,
            setting.problem,
            contexts,
            top=self.request.top,
            seed=setting.seed,
            known=known if len(known) else None,
        )
        predictions = {name: [one.predict(codes, context) for context in contexts] for name, one in model.items()}
        expected = {name: np.mean([p.mean for p in found], axis=0).tolist() for name, found in predictions.items()}
        chances = [np.prod([p.p_feasible for p in found], axis=0) for found in predictions.values()]
        first = setting.problem.objectives[0].metric
        content = {
            "codes": codes.tolist(),
            "predicted": expected[first] if first in expected else setting.problem.laws[first](codes).tolist(),
            "expected": expected,
            "p_feasible": np.min(chances, axis=0).tolist(),
            "rows": len(rows),
            **occurrence_of(setting.template, rows, codes),
        }
        setting.folder.write(PROPOSALS, content)
        write_proposals(setting, content)
        setting.on_progress("optimising the surrogates", 1, 1)
        return content

    def explained(  # type: ignore[override]  # several models
        self, setting: Setting, rows: Evaluations, model: Models, verified: Evaluations | None
    ) -> Compared:
        """Compare the preferred design of the front with that of the log alone, and write what the study found."""
        problem, prefer = setting.problem, self.request.prefer
        every = rows if verified is None else Evaluations.concat([rows, verified])
        joint, old = (self.joint(part, problem, rows) for part in (every, rows))
        if not np.isfinite(problem.matrix(joint)).any():
            raise ArmillaryError(nothing_legal(setting, self.combination))
        front = front_of(problem, joint, prefer)
        logged = front_of(problem, old, prefer) if np.isfinite(problem.matrix(old)).any() else front
        write_front(setting.folder.path, front)
        note = f"preferred of {len(front.rows):,} designs on the front"
        found = Compared(
            winner=contender_of("Winner", note, front.rows.row(front.preferred), setting),
            best_of_log=contender_of("Best of log", "preferred of the log", logged.rows.row(logged.preferred), setting),
        )
        first = next(iter(model.values()))
        learned = {
            "importances": {},
            "combination": self.combination.words,
            "evaluator": [setting.spec.name, setting.spec.version],
            "facts": {f"{name}: {fact}": value for name, one in model.items() for fact, value in one.facts().items()},
            "remarks": [
                f"{name}: {remark}"
                for name, one in model.items()
                if isinstance(one, TellsRemarks)
                for remark in one.remarks
            ],
            "warnings": self.warnings(setting, first),
            "trials": [],
            "chosen_trial": -1,
            **reliability_of(first),
        }
        write_results(setting, found, None, learned)
        return found


def _model_path(setting: Setting, metric: str) -> Path:
    return setting.folder.path / f"model-{metric}.pt"

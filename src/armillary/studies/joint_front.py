"""Designs for several goals from a log: a surrogate of each goal, and proposals from the front that they expect."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.studies.comparing import Compared
from armillary.studies.fronts import front_of, propose_front, write_front
from armillary.studies.joint_recipe import Designs, Models, Recipe, contender_of, has_legal, remarks_of
from armillary.studies.propose import predictions_of
from armillary.studies.stages import Setting
from armillary.types import Evaluations


class FrontRecipe(Recipe):
    """The stages of a joint study of several goals."""

    def designs(self, setting: Setting, rows: Evaluations, models: Models, known: Evaluations | None) -> Designs:  # noqa: ARG002
        """Return the designs that the models expect on the front, spread over it."""
        problem = setting.problem
        codes = propose_front(models, problem, self.contexts, top=self.request.top, seed=setting.seed, known=known)
        predictions = {name: predictions_of(model, codes, self.contexts) for name, model in models.items()}
        expected = {
            name: np.mean([p.mean for p in found], axis=0)
            for name, found in predictions.items()
            if name not in problem.laws
        }
        first = problem.objectives[0].metric
        chances = [np.prod([p.p_feasible for p in found], axis=0) for found in predictions.values()]
        return Designs(
            codes=codes,
            predicted=expected[first] if first in expected else problem.laws[first](codes),
            expected=expected,
            p_feasible=np.min(chances, axis=0),
        )

    def contenders(self, setting: Setting, joint: Evaluations, old: Evaluations) -> Compared:
        """Return the preferred design of the front and that of the log alone, and write the front."""
        problem, prefer = setting.problem, self.request.prefer
        front = front_of(problem, joint, prefer)
        logged = front_of(problem, old, prefer) if has_legal(old, problem) else front
        write_front(setting.folder.path, front)
        note = f"preferred of {len(front.rows):,} designs on the front"
        return Compared(
            winner=contender_of("Winner", note, front.rows.row(front.preferred), setting),
            best_of_log=contender_of("Best of log", "preferred of the log", logged.rows.row(logged.preferred), setting),
        )

    def told(self, setting: Setting, models: Models, old: Evaluations) -> dict[str, Any]:  # noqa: ARG002
        """Return what each model tells a reader, its goal named."""
        return {
            "importances": {},
            "facts": {
                f"{name}: {fact}": value for name, model in models.items() for fact, value in model.facts().items()
            },
            "remarks": [f"{name}: {remark}" for name, model in models.items() for remark in remarks_of(model)],
            "trials": [],
            "chosen_trial": -1,
        }

"""Settings of an ensemble's members, found by trying others on rows that are left out.

Source: Esmaeilzadeh et al. (arXiv 2308.12120) tune each of their models before they stack them; in their public scripts
by random search. Ours is Optuna's tree-structured Parzen estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import TPESampler

from armillary.surrogates.auto.encoding import Encoding
from armillary.surrogates.auto.member import Lesson, Member

Split = tuple[NDArray[np.int64], NDArray[np.int64]]
TRIALS: Mapping[str, int] = {"brief": 0, "quick": 10, "full": 40}
"""Settings that are tried of each kind of member, by schedule."""


@runtime_checkable
class Tunable(Protocol):
    """The capability of a kind of member to be learned with settings of its own: `learned` takes a `setting`, too."""

    def suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return another setting to try."""
        ...


def tuned(
    kind: type[Member], encoding: Encoding, lesson: Lesson, splits: Sequence[Split], seed: int, trials: int
) -> dict[str, Any]:
    """Return the setting of a kind of member whose mean absolute error of left-out rows is least.

    The kind's own setting, an empty one, stays where no other is better by more than the standard error of the
    difference: among many settings one looks better by chance.

    Args:
        kind: of member.
        encoding: of points.
        lesson: what is learned.
        splits: rows to learn and rows to leave out, again and again.
        seed: same seed, same setting.
        trials: settings to try; of a kind that has none, nothing is tried.
    """
    if not trials or not isinstance(kind, Tunable):
        return {}
    offered: Tunable = kind
    own = _errors(kind, encoding, lesson, splits, seed, {})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=TPESampler(seed=seed))
    tried: list[tuple[dict[str, Any], NDArray[np.float64]]] = []

    def loss(trial: optuna.Trial) -> float:
        setting = offered.suggested(trial)
        tried.append((setting, _errors(kind, encoding, lesson, splits, seed, setting)))
        return float(tried[-1][1].mean())

    study.optimize(loss, n_trials=trials)
    setting, errors = min(tried, key=lambda one: float(one[1].mean()))
    gain = own - errors
    doubt = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return setting if float(gain.mean()) > doubt else {}


def _errors(
    kind: Any, encoding: Encoding, lesson: Lesson, splits: Sequence[Split], seed: int, setting: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Return the absolute error of each row when it is left out, shape [rows]."""
    errors = np.empty(len(lesson.targets))
    for train, test in splits:
        member = kind.learned(encoding, lesson.part(train), seed, setting)
        errors[test] = np.abs(member.predict(lesson.points[test])[0] - lesson.targets[test])
    return errors

"""A hurdle model: how good a design is, and the chance that it can be built, from a log and from what experts know.

It is a deep ensemble (`armillary.surrogates.deep_ensemble`) with three differences. It is told what the template
derives of a design and a workload before anything is evaluated, such as the two roofs of the roofline
(`Space.derived`): so it need not learn from a log without the best designs what a faster array is worth, and what it
learned of some workloads holds for another one of other sizes. It trains long enough for that, in proportion to the
workloads. And of a workload that it was not trained on half of what it says, value and chance alike, is the mean of
what it says of those that it was: a handful of workloads teach little of how designs depend on the workload, while
what suits all of them suits another one, too. How it compares with other surrogates is told in docs/prime.md.

Sources: hurdle models, Cragg, Econometrica 1971; features of the domain, the Spotlight chapter, Section 4.1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.problems.problem import Problem
from armillary.surrogates.deep_ensemble import DeepEnsemble, Said
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import place_of
from armillary.types import ArmillaryError, Log

_SETTING: Mapping[str, Any] = {"steps": 8000, "steps_per_workload": 1500, "caution": 0.0}


class Hurdle(DeepEnsemble):
    """The hurdle model.

    Args:
        lean: for a workload that was not trained on, the share in what it says of the mean over those that were.
        options: of the deep ensemble, which is told what the space derives and has no caution here.
    """

    kind = "hurdle"

    def __init__(self, *, lean: float = 0.5, **options: Any) -> None:
        if not 0 <= lean <= 1:
            raise ArmillaryError(f"lean={lean} is not allowed; it lies between 0 and 1")
        super().__init__(**{"derived": True, **({} if options.get("setting") else _SETTING), **options})
        self._lean = lean
        self._last: dict[bytes, dict[bytes, Said]] = {}

    def fit(self, log: Log, problem: Problem) -> Hurdle:
        """Train on a log, and calibrate on a tenth of it.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        self._last = {}
        super().fit(log, problem)
        return self

    def leaning(self, lean: float) -> Hurdle:
        """Return the same fitted model that leans otherwise."""
        other = copy(self)
        other._lean, other._last = lean, {}
        return other

    def said(self, codes: NDArray[np.int64], features: NDArray[np.float64] | None) -> Said:
        """Return what it says of designs, leaning if the workload is not one that it was trained on."""
        own, contexts = self._remembered(codes, features), self._fitted.inputs.contexts
        if not self._lean or features is None or place_of(features, contexts) is not None:
            return own
        known = np.mean([_in_logarithms(self._remembered(codes, context)) for context in contexts], axis=0)
        value, spread, log_chance = (1 - self._lean) * _in_logarithms(own) + self._lean * known
        return value, spread, np.exp(log_chance)

    def _remembered(self, codes: NDArray[np.int64], features: NDArray[np.float64] | None) -> Said:
        """Return what the networks say; of the last designs it is remembered: all unseen workloads ask for the same."""
        asked, context = codes.tobytes(), b"" if features is None else features.tobytes()
        if asked not in self._last:
            self._last = {asked: {}}
        if context not in self._last[asked]:
            self._last[asked][context] = super().said(codes, features)
        return self._last[asked][context]

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what `of` makes the model of again, see `DeepEnsemble.parts`."""
        content, weights = super().parts()
        return {**content, "lean": self._lean}, weights

    @classmethod
    def options_of(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the model that `parts` described."""
        return {**super().options_of(content), "lean": content["lean"]}


def _in_logarithms(said: Said) -> NDArray[np.float64]:
    """Return value, disagreement and the logarithm of the chance, shape [3, designs]."""
    value, spread, chance = said
    return np.stack([value, spread, np.log(chance)])


KIND = SurrogateKind(Hurdle, read=Hurdle.load)

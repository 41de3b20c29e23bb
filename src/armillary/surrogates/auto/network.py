"""The deep ensemble as a member: five networks, read with caution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Opinion, Parts
from armillary.surrogates.deep_ensemble import Networks, Setting

_FEWEST_STEPS, _MOST_STEPS, _STEPS_PER_ROW = 800, 1500, 2.0
_AT_ONCE = 512  # points: so few that their activations stay in a core's caches


class Ensemble:
    """The networks; how they differ is how unsure they are, and what they expect is that much worse.

    Args:
        encoding: of points.
        networks: trained.
        setting: with which they were built.
        location: of the targets, and their spread.
    """

    name: ClassVar[str] = "deep ensemble"

    def __init__(self, encoding: Encoding, networks: Networks, setting: Setting, location: tuple[float, float]) -> None:
        self._encoding, self._networks, self._setting, self._location = encoding, networks, setting, location

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int) -> Ensemble:
        """Return the networks of a lesson; the steps of training follow its rows."""
        rows = len(lesson.targets)
        setting = Setting(steps=int(np.clip(_STEPS_PER_ROW * rows, _FEWEST_STEPS, _MOST_STEPS)))
        good, bad = (torch.from_numpy(encoding.one_hot(points)) for points in (lesson.points, lesson.infeasible))
        networks = Networks(good.shape[1], setting, "squares", seed)
        location = float(lesson.targets.mean()), float(lesson.targets.std()) + 1e-9
        targets = torch.from_numpy((lesson.targets - location[0]) / location[1]).float()
        networks.train(good, targets, bad, setting.steps)
        return cls(encoding, networks, setting, location)

    def again(self, lesson: Lesson, seed: int) -> Ensemble:
        """Return the same of another lesson, learned anew."""
        return self.learned(self._encoding, lesson, seed)

    def predict(self, points: Points) -> Opinion:
        """Return what they expect, and how far they differ."""
        value, spread = np.empty(len(points)), np.empty(len(points))
        outputs = self._networks.on(torch.device("cpu"))
        for first in range(0, len(points), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            with torch.inference_mode():
                out = outputs(torch.from_numpy(self._encoding.one_hot(points[part])))[0].double()
                value[part], spread[part] = out.mean(dim=0).numpy(), out.std(dim=0).numpy()
        cautious: NDArray[np.float64] = value + self._setting.caution * spread
        return self._location[0] + self._location[1] * cautious, self._location[1] * spread

    def parts(self) -> Parts:
        """Return what `of` makes the networks of again."""
        return {"setting": asdict(self._setting), "location": list(self._location)}, self._networks.tensors()

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Ensemble:
        """Return the networks that `parts` described."""
        setting = Setting(**content["setting"])
        networks = Networks(encoding.one_hot_width, setting, "squares", 0)
        networks.adopt(tensors)
        mean, spread = content["location"]
        return cls(encoding, networks, setting, (mean, spread))

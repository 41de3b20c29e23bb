"""`ppa-transfer`: the surrogate `ppa-rtl` of few layouts, on top of what many others tell.

Layouts of other algorithms, platforms or technologies give a first guess of every design (see `elsewhere`). The
ensemble then learns from the layouts at hand how far off the guess is, in logarithms, with the guess among what its
members are told. A constant factor between technologies, say, takes a handful of layouts. Where layouts that were left
out are told better without the guess by more than the standard error of the difference, as may be on a platform that is
like no other, it learns without.

Source: few-shot learning on an unseen platform, and transfer to another technology, after Esmaeilzadeh et al. (arXiv
2308.12120); the method is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates.auto.learned import under
from armillary.surrogates.auto.member import Parts
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.ppa.elsewhere import CLOCK, Elsewhere, Sources, relative
from armillary.surrogates.ppa.graph import Architectures
from armillary.surrogates.ppa.rtl_surrogate import RtlPpa
from armillary.surrogates.rows import Scale
from armillary.types import ArmillaryError, Log


class TransferPpa(RtlPpa):
    """The surrogate; see `Ppa` for the other arguments.

    Args:
        sources: layouts to learn from beforehand, ten feasible ones in all.

    Raises:
        ArmillaryError: if the space is not one of architectures with knobs whose RTL a platform writes.
    """

    kind: ClassVar[str] = "ppa-transfer"
    _elsewhere: Elsewhere | None = None

    def __init__(self, *, space: Space, sources: Sources | None = None, **options: Any) -> None:
        if CLOCK not in space.names:
            raise ArmillaryError(
                f"surrogate 'ppa-transfer' asks for designs with knobs of the back end, which space {space.name!r} has "
                "not; choose --template NAME.physical, or --surrogate ppa"
            )
        super().__init__(space=space, **options)
        self._sources, self._slowness, self._trust = sources, 1.0, 1.0
        self._architectures = Architectures.of(space)
        self._knobs = tuple(space.names[place] for place in self._architectures.knobs)

    def fit(self, log: Log, problem: Problem) -> Self:
        """Learn the sources, then a log. Fitted again, to other layouts, it keeps what the sources told of the metric.

        Raises:
            ArmillaryError: if the sources or the log cannot be learned from; the message says why.
        """
        if self._sources is None:
            raise ArmillaryError("surrogate 'ppa-transfer' learns from other layouts beforehand; make it with sources")
        slow = set(self._sources.slowness_of(log.evaluations(self.space.name)).tolist())
        if len(slow) != 1:
            raise ArmillaryError(
                f"the log's layouts of {self.space.name} are of technologies of other slowness ({sorted(slow)}); "
                "learn from one technology, and name the others as sources"
            )
        known = self._elsewhere
        if known is None or (known.metric, self._slowness) != (problem.metric, *slow):
            self._slowness = slow.pop()
            self._elsewhere = self._learned(self._sources, problem)
        self._trust = 0.0
        without = super().fit(log, problem)._fitted
        self._trust = 1.0
        gain = super().fit(log, problem)._fitted.stack.off - without.stack.off
        if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):  # as `tuning` takes settings
            self._trust, self._state = 0.0, without
        return self

    def _learned(self, sources: Sources, problem: Problem) -> Elsewhere:
        asked = {name: set(self._relative(name, self.space.parameter(name).values)) for name in self._knobs}
        return Elsewhere.learned(sources, problem, asked, self._seed)

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training, with the layouts of the sources and whether they counted."""
        assert self._elsewhere is not None
        told = {"layouts elsewhere": float(self._elsewhere.layouts), "trust in them": self._trust}
        return {**told, **super().facts()}

    def _parts(self) -> Parts:
        assert self._elsewhere is not None
        content, weights = super()._parts()
        told, more = self._elsewhere.parts()
        own = {f"elsewhere/{name}": tensor for name, tensor in more.items()}
        return {**content, "elsewhere": told, "slowness": self._slowness, "trust": self._trust}, {**weights, **own}

    def _restore(self, content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        self._slowness, self._trust = content["slowness"], content["trust"]
        self._elsewhere = Elsewhere.read(content["elsewhere"], under("elsewhere", weights))
        super()._restore(content, weights)

    def _described(self) -> Space:
        plain = super()._described()
        assert plain.derived is not None
        own = plain.derived

        def derived(codes: NDArray[np.int64], features: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.concatenate([own(codes, features), self._logarithm(codes)[:, None]], axis=1)

        return replace(plain, derived=derived)

    def _guess(self, codes: NDArray[np.int64], scale: Scale) -> NDArray[np.float64]:
        if scale.transform != "log":
            raise ArmillaryError(
                f"surrogate 'ppa-transfer' cannot predict this metric of {self.space.name}: values of the log are not "
                "above zero, and have no logarithm"
            )
        return self._trust * (self._logarithm(codes) - scale.location) / scale.spread

    def _logarithm(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logarithm of the metric that the sources promise, shape [designs]."""
        assert self._elsewhere is not None
        values = {name: np.array(self.space.parameter(name).values, dtype=object) for name in self._knobs}
        columns = {
            name: self._relative(name, values[name][codes[:, self.space.names.index(name)]].tolist())
            for name in self._knobs
        }
        return self._elsewhere.logarithm(columns, self._architectures.totals(codes))

    def _relative(self, name: str, values: Sequence[Any]) -> list[Any]:
        return [relative(name, value, self._slowness) for value in values]


KIND = SurrogateKind(TransferPpa, read=TransferPpa.load, scheduled=True, schedule="brief", parted=True, sourced=True)

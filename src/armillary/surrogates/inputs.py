"""What a network is told of a design and of the workload that it is to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.spaces.space import Space
from armillary.surrogates.prime.fitted import normalised
from armillary.surrogates.rows import Rows

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network: the design, the context if there are several workloads, what the space derives of both.

    Attributes:
        space: of the designs.
        feature_names: names of the context's features.
        contexts: features of each workload, shape [workloads, features].
        location: mean of each derived quantity over the rows that were trained on; empty if none is told.
        spread: standard deviation of each.
    """

    space: Space
    feature_names: tuple[str, ...]
    contexts: NDArray[np.float64]
    location: NDArray[np.float64]
    spread: NDArray[np.float64]

    @staticmethod
    def of(
        space: Space, feature_names: tuple[str, ...], contexts: NDArray[np.float64], rows: Sequence[Rows], derived: bool
    ) -> Inputs:
        """Return the inputs for a network that learns from these rows, with what the space derives or without."""
        none = np.empty(0)
        plain = Inputs(space, feature_names, contexts, none, none)
        if not derived or space.derived is None:
            return plain
        told = np.concatenate([plain.derived(part.codes, contexts[part.workload]) for part in rows])
        spread = told.std(axis=0)
        return Inputs(space, feature_names, contexts, told.mean(axis=0), np.where(spread > 0, spread, 1.0))

    @property
    def several(self) -> bool:
        """Whether there are several workloads."""
        return len(self.contexts) > 1

    @property
    def width(self) -> int:
        """Number of inputs."""
        context = len(self.feature_names) if self.several else 0
        return self.space.one_hot_width + len(self.space.parameters) + context + len(self.location)

    def of_rows(self, rows: Rows) -> Tensor:
        """Return the inputs of rows of a log, shape [rows, width]."""
        return self(rows.codes, self.contexts[rows.workload] if self.several else None)

    def __call__(
        self, codes: NDArray[np.int64], features: NDArray[np.float64] | None, device: torch.device = _CPU
    ) -> Tensor:
        """Return the inputs of designs, shape [designs, width].

        Args:
            codes: value indices, shape [designs, parameters].
            features: of the context, shape [features] or one row per design; not looked at if there is one workload.
            device: where they are wanted.
        """
        parts = [encoded(self.space, codes, device)]
        told = features if self.several else self.contexts[0]
        assert told is not None
        if self.several:
            parts.append(normalised(told, self.contexts).to(device).expand(len(codes), told.shape[-1]))
        if len(self.location):
            standard = (self.derived(codes, told) - self.location) / self.spread
            parts.append(torch.from_numpy(standard.astype(np.float32)).to(device))
        return torch.cat(parts, dim=1)

    def derived(self, codes: NDArray[np.int64], features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the space derives, in its own units, shape [designs, quantities]."""
        assert self.space.derived is not None
        told = dict(zip(self.feature_names, features.T, strict=True))
        return self.space.derived(codes, {name: size for name, size in told.items() if np.isfinite(size).all()})


def encoded(space: Space, codes: NDArray[np.int64], device: torch.device = _CPU) -> Tensor:
    """Return designs as inputs of a network: one-hot values, and how large each is, shape [designs, inputs].

    Amounts count by their logarithm, ranks by their place, both from 0 to 1.
    """
    offsets, sizes = _columns(space, device)
    places = torch.from_numpy(np.ascontiguousarray(codes)).to(device) + offsets
    one_hot = torch.zeros(len(codes), space.one_hot_width, device=device).scatter_(1, places, 1.0)
    return torch.cat([one_hot, sizes[places]], dim=1)


@lru_cache(maxsize=64)
def _columns(space: Space, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the one-hot column of each parameter's first value, and for every column how large its value is."""
    sizes = []
    for parameter in space.parameters:
        size = np.arange(len(parameter.values), dtype=float)
        if parameter.kind == "cardinal" and min(parameter.values) > 0:  # type: ignore[operator]
            size = np.log2(np.array(parameter.values, dtype=float))
        size = size - size[0]
        sizes.append(size / (size[-1] if size[-1] else 1.0))
    with torch.inference_mode(False):  # they outlive the call, and may be trained with
        offsets = torch.from_numpy(np.cumsum([0, *space.cardinalities[:-1]]))
        return offsets.to(device), torch.from_numpy(np.concatenate(sizes)).float().to(device)

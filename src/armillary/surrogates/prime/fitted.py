"""A fitted PRIME: what predicts, and what lies in a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cores import ranges, workers
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.feasibility import FeasibilityMap
from armillary.surrogates.prime.model import TOKENS_AT_ONCE, Architecture, Weights, embed, mixed
from armillary.surrogates.rows import Scale, features_of, scale_of
from armillary.surrogates.selection import Selection
from armillary.types import Prediction

KIND = "prime"


@dataclass(frozen=True)
class FittedPrime:
    """The kept members of the grid with all that a prediction needs.

    Attributes:
        problem: what was learned.
        shape: the network.
        weights: tensors of shape [kept members, ...].
        workloads: names of the workloads that were trained on.
        feature_names: names of the context features.
        contexts: features of each workload, shape [workloads, features].
        scales: how each workload's metric was standardised.
        feasibility: map from standard values to the probability of feasibility.
        selection: how the members were chosen.
        least: of each metric of the log, the least of the feasible designs that were learned from.
    """

    problem: Problem
    shape: Architecture
    weights: Weights
    workloads: tuple[str, ...]
    feature_names: tuple[str, ...]
    contexts: NDArray[np.float64]
    scales: tuple[Scale, ...]
    feasibility: FeasibilityMap
    selection: Selection
    least: Mapping[str, float] = field(default_factory=dict)

    def predict(self, codes: NDArray[np.int64], contexts: Sequence[Mapping[str, float] | None]) -> list[Prediction]:
        """Predict designs, codes of shape [designs, parameters], of workloads with these features; see `Prime`."""
        every = [self.features(context) for context in contexts]
        predictions = []
        for features, mean, spread in zip(every, *self._standard(codes, every), strict=True):
            scale = self.scale(features)
            restored = scale.restore(mean)
            std = scale.restore_spread(spread, restored)
            predictions.append(Prediction(mean=restored, std=std, p_feasible=self.feasibility(mean)))
        return predictions

    def features(self, context: Mapping[str, float] | None) -> NDArray[np.float64] | None:
        """Return what the network is told of a workload, shape [features]; nothing if it serves one only.

        Raises:
            ArmillaryError: see `rows.features_of`.
        """
        features = features_of(context, self.feature_names, self.contexts, self.workloads)
        return features if self.shape.contexts else None

    def scale(self, features: NDArray[np.float64] | None) -> Scale:
        """Return the scale of the workload with these features; see `rows.scale_of`."""
        return scale_of(features, self.feature_names, self.contexts, self.scales)

    def _standard(
        self, codes: NDArray[np.int64], features: Sequence[NDArray[np.float64] | None]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return value and deviation in standard units, each of shape [contexts, designs].

        Args:
            codes: value indices, shape [designs, parameters].
            features: each context's raw features, shape [features]; not looked at by a model of one workload.

        The deviation is that of the predictors and, with several kept members, of the members.
        """
        device = self.weights["embed"].device
        kept, several = len(self.weights["embed"]), bool(self.shape.contexts)
        rows = [normalised(own, self.contexts).to(device) if several and own is not None else None for own in features]
        mean, spread = (np.empty((len(features), len(codes))) for _ in range(2))

        @torch.inference_mode()
        def predict(first: int, last: int) -> None:
            some = torch.from_numpy(np.ascontiguousarray(codes[first:last])).to(device).expand(kept, -1, -1)
            embedding = embed(self.shape, self.weights, some)
            for k, row in enumerate(rows):
                known = None if row is None else row.expand(kept, last - first, -1)
                value, within = mixed(self.shape, self.weights, embedding, known)
                among = value.var(dim=0, correction=0) + (within**2).mean(dim=0)
                mean[k, first:last] = value.mean(dim=0).cpu().numpy()
                spread[k, first:last] = among.sqrt().cpu().numpy()

        with workers(device) as share:
            share(predict, ranges(len(codes), max(1, TOKENS_AT_ONCE[device.type] // codes.shape[1])))
        return mean, spread

    def parts(self) -> tuple[dict[str, Any], Weights]:
        """Return what `of` makes the model of again: a description as JSON can hold it, and the weights by name."""
        content = {
            "architecture": self.shape.as_dict(),
            "workloads": list(self.workloads),
            "feature_names": list(self.feature_names),
            "contexts": self.contexts.tolist(),
            "scales": [asdict(scale) for scale in self.scales],
            "feasibility": asdict(self.feasibility),
            "selection": self.selection.as_dict(),
            "least": dict(self.least),
        }
        return content, self.weights

    @staticmethod
    def of(content: Mapping[str, Any], weights: Weights, problem: Problem, device: torch.device) -> FittedPrime:
        """Return the model that `parts` described."""
        features = tuple(content["feature_names"])
        return FittedPrime(
            problem=problem,
            shape=Architecture.from_dict(content["architecture"]),
            weights={name: w.to(device) for name, w in weights.items()},
            workloads=tuple(content["workloads"]),
            feature_names=features,
            contexts=np.array(content["contexts"], dtype=float).reshape(len(content["workloads"]), len(features)),
            scales=tuple(Scale(**scale) for scale in content["scales"]),
            feasibility=FeasibilityMap(**content["feasibility"]),
            selection=Selection.from_dict(content["selection"]),
            least=content["least"],
        )

    def save(self, target: str | Path | IO[bytes], space: Space) -> None:
        """Write the model to a file; see `armillary.surrogates.model_file`."""
        content, weights = self.parts()
        model_file.save(target, KIND, space, self.problem, content, weights)

    @staticmethod
    def load(path: Path, space: Space, device: torch.device) -> FittedPrime:
        """Read a model file.

        Raises:
            ArmillaryError: if the file is missing, no model of PRIME, or of another space or version.
        """
        content, weights = model_file.read(path, space, KIND)
        return FittedPrime.of(content, weights, content["problem"], device)


def normalised(features: NDArray[np.float64], known: NDArray[np.float64]) -> Tensor:
    """Return features divided by their sums over the known workloads, float32, same shape.

    Source: PRIME, Appendix B.2, which does so for the large entries; we do for all.
    """
    total = np.abs(known).sum(axis=0)
    return torch.from_numpy(features / np.where(total > 0, total, 1.0)).float()

"""A fitted PRIME: what predicts, and what lies in a model file."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.evaluators.workers import ranges, workers
from armillary.spaces.space import Space
from armillary.surrogates.feasibility import FeasibilityMap
from armillary.surrogates.prime_data import OPS, Scale, feature_vector, scale_of
from armillary.surrogates.prime_model import Architecture, Weights, forward
from armillary.surrogates.selection import Selection
from armillary.types import ArmillaryError, Objective, Prediction

_FORMAT = "armillary prime"
_VERSION = 1
_PARAMETERS = "parameter_mb"
_ALIKE = 2.0
_DESIGNS_AT_ONCE = 512  # keeps the activations of a batch in the CPU's caches


@dataclass(frozen=True)
class FittedPrime:
    """The kept members of the grid with all that a prediction needs.

    Attributes:
        objective: what was learned.
        shape: the network.
        weights: tensors of shape [kept members, ...].
        workloads: names of the workloads that were trained on.
        feature_names: names of the context features.
        contexts: features of each workload, shape [workloads, features].
        scales: how each workload's metric was standardised.
        feasibility: map from standard values to the probability of feasibility.
        selection: how the members were chosen.
    """

    objective: Objective
    shape: Architecture
    weights: Weights
    workloads: tuple[str, ...]
    feature_names: tuple[str, ...]
    contexts: NDArray[np.float64]
    scales: tuple[Scale, ...]
    feasibility: FeasibilityMap
    selection: Selection

    def predict(self, codes: NDArray[np.int64], context: Mapping[str, float] | None) -> Prediction:
        """Predict designs, codes of shape [designs, parameters]; see `Prime.predict`."""
        raw = self._features(context)
        mean, spread = self.standard(codes, raw)
        scale = scale_of(raw if self.shape.contexts else None, self.feature_names, self.contexts, self.scales)
        restored = scale.restore(mean)
        return Prediction(mean=restored, std=scale.restore_spread(spread, restored), p_feasible=self.feasibility(mean))

    def standard(
        self, codes: NDArray[np.int64], features: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return value and deviation in standard units, each of shape [designs].

        Args:
            codes: value indices, shape [designs, parameters].
            features: the context's raw features, shape [features] or one row per design; not looked
                at by a model of one workload.

        The deviation is that of the predictors and, with several kept members, of the members.
        """
        device = self.weights["embed"].device
        kept = len(self.weights["embed"])
        rows = None
        if self.shape.contexts:
            assert features is not None
            normal = normalised(features, self.contexts).to(device)
            rows = normal.expand(len(codes), self.shape.contexts)
        mean, spread = np.empty(len(codes)), np.empty(len(codes))

        @torch.inference_mode()
        def predict(first: int, last: int) -> None:
            some = torch.from_numpy(np.ascontiguousarray(codes[first:last])).to(device).expand(kept, -1, -1)
            known = None if rows is None else rows[first:last].expand(kept, -1, -1)
            value, within = forward(self.shape, self.weights, some, known)
            among = value.var(dim=0, correction=0) + (within**2).mean(dim=0)
            mean[first:last] = value.mean(dim=0).cpu().numpy()
            spread[first:last] = among.sqrt().cpu().numpy()

        with workers(device) as share:
            share(predict, ranges(len(codes), _DESIGNS_AT_ONCE))
        return mean, spread

    def _features(self, context: Mapping[str, float] | None) -> NDArray[np.float64] | None:
        if context is None:
            if self.shape.contexts:
                raise ArmillaryError(
                    f"the model serves several workloads ({', '.join(self.workloads)}): name a context"
                )
            return None
        if not self.feature_names or not np.isfinite(self.contexts).all():
            return None
        features = feature_vector(self.feature_names, context)
        if not self.shape.contexts and not np.allclose(features, self.contexts[0], rtol=1e-6):
            raise ArmillaryError(
                f"the model was fitted to workload {self.workloads[0]!r} alone and its context, "
                f"{dict(zip(self.feature_names, self.contexts[0].tolist(), strict=True))}; it says nothing about "
                f"{dict(zip(self.feature_names, features.tolist(), strict=True))}; fit a log of several workloads"
            )
        return features

    def unlike(self, context: Mapping[str, float]) -> str | None:
        """Return a warning if a workload's compute-to-memory ratio lies outside those trained on, else None.

        Source: PRIME, Appendix D: zero-shot designs are good where the ratio of compute operations to
            parameters is like that of a training application. A factor of two is allowed here.
        """
        if not {OPS, _PARAMETERS} <= set(self.feature_names):
            return None
        ops, parameters = (self.contexts[:, self.feature_names.index(name)] for name in (OPS, _PARAMETERS))
        ratios = ops / parameters
        ratio = context[OPS] / context[_PARAMETERS]
        if ratios.min() / _ALIKE <= ratio <= ratios.max() * _ALIKE:
            return None
        return (
            f"the workload computes {ratio:.3g} operations per MB of parameters; those trained on, "
            f"{', '.join(self.workloads)}, {ratios.min():.3g} to {ratios.max():.3g}. Its best design is likely another "
            "kind; evaluate some of its designs and train on them too"
        )

    def save(self, target: Path | IO[bytes], space: Space) -> None:
        """Write the model to a file, readable with `torch.load(path, weights_only=True)`."""
        metadata = {
            "format": _FORMAT,
            "version": _VERSION,
            "space": space.name,
            "parameters": _parameters(space),
            "objective": {"metric": self.objective.metric, "upper_bounds": dict(self.objective.upper_bounds)},
            "architecture": self.shape.as_dict(),
            "workloads": list(self.workloads),
            "feature_names": list(self.feature_names),
            "contexts": self.contexts.tolist(),
            "scales": [asdict(scale) for scale in self.scales],
            "feasibility": asdict(self.feasibility),
            "selection": self.selection.as_dict(),
        }
        weights = {name: w.cpu().contiguous() for name, w in self.weights.items()}
        torch.save({"metadata": json.dumps(metadata), "weights": weights}, target)

    @staticmethod
    def load(path: Path, space: Space, device: torch.device) -> FittedPrime:
        """Read a model file.

        Raises:
            ArmillaryError: if the file is missing, no model of ours, or of another space or version.
        """
        metadata, weights = _read(path)
        if metadata.get("version") != _VERSION:
            raise ArmillaryError(
                f"{path}: model file version {metadata.get('version')!r} is not {_VERSION}; fit the model anew"
            )
        if metadata["space"] != space.name:
            raise ArmillaryError(f"{path}: the model is of space {metadata['space']!r}, not of {space.name!r}")
        if metadata["parameters"] != _parameters(space):
            theirs, ours = metadata["parameters"], _parameters(space)
            differ = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
            raise ArmillaryError(
                f"{path}: the model was fitted when space {space.name!r} had other values of {differ}; fit it anew"
            )
        features = tuple(metadata["feature_names"])
        return FittedPrime(
            objective=Objective(metadata["objective"]["metric"], metadata["objective"]["upper_bounds"]),
            shape=Architecture.from_dict(metadata["architecture"]),
            weights={name: w.to(device) for name, w in weights.items()},
            workloads=tuple(metadata["workloads"]),
            feature_names=features,
            contexts=np.array(metadata["contexts"], dtype=float).reshape(-1, len(features)),
            scales=tuple(Scale(**scale) for scale in metadata["scales"]),
            feasibility=FeasibilityMap(**metadata["feasibility"]),
            selection=Selection.from_dict(metadata["selection"]),
        )


def normalised(features: NDArray[np.float64], known: NDArray[np.float64]) -> Tensor:
    """Return features divided by their sums over the known workloads, float32, same shape.

    Source: PRIME, Appendix B.2, which does so for the large entries; we do for all.
    """
    total = np.abs(known).sum(axis=0)
    return torch.from_numpy(features / np.where(total > 0, total, 1.0)).float()


def _parameters(space: Space) -> dict[str, list[Any]]:
    return {p.name: list(p.values) for p in space.parameters}


def _read(path: Path) -> tuple[dict[str, Any], Weights]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        metadata = json.loads(content["metadata"])
        if metadata["format"] != _FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}")
        return metadata, content["weights"]
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: there is no such model file") from None
    except (
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        struct.error,
        pickle.UnpicklingError,
    ) as fault:
        raise ArmillaryError(
            f"{path} is no model file of PRIME: {(str(fault) or type(fault).__name__).splitlines()[0]}"
        ) from fault

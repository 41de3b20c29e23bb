"""A Gaussian process of an error: BoTorch's, with a Matern 5/2 kernel that has a length per feature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.means import ZeroMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from numpy.typing import NDArray
from torch import Tensor

from armillary.cores import one_thread

_TUNING_ROWS = 300  # on which the kernel is fitted: its time grows with their cube
_MOST_ROWS = 2000  # that it is conditioned on, likewise
_STEPS = 60
_AT_ONCE = 2048
_CONSTANT = 1e-9  # of a feature's size: less variation is rounding


class ErrorProcess:
    """A process that knows rows. Far from all of them its mean is zero: there the prior stands alone.

    Args:
        tensors: `rows`, standard features, shape [rows, features]; `errors`, shape [rows, 1]; `location` and `spread`
            of each feature; the kernel's numbers under the names that GPyTorch gives them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)
        self._model = _model(self.tensors["rows"], self.tensors["errors"] / self.tensors["scale"])
        own = {name: tensor for name, tensor in self.tensors.items() if name not in _OF_ROWS}
        self._model.load_state_dict(own)
        self._model.eval()

    @classmethod
    def tuned(cls, features: NDArray[np.float64], errors: NDArray[np.float64], seed: int) -> ErrorProcess:
        """Return the process whose kernel makes some of the rows most likely, and which knows those.

        Args:
            features: shape [rows, features].
            errors: shape [rows].
            seed: decides which rows.
        """
        few = np.random.default_rng([seed, 5]).permutation(len(errors))[:_TUNING_ROWS]
        location, spread = features.mean(axis=0), features.std(axis=0)
        tensors = {
            "location": torch.from_numpy(location),
            # of a feature that never varied nothing is learned; how far off a new value is says nothing either
            "spread": torch.from_numpy(np.where(spread > _CONSTANT * (1 + np.abs(location)), spread, np.inf)),
            "scale": torch.tensor(max(float(np.sqrt(np.mean(errors**2))), 1e-6), dtype=torch.float64),
        }
        tensors |= _rows(features[few], errors[few], tensors)
        model = _model(tensors["rows"], tensors["errors"] / tensors["scale"])
        with one_thread():
            mll = ExactMarginalLogLikelihood(model.likelihood, model)
            fit_gpytorch_mll(mll, optimizer_kwargs={"options": {"maxiter": _STEPS}})
        return cls(tensors | {name: tensor.detach().clone() for name, tensor in model.state_dict().items()})

    def knowing(self, features: NDArray[np.float64], errors: NDArray[np.float64]) -> ErrorProcess:
        """Return the process with the same kernel that knows other rows, the first so many of them."""
        return ErrorProcess(self.tensors | _rows(features[:_MOST_ROWS], errors[:_MOST_ROWS], self.tensors))

    def predict(self, features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the error, each of shape [points]."""
        asked = _standard(features, self.tensors)
        means, spreads = [], []
        with torch.inference_mode(), one_thread(), warnings.catch_warnings():
            # the variance at a row that is known is zero but for rounding, and may be below
            warnings.simplefilter("ignore", NumericalWarning)
            for part in torch.split(asked, _AT_ONCE):
                posterior = self._model.posterior(part)
                means.append(posterior.mean[:, 0])
                spreads.append(posterior.variance[:, 0].sqrt())
        scale = float(self.tensors["scale"])
        return scale * torch.cat(means).numpy(), scale * torch.cat(spreads).numpy()


_OF_ROWS = ("rows", "errors", "location", "spread", "scale")


def _model(rows: Tensor, errors: Tensor) -> SingleTaskGP:
    kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=rows.shape[-1], use_rbf_kernel=False)
    return SingleTaskGP(rows, errors, covar_module=kernel, mean_module=ZeroMean(), outcome_transform=None)


def _rows(features: NDArray[np.float64], errors: NDArray[np.float64], scale: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"rows": _standard(features, scale), "errors": torch.from_numpy(errors[:, None].copy())}


def _standard(features: NDArray[np.float64], scale: Mapping[str, Tensor]) -> Tensor:
    return (torch.from_numpy(np.ascontiguousarray(features)) - scale["location"]) / scale["spread"]

"""Starlight: a Gaussian process in the latent space of Starlight-Low's encoder, for the few rows of the high fidelity.

Encoder and process are trained together by the marginal likelihood of the rows (deep kernel learning).

Sources: the dissertation, Section 5.2.4; Wilson et al., "Deep kernel learning", AISTATS 2016. What the dissertation
leaves open, and what we chose: the smoothness of the Matern kernel (5/2), a length scale for each latent number, a low
rate for an encoder that was taken over, and the gamma priors, which are those that BoTorch long had for standardised
values: (3, 6) of length scales, (2, 0.15) of the variance, (1.1, 0.05) of the noise. The encoder's mean stands for a
row; nothing is drawn.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gpytorch
import numpy as np
import torch
from gpytorch.constraints import GreaterThan
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior
from gpytorch.utils.warnings import GPInputWarning
from linear_operator.utils.errors import NanError, NotPSDError
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from armillary.cores import one_thread
from armillary.surrogates.rows import Scale
from armillary.surrogates.starlight.encoding import UnitCube, Values, checked_rows
from armillary.surrogates.starlight.low import ENCODER, Encoder, Progress, StarlightLow, named, seeded
from armillary.types import ArmillaryError

EPOCHS = 1000
LEARNING_RATE = 0.01
FINE_TUNING_RATE = 1e-4
"""Of an encoder that was taken over: at the kernel's rate it forgets within a hundred epochs what it came with."""
_LEAST_NOISE = 1e-4
"""Of the variance of standardised values: it keeps the covariance of rows with equal inputs positive definite."""
_JITTER, _TRIES = 1e-6, 4  # should that not be enough: 1e-6 more, then ten times as much up to 1e-3
_AT_ONCE = 1024


class Process(gpytorch.models.ExactGP):  # type: ignore[misc]
    """A Gaussian process with a Matern kernel between encoded rows.

    Args:
        x: scaled inputs of the training rows, shape [rows, 40].
        y: their standardised values, shape [rows].
        encoder: of 64-bit floats.
    """

    def __init__(self, x: Tensor, y: Tensor, encoder: Encoder) -> None:
        noise = GaussianLikelihood(noise_prior=GammaPrior(1.1, 0.05), noise_constraint=GreaterThan(_LEAST_NOISE))
        super().__init__(x, y, noise)
        self.encoder = encoder
        self.mean = gpytorch.means.ConstantMean()
        matern = MaternKernel(nu=2.5, ard_num_dims=ENCODER[-1], lengthscale_prior=GammaPrior(3.0, 6.0))
        self.covariance = ScaleKernel(matern, outputscale_prior=GammaPrior(2.0, 0.15))
        self.double()

    def forward(self, x: Tensor) -> MultivariateNormal:
        """Return the prior of scaled inputs, shape [rows, 40]."""
        latent = self.encoder(x)[0]
        return MultivariateNormal(self.mean(latent), self.covariance(latent))


class Starlight:
    """The trained deep kernel; `transferred` or `from_scratch` makes it.

    Args:
        process: trained.
        cube: how inputs are scaled.
        scale: how the logarithms of the metric are standardised.
        likelihoods: the marginal log likelihood per row in each epoch, with the priors, shape [epochs].
    """

    def __init__(self, process: Process, cube: UnitCube, scale: Scale, likelihoods: Values) -> None:
        self.process, self.cube, self.scale, self.likelihoods = process.eval(), cube, scale, likelihoods

    @classmethod
    def transferred(
        cls,
        low: StarlightLow,
        inputs: Values,
        log_values: Values,
        *,
        epochs: int = EPOCHS,
        learning_rate: float = LEARNING_RATE,
        encoder_rate: float = FINE_TUNING_RATE,
        on_progress: Progress | None = None,
    ) -> Starlight:
        """Return the deep kernel that begins with the encoder of a Starlight-Low and its scaler. Nothing is random.

        Args:
            low: whose encoder is taken over; it stays as it is.
            inputs: as they are, shape [rows, 40]; see `encoding.inputs_of`.
            log_values: natural logarithms of the metric, EDP in the dissertation, shape [rows].
            epochs: steps of Adam with all rows.
            learning_rate: of it, for the kernel.
            encoder_rate: likewise for the encoder.
            on_progress: called after each epoch.

        Raises:
            ArmillaryError: if the rows are no training rows, or the likelihood can no longer be computed.
        """
        encoder = copy.deepcopy(low.network.encoder)
        return cls._learned(encoder, low.cube, inputs, log_values, epochs, (learning_rate, encoder_rate), on_progress)

    @classmethod
    def from_scratch(
        cls,
        inputs: Values,
        log_values: Values,
        *,
        seed: int = 0,
        logged: bool = False,
        epochs: int = EPOCHS,
        learning_rate: float = LEARNING_RATE,
        on_progress: Progress | None = None,
    ) -> Starlight:
        """Return the same without transfer, an ablation.

        `seed` decides the encoder's first weights, `logged` what its scaler takes (`UnitCube`); for the rest see
        `transferred`.
        """
        checked_rows(inputs, log_values)
        encoder, cube = seeded(Encoder, seed), UnitCube.of(inputs, logged=logged)
        return cls._learned(encoder, cube, inputs, log_values, epochs, (learning_rate, learning_rate), on_progress)

    @classmethod
    def _learned(
        cls,
        encoder: Encoder,
        cube: UnitCube,
        inputs: Values,
        log_values: Values,
        epochs: int,
        rates: tuple[float, float],
        on_progress: Progress | None,
    ) -> Starlight:
        checked_rows(inputs, log_values)
        if epochs < 1:
            raise ArmillaryError(f"epochs={epochs!r} is not allowed; it must be at least 1")
        for name, rate in zip(("learning_rate", "encoder_rate"), rates, strict=True):
            if not rate >= 0:
                raise ArmillaryError(f"{name}={rate!r} is not allowed; it must be at least 0")
        scale = Scale.of(log_values, "linear")
        process = Process(cube(inputs), torch.from_numpy(scale.standardise(log_values)), encoder.double())
        return cls(process, cube, scale, _trained(process, epochs, rates, on_progress))

    def predict(self, inputs: Values) -> tuple[Values, Values]:
        """Return mean and standard deviation of the logarithm of the metric, each of shape [rows].

        The deviation is that of a further measurement: it has the noise, which is what the process cannot explain.

        Args:
            inputs: as they are, shape [rows, 40].

        Raises:
            ArmillaryError: if inputs are of another shape or not finite.
        """
        parts = torch.split(self.cube(inputs), _AT_ONCE)
        with torch.no_grad(), _exact():
            found = [self.process.likelihood(self.process(part)) for part in parts]
            mean = torch.cat([each.mean for each in found]).numpy()
            spread = torch.cat([each.stddev for each in found]).numpy()
        return self.scale.restore(mean), self.scale.spread * spread

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `of` makes the model of again: a description as JSON can hold it, and tensors by name."""
        tensors = {f"process.{name}": weight for name, weight in self.process.state_dict().items()}
        (x,), y = self.process.train_inputs, self.process.train_targets
        tensors |= {"x": x, "y": y, "least": self.cube.least, "most": self.cube.most}
        tensors["likelihoods"] = torch.from_numpy(self.likelihoods)
        return {"scale": vars(self.scale), "logged": self.cube.logged}, tensors

    @classmethod
    def of(cls, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Starlight:
        """Return the model that `parts` described."""
        process = Process(tensors["x"], tensors["y"], Encoder().double())
        process.load_state_dict(named(tensors, "process."))
        cube = UnitCube(tensors["least"], tensors["most"], content["logged"])
        return cls(process, cube, Scale(**content["scale"]), tensors["likelihoods"].numpy())


def _trained(process: Process, epochs: int, rates: tuple[float, float], on_progress: Progress | None) -> Values:
    """Train kernel and encoder together in place, each at its rate; return the likelihood per row, shape [epochs]."""
    encoder = list(process.encoder.parameters())
    others = [weight for name, weight in process.named_parameters() if not name.startswith("encoder.")]
    parts = zip((others, encoder), rates, strict=True)
    adam = torch.optim.Adam([{"params": part, "lr": rate} for part, rate in parts])
    likelihood_of = ExactMarginalLogLikelihood(process.likelihood, process)
    (x,), y = process.train_inputs, process.train_targets
    found = np.empty(epochs)
    process.train()
    for epoch in range(epochs):
        adam.zero_grad()
        try:
            with _exact():
                likelihood = likelihood_of(process(x), y)
                (-likelihood).backward()
        except (NanError, NotPSDError) as fault:
            raise _lost(len(y), epoch, epochs, rates, str(fault)) from fault
        found[epoch] = float(likelihood.detach())
        if not np.isfinite(found[epoch]):
            raise _lost(len(y), epoch, epochs, rates, f"the likelihood is {found[epoch]}")
        adam.step()
        if on_progress:
            on_progress(epoch + 1, epochs)
    return found


def _lost(rows: int, epoch: int, epochs: int, rates: tuple[float, float], fault: str) -> ArmillaryError:
    return ArmillaryError(
        f"the covariance of {rows} rows cannot be factored in epoch {epoch + 1} of {epochs} at "
        f"learning_rate={rates[0]} and {rates[1]} for the encoder: {fault.splitlines()[0]}; choose lower rates"
    )


@contextmanager
def _exact() -> Iterator[None]:
    """Have gpytorch factor every covariance, whatever its size, and add jitter where that fails, without warnings.

    On one thread: the many small products do not wait for each other, and the number of cores changes no sum.
    """
    with (
        one_thread(),
        gpytorch.settings.fast_computations(False, False, False),
        gpytorch.settings.cholesky_jitter(double_value=_JITTER),
        gpytorch.settings.cholesky_max_tries(_TRIES),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", NumericalWarning)
        warnings.simplefilter("ignore", GPInputWarning)  # predicting the training rows is no mistake
        yield

"""Starlight-Low: a variational autoencoder whose latent space also predicts the metric, for the many analytical rows.

Source: the dissertation, Section 5.2.3. What it leaves open, and what we chose: the last layer of each network has no
ReLU, as a value may be negative; the encoder's last layer is there twice, for mean and log variance; the weights of
the three losses, and the schedule. The divergence weighs little, or else it empties the latent space.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from armillary.cores import one_thread
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.rows import Scale
from armillary.surrogates.starlight.encoding import UnitCube, Values, checked_rows
from armillary.types import ArmillaryError

Progress = Callable[[int, int], None]
"""Called with the epochs done and in total."""

Kind = TypeVar("Kind", bound=nn.Module)

ENCODER = (40, 24, 12, 2)
PREDICTOR = (2, 64, 256, 256, 64, 1)
_AT_ONCE = 8192


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers of these sizes with a ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Inputs of shape [rows, 40] to mean and log variance in the latent space, each of shape [rows, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(dense(ENCODER[:-1]), nn.ReLU())
        self.mean = nn.Linear(*ENCODER[-2:])
        self.log_variance = nn.Linear(*ENCODER[-2:])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        seen = self.trunk(x)
        return self.mean(seen), self.log_variance(seen)


class Network(nn.Module):
    """Encoder, its mirror image, and the predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = dense(ENCODER[::-1])
        self.predictor = dense(PREDICTOR)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the three losses; without the first the network is the traditional autoencoder of Figure 5.3a.

    Attributes:
        prediction: of the mean squared error of the standardised logarithm of the metric.
        reproduction: of the mean squared error of the scaled inputs.
        divergence: of the Kullback-Leibler divergence of the latent distribution from a unit Gaussian, in nats.
    """

    prediction: float = 1.0
    reproduction: float = 1.0
    divergence: float = 1e-2


@dataclass(frozen=True)
class Schedule:
    """How long and how fast Adam trains; the rate falls to 0 along a cosine.

    Attributes:
        epochs: rounds over the rows.
        batch: rows per step.
        learning_rate: at first.
    """

    epochs: int = 100
    batch: int = 256
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be at least 1")
        if not self.learning_rate > 0:
            raise ArmillaryError(f"learning_rate={self.learning_rate!r} is not allowed; it must be positive")


FINE_TUNING = Schedule(epochs=200, batch=64, learning_rate=1e-3)
"""For the few rows of the high fidelity."""


class StarlightLow:
    """The trained network; `learned` makes it.

    Args:
        network: trained, of 32-bit floats.
        cube: how inputs are scaled.
        scale: how the logarithms of the metric are standardised.
        losses: of each epoch, shape [epochs, 3], means of prediction, reproduction and divergence, not weighted.
    """

    kind = "starlight-low"

    def __init__(self, network: Network, cube: UnitCube, scale: Scale, losses: Values) -> None:
        self.network, self.cube, self.scale, self.losses = network, cube, scale, losses

    @classmethod
    def learned(
        cls,
        inputs: Values,
        log_values: Values,
        *,
        seed: int = 0,
        logged: bool = False,
        weights: LossWeights | None = None,
        schedule: Schedule | None = None,
        on_progress: Progress | None = None,
    ) -> StarlightLow:
        """Return the network trained on rows of the low fidelity, 2^16 in the dissertation.

        Args:
            inputs: as they are, shape [rows, 40]; see `encoding.inputs_of`.
            log_values: natural logarithms of the metric, EDP in the dissertation, shape [rows].
            seed: same seed and rows, same network.
            logged: see `UnitCube`.
            weights: of the losses.
            schedule: of the training.
            on_progress: called after each epoch.

        Raises:
            ArmillaryError: if the rows are no training rows, or the losses are no longer finite.
        """
        checked_rows(inputs, log_values)
        cube, scale = UnitCube.of(inputs, logged=logged), Scale.of(log_values, "linear")
        model = cls(seeded(Network, seed), cube, scale, np.empty((0, len(LOSSES))))
        return model.tuned(
            inputs, log_values, seed=seed, weights=weights, schedule=schedule or Schedule(), on_progress=on_progress
        )

    def tuned(
        self,
        inputs: Values,
        log_values: Values,
        *,
        seed: int = 0,
        weights: LossWeights | None = None,
        schedule: Schedule = FINE_TUNING,
        on_progress: Progress | None = None,
    ) -> StarlightLow:
        """Return a copy that trained on with other rows, those of the high fidelity (Figure 5.7): see `learned`."""
        checked_rows(inputs, log_values)
        network, weights = copy.deepcopy(self.network), weights or LossWeights()
        x = self.cube(inputs).float()
        y = torch.from_numpy(self.scale.standardise(log_values)).float()
        generator = torch.Generator().manual_seed(seed)

        def losses_of(rows: Tensor) -> Tensor:
            return losses(network, x[rows], y[rows], generator)

        factors = torch.tensor([weights.prediction, weights.reproduction, weights.divergence])
        with one_thread():
            found = descend(network, losses_of, factors, len(y), schedule, generator, on_progress)
        return StarlightLow(network, self.cube, self.scale, np.concatenate([self.losses, found]))

    def predict(self, inputs: Values) -> Values:
        """Return the expected logarithm of the metric, inputs [rows, 40] as they are, shape [rows].

        Raises:
            ArmillaryError: if inputs are of another shape or not finite.
        """
        predictor = self.network.predictor
        return self.scale.restore(in_parts(lambda x: predictor(self.network.encoder(x)[0])[:, 0], self.cube(inputs)))

    def latent(self, inputs: Values) -> Values:
        """Return the mean in the latent space (Figure 5.3), inputs [rows, 40] as they are, shape [rows, 2].

        Raises:
            ArmillaryError: if inputs are of another shape or not finite.
        """
        return in_parts(lambda x: self.network.encoder(x)[0], self.cube(inputs))

    def save(self, target: str | Path | IO[bytes], problem: Problem) -> None:
        """Write the model, of one metric of a problem, to a file."""
        tensors = {f"network.{name}": weight for name, weight in self.network.state_dict().items()}
        tensors |= {"least": self.cube.least, "most": self.cube.most, "losses": torch.from_numpy(self.losses)}
        content = {"scale": vars(self.scale), "logged": self.cube.logged}
        model_file.save(target, self.kind, problem.space, problem, content, tensors)

    @classmethod
    def load(cls, path: str | Path, *, space: Space) -> StarlightLow:
        """Read a trained model.

        Raises:
            ArmillaryError: if the file is missing, no Starlight-Low, or of another space or version.
        """
        content, tensors = model_file.read(Path(path), space, cls.kind)
        network = Network()
        network.load_state_dict(named(tensors, "network."))
        cube = UnitCube(tensors["least"], tensors["most"], content["logged"])
        return cls(network, cube, Scale(**content["scale"]), tensors["losses"].numpy())


LOSSES = ("prediction", "reproduction", "divergence")


def losses(network: Network, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Return the three losses, shape [3]; see `LOSSES`.

    Args:
        network: whose they are.
        x: scaled inputs, shape [rows, 40].
        y: standardised values, shape [rows].
        generator: draws a point of each row's latent distribution, from which both are predicted.
    """
    mean, log_variance = network.encoder(x)
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    point = mean + noise * (log_variance / 2).exp()
    return torch.stack(
        [
            ((network.predictor(point)[:, 0] - y) ** 2).mean(),
            ((network.decoder(point) - x) ** 2).mean(),
            (log_variance.exp() + mean**2 - 1 - log_variance).sum(dim=1).mean() / 2,
        ]
    )


def descend(
    network: nn.Module,
    losses_of: Callable[[Tensor], Tensor],
    factors: Tensor,
    rows: int,
    schedule: Schedule,
    generator: torch.Generator,
    on_progress: Progress | None,
) -> Values:
    """Train a network with Adam in place, and return the mean losses of each epoch, shape [epochs, losses].

    Args:
        network: whose weights are trained.
        losses_of: of the rows with these numbers, shape [losses].
        factors: weights of the losses, shape [losses].
        rows: how many there are.
        schedule: of the training.
        generator: shuffles the rows in each epoch.
        on_progress: called after each epoch.

    Raises:
        ArmillaryError: if a loss is no longer finite.
    """
    adam = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate, fused=True)
    found = np.empty((schedule.epochs, len(factors)))
    for epoch in range(schedule.epochs):
        order, total = torch.randperm(rows, generator=generator), torch.zeros(len(factors))
        for first, batch in zip(range(0, rows, schedule.batch), torch.split(order, schedule.batch), strict=True):
            done = (epoch + first / rows) / schedule.epochs
            adam.param_groups[0]["lr"] = schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2
            adam.zero_grad()
            each = losses_of(batch)
            (each @ factors).backward()  # type: ignore[no-untyped-call]
            adam.step()
            total += each.detach() * len(batch)
        found[epoch] = (total / rows).numpy()
        if not np.isfinite(found[epoch]).all():
            raise ArmillaryError(
                f"the losses are {found[epoch].tolist()} after epoch {epoch + 1} of {schedule.epochs} at "
                f"learning_rate={schedule.learning_rate}; choose a lower rate"
            )
        if on_progress:
            on_progress(epoch + 1, schedule.epochs)
    return found


def seeded(make: Callable[[], Kind], seed: int) -> Kind:
    """Return a module with initial weights of a seed; torch's own source of chance stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def in_parts(network: Callable[[Tensor], Tensor], x: Tensor) -> Values:
    """Return a network's outputs for scaled inputs, [rows, 40], some rows at a time."""
    with torch.inference_mode():
        return torch.cat([network(part.float()) for part in torch.split(x, _AT_ONCE)]).double().numpy()


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

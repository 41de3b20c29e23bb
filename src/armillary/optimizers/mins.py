"""Model inversion with a delta-VAE: designs generated for the value that is wanted, the generative baseline of PRIME.

Instead of predicting the value of a design, a model inversion network generates designs of a given value. PRIME
(Appendix A.1) could not train the GAN of the original method on accelerators and took a variational autoencoder
conditioned on the latency, whose posterior is kept from collapsing: its divergence from the prior cannot fall below
delta. Told a log, it proposes designs for values at and beyond the best that it was told; told more, it learns
anew. It knows nothing of infeasible designs.

Sources: Kumar and Levine, "Model inversion networks for model-based optimization", NeurIPS 2020; Razavi et al.,
    "Preventing posterior collapse with delta-VAEs", ICLR 2019, Section 2.1 (independent delta-VAE). Designs
    are decoded from latents drawn like those of the best fifth of the rows, their "auxiliary prior".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn import functional

from armillary.optimizers.coded import CodedOptimizer
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError

_FEWEST = 20
_BEST_SHARE = 0.2
_BATCH = 128
_ROWS_PER_ASK = 4


class DeltaVae(nn.Module):
    """An autoencoder of designs, conditioned on their standardised value.

    Args:
        cardinalities: values per parameter.
        latent: width of the code.
        hidden: width of the two hidden layers of encoder and decoder.
        delta: least divergence of the posterior from the prior per latent dimension, in nats.
    """

    def __init__(self, cardinalities: tuple[int, ...], latent: int, hidden: int, delta: float) -> None:
        super().__init__()
        width = sum(cardinalities)
        self.cardinalities = cardinalities
        self.encoder = nn.Sequential(
            nn.Linear(width + 1, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent + 1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, width)
        )
        self.delta = delta
        self.least, self.most = deviation_range(delta)

    def posterior(self, codes: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the latents, each [rows, latent], at least delta away from the prior."""
        one_hot = [functional.one_hot(codes[:, i], n) for i, n in enumerate(self.cardinalities)]
        raw = self.encoder(torch.cat([*one_hot, value[:, None]], dim=1).float())
        raw_mean, raw_deviation = raw.chunk(2, dim=1)
        deviation = self.least + (self.most - self.least) * torch.sigmoid(raw_deviation)
        # the root of nothing has no gradient
        needed = (2 * self.delta + 1 + 2 * deviation.log() - deviation**2).clamp_min(1e-6)
        return needed.sqrt() + torch.relu(raw_mean), deviation

    def logits(self, latent: Tensor, value: Tensor) -> list[Tensor]:
        """Return the scores of each parameter's values, [rows, values]."""
        every: Tensor = self.decoder(torch.cat([latent, value[:, None]], dim=1))
        return list(torch.split(every, list(self.cardinalities), dim=1))

    def loss(self, codes: Tensor, value: Tensor, generator: torch.Generator) -> Tensor:
        """Return the negative evidence lower bound per row, in nats."""
        mean, deviation = self.posterior(codes, value)
        latent = mean + deviation * torch.randn(mean.shape, generator=generator)
        told = [functional.cross_entropy(part, codes[:, i]) for i, part in enumerate(self.logits(latent, value))]
        divergence = 0.5 * (mean**2 + deviation**2 - 1 - 2 * deviation.log()).sum(dim=1)
        return torch.stack(told).sum() + divergence.mean()


def deviation_range(delta: float) -> tuple[float, float]:
    """Return the least and greatest deviation for which some mean gives the divergence delta.

    They solve ln s^2 - s^2 + 2 delta + 1 = 0.
    """

    def gap(s: float) -> float:
        return 2 * math.log(s) - s * s + 2 * delta + 1

    return float(brentq(gap, 1e-9, 1.0)), float(brentq(gap, 1.0, 10 + 10 * delta))


class Mins(CodedOptimizer):
    """A model inversion network.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        latent: width of the code.
        hidden: width of the hidden layers.
        delta: least divergence per latent dimension, in nats.
        steps: gradient steps of a training.
        refit: growth of the number of legal rows after which it is trained anew.
        beyond: how far below the best value seen designs are asked for, in standard deviations of the log's.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        latent: int = 16,
        hidden: int = 256,
        delta: float = 0.1,
        steps: int = 3000,
        refit: float = 0.5,
        beyond: float = 0.5,
    ) -> None:
        super().__init__(problem, seed=seed)
        if not delta > 0 or steps < 1 or not refit >= 0 or not beyond >= 0:
            raise ArmillaryError(
                f"delta={delta} must be positive, steps={steps} at least 1, refit={refit} and beyond={beyond} >= 0"
            )
        self._shape = (latent, hidden, delta)
        self._steps, self._refit, self._beyond, self._seed = steps, refit, beyond, seed
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._values = np.empty(0)
        self._trained_rows = 0
        self._model: DeltaVae | None = None
        self._prior: tuple[Tensor, Tensor]

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        legal = np.isfinite(values)
        self._codes = np.concatenate([self._codes, codes[legal]])
        self._values = np.concatenate([self._values, np.log(values[legal])])

    def _propose(self, n: int) -> NDArray[np.int64]:
        if len(self._values) < _FEWEST:
            return self._drawn(n)
        if self._model is None or len(self._values) >= (1 + self._refit) * self._trained_rows:
            self._train()
        return self._generated(_ROWS_PER_ASK * n)[:n]

    def _standard(self) -> NDArray[np.float64]:
        spread = float(self._values.std()) or 1.0
        return np.asarray((self._values - self._values.mean()) / spread)

    def _train(self) -> None:
        torch_seed = torch.Generator().manual_seed(self._seed)
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            model = DeltaVae(self.space.cardinalities, *self._shape)
        codes, values = torch.from_numpy(self._codes), torch.from_numpy(self._standard()).float()
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(self._steps):
            rows = torch.randint(0, len(codes), (_BATCH,), generator=torch_seed)
            loss = model.loss(codes[rows], values[rows], torch_seed)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        best = np.argsort(self._values, kind="stable")[: max(_FEWEST, round(_BEST_SHARE * len(self._values)))].copy()
        with torch.no_grad():
            mean, deviation = model.posterior(codes[best], values[best])
        self._prior = mean.mean(dim=0), (mean.var(dim=0) + (deviation**2).mean(dim=0)).sqrt()
        self._model, self._trained_rows = model, len(self._values)

    @torch.no_grad()
    def _generated(self, n: int) -> NDArray[np.int64]:
        """Return n designs for values from the best seen to some way beyond it, shape [n, parameters]."""
        assert self._model is not None
        best = float(self._standard().min())
        value = torch.from_numpy(best - self._beyond * self._rng.random(n)).float()
        mean, deviation = self._prior
        noise = torch.from_numpy(self._rng.standard_normal((n, len(mean)))).float()
        chosen = []
        for scores in self._model.logits(mean + deviation * noise, value):
            gumbel = -np.log(-np.log(self._rng.random(scores.shape)))
            chosen.append((scores.double().numpy() + gumbel).argmax(axis=1))
        return np.stack(chosen, axis=1).astype(np.int64)

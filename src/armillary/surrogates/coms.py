"""COMs: conservative objective models, PRIME's parent and baseline.

Source: Trabucco, Kumar, Geng, Levine, "Conservative objective models for effective offline model-based
    optimization", ICML 2021, Algorithm 1, with its settings for discrete tasks: two hidden layers,
    negatives by 50 steps of gradient ascent on one-hot designs that are relaxed to numbers between 0
    and 1 (the paper leaves them unbounded, which diverged here), and a Lagrange multiplier that keeps
    the model's optimism at negatives below tau = 2 standard units. It learns from feasible designs
    alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from armillary.cores import one_thread
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates.devices import device_of
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import Scale, prepare
from armillary.types import ArmillaryError, Log, Prediction
from armillary.workloads.context import Context

_MINIMUM_ROWS = 50


@dataclass(frozen=True)
class _Fitted:
    network: nn.Module
    scale: Scale
    feasible_share: float
    seconds: float


class Coms:
    """The surrogate of COMs, for the log of one workload.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        steps: gradient steps.
        batch: feasible rows per step.
        hidden: width of the two hidden layers; 2048 in the paper.
        learning_rate: of Adam.
        ascent_steps: of the negatives, from the batch; 50 in the paper.
        ascent_rate: their step, times the square root of the input's length; the paper has 2 on its scale.
        tau: optimism at negatives that is allowed, in standard units.
        device: where it predicts: `cpu`, or `cuda` for a GPU; it trains on the CPU.
        on_progress: called with steps done and in total.
    """

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        steps: int = 3000,
        batch: int = 128,
        hidden: int = 256,
        learning_rate: float = 1e-3,
        ascent_steps: int = 50,
        ascent_rate: float = 0.05,
        tau: float = 2.0,
        device: str = "cpu",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if min(steps, batch, hidden, ascent_steps) < 1 or not min(learning_rate, ascent_rate, tau) > 0:
            raise ArmillaryError(
                f"steps={steps}, batch={batch}, hidden={hidden}, ascent_steps={ascent_steps}, "
                f"learning_rate={learning_rate}, ascent_rate={ascent_rate}, tau={tau}: all must be positive"
            )
        self.space, self._seed = space, seed
        self._steps, self._batch, self._hidden, self._learning_rate = steps, batch, hidden, learning_rate
        self._ascent_steps, self._tau = ascent_steps, tau
        self._ascent_rate = ascent_rate * math.sqrt(space.one_hot_width)
        self._device, self._on_progress = device_of(device), on_progress
        self._fitted: _Fitted | None = None

    def fit(self, log: Log, problem: Problem) -> Coms:
        """Train on the feasible rows of a log.

        Raises:
            ArmillaryError: if the log cannot be learned from, or holds several workloads.
        """
        started = time.perf_counter()
        rng = np.random.default_rng([self._seed, 1])
        data = prepare(
            self.space,
            log.evaluations(self.space.name),
            problem,
            transform="log",
            validation_share=0.2,
            minimum_rows=_MINIMUM_ROWS,
            rng=rng,
        )
        if len(data.workloads) > 1:
            raise ArmillaryError(f"COMs learns from one workload, the log has {', '.join(data.workloads)}")
        codes = np.concatenate([data.train.codes, data.valid.codes])
        # the paper maximises
        gain = torch.from_numpy(-np.concatenate([data.train.targets, data.valid.targets])).float()
        with one_thread():  # products this small are no faster on two
            network = self._train(self._one_hot(codes), gain, rng).to(self._device)
        self._fitted = _Fitted(network, data.scales[0], data.feasible_share, time.perf_counter() - started)
        return self

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:  # noqa: ARG002
        """Predict designs given as value indices, shape [designs, parameters].

        Returns:
            `mean`: the conservative value in the unit of the metric; `std` is 0, and `p_feasible` the
            share of feasible rows in the log, as COMs tells neither.

        Raises:
            ArmillaryError: before `fit`.
        """
        if self._fitted is None:
            raise ArmillaryError("this COMs has not been fitted; call fit(log, problem) first")
        with torch.inference_mode():
            x = self._one_hot(designs).to(self._device)
            gain = self._fitted.network(x).squeeze(-1).double().cpu().numpy()
        mean = self._fitted.scale.restore(-gain)
        return Prediction(mean, np.zeros(len(mean)), np.full(len(mean), self._fitted.feasible_share))

    def _train(self, x: Tensor, gain: Tensor, rng: np.random.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = nn.Sequential(
                nn.Linear(x.shape[1], self._hidden),
                nn.LeakyReLU(0.3),
                nn.Linear(self._hidden, self._hidden),
                nn.LeakyReLU(0.3),
                nn.Linear(self._hidden, 1),
            )
        adam = torch.optim.Adam(network.parameters(), lr=self._learning_rate)
        log_alpha = torch.zeros((), requires_grad=True)
        dual = torch.optim.Adam([log_alpha], lr=0.01)
        for step in range(self._steps):
            rows = torch.from_numpy(rng.integers(0, len(x), self._batch))
            seen = network(x[rows]).squeeze(-1)
            imagined = network(self._ascended(network, x[rows])).squeeze(-1)
            optimism = imagined.mean() - seen.mean()
            adam.zero_grad()
            (((seen - gain[rows]) ** 2).mean() + log_alpha.exp().detach() * optimism).backward()
            adam.step()
            dual.zero_grad()
            (log_alpha.exp() * (self._tau - optimism.detach())).backward()
            dual.step()
            if self._on_progress:
                self._on_progress(step + 1, self._steps)
        return network.eval()

    def _ascended(self, network: nn.Module, x: Tensor) -> Tensor:
        """Return designs after gradient ascent on the model."""
        for _ in range(self._ascent_steps):
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(network(x).sum(), x)
            x = (x + self._ascent_rate * slope).clamp(0, 1)
        return x.detach()

    def _one_hot(self, codes: NDArray[np.int64]) -> Tensor:
        offsets = np.cumsum([0, *self.space.cardinalities[:-1]])
        table = torch.zeros(len(codes), self.space.one_hot_width)
        return table.scatter_(1, torch.from_numpy(codes + offsets), 1.0)


KIND = SurrogateKind(Coms)

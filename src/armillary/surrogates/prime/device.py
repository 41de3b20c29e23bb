"""PRIME's training on a GPU: a gradient step, its mining of negatives included, is recorded once and replayed.

A step of thirty small networks is thousands of small operations; launched one by one, with the fireflies moving on
the host, they leave a GPU idle. Here rows, fireflies, gradients and Adam's moments stay on the device and the host only
replays. What is computed is what `Trainer` computes, in other random draws and with matrix products of ten
bits of mantissa (TF32).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.spaces.moves import Moves
from armillary.surrogates.prime.model import Weights, fixed_of, forward
from armillary.surrogates.prime.training import Pool, Snapshot, Stack, Trainer, loss_of

_DRAWN_AHEAD = 1000  # steps whose rows are drawn and sent together
_WORTH_COMPILING = 20_000  # steps; it takes a minute or so
_UNRECORDED = 3  # steps before the recording, in which libraries allocate what they need


class DeviceTrainer(Trainer):
    """`Trainer` for a GPU; on a CPU it does the same steps unrecorded."""

    _steps_of: _Steps | None = None

    def _run(self, keep: int) -> list[Snapshot]:
        with _short_products():
            return super()._run(keep)

    def _step(self, stack: Stack, step: int, rate: float) -> None:
        if self._steps_of is None or self._steps_of.stack is not stack:
            self._steps_of = _Steps(self, stack)
        mined = self._steps_of.mined
        if mined and step % self.schedule.refresh == 0:
            self._swarm = self._scatter(len(stack))
            self._steps_of.place(self._swarm)
        if mined and (step % self.schedule.mining_period == 0 or self._steps_of.fresh):
            self._steps_of.mine()
        self._steps_of.learn(rate)
        self._tell(stack)


class _Rows:
    """Rows on the device, and which of them the next steps take."""

    def __init__(self, pool: Pool, batch: int, rng: np.random.Generator, device: torch.device) -> None:
        self._pool, self._batch, self._rng = pool, batch, rng
        self._codes, self._workload = (torch.from_numpy(a).to(device) for a in (pool.rows.codes, pool.rows.workload))
        self._targets = torch.from_numpy(pool.rows.targets).to(device, torch.float32)
        self._places = torch.zeros((_DRAWN_AHEAD, batch), dtype=torch.int64, device=device)

    def draw(self) -> None:
        """Draw the rows of the next steps."""
        places = [self._pool.draw_places(self._batch, self._rng) for _ in range(_DRAWN_AHEAD)]
        self._places.copy_(torch.from_numpy(np.stack(places)))

    def at(self, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes, workloads and targets of a step, counted since the draw."""
        places = self._places.index_select(0, step)[0]
        return self._codes[places], self._workload[places], self._targets[places]


class _Steps:
    """The steps of one stack of members."""

    def __init__(self, trainer: Trainer, stack: Stack) -> None:
        """Place on the device what the steps need; what of the trainer they share is not theirs to change."""
        self.stack, self._trainer = stack, trainer
        device = next(iter(stack.weights.values())).device
        self.fresh = True
        self.mined = bool((stack.alpha > 0).any())
        schedule, rng = trainer.schedule, trainer.rng
        infeasible = bool(stack.beta.any()) and len(trainer.pools[1]) > 0
        self._rows = [_Rows(pool, schedule.batch, rng, device) for pool in trainer.pools[: 1 + infeasible]]
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        self._fixed = fixed_of(trainer.shape, device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._taken = _DRAWN_AHEAD
        self._moves = DeviceMoves(trainer.moves, device)
        self._swarm = torch.from_numpy(trainer.moves.scatter((len(stack), trainer.fireflies), rng)).float().to(device)
        self._negative = self._moves.codes(self._swarm[:, :1])
        self._negative_workload = torch.zeros((len(stack), 1), dtype=torch.int64, device=device)
        self._rate = torch.tensor(schedule.learning_rate, device=device)
        stack.adam.param_groups[0]["lr"] = self._rate
        long = sum(rung.steps for rung in schedule.rungs) >= _WORTH_COMPILING
        fused = torch.compile if device.type == "cuda" and long else _as_is
        self._loss, self._value, self._moved = fused(self._loss_of), fused(self._value_of), fused(self._moved_of)
        self._replayed = {
            "mine": _Replayed(self._mine, device, self._generator),
            "learn": _Replayed(self._learn, device, None),
        }

    def place(self, swarm: NDArray[np.float64]) -> None:
        """Put the fireflies elsewhere."""
        self._swarm.copy_(torch.from_numpy(swarm))

    def mine(self) -> None:
        """Mine a negative for every member, as `Trainer._mine`."""
        self._replayed["mine"]()
        self.fresh = False

    def learn(self, rate: float) -> None:
        """Take a gradient step with every member."""
        if self._taken == _DRAWN_AHEAD:
            for rows in self._rows:
                rows.draw()
            self._at.zero_()
            self._taken = 0
        self._rate.fill_(rate)
        self._replayed["learn"]()
        self._taken += 1

    def _features(self, workload: Tensor) -> Tensor | None:
        return None if self._trainer.contexts is None else self._trainer.contexts[workload]

    def _value_of(self, weights: Weights, codes: Tensor, workload: Tensor) -> Tensor:
        return forward(self._trainer.shape, weights, codes, self._features(workload), self._fixed)[0]

    def _loss_of(self, weights: Weights, codes: Tensor, workload: Tensor, targets: Tensor) -> Tensor:
        value = self._value_of(weights, codes, workload)
        alpha = self.stack.alpha if self.mined else None
        beta = self.stack.beta if len(self._rows) > 1 else None
        return loss_of(value, targets, alpha, beta, self._trainer.clip).sum()

    def _moved_of(self, swarm: Tensor, *draws: Tensor) -> tuple[Tensor, Tensor]:
        moved = self._moves.step(swarm, *draws)
        return moved, self._moves.codes(moved)

    @torch.no_grad()
    def _mine(self) -> None:
        members, steps = len(self.stack), self._trainer.schedule.mining_steps
        workloads = 1 if self._trainer.contexts is None else len(self._trainer.contexts)
        own, device = self._generator, self._swarm.device
        workload = torch.randint(workloads, (1,), generator=own, device=device)
        partners = torch.rand((steps, *self._swarm.shape[:2], self._swarm.shape[1]), generator=own, device=device)
        noise = torch.randn((steps, *self._swarm.shape), generator=own, device=device)
        kinds = 3 if self._moves.any_categorical else 0
        anew = torch.rand((steps, kinds, *self._swarm.shape), generator=own, device=device)
        swarm, codes, kind = self._swarm, self._moves.codes(self._swarm), workload.expand(self._swarm.shape[:2])
        seen, value = [], []
        for k in range(steps):
            seen.append(codes)
            value.append(self._value(self.stack.weights, codes, kind))
            swarm, codes = self._moved(swarm, value[-1], partners[k], noise[k], anew[k])
        least = torch.cat(value, dim=1).argmin(dim=1)
        chosen = torch.cat(seen, dim=1)[torch.arange(members, device=least.device), least]
        self._negative.copy_(chosen.unsqueeze(1))
        self._negative_workload.copy_(workload.expand(members, 1))
        self._swarm.copy_(swarm)

    def _learn(self) -> None:
        drawn = [rows.at(self._at) for rows in self._rows]
        members, targets = len(self.stack), drawn[0][2]
        codes = torch.cat([codes for codes, _, _ in drawn]).expand(members, -1, -1)
        workload = torch.cat([workload for _, workload, _ in drawn]).expand(members, -1)
        if self.mined:
            codes = torch.cat([codes, self._negative], dim=1)
            workload = torch.cat([workload, self._negative_workload], dim=1)
        weights = list(self.stack.weights.values())
        loss = self._loss(self.stack.weights, codes, workload, targets)
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        self.stack.adam.step()
        self._at += 1


class DeviceMoves:
    """`Moves` on a device, from draws that are given."""

    def __init__(self, moves: Moves, device: torch.device) -> None:
        """Take over the space and the strength of the moves."""
        self._beta0, self._gamma, self._noise = moves.beta0, moves.gamma, moves.noise
        self._intervals = torch.from_numpy(moves.intervals).float().to(device)
        self._most = torch.tensor(moves.space.cardinalities, device=device) - 1
        self._categorical = torch.from_numpy(moves.categorical).to(device)
        self.any_categorical = bool(moves.categorical.any())
        self._near, self._often = moves.nearness, float(moves.often(1.0))

    def codes(self, positions: Tensor) -> Tensor:
        """Return the designs that positions stand for, same shape."""
        return torch.minimum((positions * self._intervals).round().long().clamp_min(0), self._most)

    def step(self, positions: Tensor, values: Tensor, partners: Tensor, noise: Tensor, anew: Tensor) -> Tensor:
        """Move every firefly as `Moves.step` does.

        Args:
            positions: shape [swarms, fireflies, parameters].
            values: smaller is better, shape [swarms, fireflies].
            partners: uniform draws, shape [swarms, fireflies, fireflies].
            noise: normal draws, shape of the positions.
            anew: uniform draws for the categorical parameters if there are any, shape [3, ...positions].
        """
        brighter = values[:, None, :] < values[:, :, None]
        partner = (partners * brighter).argmax(dim=2, keepdim=True).expand(-1, -1, positions.shape[2])
        better = positions.gather(1, partner)
        toward = better - positions
        squared = (toward**2).sum(dim=2) * self._near
        attraction = (self._beta0 * (-self._gamma * squared).exp() * brighter.any(dim=2)).unsqueeze(2)
        moved = positions + attraction * toward + noise * self._noise / self._intervals
        moved = torch.where(moved > 1, 2 - moved, moved.abs()).clamp(0, 1)
        if not self.any_categorical:
            return moved
        copied = torch.where(anew[0] < attraction, better, positions)
        drawn = torch.minimum((anew[1] * (self._most + 1)).floor(), self._most) / self._intervals
        return torch.where(self._categorical, torch.where(anew[2] < self._often, drawn, copied), moved)


class _Replayed:
    """Work on a GPU that is recorded once it ran a few times, and replayed from then on; on a CPU it just runs."""

    def __init__(self, work: Callable[[], None], device: torch.device, generator: torch.Generator | None) -> None:
        self._work, self._generator, self._ran = work, generator, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        on_gpu = device.type == "cuda"
        self._aside = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]

    def __call__(self) -> None:
        if self._aside is None:
            self._work()
        elif self._ran < _UNRECORDED:
            self._aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._aside):
                self._work()
            torch.cuda.current_stream().wait_stream(self._aside)
        else:
            self._replay()
        self._ran += 1

    def _replay(self) -> None:
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            if self._generator is not None:
                self._graph.register_generator_state(self._generator)
            with _nothing_freed(), torch.cuda.graph(self._graph):
                self._work()
        self._graph.replay()


@contextmanager
def _nothing_freed() -> Iterator[None]:
    """Keep the garbage collector from destroying an earlier recording, which would break one that is being made."""
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _as_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@contextmanager
def _short_products() -> Iterator[None]:
    """Let matrix products use the tensor cores."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

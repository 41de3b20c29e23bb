"""Training of PRIME: Equation 3 over a grid of alpha and beta at once, with successive halving.

The paper trains each of 30 grid members for 10^5 steps by itself. On a CPU that takes days, so the
schedules here train the members side by side on the same batches, start them from one shared
network that has seen the feasible rows, and drop the members that Kendall's correlation (Equation
4) ranks last. `schedules.SCHEDULES["paper"]` drops none, and mines negatives at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.cores import Share, ranges, workers
from armillary.spaces.moves import Moves, population_size
from armillary.surrogates.prime.model import TOKENS_AT_ONCE, Architecture, Weights, forward, initial_weights
from armillary.surrogates.prime.schedules import Schedule
from armillary.surrogates.rows import Dataset, Rows
from armillary.surrogates.selection import Candidate, kendall

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that is kept: one member's weights, each of shape [1, ...], and its score."""

    candidate: Candidate
    weights: Weights


@dataclass
class Stack:
    """The members in training: their grid values, weights and optimizer."""

    grid: list[tuple[float, float]]
    weights: Weights
    adam: torch.optim.Adam = field(init=False)
    alpha: Tensor = field(init=False)
    beta: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for weight in self.weights.values():
            weight.requires_grad_()
            weight.grad = torch.zeros_like(weight)
        device = next(iter(self.weights.values())).device
        self.alpha, self.beta = torch.tensor(self.grid, dtype=torch.float32, device=device).unbind(1)
        self.adam = torch.optim.Adam(self.weights.values(), lr=1e-4, fused=True, capturable=device.type == "cuda")

    def __len__(self) -> int:
        return len(self.grid)

    def keep(self, members: list[int], grid: list[tuple[float, float]]) -> Stack:
        """Return the stack of these members under these grid values, moments of Adam included."""
        kept = Stack(
            grid,
            {name: w.detach()[members].clone() for name, w in self.weights.items()},
        )
        for name, weight in self.weights.items():
            state = self.adam.state.get(weight)
            if state:
                kept.adam.state[kept.weights[name]] = {
                    "step": state["step"].clone(),
                    "exp_avg": state["exp_avg"][members].clone(),
                    "exp_avg_sq": state["exp_avg_sq"][members].clone(),
                }
        return kept

    def chunk(self, first: int, last: int) -> Weights:
        """Return leaves that share memory and gradients with members first..last-1."""
        leaves = {}
        for name, weight in self.weights.items():
            leaf = weight.detach()[first:last].requires_grad_()
            assert weight.grad is not None
            leaf.grad = weight.grad[first:last]
            leaves[name] = leaf
        return leaves


class Trainer:
    """One training run over the grid; `run` returns the best checkpoints."""

    def __init__(
        self,
        *,
        shape: Architecture,
        moves: Moves,
        data: Dataset,
        contexts: Tensor | None,
        grid: list[tuple[float, float]],
        schedule: Schedule,
        clip: float,
        seed: int,
        device: torch.device,
        on_progress: Progress | None,
    ) -> None:
        """Prepare a run.

        Args:
            shape: the network.
            moves: how the fireflies move that mine negatives.
            data: the split log.
            contexts: normalised features, shape [workloads, features], None for one workload.
            grid: the pairs (alpha, beta).
            schedule: how long to train.
            clip: bound on predictions at negatives and infeasible rows, in standard units.
            seed: of the weights, batches and fireflies.
            device: where to train.
            on_progress: called with member steps done and in total.
        """
        self.shape, self.moves, self._data, self.schedule = shape, moves, data, schedule
        self._grid, self.clip, self._device, self._on_progress = grid, clip, device, on_progress
        self.contexts = None if contexts is None else contexts.to(device)
        self.rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self.pools = [Pool(rows, len(data.workloads), self.rng) for rows in (data.train, data.infeasible)]
        self._total = schedule.member_steps(len(grid))
        self._done = 0
        self._steps = sum(rung.steps for rung in schedule.rungs)
        self._share_out: Share
        self._negatives: tuple[Tensor, Tensor] | None = None
        self._swarm = self._scatter(len(grid))
        self.candidates: list[Candidate] = []

    def run(self, keep: int) -> list[Snapshot]:
        """Train, and return the best `keep` checkpoints of different members, the best first."""
        with workers(self._device) as self._share_out:
            return self._run(keep)

    def _run(self, keep: int) -> list[Snapshot]:
        stack = self._warm()
        best: list[Snapshot] = []
        step = 0
        for rung in self.schedule.rungs:
            if rung.members < len(stack):
                best_now = np.argsort([-s.kendall for s in self._last_scores(stack)], kind="stable")
                members = sorted(int(i) for i in best_now[: rung.members])
                stack = stack.keep(members, [stack.grid[i] for i in members])
            self._swarm = self._scatter(len(stack))
            for i in range(rung.steps):
                self._step(stack, step, self._rate(step))
                step += 1
                if (i + 1) % self.schedule.checkpoint == 0 or i + 1 == rung.steps:
                    best = self._checkpoint(stack, step, best, keep)
        return best

    def _warm(self) -> Stack:
        """Return the whole grid, every member a copy of one network trained with alpha = beta = 0."""
        weights = {n: w.to(self._device) for n, w in initial_weights(self.shape, 1, self._generator).items()}
        one = Stack([(0.0, 0.0)], weights)
        for step in range(self.schedule.warmup):
            self._step(one, step, self.schedule.learning_rate * min(1.0, (step + 1) / 50))
        return one.keep([0] * len(self._grid), self._grid)

    def _rate(self, step: int) -> float:
        """Return the learning rate: cosine from the first to the final one."""
        end = self.schedule.final_rate
        return self.schedule.learning_rate * (end + (1 - end) * (1 + math.cos(math.pi * step / self._steps)) / 2)

    def _step(self, stack: Stack, step: int, rate: float) -> None:
        """Take one gradient step of Equation 3 with every member."""
        batch = self.schedule.batch
        feasible = self.pools[0].draw(batch, self.rng)
        infeasible = self.pools[1].draw(batch, self.rng) if stack.beta.any() and len(self.pools[1]) else None
        mined = stack.alpha > 0
        if mined.any() and step % self.schedule.refresh == 0:
            self._swarm = self._scatter(len(stack))
        if mined.any() and (step % self.schedule.mining_period == 0 or self._negatives is None):
            self._negatives = self._mine(stack)
        rows = [feasible] + ([infeasible] if infeasible else [])
        codes = np.concatenate([r.codes for r in rows])
        workload = np.concatenate([r.workload for r in rows])
        shared = torch.from_numpy(codes).to(self._device).expand(len(stack), *codes.shape)
        every = torch.from_numpy(workload).to(self._device).expand(len(stack), len(workload))
        if mined.any():
            assert self._negatives is not None
            shared = torch.cat([shared, self._negatives[0]], dim=1)
            every = torch.cat([every, self._negatives[1]], dim=1)
        targets = torch.from_numpy(feasible.targets).to(self._device, torch.float32)

        def learn(first: int, last: int) -> None:
            leaves = stack.chunk(first, last)
            value, _ = forward(self.shape, leaves, shared[first:last], self._features(every[first:last]))
            alpha = stack.alpha[first:last] if mined.any() else None
            beta = stack.beta[first:last] if infeasible else None
            loss_of(value, targets, alpha, beta, self.clip).sum().backward()  # type: ignore[no-untyped-call]

        self._share(learn, len(stack), shared.shape[1])
        stack.adam.param_groups[0]["lr"] = rate
        stack.adam.step()
        stack.adam.zero_grad(set_to_none=False)
        self._tell(stack)

    def _tell(self, stack: Stack) -> None:
        """Report that every member took a step."""
        self._done += len(stack)
        if self._on_progress:
            self._on_progress(self._done, self._total)

    def _share(self, work: Callable[[int, int], None], members: int, designs: int) -> None:
        """Do the work for ranges of members: on a CPU as many as stay in its caches, on a GPU all."""
        tokens = designs * len(self.shape.cardinalities)
        size = members if self._device.type != "cpu" else max(1, TOKENS_AT_ONCE["cpu"] // tokens)
        self._share_out(work, ranges(members, size))

    def _features(self, workload: Tensor) -> Tensor | None:
        return None if self.contexts is None else self.contexts[workload]

    def _scatter(self, members: int) -> NDArray[np.float64]:
        self._negatives = None
        return self.moves.scatter((members, self.fireflies), self.rng)

    @property
    def fireflies(self) -> int:
        """How many mine together."""
        return population_size(len(self.shape.cardinalities))

    @torch.no_grad()
    def _mine(self, stack: Stack) -> tuple[Tensor, Tensor]:
        """Return each member's negative, codes [members, 1, parameters], and its workload [members, 1].

        Source: PRIME Algorithm 1, lines 3 to 9: five firefly moves towards the minimum of the member, and
            of all fireflies seen the best. Each round looks at one workload, drawn at random.
        """
        workload = int(self.rng.integers(len(self._data.workloads)))
        members = np.arange(len(stack))
        best_value = np.full(len(stack), np.inf)
        best_codes = self.moves.codes(self._swarm[:, 0])
        for _ in range(self.schedule.mining_steps):
            codes = self.moves.codes(self._swarm)
            value = self.values(stack.weights, codes, np.full(codes.shape[:2], workload))
            least = value.argmin(axis=1)
            better = value[members, least] < best_value
            best_value = np.where(better, value[members, least], best_value)
            best_codes[better] = codes[members, least][better]
            self._swarm = self.moves.step(self._swarm, value, self.rng)
        chosen = torch.from_numpy(best_codes[:, None, :]).to(self._device)
        return chosen, torch.full((len(stack), 1), workload, device=self._device)

    @torch.no_grad()
    def values(self, weights: Weights, codes: NDArray[np.int64], workload: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return predictions of codes [members, designs, parameters], shape [members, designs]."""
        found = np.empty(codes.shape[:2])
        if not found.size:
            return found

        def predict(first: int, last: int) -> None:
            some = torch.from_numpy(codes[first:last]).to(self._device)
            kind = torch.from_numpy(workload[first:last]).to(self._device)
            part = {name: w[first:last] for name, w in weights.items()}
            with torch.no_grad():  # which torch switches off per thread
                value = forward(self.shape, part, some, self._features(kind))[0]
            found[first:last] = value.double().cpu().numpy()

        self._share(predict, len(codes), codes.shape[1])
        return found

    def _checkpoint(self, stack: Stack, step: int, best: list[Snapshot], keep: int) -> list[Snapshot]:
        """Score every member on the validation rows; return the best checkpoints so far."""
        scores = self._scores(stack)
        for member, score in enumerate(scores):
            candidate = Candidate(*stack.grid[member], step, score)
            self.candidates.append(candidate)
            rival = [s for s in best if (s.candidate.alpha, s.candidate.beta) == (candidate.alpha, candidate.beta)]
            if rival and rival[0].candidate.kendall >= score:
                continue
            others = [s for s in best if s not in rival]
            if len(others) >= keep and score <= min(s.candidate.kendall for s in others):
                continue
            kept = {name: w.detach()[member : member + 1].cpu().clone() for name, w in stack.weights.items()}
            best = sorted([*others, Snapshot(candidate, kept)], key=lambda s: -s.candidate.kendall)[:keep]
        return best

    def _scores(self, stack: Stack) -> list[float]:
        """Return each member's mean over workloads of Kendall's correlation on the validation rows."""
        valid = self._data.valid
        codes = np.broadcast_to(valid.codes, (len(stack), *valid.codes.shape))
        value = self.values(stack.weights, codes.copy(), np.tile(valid.workload, (len(stack), 1)))
        groups = [np.flatnonzero(valid.workload == k) for k in range(len(self._data.workloads))]
        return [
            float(np.mean([kendall(valid.targets[g], member[g]) for g in groups]))
            if np.isfinite(member).all()
            else -1.0
            for member in value
        ]

    def _last_scores(self, stack: Stack) -> list[Candidate]:
        return self.candidates[-len(stack) :]


def loss_of(value: Tensor, targets: Tensor, alpha: Tensor | None, beta: Tensor | None, clip: float) -> Tensor:
    """Return each member's loss, shape [members].

    Args:
        value: predictions, shape [members, designs]: of the feasible rows, then of as many infeasible ones if there is
            a beta, then of the negatives if there is an alpha.
        targets: of the feasible rows, shape [rows].
        alpha: weight of the negatives, shape [members].
        beta: weight of the infeasible rows, shape [members].
        clip: bound on the values at negatives and infeasible rows.

    Source: PRIME, Equations 2 and 3.
    """
    batch = len(targets)
    loss = ((value[:, :batch] - targets) ** 2).mean(dim=1)
    bounded, end = value.clamp(-clip, clip), batch
    if beta is not None:
        end = 2 * batch
        loss = loss - beta * bounded[:, batch:end].mean(dim=1)
    if alpha is not None:
        loss = loss - alpha * bounded[:, end:].mean(dim=1)
    return loss


class Pool:
    """Rows drawn in random order, each once per round; every workload equally often."""

    def __init__(self, rows: Rows, workloads: int, rng: np.random.Generator) -> None:
        self.rows = rows
        present = [np.flatnonzero(rows.workload == k) for k in range(workloads)]
        self._groups = [rng.permutation(group) for group in present if len(group)]
        self._taken = [0] * len(self._groups)

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """Return the next n rows."""
        index = self.draw_places(n, rng)
        return Rows(self.rows.codes[index], self.rows.workload[index], self.rows.targets[index])

    def draw_places(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return where the next n rows stand."""
        turns = rng.permutation(n) % len(self._groups)
        index = np.empty(n, dtype=np.int64)
        for k in range(len(self._groups)):
            own = np.flatnonzero(turns == k)
            index[own] = self._next(k, len(own), rng)
        return index

    def _next(self, k: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        found: list[NDArray[np.int64]] = []
        while n:
            if self._taken[k] == len(self._groups[k]):
                self._groups[k] = rng.permutation(self._groups[k])
                self._taken[k] = 0
            part = self._groups[k][self._taken[k] : self._taken[k] + n]
            self._taken[k] += len(part)
            n -= len(part)
            found.append(part)
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

"""How long and on what PRIME trains, by name. Loads no torch, so that help can list the names."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rung:
    """How long the best `members` of the grid train on; the first rung takes the whole grid."""

    members: int
    steps: int


@dataclass(frozen=True)
class Schedule:
    """How long and on what PRIME trains.

    Attributes:
        rungs: successive halving; steps of each rung come on top of those before.
        warmup: steps of one network with alpha = beta = 0, from which all members start.
        batch: feasible rows per step, and as many infeasible ones.
        learning_rate: of Adam, at the start.
        final_rate: share of the learning rate that the cosine decay ends at; 1 keeps it constant.
        checkpoint: steps between checkpoints; the end of a rung is always one.
        mining_period: gradient steps between rounds of negative mining; 1 in the paper.
        mining_steps: firefly moves per round.
        refresh: gradient steps after which the fireflies start anew.
        refit: steps per workload of a last network, with the chosen alpha and beta and batches twice as large, on
            the rows that validated too; 0 keeps the chosen checkpoint itself, as the paper does. The
            best designs of a log teach most about better ones, once they need not judge any more.
    """

    rungs: tuple[Rung, ...]
    warmup: int = 0
    batch: int = 256
    learning_rate: float = 1e-4
    final_rate: float = 1.0
    checkpoint: int = 5000
    mining_period: int = 1
    mining_steps: int = 5
    refresh: int = 20_000
    refit: int = 0

    def member_steps(self, grid: int) -> int:
        """Return the gradient steps of all members together, for a grid of this size."""
        return self.warmup + sum(min(rung.members, grid) * rung.steps for rung in self.rungs)

    def for_refit(self, workloads: int) -> Schedule:
        """Return the schedule of the last network, which sees the rows of one workload as often as of several."""
        steps = workloads * self.refit
        return replace(
            self,
            rungs=(Rung(1, steps),),
            warmup=0,
            batch=2 * self.batch,
            final_rate=self.final_rate / 5,
            checkpoint=steps,
        )


SCHEDULES = {
    "paper": Schedule(rungs=(Rung(30, 100_000),)),
    "halving": Schedule(  # no warm-up: every pair of alpha and beta trains 500 steps of its own before any is dropped
        rungs=(Rung(30, 500), Rung(8, 500), Rung(2, 1000)),
        batch=64,
        learning_rate=1e-3,
        final_rate=0.05,
        checkpoint=500,
        mining_period=4,
        refit=2000,
    ),
    "full": Schedule(
        rungs=(Rung(30, 150), Rung(10, 300), Rung(4, 700)),
        warmup=800,
        batch=64,
        learning_rate=1e-3,
        final_rate=0.05,
        checkpoint=100,
        mining_period=4,
        refit=6000,
    ),
    "quick": Schedule(
        rungs=(Rung(30, 60), Rung(8, 120), Rung(3, 250)),
        warmup=600,
        batch=64,
        learning_rate=1e-3,
        final_rate=0.05,
        checkpoint=60,
        mining_period=4,
        refit=3000,
    ),
    "brief": Schedule(
        rungs=(Rung(30, 20), Rung(5, 60), Rung(2, 100)),
        warmup=300,
        batch=64,
        learning_rate=1e-3,
        final_rate=0.05,
        checkpoint=60,
        mining_period=4,
        refit=1000,
    ),
}

"""The best designs by a surrogate: firefly swarms, then recombination, then changes of one parameter at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import drawn_within
from armillary.optimizers.genetic import children
from armillary.problems.problem import Keep
from armillary.spaces.moves import Moves, population_size
from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.types import ArmillaryError

Score = Callable[[NDArray[np.int64]], NDArray[np.float64]]
_START_ROUNDS = 20
_REFINE_ROUNDS = 20
_REFINED_AT_ONCE = 20_000
_CHOICE = 32
_CHILDREN = 16  # per design wanted, of a generation
_SAME_GENERATIONS = 2  # after which the best are taken for good: few change later, and none by much


def top_designs(
    score: Score,
    space: Space,
    *,
    n: int = 256,
    bred: int = 0,
    seed: int = 0,
    keep: Keep | None = None,
    swarms: int = 32,
    steps: int = 60,
    generations: int = 200,
    refine_rounds: int | None = None,
    apart: int = 1,
) -> NDArray[np.int64]:
    """Return the best distinct designs that were seen, the best first, shape [at most n, parameters].

    Fewer than n come back only when fewer were met, as in a space of fewer than n designs.

    Args:
        score: what to minimise: codes [designs, parameters] to values [designs]; NaN counts as worst.
        space: the space to search.
        n: how many designs.
        bred: designs that are bred and refined, if more than n: a search for few is then as thorough as one for many.
        seed: same seed and score, same designs.
        keep: a constraint known exactly, such as the template's area: codes to a mask; designs
            outside are never scored.
        swarms: independent swarms, each of `population_size` fireflies.
        steps: firefly moves of every swarm; the noise shrinks to a fifth on the way.
        generations: at most so often the best designs, as far apart as they shall be in the end, have children that
            mix two of them, until two generations changed none of the best. A complement of ours to the paper's
            firefly: what lies three parameters from everything that the swarms met, no small move reaches.
        refine_rounds: at most so many rounds in which every change of one parameter of the n best
            (of the best of them, where these are tens of thousands) is scored, until none enters the
            n best. As many as parameters, at least 20, if not given; 0 switches it off. Another complement:
            the noise of Equation 5 rarely hits the last step in all parameters.
        apart: parameters in which any two of the first half of the designs differ at least, as far as the best 32 n
            that were seen go. A parameter that hardly matters would otherwise fill the n best with copies of a few
            designs. The other half are the best of the rest, however close: where the score errs by little, the
            truly best design is a close copy of one that it ranks before it.

    Raises:
        ArmillaryError: if no design passes `keep`.
    """
    bred = max(n, bred)
    archive = _Archive(space, score, keep, bred if apart == 1 else _CHOICE * bred)
    moves = Moves(space)
    rng = np.random.default_rng(seed)
    positions = moves.positions(_start(space, (swarms, population_size(len(space.parameters))), keep, seed))
    for step in range(steps + 1):
        values = archive.visit(moves.codes(positions).reshape(-1, len(space.parameters)))
        if step < steps:
            scale = 0.2 ** (step / max(1, steps - 1))
            positions = moves.step(positions, values.reshape(positions.shape[:2]), rng, scale)
    if not len(archive.codes):
        raise ArmillaryError(f"no design that was tried in space {space.name} passes the constraint; loosen the bound")
    _breed(archive, bred, apart, generations, rng)
    _refine(archive, bred, max(_REFINE_ROUNDS, len(space.parameters)) if refine_rounds is None else refine_rounds)
    return archive.codes[spread_out(archive.codes, n, apart, (n + 1) // 2)]


def spread_out(codes: NDArray[np.int64], n: int, apart: int, wide: int | None = None) -> NDArray[np.intp]:
    """Return n positions, rising: the first designs that differ pairwise in so many parameters, then the first others.

    Args:
        codes: designs, shape [designs, parameters], the best first.
        n: how many; all, if there are fewer designs.
        apart: parameters in which two differ at least.
        wide: how many of the n are to differ so, as far as there are such; all, if not given.
    """
    wide = n if wide is None else wide
    chosen: list[int] = []
    columns = np.ascontiguousarray(codes.T, dtype=np.uint16)
    free = np.ones(len(codes), dtype=bool)
    place = 0
    while len(chosen) < wide and place < len(codes):
        chosen.append(place)
        later = columns[:, place + 1 :]
        free[place + 1 :] &= (later != columns[:, place, None]).sum(axis=0, dtype=np.uint16) >= apart
        place += 1 + int(free[place + 1 :].argmax()) if free[place + 1 :].any() else len(codes)
    others = np.setdiff1d(np.arange(len(codes)), chosen)[: n - len(chosen)]
    return np.sort(np.concatenate([np.array(chosen, dtype=np.intp), others]))


def _breed(archive: _Archive, n: int, apart: int, generations: int, rng: np.random.Generator) -> None:
    """Visit children of the n best designs that are apart, until these no longer change."""
    best, same = archive.best(n, apart), 0
    for _ in range(generations):
        archive.visit(children(archive.space, best, _CHILDREN * n, rng))
        before, best = best, archive.best(n, apart)
        same = same + 1 if np.array_equal(before, best) else 0
        if same == _SAME_GENERATIONS:
            break


def _refine(archive: _Archive, n: int, rounds: int) -> None:
    """Visit the neighbours of the n best designs, each design's once, until all are visited."""
    changes = sum(n - 1 for n in archive.space.cardinalities)
    done = np.empty(0, dtype=keys(archive.codes).dtype)
    for _ in range(rounds):
        known = keys(archive.codes[:n])
        open_ = np.flatnonzero(~np.isin(known, done))[: max(1, _REFINED_AT_ONCE // max(1, changes))]
        if not len(open_):
            break
        done = np.concatenate([done, known[open_]])
        archive.visit(neighbours(archive.space, archive.codes[open_]))


def neighbours(space: Space, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all designs that differ from one of the codes in one parameter, shape [designs, parameters]."""
    found = []
    for i, cardinality in enumerate(space.cardinalities):
        changed = np.repeat(codes, cardinality, axis=0)
        changed[:, i] = np.tile(np.arange(cardinality), len(codes))
        found.append(changed[changed[:, i] != np.repeat(codes[:, i], cardinality)])
    return distinct(np.concatenate(found))


def distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each design once, in the order of first appearance."""
    return codes[np.sort(np.unique(keys(codes), return_index=True)[1])]


def keys(codes: NDArray[np.int64]) -> NDArray[np.void]:
    """Return one comparable key per design, shape [designs]; spaces may be too large to number."""
    rows = np.ascontiguousarray(codes, dtype=">u2")  # codes are small; big-endian keeps their order
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).reshape(-1)


def _start(space: Space, shape: tuple[int, int], keep: Keep | None, seed: int) -> NDArray[np.int64]:
    """Return random starting designs, shape [*shape, parameters], within the constraint where it can be met."""
    wanted = shape[0] * shape[1]
    found = np.empty((0, len(space.parameters)), dtype=np.int64)
    for attempt in range(_START_ROUNDS):
        drawn = sample(space, wanted, "random", seed + 7919 * attempt)
        found = np.concatenate([found, drawn if keep is None else drawn[keep(drawn)]])
        if len(found) >= wanted:
            break
    if keep is not None and not len(found):
        found = drawn_within(space, wanted, keep, np.random.default_rng(seed))
    if len(found) < wanted:
        found = np.concatenate([found, sample(space, wanted - len(found), "random", seed)])
    return found[:wanted].reshape(*shape, -1)


@dataclass
class _Archive:
    """The n best distinct designs met so far."""

    space: Space
    score: Score
    keep: Keep | None
    n: int
    codes: NDArray[np.int64] = field(init=False)
    values: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.codes = np.empty((0, len(self.space.parameters)), dtype=np.int64)
        self.values = np.empty(0)

    def best(self, n: int, apart: int) -> NDArray[np.int64]:
        """Return the n best that differ pairwise in so many parameters, the best first; see `spread_out`."""
        return self.codes if apart == 1 else self.codes[spread_out(self.codes, n, apart)]

    def visit(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score designs, remember the best, and return their values, infinite outside the constraint."""
        unique, where = np.unique(keys(codes), return_index=True, return_inverse=True)[1:]
        fresh = codes[unique]
        values = np.full(len(fresh), np.inf)
        allowed = np.ones(len(fresh), dtype=bool) if self.keep is None else self.keep(fresh)
        if allowed.any():
            values[allowed] = self.score(fresh[allowed])
        values[np.isnan(values)] = np.inf
        new = allowed & ~np.isin(keys(fresh), keys(self.codes))
        self.codes = np.concatenate([self.codes, fresh[new]])
        self.values = np.concatenate([self.values, values[new]])
        order = np.lexsort([keys(self.codes).argsort().argsort(), self.values])[: self.n]
        self.codes, self.values = self.codes[order], self.values[order]
        return np.asarray(values[where.reshape(-1)])

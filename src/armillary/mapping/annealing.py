"""The default search of mappings: populations that cool, until a run of twice the length finds nothing better.

Every row walks at random and takes worse mappings with a chance that shrinks as the walk cools (simulated annealing:
Kirkpatrick et al., Science 220, 1983). Rows live on islands; after each round the worst quarter of an island becomes
copies of its best, so that a good idea is worked out on its island but does not end all others. On half of the islands
factors must divide until the end: windows shared between neighbours want such mappings, and few steps from others lead
there.
"""

from __future__ import annotations

import numpy as np

from armillary.mapping.judge import Judge, Rows

ROWS = 256
ISLAND = 32
ROUNDS = 80
STEPS = 12
_HOT, _COLD = 0.6, 0.005
_PERFECT_UNTIL = 0.85
_COLD_FROM = 0.9
_WORTH = 1e-3
_MOST_CYCLES = 8


def anneal(judge: Judge, rng: np.random.Generator) -> str:
    """Search until the budget or the time is over, or a cycle twice as long as the last finds nothing better.

    Returns:
        why it ended.
    """
    steps, best, cycle = STEPS, np.inf, 0
    while not judge.over:
        rows, rounds, each = _size(judge, steps)
        _cycle(judge, rng, rows, rounds, each)
        score = np.inf if judge.best is None else float(judge.best.scores[0])
        cycle += 1
        settled = cycle > 1 and not score < best - _WORTH
        if judge.budget is None and (settled or cycle == _MOST_CYCLES):
            return "no longer improving"
        best = min(best, score)
        steps *= 2
    return "budget"


def _size(judge: Judge, steps: int) -> tuple[int, int, int]:
    """Return rows, rounds and steps per round of the next cycle, which ends with the budget if that is short."""
    left = judge.left
    whole = ROWS * ROUNDS * steps
    if left is None or left >= 2 * whole:
        return ROWS, ROUNDS, steps
    rows = int(np.clip(left // 300, 1, ROWS // ISLAND)) * ISLAND
    most = 1 if judge.stopwise else steps * 2
    each = int(np.clip(left // (rows * ROUNDS), 1, most))
    return rows, max(1, left // (rows * each)), each


def _cycle(judge: Judge, rng: np.random.Generator, size: int, rounds: int, steps: int) -> None:
    genes = judge.space.random(size, rng)
    genes[:1] = judge.space.outermost()
    rows = judge.judge(genes[: judge.left], soften=True)
    seeds = rng.integers(1 << 30, size=rounds)
    for number in range(rounds):
        if judge.over or not len(rows.genes):
            return
        cooled = number / max(1, rounds - 1)
        if judge.best is not None and cooled >= _COLD_FROM:
            _adopt(rows, judge.best)
        heat = _HOT * (_COLD / _HOT) ** cooled if cooled < _COLD_FROM else 0.0
        perfect = len(rows.genes) // 2 if cooled < _PERFECT_UNTIL else 0
        judge.walk(rows, steps, heat, int(seeds[number]), perfect=perfect)
        _select(rows)


def _select(rows: Rows) -> None:
    """Let copies of each island's best quarter take the places of its worst."""
    for first in range(0, len(rows.scores), ISLAND):
        order = first + np.argsort(rows.scores[first : first + ISLAND], kind="stable")
        quarter = len(order) // 4
        if quarter:
            rows.replace(order[-quarter:], rows, order[:quarter])


def _adopt(rows: Rows, best: Rows) -> None:
    """Put the best of all cycles in the place of the worst row, so that it is polished, too."""
    rows.replace(np.array([int(rows.scores.argmax())]), best, np.array([0]))

"""The default search of mappings: populations that cool, until two of them have found the same best.

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
STEPS = (8, 16, 32)
"""Steps per row and round of the first cycles; a search with a budget goes on with the last."""
_HOT, _COLD = 0.6, 0.005
_PERFECT_UNTIL = 0.85
_COLD_FROM = 0.9
_SAME = 1e-3
_BLIND = 4
"""Steps between looks at what an accelerator can run: each look costs as much as some steps."""
_LEAST_ROUNDS = 20
_WORTH_AN_ISLAND = 4_000


def anneal(judge: Judge, rng: np.random.Generator) -> str:
    """Search until the budget or the time is over; without a budget until two cycles have found the same best.

    Returns:
        why it ended.
    """
    cycle, best = 0, np.inf
    while not judge.over:
        score = _cycle(judge, rng, STEPS[min(cycle, len(STEPS) - 1)])
        cycle += 1
        again = cycle > 1 and abs(score - best) < _SAME
        if judge.budget is None and (again or cycle == len(STEPS)):
            return "no longer improving"
        best = min(best, score)
    return "budget"


def _cycle(judge: Judge, rng: np.random.Generator, steps: int) -> float:
    """Let a new population cool and return its best score."""
    size = ROWS if judge.left is None else int(np.clip(judge.left // _WORTH_AN_ISLAND, 1, ROWS // ISLAND)) * ISLAND
    genes = judge.space.random(size, rng)
    genes[:1] = judge.space.outermost()
    rows = judge.judge(genes[: judge.left], soften=True)
    rounds, steps = _pace(judge, len(rows.genes), steps)
    seeds = rng.integers(1 << 30, size=rounds)
    best = float(rows.scores.min())
    for number in range(rounds):
        if judge.over:
            break
        cooled = number / max(1, rounds - 1)
        heat = _HOT * (_COLD / _HOT) ** cooled if cooled < _COLD_FROM else 0.0
        perfect = len(rows.genes) // 2 if cooled < _PERFECT_UNTIL else 0
        judge.walk(rows, steps, heat, int(seeds[number]), perfect=perfect)
        best = min(best, float(rows.scores.min()))
        _select(rows)
    return best


def _pace(judge: Judge, size: int, steps: int) -> tuple[int, int]:
    """Return rounds and steps per round of a population, which cools within the budget if that is short."""
    left = judge.left
    if left is None or left >= 2 * size * ROUNDS * steps:
        return ROUNDS, steps
    wanted, most = (_LEAST_ROUNDS, _BLIND) if judge.stepwise else (ROUNDS, 2 * steps)
    each = int(np.clip(left // (size * wanted), 1, most))
    return left // (size * each), each


def _select(rows: Rows) -> None:
    """Let copies of each island's best quarter take the places of its worst."""
    for first in range(0, len(rows.scores), ISLAND):
        order = first + np.argsort(rows.scores[first : first + ISLAND], kind="stable")
        quarter = len(order) // 4
        if quarter:
            rows.replace(order[-quarter:], rows, order[:quarter])

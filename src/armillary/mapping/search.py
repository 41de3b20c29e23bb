"""Search for the best mapping of a layer onto a hierarchy, and proofs of how good it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy  # whose parts load when they are used, statistics slowly

from armillary.hardware.hierarchy import Hierarchy
from armillary.mapping.annealing import anneal
from armillary.mapping.exhaustive import Enumeration
from armillary.mapping.genes import Genes, GeneSpace
from armillary.mapping.goals import GOALS, METHODS, Goal, Method
from armillary.mapping.gradient import descend
from armillary.mapping.judge import Delays, Fits, Found, Judge, NoLegalMappingError, OnProgress, Rows, prepare
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.proven.proof import PROVEN, Proof, prepare_proofs
from armillary.mapping.uneven import after_even, in_parts
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

__all__ = ["Found", "NoLegalMappingError", "search"]

BUDGET = 50_000
PROOF_BUDGET = 1_000_000
"""Nodes and mappings that a proof looks at where none are asked for; annealing is not counted then."""
_ANNEALED = 4
"""The share of them that annealing gets."""
_LEAST = 2_000
"""Mappings that annealing gets at least, if the budget has as many."""
_FIRST = 20_000
"""Mappings after which annealing lets the proof try."""
_TRIED = 5
"""The share of the others that the proof gets for that."""
_AT_ONCE = 16_384


def search(
    hierarchy: Hierarchy,
    layer: Layer,
    *,
    method: Method = "annealing",
    goal: Goal = "edp",
    budget: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    perfect: bool = False,
    fits: Fits | None = None,
    delays: Delays | None = None,
    on_progress: OnProgress | None = None,
) -> Found:
    """Return the best mapping that a method finds.

    Args:
        hierarchy: onto which; its levels' rules bound the search. Where a memory has two parts, mappings whose tensors
            all have even tiles are searched first, with the same budget; what is found is at least as good.
        layer: of what.
        method: `annealing` (populations of random walks that cool), `genetic` (crossover of splits and orders),
            `gradient` (descent on relaxed factors, all of which divide), `random` or `sobol` (all over the map-space),
            or `exhaustive`, which proves optimality and ignores the budget. `proven` anneals, and finds a better
            mapping or proves how near to the optimum the best is; its budget counts nodes of the proof, too. Without a
            budget what it finds is at least as good as what `annealing` does with the same seed.
        goal: what to minimise.
        budget: mappings to evaluate. Without one, `annealing` ends when it no longer improves, the proof of `proven`
            after 1,000,000 nodes and mappings, the others after 50,000; `gradient` finishes the round that crosses it.
        seed: same seed, same result, unless the time runs out.
        seconds: stop after this time, with the best so far.
        perfect: whether all factors must divide; else the last round of a loop may be short.
        fits: which mappings an accelerator can run, beyond what the hierarchy says of it, shape [n].
        delays: an accelerator's delays, at least the cost model's, in cycles, shape [n]. The search walks by the cost
            model; of the mappings that it meets it returns the best by these.
        on_progress: called with mappings done and in total.

    Raises:
        ArmillaryError: if method, goal or budget is not allowed, or the map-space is too large to exhaust.
        NoLegalMappingError: if no legal mapping was met.
    """
    for value, allowed, what in ((method, METHODS, "method"), (goal, GOALS, "goal")):
        if value not in allowed:
            raise ArmillaryError(f"{what} {value!r} is unknown; choose one of {list(allowed)}")
    if budget is not None and budget < 1:
        raise ArmillaryError(f"budget={budget} is not allowed; it must be at least 1")
    if hierarchy.is_uneven and method == "gradient":
        others = [name for name in METHODS if name != method]
        raise ArmillaryError(
            f"{hierarchy.name} has uneven tiles, which method {method!r} lacks; choose one of {others}"
        )
    space = GeneSpace(hierarchy, layer, perfect=perfect or method == "gradient")
    if method not in ("annealing", "proven") and budget is None:
        budget = BUDGET
    if method == "exhaustive":
        budget = None
    prepare()  # before the time begins: compiling takes half a minute, once per machine
    if method == "proven" and not space.is_point:
        prepare_proofs()
    judge = Judge(space, goal, budget=budget, seconds=seconds, fits=fits, delays=delays, on_progress=on_progress)
    even = None
    if hierarchy.is_uneven and method != "exhaustive" and fits is None and delays is None:
        even = _even(judge, method, seed, seconds, on_progress)
    found = _found(judge, method, budget, seed)
    return found if even is None else after_even(found, even)


def _found(judge: Judge, method: Method, budget: int | None, seed: int) -> Found:
    space = judge.space
    if method == "proven" and max(space.bounds.values()) == 1:
        method = "exhaustive"  # a proof decides loops, and none turns
    if method == "proven" and not space.is_point:
        return _proven(judge, budget, seed)
    with judge.working():
        stopped = _run(method, judge, seed)
    return judge.found(optimal=stopped == ALL and not judge.over_time, stopped=stopped)


def _even(
    judge: Judge, method: Method, seed: int, seconds: float | None, on_progress: OnProgress | None
) -> Found | None:
    """Search the mappings whose tensors all have even tiles, for half of the time, and judge the best of them.

    Returns:
        what was found; None if nothing was legal.
    """
    space, budget = judge.space, judge.budget
    try:
        even = search(
            space.hierarchy.even(), space.layer, method=method, goal=judge.goal, budget=budget, seed=seed,
            seconds=None if seconds is None else seconds / 2, perfect=space.perfect, on_progress=on_progress,
        )  # fmt: skip
    except NoLegalMappingError:
        return None
    with judge.working():
        judge.judge(space.row(in_parts(space.hierarchy, even.mapping)))
    judge.grant(budget)
    return even


ALL = "every mapping seen"


def _proven(judge: Judge, budget: int | None, seed: int) -> Found:
    """Anneal for a short time, and prove the best mapping, or find a better one.

    Where that takes long, annealing begins anew as it would by itself, and then the proof goes on.
    """
    annealed = PROOF_BUDGET if budget is None else max(budget // _ANNEALED, min(budget, _LEAST))
    tried = (PROOF_BUDGET if budget is None else budget - annealed) // _TRIED
    with judge.working():
        judge.grant(max(1, min(_FIRST, annealed)))
        anneal(judge, np.random.default_rng(seed))
        proof = Proof(judge)
        proven = proof.run(tried)
        if not proven and not judge.over_time:
            judge.grant(None if budget is None else annealed - _FIRST)
            anneal(judge, np.random.default_rng(seed))
            left = PROOF_BUDGET - tried if budget is None else budget - judge.evaluated - proof.nodes
            proven = proof.run(left)
    return judge.found(optimal=proven, stopped=PROVEN if proven else "budget", bound=proof.bound)


def _run(method: Method, judge: Judge, seed: int) -> str:
    """Search and return why it ended."""
    space, rng = judge.space, np.random.default_rng(seed)
    if space.is_point:
        judge.judge(space.outermost())
        return ALL
    if method in ("annealing", "proven"):
        return anneal(judge, rng)
    if method == "exhaustive":
        _exhaust(judge)
        return ALL
    if method == "genetic":
        _evolve(judge, rng)
    elif method == "gradient":
        plain = MapSpace(space.hierarchy, space.layer)
        descend(plain, lambda codes: judge.judge(plain.genes(codes)).scores, judge.goal, lambda: judge.over, rng)
    else:
        for genes in _samples(space, method, judge.budget or BUDGET, seed, rng):
            if judge.over:
                break
            judge.judge(genes)
    return "budget"


def _exhaust(judge: Judge) -> None:
    every = Enumeration(judge)
    for genes in every.batches():
        if judge.over_time:
            return
        judge.judge(genes)


def _samples(space: GeneSpace, method: Method, budget: int, seed: int, rng: np.random.Generator) -> Iterator[Genes]:
    sequence = scipy.stats.qmc.Sobol(space.width, scramble=True, seed=seed) if method == "sobol" else None
    for first in range(0, budget, _AT_ONCE):
        n = min(_AT_ONCE, budget - first)
        yield space.random(n, rng) if sequence is None else space.of_cube(sequence.random(_AT_ONCE)[:n])


def _evolve(judge: Judge, rng: np.random.Generator) -> None:
    """Keep a population; children take each dimension's split and each level's order from one of two parents.

    Of the first population, random mappings that do not fit lose factors until they do. Some parts of a child are new.
    """
    space, budget = judge.space, judge.budget or BUDGET
    population = int(np.clip(budget // 50, 32, 2_048))
    parents = _best(judge.judge(space.random(population, rng)[: judge.left], soften=True), population)
    while not judge.over:
        children = judge.judge(_children(space, parents.genes, rng)[: judge.left])
        both = (
            np.concatenate([getattr(parents, name), getattr(children, name)]) for name in ("genes", "scores", "costs")
        )
        everyone = Rows(*both)
        _, first = np.unique(everyone.genes, axis=0, return_index=True)
        first = np.sort(first)
        parents = _best(Rows(everyone.genes[first], everyone.scores[first], everyone.costs[first]), population)


def _best(rows: Rows, n: int) -> Rows:
    keep = np.argsort(rows.scores, kind="stable")[:n]
    return Rows(rows.genes[keep], rows.scores[keep], rows.costs[keep])


def _children(space: GeneSpace, parents: Genes, rng: np.random.Generator) -> Genes:
    n = len(parents)
    rank = rng.integers(0, n, size=(2, 2 * n)).min(axis=0)  # the better of two, as parents are sorted
    mother, father = parents[rank], parents[rng.integers(0, n, size=2 * n)]
    parts = space.parts
    count = int(parts.max()) + 1
    mixed = np.where((rng.random((2 * n, count)) < 0.5)[:, parts], mother, father)
    children = np.where(rng.random((2 * n, 1)) < 0.5, mixed, mother)
    changes = (rng.random((2 * n, count)) < 1.5 / count)[:, parts]
    return np.where(changes, space.random(2 * n, rng), children)

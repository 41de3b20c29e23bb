"""Steiner trees and routing: connected, no longer than they must be, and within capacity where there is room."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from armillary.evaluators.physical import kernel

POINTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=12)


def tree(points):
    x, y = (np.array(axis, np.int64) for axis in zip(*points, strict=True))
    _, xs, ys, _, first, second = kernel.trees(np.array([0, len(points)]), x, y)
    assert list(zip(xs[: len(points)], ys[: len(points)], strict=True)) == points
    return xs, ys, first, second


def length(xs, ys, first, second):
    return int((np.abs(xs[first] - xs[second]) + np.abs(ys[first] - ys[second])).sum())


def spanning(points):
    """Return the length of a minimal spanning tree, by Kruskal's method."""
    pairs = sorted(
        (abs(a[0] - b[0]) + abs(a[1] - b[1]), i, j) for i, a in enumerate(points) for j, b in enumerate(points[:i])
    )
    group = list(range(len(points)))
    total = 0
    for far, i, j in pairs:
        if group[i] != group[j]:
            total += far
            group = [group[i] if g == group[j] else g for g in group]
    return total


@settings(max_examples=60, deadline=None)
@given(POINTS)
def test_trees_join_all_pins_and_are_no_longer_than_spanning_trees(points):
    xs, ys, first, second = tree(points)
    reached, todo = {0}, [0]
    while todo:
        at = todo.pop()
        for a, b in zip(first, second, strict=True):
            for here, there in ((a, b), (b, a)):
                if here == at and there not in reached:
                    reached.add(there)
                    todo.append(there)
    assert reached == set(range(len(xs)))
    assert len(first) == len(xs) - 1  # no loop
    box = max(p[0] for p in points) - min(p[0] for p in points) + max(p[1] for p in points) - min(p[1] for p in points)
    assert box <= length(xs, ys, first, second) <= spanning(points)


def test_a_cross_takes_a_steiner_point():
    points = [(0, 5), (10, 5), (5, 0), (5, 10)]
    assert length(*tree(points)) == 20
    assert spanning(points) == 30


def routed(ends, wide, high, room, rounds=8):
    across, up = np.full((wide - 1, high), float(room)), np.full((wide, high - 1), float(room))
    return kernel.routes(np.array(ends, np.int64), across, up, rounds, 10, rounds)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 7)] * 4), min_size=1, max_size=20))
def test_use_is_what_paths_cross_and_paths_are_straight_where_there_is_room(ends):
    crossed, across, up = routed(ends, 8, 8, 100)
    assert across.sum() == crossed[:, 0].sum()
    assert up.sum() == crossed[:, 1].sum()
    assert crossed.tolist() == [[abs(a - c), abs(b - d)] for a, b, c, d in ends]


def test_full_borders_are_gone_round():
    ends = [(0, 2, 5, 2)] * 3
    crossed, across, up = routed(ends, 6, 5, 1)
    assert across.max() <= 1
    assert up.max() <= 1
    assert crossed[:, 0].tolist() == [5, 5, 5]
    assert crossed[:, 1].sum() >= 4  # two of three make a detour


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_detour_is_the_cheapest_there_is(seed):
    wide, high, rng = 7, 6, np.random.default_rng(seed)
    use = [rng.integers(0, 6, shape).astype(float) for shape in ((wide - 1, high), (wide, high - 1))]
    room, past = ([np.full_like(each, value) for each in use] for value in (3.0, 0.0))
    steps = {}
    for x, y in np.ndindex(wide, high):
        for side, (nx, ny) in enumerate(((x + 1, y), (x, y + 1))):
            if nx < wide and ny < high:
                steps[x * high + y, nx * high + ny] = kernel.crossing_cost(use[side][x, y], 3.0, 0.0)
    size = wide * high
    graph = csr_matrix((list(steps.values()), tuple(zip(*steps, strict=True))), shape=(size, size))
    search, path = np.zeros((4, size + 1)), np.zeros((size, 2), np.int64)
    for begin, goal in rng.integers(0, size, (4, 2)):  # one after another, as they share `search`
        length = kernel.maze(*divmod(begin, high), *divmod(goal, high), wide, *use, *room, *past, path, search)
        cells = [int(x * high + y) for x, y in path[:length]]
        assert (cells[0], cells[-1]) == (goal, begin)
        cost = sum(steps[min(pair), max(pair)] for pair in itertools.pairwise(cells))
        assert cost == pytest.approx(dijkstra(graph, directed=False, indices=begin)[goal])


def test_what_fits_nowhere_overflows():
    _, across, _ = routed([(0, 0, 1, 0)] * 7, 2, 1, 3)
    assert np.maximum(0, across - 3).sum() == 4
    assert pytest.approx(7) == across.sum()

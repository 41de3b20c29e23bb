"""Inner loops of routing, compiled: Steiner trees, and their edges on a grid of cells (gcells) with capacities.

Source: trees are minimal spanning trees (Prim 1957) in which corners are then joined at the median of a node and two
of its neighbours, the largest gain first (edge-based improvement as in Borah, Owens, Irwin 1994, in its simplest
form). Routing negotiates congestion (McMurchie, Ebeling 1995, PathFinder: cost of present use and of past overflow),
along paths by A* (Hart, Nilsson, Raphael 1968).
"""

from __future__ import annotations

from heapq import heappop, heappush
from pathlib import Path

import numpy as np

from armillary.compiled import compilers

_compiled, _ = compilers(Path(__file__))
_MOST_IMPROVED = 80  # pins of a net beyond which a spanning tree is left as it is
_PAST = 1.0  # what a crossing costs more for each time that it was full
_STEEP = 8.0  # cost of a wire beyond the capacity, relative to its length
_FEWER = 0.9  # part of the wires beyond the room that should be left after some rounds
_SOFT = 0.8  # part of the capacity from which wires cost more


@_compiled
def spanning_edges(x, y, first, second):
    """Write the edges of a minimal spanning tree of points in rectilinear distance."""
    n = len(x)
    nearest = np.full(n, np.iinfo(np.int64).max)
    via = np.zeros(n, np.int64)
    inside = np.zeros(n, np.bool_)
    at = 0
    inside[0] = True
    for edge in range(n - 1):
        best = -1
        for k in range(n):
            if inside[k]:
                continue
            far = abs(x[k] - x[at]) + abs(y[k] - y[at])
            if far < nearest[k]:
                nearest[k] = far
                via[k] = at
            if best < 0 or nearest[k] < nearest[best]:
                best = k
        first[edge] = via[best]
        second[edge] = best
        inside[best] = True
        at = best


@_compiled
def middle(a, b, c):
    """Return the median of three numbers."""
    return max(min(a, b), min(max(a, b), c))


@_compiled
def improve(x, y, first, second, nodes, edges):
    """Add Steiner points while that shortens the tree; return how many nodes there are."""
    while nodes < len(x):
        gain = 0
        best_i, best_j, best_u = -1, -1, -1
        for i in range(edges):
            for j in range(i):
                if first[i] == first[j] or first[i] == second[j]:
                    u, a = first[i], second[i]
                elif second[i] == first[j] or second[i] == second[j]:
                    u, a = second[i], first[i]
                else:
                    continue
                b = second[j] if first[j] == u else first[j]
                mx, my = middle(x[u], x[a], x[b]), middle(y[u], y[a], y[b])
                # the part that both edges have in common
                shared = abs(mx - x[u]) + abs(my - y[u])
                if shared > gain:
                    gain, best_i, best_j, best_u = shared, i, j, u
        if gain == 0:
            break
        i, j, u = best_i, best_j, best_u
        a = second[i] if first[i] == u else first[i]
        b = second[j] if first[j] == u else first[j]
        x[nodes], y[nodes] = middle(x[u], x[a], x[b]), middle(y[u], y[a], y[b])
        first[i], second[i] = nodes, a
        first[j], second[j] = nodes, b
        first[edges], second[edges] = u, nodes
        edges += 1
        nodes += 1
    return nodes


@_compiled
def trees(starts, xs, ys):
    """Return the trees of all nets.

    Args:
        starts: where each net's pins begin, shape [nets + 1].
        xs: of the pins.
        ys: likewise.

    Returns:
        Where each net's nodes begin, shape [nets + 1]; their x and y, the pins first; where its edges begin; and the
        two ends of each, as numbers of nodes within the net.
    """
    nets = len(starts) - 1
    most = 2 * len(xs)
    node_starts, edge_starts = np.zeros(nets + 1, np.int64), np.zeros(nets + 1, np.int64)
    x, y = np.zeros(most, np.int64), np.zeros(most, np.int64)
    first, second = np.zeros(most, np.int64), np.zeros(most, np.int64)
    for net in range(nets):
        n = starts[net + 1] - starts[net]
        at, edge = node_starts[net], edge_starts[net]
        x[at : at + n] = xs[starts[net] : starts[net + 1]]
        y[at : at + n] = ys[starts[net] : starts[net + 1]]
        nodes = n
        if n > 1:
            spanning_edges(x[at : at + n], y[at : at + n], first[edge : edge + n], second[edge : edge + n])
            if 2 < n <= _MOST_IMPROVED:
                room = 2 * n - 2
                nodes = improve(x[at : at + room], y[at : at + room], first[edge : edge + room],
                                second[edge : edge + room], n, n - 1)  # fmt: skip
        node_starts[net + 1] = at + nodes
        edge_starts[net + 1] = edge + max(0, nodes - 1)
    return (node_starts, x[: node_starts[nets]], y[: node_starts[nets]], edge_starts,
            first[: edge_starts[nets]], second[: edge_starts[nets]])  # fmt: skip


@_compiled
def crossing_cost(use, capacity, past):
    """Return what one more wire costs where `use` of `capacity` are taken."""
    part = (use + 1.0) / capacity if capacity > 0 else 2.0
    return 1.0 + past + (_STEEP * (part - _SOFT) if part > _SOFT else 0.0)


@_compiled
def lay(path, length, across, up, change):
    """Add `change` to the use of every border that a path of gcells crosses."""
    for k in range(length - 1):
        x0, y0, x1, y1 = path[k, 0], path[k, 1], path[k + 1, 0], path[k + 1, 1]
        if y0 == y1:
            across[min(x0, x1), y0] += change
        else:
            up[x0, min(y0, y1)] += change


@_compiled
def run_cost(x0, y0, x1, y1, use, capacity, past, horizontal):
    """Return what a straight run of borders costs."""
    cost = 0.0
    if horizontal:
        for x in range(min(x0, x1), max(x0, x1)):
            cost += crossing_cost(use[x, y0], capacity[x, y0], past[x, y0])
    else:
        for y in range(min(y0, y1), max(y0, y1)):
            cost += crossing_cost(use[x0, y], capacity[x0, y], past[x0, y])
    return cost


@_compiled
def walk(path, length, x1, y1):
    """Extend a path in a straight run to a gcell; return its length."""
    x, y = path[length - 1, 0], path[length - 1, 1]
    while x != x1 or y != y1:
        x += (x1 > x) - (x1 < x)
        y += (y1 > y) - (y1 < y)
        path[length, 0], path[length, 1] = x, y
        length += 1
    return length


@_compiled
def pattern(x0, y0, x1, y1, across, up, across_room, up_room, across_past, up_past, path):
    """Write the cheapest path with at most two bends, within the box of its ends; return its length in gcells."""
    best, best_x, best_y = np.inf, 0, 0
    for x in range(min(x0, x1), max(x0, x1) + 1):  # across to x, up, across
        cost = (run_cost(x0, y0, x, y0, across, across_room, across_past, True)
                + run_cost(x, y0, x, y1, up, up_room, up_past, False)
                + run_cost(x, y1, x1, y1, across, across_room, across_past, True))  # fmt: skip
        if cost < best:
            best, best_x, best_y = cost, x, -1
    for y in range(min(y0, y1), max(y0, y1) + 1):  # up to y, across, up
        cost = (run_cost(x0, y0, x0, y, up, up_room, up_past, False)
                + run_cost(x0, y, x1, y, across, across_room, across_past, True)
                + run_cost(x1, y, x1, y1, up, up_room, up_past, False))  # fmt: skip
        if cost < best:
            best, best_x, best_y = cost, -1, y
    path[0, 0], path[0, 1] = x0, y0
    length = walk(path, 1, best_x, y0) if best_x >= 0 else walk(path, 1, x0, best_y)
    length = walk(path, length, best_x, y1) if best_x >= 0 else walk(path, length, x1, best_y)
    return walk(path, length, x1, y1)


@_compiled
def maze(x0, y0, x1, y1, margin, across, up, across_room, up_room, across_past, up_past, path, search):
    """Write the cheapest path within a box around its ends (A*: every border costs 1 at least); return its length.

    `search` is what the searches on a grid share, so that none clears all of it, shape [4, gcells + 1]: of each gcell,
    `x * high + y`, the cost to it, where from, and the last searches that reached it and that were done with it. At its
    end is the number of the last search.
    """
    wide, high = up.shape[0], across.shape[1]
    left, right = max(0, min(x0, x1) - margin), min(wide - 1, max(x0, x1) + margin)
    low, top = max(0, min(y0, y1) - margin), min(high - 1, max(y0, y1) + margin)
    cost, origin, reached, done = search[0], search[1], search[2], search[3]
    search[0, -1] += 1
    now = search[0, -1]
    begin, goal = x0 * high + y0, x1 * high + y1
    cost[begin], origin[begin], reached[begin] = 0.0, -1, now
    far = 1.0 * (abs(x1 - x0) + abs(y1 - y0))
    heap = [(far, far, begin)]
    while len(heap) > 0:
        _, _, at = heappop(heap)
        if done[at] == now:
            continue
        done[at] = now
        if at == goal:
            break
        x, y, here = at // high, at % high, cost[at]
        for side in range(4):
            nx, ny = x + (side == 0) - (side == 1), y + (side == 2) - (side == 3)
            if nx < left or nx > right or ny < low or ny > top:
                continue
            if side < 2:
                bx = min(x, nx)
                step = crossing_cost(across[bx, y], across_room[bx, y], across_past[bx, y])
            else:
                by = min(y, ny)
                step = crossing_cost(up[x, by], up_room[x, by], up_past[x, by])
            to = nx * high + ny
            if reached[to] != now or here + step < cost[to]:
                cost[to], origin[to], reached[to] = here + step, at, now
                far = 1.0 * (abs(x1 - nx) + abs(y1 - ny))
                heappush(heap, (here + step + far, far, to))
    length, at = 0, goal
    while at >= 0:  # backwards
        path[length, 0], path[length, 1] = at // high, at % high
        length += 1
        at = np.int64(origin[at])
    return length


@_compiled
def is_full(path, length, across, up, across_room, up_room):
    """Return whether a path crosses a border that more wires cross than it has room for."""
    for k in range(length - 1):
        x0, y0, x1, y1 = path[k, 0], path[k, 1], path[k + 1, 0], path[k + 1, 1]
        if y0 == y1:
            if across[min(x0, x1), y0] > across_room[min(x0, x1), y0]:
                return True
        elif up[x0, min(y0, y1)] > up_room[x0, min(y0, y1)]:
            return True
    return False


@_compiled
def routes(ends, across_room, up_room, rounds, margin, patience):
    """Route edges on the grid, then again those through full borders, while that helps, up to a number of rounds.

    Args:
        ends: gcells of each edge's ends: x0, y0, x1, y1; shape [edges, 4].
        across_room: wires that fit across each border between a gcell and its right neighbour, shape [wide - 1, high].
        up_room: likewise to the neighbour above, shape [wide, high - 1].
        rounds: of routing again.
        margin: gcells beyond the box of an edge's ends that a detour may take at first; one more each round.
        patience: rounds after which the wires beyond the room should have become a tenth fewer; else it ends.

    Returns:
        The borders that each edge crosses horizontally, and vertically; the use of both kinds of borders.
    """
    edges = len(ends)
    wide, high = up_room.shape[0], across_room.shape[1]
    across, up = np.zeros(across_room.shape), np.zeros(up_room.shape)
    across_past, up_past = np.zeros(across_room.shape), np.zeros(up_room.shape)
    starts = np.zeros(edges + 1, np.int64)
    path = np.zeros((4 * (wide + high) + wide * high, 2), np.int64)
    kept = [np.zeros((1, 2), np.int64) for _ in range(edges)]
    for edge in range(edges):
        length = pattern(ends[edge, 0], ends[edge, 1], ends[edge, 2], ends[edge, 3], across, up, across_room, up_room,
                         across_past, up_past, path)  # fmt: skip
        kept[edge] = path[:length].copy()
        starts[edge] = length
        lay(path, length, across, up, 1.0)
    search = np.zeros((4, wide * high + 1))
    least, tried = np.inf, 0
    for number in range(rounds):
        over = np.maximum(0, across - across_room).sum() + np.maximum(0, up - up_room).sum()
        if over <= _FEWER * least:
            least, tried = over, 0
        elif tried == patience:
            break
        tried += 1
        across_past += _PAST * (across > across_room)
        up_past += _PAST * (up > up_room)
        again = 0
        for edge in range(edges):
            if starts[edge] < 2 or not is_full(kept[edge], starts[edge], across, up, across_room, up_room):
                continue
            again += 1
            lay(kept[edge], starts[edge], across, up, -1.0)
            length = maze(ends[edge, 0], ends[edge, 1], ends[edge, 2], ends[edge, 3], margin + number, across, up,
                          across_room, up_room, across_past, up_past, path, search)  # fmt: skip
            kept[edge] = path[:length].copy()
            starts[edge] = length
            lay(path, length, across, up, 1.0)
        if again == 0:
            break
    crossed = np.zeros((edges, 2), np.int64)
    for edge in range(edges):
        for k in range(starts[edge] - 1):
            if kept[edge][k, 1] == kept[edge][k + 1, 1]:
                crossed[edge, 0] += 1
            else:
                crossed[edge, 1] += 1
    return crossed, across, up

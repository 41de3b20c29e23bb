"""Inner loops of timing, compiled: wires' delays, and arrival and required times over a circuit in order.

Source: Elmore delays of wires (Elmore 1948); slews behind wires as the root of the sum of squares of what enters and
of the wire's own (Kashyap, Alpert, Liu, Devgan 2002, PERI).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import compilers

_compiled, _ = compilers(Path(__file__))
_SLEW_OF_ELMORE = 0.847  # from 30% to 70% of a step behind one resistor and capacitor: ln(7 / 3)


@_compiled
def rooted(node_starts, edge_starts, ends):
    """Return the order of each tree's nodes from its first one, and parent and edge of each, counted over all nets.

    Args:
        node_starts: where each net's nodes begin, shape [nets + 1].
        edge_starts: where each net's edges begin, shape [nets + 1].
        ends: the two nodes of each edge, counted within the net, shape [edges, 2].
    """
    nodes = node_starts[-1]
    order, parent, edge = np.full(nodes, -1), np.full(nodes, -1), np.full(nodes, -1)
    degree = np.zeros(nodes + 1, np.int64)
    for net in range(len(node_starts) - 1):
        first, count = node_starts[net], node_starts[net + 1] - node_starts[net]
        begin, end = edge_starts[net], edge_starts[net + 1]
        # each node's edges, one node after another
        degree[: count + 1] = 0
        for k in range(begin, end):
            degree[ends[k, 0] + 1] += 1
            degree[ends[k, 1] + 1] += 1
        for node in range(count):
            degree[node + 1] += degree[node]
        at = degree[:count].copy()
        joined = np.zeros(2 * (end - begin), np.int64)
        for k in range(begin, end):
            for side in range(2):
                joined[at[ends[k, side]]] = k
                at[ends[k, side]] += 1
        order[first] = first
        known = 1
        for place in range(count):
            if place >= known:
                break
            node = order[first + place] - first
            for slot in range(degree[node], degree[node + 1]):
                k = joined[slot]
                other = ends[k, 1] if ends[k, 0] == node else ends[k, 0]
                if k != edge[first + node]:
                    parent[first + other], edge[first + other] = first + node, k
                    order[first + known] = first + other
                    known += 1
    return order, parent, edge


@_compiled
def wires(order, parent, edge, ohm, ff, pin_ff):
    """Return the load behind each node in fF, and its Elmore delay from its net's first node in ns.

    Args:
        order: of nodes, from each tree's first one outwards.
        parent: of each node, -1 for the first one.
        edge: to the parent.
        ohm: of each edge.
        ff: of each edge.
        pin_ff: of the pin at each node.
    """
    load, late = pin_ff.copy(), np.zeros(len(order))
    for node in range(len(order)):
        if parent[node] >= 0:
            load[node] += ff[edge[node]] / 2
            load[parent[node]] += ff[edge[node]] / 2
    for place in range(len(order) - 1, -1, -1):
        node = order[place]
        if node >= 0 and parent[node] >= 0:
            load[parent[node]] += load[node]
    for place in range(len(order)):
        node = order[place]
        if node >= 0 and parent[node] >= 0:
            late[node] = late[parent[node]] + ohm[edge[node]] * load[node] * 1e-6
    return load, late


@_compiled
def before(axis, count, value):
    """Return the row that a value lies behind, and how far towards the next; beyond the table, along its last part."""
    if count < 2:
        return 0, 0.0
    row = 0
    while row < count - 2 and value > axis[row + 1]:
        row += 1
    return row, (value - axis[row]) / (axis[row + 1] - axis[row])


@_compiled
def between(values, row, down, column, right):
    """Return a table's value between rows and columns."""
    found = values[row, column]
    if down != 0.0:
        found += down * (values[row + 1, column] - values[row, column])
    if right != 0.0:
        here = values[row, column + 1] - values[row, column]
        found += right * here
        if down != 0.0:
            found += right * down * (values[row + 1, column + 1] - values[row + 1, column] - here)
    return found


@_compiled
def levels(arc_starts, arc_from, net_of_node, nets):
    """Return nets in an order in which each follows those that it depends on; those in loops are left out."""
    waits = np.zeros(nets, np.int64)
    counts = np.zeros(nets + 1, np.int64)
    for net in range(nets):
        for arc in range(arc_starts[net], arc_starts[net + 1]):
            if arc_from[arc] >= 0:
                waits[net] += 1
                counts[net_of_node[arc_from[arc]] + 1] += 1
    for net in range(nets):
        counts[net + 1] += counts[net]
    at = counts[:nets].copy()
    follows = np.zeros(counts[nets], np.int64)
    for net in range(nets):
        for arc in range(arc_starts[net], arc_starts[net + 1]):
            if arc_from[arc] >= 0:
                source = net_of_node[arc_from[arc]]
                follows[at[source]] = net
                at[source] += 1
    order = np.zeros(nets, np.int64)
    known = 0
    for net in range(nets):
        if waits[net] == 0:
            order[known] = net
            known += 1
    place = 0
    while place < known:
        for slot in range(counts[order[place]], counts[order[place] + 1]):
            waits[follows[slot]] -= 1
            if waits[follows[slot]] == 0:
                order[known] = follows[slot]
                known += 1
        place += 1
    return order[:known]


@_compiled
def arrivals(order, node_starts, pins, arc_starts, arc_from, arc_edges, arc_table, start_ns, start_slew, load, late,
             slews, loads, sizes, delay, slew_after):  # fmt: skip
    """Return when each node changes at the latest, by edge, its slew, and the delay of each arc, in ns.

    Args:
        order: of nets.
        node_starts: where each net's nodes begin, shape [nets + 1]; the first is its driver.
        pins: how many of each net's nodes are pins; they come first.
        arc_starts: where the arcs to each net's driver begin, shape [nets + 1].
        arc_from: the node that an arc begins at, -1 for the clock.
        arc_edges: edges of an arc at its beginning and its end, shape [arcs, 2].
        arc_table: its table; -1 if the cell has no such arc.
        start_ns: when a net's driver that is a port or a memory changes; not a number if it is neither.
        start_slew: of such a driver.
        load: behind each node in fF.
        late: of each node behind its driver in ns.
        slews: input slews of the tables' rows; for these and what follows see `TimingTables`.
        loads: of their columns.
        sizes: rows and columns of each.
        delay: their values.
        slew_after: likewise slews of the outputs.
    """
    nodes = node_starts[-1]
    arrival, slew = np.full((nodes, 2), -np.inf), np.zeros((nodes, 2))
    taken = np.zeros(len(arc_from))
    for net in order:
        root = node_starts[net]
        if not np.isnan(start_ns[net]):
            arrival[root] = start_ns[net]
            slew[root] = start_slew[net]
        for arc in range(arc_starts[net], arc_starts[net + 1]):
            table, source = arc_table[arc], arc_from[arc]
            enters = 0.0 if source < 0 else slew[source, arc_edges[arc, 0]]
            begin = 0.0 if source < 0 else arrival[source, arc_edges[arc, 0]]
            if table < 0 or begin == -np.inf:
                continue
            row, down = before(slews[table], sizes[table, 0], enters)
            column, right = before(loads[table], sizes[table, 1], load[root])
            taken[arc] = between(delay[table], row, down, column, right)
            edge = arc_edges[arc, 1]
            arrival[root, edge] = max(arrival[root, edge], begin + taken[arc])
            slew[root, edge] = max(slew[root, edge], between(slew_after[table], row, down, column, right))
        for node in range(root + 1, root + pins[net]):
            own = _SLEW_OF_ELMORE * late[node]
            for edge in range(2):
                arrival[node, edge] = arrival[root, edge] + late[node]
                slew[node, edge] = np.sqrt(slew[root, edge] ** 2 + own**2)
    return arrival, slew, taken


@_compiled
def required_times(order, node_starts, pins, arc_starts, arc_from, arc_edges, arc_table, arrival, slew, taken, late,
                   end_ns, end_table, slews, sizes, setup):  # fmt: skip
    """Return when each node must have changed, by edge, in ns; infinite where no path ends.

    Args:
        order: of nets, and so on for `node_starts`, `pins`, `arc_starts`, `arc_from`, `arc_edges`, `arc_table`,
            `late`: as for `arrivals`.
        node_starts: see there.
        pins: see there.
        arc_starts: see there.
        arc_from: see there.
        arc_edges: see there.
        arc_table: see there.
        arrival: as `arrivals` found them.
        slew: likewise.
        taken: likewise.
        late: see there.
        end_ns: when a node must have changed, without setup; infinite if no path ends there.
        end_table: of its setup by edge, -1 if there is none, shape [nodes, 2].
        slews: of the tables' rows.
        sizes: of the tables.
        setup: their values.
    """
    required = np.full(arrival.shape, np.inf)
    for place in range(len(order) - 1, -1, -1):
        net = order[place]
        root = node_starts[net]
        for node in range(root + 1, root + pins[net]):
            for edge in range(2):
                table = end_table[node, edge]
                needs = 0.0
                if table >= 0:
                    row, down = before(slews[table], sizes[table, 0], slew[node, edge])
                    needs = between(setup[table], row, down, 0, 0.0)
                required[node, edge] = min(required[node, edge], end_ns[node] - needs)
                required[root, edge] = min(required[root, edge], required[node, edge] - late[node])
        for arc in range(arc_starts[net], arc_starts[net + 1]):
            source = arc_from[arc]
            if source >= 0 and arc_table[arc] >= 0 and arrival[source, arc_edges[arc, 0]] > -np.inf:
                edge = arc_edges[arc, 0]
                required[source, edge] = min(required[source, edge], required[root, arc_edges[arc, 1]] - taken[arc])
    return required

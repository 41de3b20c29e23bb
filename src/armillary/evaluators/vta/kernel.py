"""When each command of a program starts and ends: the modules, their queues and tokens, the fetch and the port.

It is enough to go from one grant of the port to the next: between them every module goes as far as what it waits for is
known. The port then goes to the first that asks, of several the one of the lowest number; what is still unknown follows
from later grants alone. A transfer's data follow from its grant, as the memory serves bursts in their order, and a
transfer asks for a burst per cycle, at least as fast as their beats come.

The numbers here are those of the registers in `hardware/rtl/vta/blocks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from armillary.compiled import compilers

MODULE, STEPS, BEATS, REQUESTS, BORDER, TAKES_PREVIOUS, TAKES_NEXT, SENDS_PREVIOUS, SENDS_NEXT = range(9)
"""Columns of a table of commands; the module is 0 load, 1 compute, 2 store. `BORDER` are cycles for zeros."""
DEPTH = 16
"""Commands that wait for a module."""
_CHUNK = 256  # bytes that are fetched at once
_STAGES = 6  # from the cycle in which a step enters the pipeline to that in which it is written
_NEVER = 1 << 60
_FETCH, _COMPUTE, _STORE, _LOAD = range(4)
"""Clients of the port, the lower first."""
_WORD, _THERE, _LAST, _GRANTED, _ENDED = range(5)
"""Of the fetch: the next word; when it is there, -1 if unknown; when the one before was taken; chunks that were
granted; when the last word of the program was taken, `_NEVER` if unknown."""
_PORT, _DATA, _DRAINED = range(3)
"""The first cycles in which the port is free, the data bus is, and the compute module's pipeline is empty."""

_compile, _inline = compilers(Path(__file__))


class _Run(NamedTuple):
    """A run: what is known of each command's times, -1 where nothing is, and where everybody stands."""

    table: Any
    order: Any  # of each module, its commands, shape [modules, commands]
    place: Any  # of a command in this order
    pushed: Any
    taken: Any
    done: Any
    tokens: Any  # when each was sent, shape [kinds, commands]; load to compute, back, compute to store, back
    sent: Any  # of each kind
    used: Any
    following: Any  # the place of each module's next command
    wants: Any  # since when each client asks for the port; `_NEVER` if it does not
    room: Any  # since when there is room for each chunk of the program; `_NEVER` if unknown
    arrivals: Any  # when its first beat comes
    fetch: Any
    free: Any
    latency: int
    pace: int
    bus: int


@_compile
def cycles_of(table: Any, latency: int, pace: int, bus: int) -> tuple[int, int]:
    """Return the cycles of a program, -1 if its modules wait for tokens that nobody will send, and fetched bytes.

    Args:
        table: of commands, shape [commands, 9].
        latency: of the memory.
        pace: cycles from a beat to the next.
        bus: bytes of a beat.
    """
    count = len(table)
    order, place = np.full((3, count + 1), -1), np.zeros(count, dtype=np.int64)
    queued = np.zeros(3, dtype=np.int64)
    for c in range(count):
        module = table[c, MODULE]
        order[module, queued[module]] = c
        place[c] = queued[module]
        queued[module] += 1
    run = _Run(
        table, order, place, np.full(count, -1), np.full(count, -1), np.full(count, -1),
        np.zeros((4, count + 1), dtype=np.int64), np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64),
        np.zeros(3, dtype=np.int64), np.full(4, _NEVER), np.full(count * 16 // _CHUNK + 8, _NEVER),
        np.zeros(count * 16 // _CHUNK + 8, dtype=np.int64),
        np.array([0, -1, -1, 0, _NEVER]), np.zeros(3, dtype=np.int64), latency, pace, bus,
    )  # fmt: skip
    run.room[:2] = 0
    while True:
        moves = True
        while moves:
            moves = _decode(run)
            for module in range(3):
                moves |= _advance(run, module)
        run.wants[_FETCH] = run.room[run.fetch[_GRANTED]]
        client = _first(run)
        at = max(run.wants[client], run.free[_PORT])
        if at == _NEVER:
            break
        start = run.wants[client] - 1
        run.wants[client] = _NEVER
        if client == _FETCH:
            _get_chunk(run, at)
        else:
            _get_rows(run, client, start, at)
    if run.fetch[_ENDED] == _NEVER or (run.following < queued).any():
        return -1, 0
    return _end(run, queued), run.fetch[_GRANTED] * _CHUNK


@_inline
def _first(run: Any) -> int:
    """Return the client that is given the port next."""
    earliest = max(run.wants.min(), run.free[_PORT])
    if run.fetch[_ENDED] < earliest:  # nobody wants more words
        run.wants[_FETCH] = _NEVER
        earliest = max(run.wants.min(), run.free[_PORT])
    for client in range(4):
        if run.wants[client] <= earliest:
            return client
    return _LOAD


@_inline
def _decode(run: Any) -> bool:
    """Put words together to commands and these into queues, as far as is known; return whether there were any."""
    entry_bytes = max(run.bus, 8)
    words, beats, entries = entry_bytes // 8, entry_bytes // run.bus, _CHUNK // entry_bytes
    moves = False
    while run.fetch[_ENDED] == _NEVER:
        word = run.fetch[_WORD]
        if run.fetch[_THERE] < 0:
            entry = word // words
            chunk = entry // entries
            if word % words:
                run.fetch[_THERE] = run.fetch[_LAST] + 1
            elif chunk < run.fetch[_GRANTED]:
                whole = run.arrivals[chunk] + ((entry % entries + 1) * beats - 1) * run.pace
                read = max(whole + 1, run.fetch[_LAST])
                run.fetch[_THERE] = read + 1
                if (entry + 1) % entries == 0:
                    run.room[chunk + 2] = read + 1
            else:
                return moves
        at = run.fetch[_THERE]
        command = word // 2
        if word % 2 and command < len(run.table):
            before = run.place[command] - DEPTH
            if before >= 0:
                waits_for = run.taken[run.order[run.table[command, MODULE], before]]
                if waits_for < 0:
                    return moves
                at = max(at, waits_for + 1)
            run.pushed[command] = at
        elif word % 2:
            run.fetch[_ENDED] = at
        run.fetch[_LAST], run.fetch[_THERE] = at, -1
        run.fetch[_WORD] += 1
        moves = True
    return moves


@_inline
def _advance(run: Any, module: int) -> bool:
    """Take a module's next command from its queue, start it if it is known when, and end it if it needs no port.

    Returns:
        Whether anything more is known.
    """
    command = run.order[module, run.following[module]]
    client = (_LOAD, _COMPUTE, _STORE)[module]
    if command < 0 or run.pushed[command] < 0 or run.wants[client] != _NEVER:
        return False
    row = run.table[command]
    leaves: bool = run.taken[command] < 0
    if leaves:
        before = run.following[module] - 1
        earlier = run.done[run.order[module, before]] if before >= 0 else 0
        run.taken[command] = max(run.pushed[command] + 1, earlier)
    start = run.taken[command] + 1
    previous, following = (-1, 0, 2)[module], (1, 3, -1)[module]
    for takes, kind in ((row[TAKES_PREVIOUS], previous), (row[TAKES_NEXT], following)):
        if takes:
            if run.used[kind] == run.sent[kind]:
                return leaves
            start = max(start, run.tokens[kind, run.used[kind]] + 1)
    if module == 1 and row[STEPS] == 0:
        start = max(start, run.free[_DRAINED])
    run.used[max(previous, 0)] += row[TAKES_PREVIOUS]
    run.used[max(following, 0)] += row[TAKES_NEXT]
    if row[STEPS]:
        last = start + row[STEPS]
        run.free[_DRAINED] = last + _STAGES + 1
        _finish(run, module, command, last, last + _STAGES)
        return True
    run.wants[client] = start + 1
    return True


@_inline
def _finish(run: Any, module: int, command: int, done: int, sends: int) -> None:
    """Put down when a command is done and when it sends its tokens."""
    run.done[command] = done
    run.following[module] += 1
    previous, following = (0, 1, 3)[module], (0, 2, 0)[module]
    for kind, column in ((previous, SENDS_PREVIOUS), (following, SENDS_NEXT)):
        if run.table[command, column]:
            run.tokens[kind, run.sent[kind]] = sends
            run.sent[kind] += 1


@_inline
def _burst(run: Any, at: int, requests: int, beats: int) -> int:
    """Give the port to a transfer, and return when its first beat moves."""
    first: int = max(at + run.latency, run.free[_DATA])
    run.free[_DATA] = first + beats * run.pace
    run.free[_PORT] = at + requests
    return first


@_inline
def _get_chunk(run: Any, at: int) -> None:
    """Fetch a chunk of the program."""
    run.arrivals[run.fetch[_GRANTED]] = _burst(run, at, 1, _CHUNK // run.bus)
    run.fetch[_GRANTED] += 1


@_inline
def _get_rows(run: Any, client: int, start: int, at: int) -> None:
    """Move the rows of a client's command that started some time ago."""
    module = (0, 1, 2, 0)[client]
    command = run.order[module, run.following[module]]
    beats = run.table[command, BEATS]
    last = _burst(run, at, run.table[command, REQUESTS], beats) + (beats - 1) * run.pace
    border = run.table[command, BORDER]
    if border:
        last = max(last, start + border + beats)
    _finish(run, module, command, last + 1, last + 1)


@_inline
def _end(run: Any, queued: Any) -> int:
    """Return the first cycle in which nothing is left to do."""
    last: int = max(run.fetch[_ENDED] + 1, run.free[_DRAINED])
    for module in range(3):
        if queued[module]:
            last = max(last, run.done[run.order[module, queued[module] - 1]] + 1)
    return last

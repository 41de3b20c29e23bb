"""Programs run in any order that their tokens allow."""

from collections import deque

_MODULES = ("load", "compute", "store")


def in_any_order(machine, commands, rng):
    """Carry commands out, each module's in their order, these as chance and tokens will have it.

    Raises:
        AssertionError: if no module may go on.
    """
    waiting = {name: deque(c for c in commands if c.module == name) for name in _MODULES}
    tokens = dict.fromkeys([("load", "compute"), ("compute", "load"), ("compute", "store"), ("store", "compute")], 0)
    while any(waiting.values()):
        ready = [name for name in _MODULES if waiting[name] and all(tokens[k] for k in _taken(waiting[name][0]))]
        assert ready, "deadlock"
        command = waiting[rng.choice(ready)].popleft()
        for kind in _taken(command):
            tokens[kind] -= 1
        machine.run([command])
        for kind in _sent(command):
            tokens[kind] += 1
    return tokens


def _beside(module):
    place = _MODULES.index(module)
    return _MODULES[place - 1], (*_MODULES, "")[place + 1]


def _taken(command):
    previous, following = _beside(command.module)
    if command.takes_previous:
        yield previous, command.module
    if command.takes_next:
        yield following, command.module


def _sent(command):
    previous, following = _beside(command.module)
    if command.sends_previous:
        yield command.module, previous
    if command.sends_next:
        yield command.module, following

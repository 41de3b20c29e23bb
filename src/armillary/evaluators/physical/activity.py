"""How often nets change: what a simulation of the RTL saw, and what follows from it for the nets that logic adds.

Source: SAIF, IEEE 1801 annex: toggle counts by instance and net. Nets without a name in the RTL get a transition
density from those before them (Najm 1993, eq. 13: the sum over inputs of their density times the probability that the
output depends on them), for inputs that are independent and are 1 half of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path

from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.liberty import cells_of, read_liberty
from armillary.evaluators.physical.netlist import Netlist, PinName
from armillary.types import ArmillaryError

_TOKEN = re.compile(r'"[^"]*"|[()]|[^\s()"]+')
_WORD = re.compile(r"[A-Za-z_]\w*|[!'&*|+^()]")
_PER_PERIOD = 2.0  # changes of a clock
_MOST_DIGITS = 18  # of a toggle count
_MOST_INPUTS = 12  # of a cell: its function is looked at for every setting of them


def toggles(path: Path, scope: str) -> dict[str, int]:
    """Return how often each signal of an instance changed, by its name within it with dots, and with `[3]` for bits.

    Args:
        path: of the SAIF file.
        scope: the instance, `testbench.dut`; the file's only outermost one, if empty.

    Raises:
        ArmillaryError: if the file cannot be read, is no SAIF file or has no such instance.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read ({fault.strerror})") from fault
    found: dict[str, int] = {}
    open_: list[tuple[str, str]] = []  # keyword and name of each bracket
    tokens = iter(_TOKEN.findall(text))
    for token in tokens:
        if token == "(":
            keyword = next(tokens, "")
            if keyword == ")":
                continue
            open_.append((keyword, ""))
        elif token == ")":
            if not open_:
                raise ArmillaryError(f"{path}: is no SAIF file; a bracket closes that none opened")
            open_.pop()
        elif open_ and not open_[-1][1]:
            open_[-1] = (open_[-1][0], token.replace("\\", ""))
            if open_[-1][0] == "TC" and len(open_) > 1:
                instances = [name for word, name in open_ if word == "INSTANCE"]
                name = ".".join([*instances, open_[-2][0].replace("\\", "")])
                found[name] = _count(token, f"{path}: {name}")
    prefix = f"{scope}." if scope else ""
    inside = {name.removeprefix(prefix): count for name, count in found.items() if name.startswith(prefix)}
    if not inside:
        raise ArmillaryError(f"{path}: has no signals in instance {scope!r}; it has {sorted(_scopes(found))[:5]}")
    return inside


def _count(token: str, place: str) -> int:
    if not re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", token):
        raise ArmillaryError(
            f"{place}: TC={token[:40]!r} is not allowed; write a whole number from 0 of up to {_MOST_DIGITS} digits"
        )
    return int(token)


def _scopes(found: Mapping[str, int]) -> set[str]:
    return {name.rpartition(".")[0] for name in found}


def rates(path: Path, scope: str, netlist: Netlist, technology: Enablement) -> dict[PinName, float]:
    """Return the changes of every pin per period of the clock.

    Args:
        path: of the SAIF file.
        scope: the instance in it that is the design.
        netlist: of the design.
        technology: of its cells.

    Raises:
        ArmillaryError: if the file cannot be read, or does not know the clock.
    """
    counts = toggles(path, scope)
    clock = counts.get(netlist.clock, 0)
    if not clock:
        raise ArmillaryError(f"{path}: the clock {netlist.clock!r} does not change in instance {scope!r}")
    known = {net: _PER_PERIOD * counts[name] / clock for net, name in netlist.names.items() if name in counts}
    densities = _spread(netlist, known, technology)
    return {pin: densities.get(net, 0.0) for net, pins in netlist.nets.items() for pin in pins}


def _spread(netlist: Netlist, known: Mapping[str, float], technology: Enablement) -> dict[str, float]:
    """Return the densities of all nets; registers without a name in the file change as the others do."""
    functions = _functions(technology)
    found = {net: rate for net, rate in known.items() if net in netlist.nets}
    sources = [net for net, pins in netlist.nets.items() if not list(_inputs(functions, netlist, pins[0]))]
    named = [found[net] for net in sources if net in found]
    if not named:
        raise ArmillaryError(f"{netlist.top}: the activity file names none of its inputs and registers")
    found |= {net: sum(named) / len(named) for net in sources if net not in found}
    before = {net: [netlist.pins_of[pins[0][0]].get(pin) for pin in _inputs(functions, netlist, pins[0])]
              for net, pins in netlist.nets.items() if pins[0][0]}  # fmt: skip
    order = TopologicalSorter({net: [n for n in nets if n] if net not in found else [] for net, nets in before.items()})
    try:
        ordered = list(order.static_order())
    except CycleError as fault:
        raise ArmillaryError(
            f"{netlist.top}: the activity file leaves a loop of {len(fault.args[1])} nets unnamed"
        ) from None
    for net in ordered:
        if net in found or net not in netlist.nets:
            continue
        instance, pin = netlist.nets[net][0]
        weights = _weights(functions, netlist.cells.get(instance, ""), pin)
        on = netlist.pins_of[instance] if instance else {}
        found[net] = sum(weight * found.get(on.get(name, ""), 0.0) for name, weight in weights.items())
    return found


def _inputs(functions: Mapping[str, Mapping[str, str]], netlist: Netlist, driver: PinName) -> Iterator[str]:
    yield from _weights(functions, netlist.cells.get(driver[0], ""), driver[1])


def _weights(functions: Mapping[str, Mapping[str, str]], cell: str, pin: str) -> Mapping[str, float]:
    """Return the probability that each input of a cell decides an output."""
    return _decisive(functions.get(cell, {}).get(pin, ""))


@cache
def _decisive(function: str) -> Mapping[str, float]:
    names = sorted(set(re.findall(r"[A-Za-z_]\w*", function)))
    value = evaluator(function)
    found = {}
    for name in names:
        others = [other for other in names if other != name]
        cases = [dict(zip(others, bits, strict=True)) for bits in product((False, True), repeat=len(others))]
        found[name] = sum(value({**case, name: True}) != value({**case, name: False}) for case in cases) / len(cases)
    return found


@cache
def functions_of(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the function of each output of each cell that holds no bit.

    Raises:
        ArmillaryError: if the liberty file cannot be read, or a function is none; names file, cell and pin.
    """
    found = {name: {pin: each.function for pin, each in cell.pins.items() if each.direction == "output"}
             for name, cell in cells_of(read_liberty(path)).items() if not cell.sequential}  # fmt: skip
    for name, functions in found.items():
        for pin, function in functions.items():
            _check(function, f"{path}: cell {name}: pin {pin}")
    return found


def _check(function: str, place: str) -> None:
    """Refuse a function that cannot be evaluated; an output may have none."""
    names = set(re.findall(r"[A-Za-z_]\w*", function))
    if len(names) > _MOST_INPUTS:
        raise ArmillaryError(f"{place}: a function of {len(names)} inputs; {_MOST_INPUTS} are the most")
    try:
        if names:
            evaluator(function)(dict.fromkeys(names, False))
    except (IndexError, KeyError, RecursionError):
        raise ArmillaryError(
            f"{place}: function={function[:80]!r} is not allowed; write such as `!(A B) + C`"
        ) from None


def _functions(technology: Enablement) -> Mapping[str, Mapping[str, str]]:
    return functions_of(technology.liberty)


def evaluator(function: str) -> Callable[[Mapping[str, bool]], bool]:
    """Return what evaluates a liberty function: `!`, `'`, `*`, `&`, a blank, `+`, `|`, `^` and brackets.

    It raises IndexError for what is no function, and KeyError for a name that it is given no value of.
    """
    tokens = _WORD.findall(function)

    def value(of: Mapping[str, bool]) -> bool:
        rest = list(tokens)

        def either() -> bool:
            found = both()
            while rest and rest[0] in "+|":
                rest.pop(0)
                other = both()
                found = found or other
            return found

        def both() -> bool:
            found = different()
            while rest and rest[0] not in "+|)":
                if rest[0] in "*&":
                    rest.pop(0)
                other = different()
                found = found and other
            return found

        def different() -> bool:
            found = single()
            while rest and rest[0] == "^":
                rest.pop(0)
                found = found != single()
            return found

        def single() -> bool:
            token = rest.pop(0)
            if token == "!":
                return not single()
            if token == "(":
                found = either()
                rest.pop(0)
            else:
                found = of[token]
            while rest and rest[0] == "'":
                rest.pop(0)
                found = not found
            return found

        found = either()
        if rest:
            raise IndexError(f"{rest[0]} closes nothing")
        return found

    return value

"""A builder of scalar dataflow graphs: equal operations are one, constants are folded, and 0 and 1 vanish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from armillary.workloads.dataflow import Dataflow, Kind, Operation, Output, Tensor

_Node = tuple[str, tuple[float | int, ...]]
_SHORT: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
    "greater": lambda a, b: float(a > b),
    "equal": lambda a, b: float(a == b),
    "select": lambda a, b: b if a else 0.0,
    "reject": lambda a, b: 0.0 if a else b,
}


class Scalars:
    """Scalars by number, in the order in which they were made; `graph` numbers them anew."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._known: dict[_Node, int] = {}
        self.operations = 0

    def inputs(self, tensor: int, size: int) -> list[int]:
        """Return the elements of an input, by its place among the inputs."""
        return [self._noted("input", (tensor, element)) for element in range(size)]

    def constant(self, value: float) -> int:
        """Return a constant."""
        return self._noted("constant", (float(value),))

    def known(self, number: int) -> float | None:
        """Return the value of a constant, None of what is none."""
        kind, content = self._nodes[number]
        return float(content[0]) if kind == "constant" else None

    def binary(self, kind: Kind, a: int, b: int) -> int:
        """Return an operation on two scalars, or what is the same and less."""
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            return self.constant(_SHORT[kind](x, y))
        same = {
            "add": b if x == 0 else a if y == 0 else None,
            "sub": a if y == 0 else None,
            "mul": b if x == 1 else a if y == 1 else self.constant(0) if 0 in (x, y) else None,
            "select": None if x is None else b if x else self.constant(0),
            "reject": None if x is None else self.constant(0) if x else b,
            "max": a if a == b else None,
            "min": a if a == b else None,
        }.get(kind)
        if same is not None:
            return same
        ordered = (b, a) if kind in ("add", "mul", "max", "min", "equal") and b < a else (a, b)
        return self._noted(kind, ordered)

    def unary(self, kind: Kind, a: int) -> int:
        """Return an operation on one scalar that is no constant."""
        return self._noted(kind, (a,))

    def sum(self, terms: Iterable[int]) -> int:
        """Return the sum of scalars."""
        given = list(terms)
        constant = sum(value for value in map(self.known, given) if value is not None)
        rest = [term for term in given if self.known(term) is None]
        if constant:
            rest.append(self.constant(constant))
        if len(rest) < 3:
            return self.binary("add", *rest) if len(rest) == 2 else rest[0] if rest else self.constant(0)
        return self._noted("sum", tuple(rest))

    def terms(self, number: int) -> set[int]:
        """Return the scalars whose sum or difference a scalar is, perhaps times constants; itself if it is none."""
        seen: set[int] = set()
        found: set[int] = set()
        open_ = [number]
        while open_:
            at = open_.pop()
            if at in seen:
                continue
            seen.add(at)
            kind, content = self._nodes[at]
            operands = [int(operand) for operand in content] if kind not in ("input", "constant") else []
            factors = [operand for operand in operands if self.known(operand) is None]
            if kind in ("add", "sub", "sum"):
                open_ += operands
            elif kind == "mul" and len(factors) == 1:
                open_ += factors
            else:
                found.add(at)
        return found

    def graph(self, inputs: Sequence[Tensor], outputs: Sequence[Output]) -> Dataflow:
        """Return what outputs need, each given with the numbers of its elements here."""
        needed: set[int] = set()
        open_ = [value for output in outputs for value in output.values]
        while open_:
            at = open_.pop()
            if at not in needed:
                needed.add(at)
                kind, content = self._nodes[at]
                if kind not in ("input", "constant"):
                    open_ += map(int, content)
        number: dict[int, int] = {}
        for at, (kind, _) in enumerate(self._nodes):
            if kind == "input":
                number[at] = len(number)  # all inputs are noted first, needed or not
        constants = [at for at in sorted(needed) if self._nodes[at][0] == "constant"]
        results = [at for at in sorted(needed) if self._nodes[at][0] not in ("input", "constant")]
        number |= {at: place for place, at in enumerate([*constants, *results], len(number))}
        operations = [
            Operation(self._nodes[at][0], tuple(number[int(operand)] for operand in self._nodes[at][1]))  # type: ignore[arg-type]
            for at in results
        ]
        return Dataflow(
            tuple(inputs),
            tuple(float(self._nodes[at][1][0]) for at in constants),
            tuple(operations),
            tuple(Output(o.name, o.shape, tuple(number[v] for v in o.values), o.updates) for o in outputs),
        )

    def _noted(self, kind: str, content: tuple[float | int, ...]) -> int:
        node = (kind, content)
        if node not in self._known:
            self._known[node] = len(self._nodes)
            self._nodes.append(node)
            self.operations += 1 if kind not in ("input", "constant") else 0
        return self._known[node]

"""A small language for constraints and laws: arithmetic, comparisons, and, or, not, `in`, and a few functions.

It has the syntax of Python's expressions and none of its reach: a text is parsed into a tree, every node of which must
be one of those listed here, and the tree is evaluated on columns. Names stand for parameters (or for the columns of a
file); nothing else can be named. What is a number, a text or a truth value is checked before anything is evaluated.

    pe_rows * pe_cols <= 1024
    0.2 + 0.004 * pe_rows * pe_cols
    dataflow in ["ws", "os"] and (buffer_kib > 32 or not double_buffer)
    1.5 if dataflow == "ws" else 1
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

Kind = Literal["number", "text", "truth"]
Columns = Mapping[str, NDArray[Any]]
"""Values by name, each of shape [rows]."""

_LONGEST = 2000  # characters: far more than anybody writes, far less than would exhaust the parser
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ONE: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "sqrt": np.sqrt,
}
_SEVERAL: dict[str, Callable[[Any, Any], Any]] = {"max": np.maximum, "min": np.minimum}
FUNCTIONS = sorted([*_ONE, *_SEVERAL])


@dataclass(frozen=True)
class _Node:
    """A checked part of an expression: what it is, and how it is computed from columns."""

    kind: Kind
    of: Callable[[Columns], Any]


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as it was written.
        kind: what it says of a row: a number, a text or a truth value.
        names: the names in it, in order of appearance, and what each is.
    """

    text: str
    kind: Kind
    names: Mapping[str, Kind]
    _root: _Node = field(compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes it again: what was compiled cannot travel."""
        return parse, (self.text, self.names)

    def __call__(self, columns: Columns) -> NDArray[Any]:
        """Return what it says of every row, shape [rows]; what has no value, such as 1/0, is NaN or infinite.

        Args:
            columns: at least those that it names, each of shape [rows]; numbers, texts or booleans.
        """
        rows = len(next(iter(columns.values())))
        with np.errstate(all="ignore"):
            found = self._root.of(columns)
        return np.array(np.broadcast_to(found, (rows,)))


def parse(text: str, names: Mapping[str, Kind], wanted: Kind | None = None) -> Expression:
    """Return a checked expression.

    Args:
        text: what was written.
        names: what may be named in it, and what each is.
        wanted: what it has to say of a row; anything, if not given.

    Raises:
        ArmillaryError: shows the text, the part that is wrong, and what is allowed.
    """
    tree = _tree(text)
    try:
        root = _Reader(text, names).node(tree)
    except RecursionError:
        raise ArmillaryError(f"the expression {text[:40]!r}... is nested too deeply") from None
    if wanted is not None and root.kind != wanted:
        raise ArmillaryError(f"{text!r} is a {_worded(root.kind)}; it must be a {_worded(wanted)}")
    named = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return Expression(text, root.kind, {name: names[name] for name in named if name in names}, root)


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in an expression that are no functions, in order of appearance.

    Raises:
        ArmillaryError: if the text is no expression.
    """
    found = [node.id for node in ast.walk(_tree(text)) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(name for name in found if name not in FUNCTIONS))


def _tree(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ArmillaryError(f"the expression {text[:40]!r}... has {len(text):,} characters; at most {_LONGEST:,}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        where = f" at character {fault.offset}" if isinstance(fault, SyntaxError) and fault.offset else ""
        raise ArmillaryError(
            f"{text!r} is no expression{where}; write one like pe_rows * pe_cols <= 1024, with names, numbers, "
            f"'texts', + - * / // % **, comparisons, and, or, not, in, and {', '.join(FUNCTIONS)}"
        ) from None


class _Reader:
    """Turns a tree into checked nodes."""

    def __init__(self, text: str, names: Mapping[str, Kind]) -> None:
        self._text, self._names = text, names
        self._readers: dict[type[ast.expr], Callable[[Any], _Node]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.BoolOp: self._connected,
            ast.Compare: self._compared,
            ast.Call: self._called,
            ast.IfExp: self._chosen,
        }

    def node(self, tree: ast.expr) -> _Node:
        reader = self._readers.get(type(tree))
        if reader is None:
            raise self._fault(tree, "is not allowed here")
        return reader(tree)

    def _constant(self, tree: ast.Constant) -> _Node:
        value = tree.value
        if isinstance(value, bool):
            return _Node("truth", lambda _: np.bool_(value))
        if isinstance(value, int | float):
            number = float(value)
            return _Node("number", lambda _: np.float64(number))
        if isinstance(value, str):
            return _Node("text", lambda _: value)
        raise self._fault(tree, "is neither a number, a text nor a truth value")

    def _name(self, tree: ast.Name) -> _Node:
        name = tree.id
        if name in ("true", "false"):  # as YAML writes them
            return _Node("truth", lambda _: np.bool_(name == "true"))
        if name not in self._names:
            raise self._fault(tree, f"is unknown; known are {list(self._names)}")
        kind = self._names[name]
        if kind == "number":
            return _Node(kind, lambda columns: np.asarray(columns[name], dtype=float))
        return _Node(kind, lambda columns: np.asarray(columns[name]))

    def _unary(self, tree: ast.UnaryOp) -> _Node:
        inner = self.node(tree.operand)
        if isinstance(tree.op, ast.Not):
            self._check(tree.operand, inner, "truth")
            return _Node("truth", lambda columns: ~inner.of(columns))
        if not isinstance(tree.op, ast.USub | ast.UAdd):
            raise self._fault(tree, "is not allowed here")
        self._check(tree.operand, inner, "number")
        return _Node("number", (lambda columns: -inner.of(columns)) if isinstance(tree.op, ast.USub) else inner.of)

    def _binary(self, tree: ast.BinOp) -> _Node:
        compute = _ARITHMETIC.get(type(tree.op))
        if compute is None:
            raise self._fault(tree, "is not allowed; the operators are + - * / // % **")
        left, right = self.node(tree.left), self.node(tree.right)
        self._check(tree.left, left, "number")
        self._check(tree.right, right, "number")
        return _Node("number", lambda columns: compute(left.of(columns), right.of(columns)))

    def _connected(self, tree: ast.BoolOp) -> _Node:
        parts = [self.node(value) for value in tree.values]
        for value, part in zip(tree.values, parts, strict=True):
            self._check(value, part, "truth")
        join = np.logical_and if isinstance(tree.op, ast.And) else np.logical_or
        return _Node("truth", lambda columns: _folded(join, [part.of(columns) for part in parts]))

    def _compared(self, tree: ast.Compare) -> _Node:
        sides, steps = [tree.left, *tree.comparators], []
        for left, op, right in zip(sides[:-1], tree.ops, sides[1:], strict=True):
            steps.append(self._membership(left, op, right) if isinstance(op, ast.In | ast.NotIn) else
                         self._comparison(left, op, right))  # fmt: skip
        return _Node("truth", lambda columns: _folded(np.logical_and, [step(columns) for step in steps]))

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Callable[[Columns], Any]:
        compare = _COMPARISONS.get(type(op))
        a, b = self.node(left), self.node(right)
        if compare is None:
            raise self._fault(right, "cannot be compared so; the comparisons are == != < <= > >= in")
        if a.kind != b.kind:
            raise self._fault(right, f"is a {_worded(b.kind)}, but {ast.unparse(left)!r} is a {_worded(a.kind)}")
        if a.kind != "number" and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._fault(right, f"is a {_worded(b.kind)}; only numbers are less or greater")
        return lambda columns: compare(a.of(columns), b.of(columns))

    def _membership(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Callable[[Columns], Any]:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self._fault(right, "must be a list, such as [1, 2] or ['ws', 'os']")
        same = [self._comparison(left, ast.Eq(), member) for member in right.elts]
        negate = isinstance(op, ast.NotIn)
        return lambda columns: _folded(np.logical_or, [one(columns) for one in same]) ^ negate

    def _called(self, tree: ast.Call) -> _Node:
        name = tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func)
        if name not in FUNCTIONS or tree.keywords:
            raise self._fault(tree, f"is no function; they are {', '.join(FUNCTIONS)}")
        parts = [self.node(argument) for argument in tree.args]
        for argument, part in zip(tree.args, parts, strict=True):
            self._check(argument, part, "number")
        if name in _SEVERAL and len(parts) > 1:
            join = _SEVERAL[name]
            return _Node("number", lambda columns: _folded(join, [part.of(columns) for part in parts]))
        if name in _SEVERAL or len(parts) != 1:
            raise self._fault(
                tree, f"has {len(parts)} arguments; {name} takes {'two or more' if name in _SEVERAL else 'one'}"
            )
        compute, only = _ONE[name], parts[0]
        return _Node("number", lambda columns: compute(only.of(columns)))

    def _chosen(self, tree: ast.IfExp) -> _Node:
        test, then, other = self.node(tree.test), self.node(tree.body), self.node(tree.orelse)
        self._check(tree.test, test, "truth")
        self._check(tree.orelse, other, then.kind)
        return _Node(then.kind, lambda columns: np.where(test.of(columns), then.of(columns), other.of(columns)))

    def _check(self, tree: ast.expr, node: _Node, wanted: Kind) -> None:
        if node.kind != wanted:
            raise self._fault(tree, f"is a {_worded(node.kind)}; a {_worded(wanted)} belongs there")

    def _fault(self, tree: ast.expr, why: str) -> ArmillaryError:
        part = ast.unparse(tree)
        of_what = "" if part == self._text.strip() else f" in {self._text!r}"
        return ArmillaryError(f"{part!r}{of_what} {why}")


def _folded(join: Callable[[Any, Any], Any], parts: Sequence[Any]) -> Any:
    found = parts[0]
    for part in parts[1:]:
        found = join(found, part)
    return found


def _worded(kind: Kind) -> str:
    return {"number": "number", "text": "text", "truth": "truth value"}[kind]

"""The sizes that a user gives: of inputs by name or axis, and of what depends on the data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from armillary.types import ArmillaryError
from armillary.workloads.onnx.nodes import free_inputs, subgraphs

_PLACEHOLDERS = re.compile(r"\?|-?\d*|none|null|unk(nown)?(__?\d+)?", re.IGNORECASE)
"""What exporters write for a size without a name; it then stands for several."""
_LARGEST = 2**31 - 1
_NUMBERS = (TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class Sizes:
    """What a user gave beyond the sizes of inputs.

    Attributes:
        named: values of symbolic sizes, by name.
        axes: sizes along an axis of a computed tensor, by its name.
        runs: how often a Loop runs, by its node's name.
        values: of inputs of one element, e.g. a condition.
    """

    named: Mapping[str, int] = field(default_factory=dict)
    axes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)


def set_dimensions(model: ModelProto, dims: Mapping[str, int], source: str) -> Sizes:
    """Give symbolic dimensions of the inputs their values, in place.

    Any dimension of an input goes by input and axis, `data[0]`, too, and so does one of a computed tensor, or
    `node:output[0]` of the first output of a node. `node:runs` says how often a Loop runs, and the name of an input of
    one element, a truth value or a whole number, what it is.

    Returns:
        What was given beyond the inputs.

    Raises:
        ArmillaryError: collects every dimension that is still open, unknown or negative.
    """
    graph = model.graph
    inputs = free_inputs(graph)
    names = _Names(graph, inputs)
    open_ = dict(names.open)
    faults: list[str] = [_bad_value(name, value) for name, value in dims.items()]
    good = {name: value for (name, value), fault in zip(dims.items(), faults, strict=True) if not fault}
    for (tensor, axis), symbol in names.open.items():
        size = good.get(f"{tensor}[{axis}]", good.get(symbol) if symbol else None)
        if size is not None:
            del open_[tensor, axis]
            _set(inputs, tensor, axis, size)
    beyond, unknown = names.sort(good)
    faults += unknown
    faults += [_still_open(tensor, axis, symbol, names) for (tensor, axis), symbol in open_.items()]
    faults += [
        f"input {value.name!r} has no shape; give it one when exporting the model"
        for value in inputs
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
    ]
    faults = [fault for fault in dict.fromkeys(faults) if fault]
    if faults:
        raise ArmillaryError(f"{source}: " + "; ".join(faults))
    return beyond


def _symbol(value: ValueInfoProto, axis: int) -> str | None:
    """Return the name of an open dimension, perhaps none, or None if it has a value."""
    dimension = value.type.tensor_type.shape.dim[axis]
    if dimension.HasField("dim_value") and dimension.dim_value > 0:
        return None
    return str(dimension.dim_param)


def _set(inputs: Sequence[ValueInfoProto], name: str, axis: int, size: int) -> None:
    for value in inputs:
        if value.name == name:
            value.type.tensor_type.shape.dim[axis].dim_value = size


def _still_open(tensor: str, axis: int, symbol: str, names: _Names) -> str:
    example = symbol if symbol and not names.is_ambiguous(symbol) else f"{tensor}[{axis}]"
    size = names.likely(tensor, axis)
    quoted = f"'{example}={size}'" if re.search(r"[^\w\[\]./:-]", example) else f"{example}={size}"
    return f"dimension {symbol or f'{tensor}[{axis}]'!r} of input {tensor!r} is open; set it, e.g. --dim {quoted}"


def _bad_value(name: str, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        return f"dimension {name}={value!r} is not allowed; it must be a whole number from 0 to {_LARGEST:,}"
    return ""


def open_dimensions(graph: GraphProto) -> dict[tuple[str, int], str]:
    """Return the symbol, perhaps empty, of each open dimension of an input, by input and axis."""
    return {
        (value.name, axis): symbol
        for value in free_inputs(graph)
        for axis in range(len(value.type.tensor_type.shape.dim))
        if (symbol := _symbol(value, axis)) is not None
    }


class _Names:
    """What the dimensions of a graph are called.

    Attributes:
        open: the symbol, perhaps empty, of each open dimension by input and axis.
    """

    def __init__(self, graph: GraphProto, inputs: Sequence[ValueInfoProto]) -> None:
        self._inputs = {value.name: len(value.type.tensor_type.shape.dim) for value in inputs}
        self._values = inputs
        self.open = open_dimensions(graph)
        self._symbols = {symbol for symbol in self.open.values() if symbol}
        self._inner = {
            dimension.dim_param
            for value in _recorded(graph)
            for dimension in value.type.tensor_type.shape.dim
            if dimension.dim_param
        }
        self._outputs, self._makers = _computed(graph)

    def is_ambiguous(self, symbol: str) -> bool:
        """Return whether a symbol is a placeholder for any size."""
        return _PLACEHOLDERS.fullmatch(symbol) is not None

    def likely(self, tensor: str, axis: int) -> int:
        """Return a size that often fits: one image or sequence, of a common size."""
        return 1 if axis == 0 else 224 if self._inputs[tensor] == 4 and axis > 1 else 128

    def sort(self, dims: Mapping[str, int]) -> tuple[Sizes, list[str]]:
        """Return what is given beyond open dimensions of inputs, and what is wrong with the rest.

        A dimension of an input that has a value in the file is changed here.
        """
        named: dict[str, int] = {}
        axes: dict[str, dict[int, int]] = {}
        runs: dict[str, int] = {}
        values: dict[str, int] = {}
        faults = []
        for name, size in dims.items():
            match = re.fullmatch(r"(.*)\[(\d+)\]", name, re.DOTALL)
            if name in self._symbols or name in self._inner:
                named[name] = size
            elif match and match[1] in self._inputs and int(match[2]) < self._inputs[match[1]]:
                _set(self._values, match[1], int(match[2]), size)
            elif match and (tensor := self._tensor(match[1])):
                axes.setdefault(tensor, {})[int(match[2])] = size
            elif name.endswith(":runs") and name.removesuffix(":runs") in self._makers:
                runs[name.removesuffix(":runs")] = size
            elif name in self._inputs and self._is_number(name):
                values[name] = size
            else:
                faults.append(self._unknown(name))
        return Sizes(named, axes, runs, values), faults

    def _is_number(self, name: str) -> bool:
        """Return whether an input is a whole number or a truth value, of one element."""
        value = next(value for value in self._values if value.name == name)
        dims = value.type.tensor_type.shape.dim
        return value.type.tensor_type.elem_type in _NUMBERS and all(d.dim_value == 1 for d in dims)

    def _tensor(self, name: str) -> str:
        """Return the computed tensor that goes by a name, or by a node's and its own, empty for none."""
        if name in self._outputs:
            return name
        node, colon, output = name.rpartition(":")
        outputs = self._makers.get(node, ()) if colon else ()
        return output if output in outputs else outputs[0] if output == "output" and outputs else ""

    def _unknown(self, name: str) -> str:
        names = sorted({symbol or f"{tensor}[{axis}]" for (tensor, axis), symbol in self.open.items()})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"open are {names}" if names else "all are fixed"
        return f"the inputs have no open dimension {name!r}; {hint}"


def _recorded(graph: GraphProto) -> Iterable[ValueInfoProto]:
    return (*graph.output, *graph.value_info)


def _computed(graph: GraphProto) -> tuple[set[str], dict[str, Sequence[str]]]:
    """Return the tensors that a graph computes, its bodies included, and the outputs of each named node."""
    outputs: set[str] = set()
    makers: dict[str, Sequence[str]] = {}
    for node in graph.node:
        outputs.update(out for out in node.output if out)
        if node.name:
            makers.setdefault(node.name, list(node.output))
        for inner in subgraphs(node):
            more, inner_makers = _computed(inner)
            outputs |= more
            makers = inner_makers | makers
    return outputs, makers

"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto

from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.lowering.parts import Lowered, Remainder, Rule, held, is_dynamic, name_of, operation
from armillary.workloads.onnx.nodes import has_input, option
from armillary.workloads.onnx.origins import Origin
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork


def recurrent(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower LSTM, GRU or RNN: per direction one GEMM over all time steps, and one per step.

    The first multiplies the inputs of all steps, the second the state; each has its half of the
    bias. Gates, state updates and an LSTM's peepholes run beside the array.
    """
    directions, gates, features = tensors.shape(node.input[1], node)
    hidden = tensors.shape(node.input[2], node)[2]
    yield from _steps(node, tensors, (directions, gates, features), hidden)


def _quantized(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower DynamicQuantizeLSTM, whose weights are the other way round."""
    directions, features, gates = tensors.shape(node.input[1], node)
    hidden = tensors.shape(node.input[2], node)[1]
    yield from _steps(node, tensors, (directions, gates, features), hidden)


def _steps(node: NodeProto, tensors: Tensors, weights: Shape, hidden: int) -> Lowered:
    inputs = tensors.shape(node.input[0], node)
    directions, gates, features = weights
    if len(inputs) != 3 or inputs[2] != features:
        raise ValueError(f"input {inputs} and weights of {features} features")
    batch, steps = (inputs[0], inputs[1]) if option(node, "layout", 0) else (inputs[1], inputs[0])
    for direction in range(directions):
        for part, position, rows, width, count in (
            ("input", 1, steps * batch, features, 1), ("state", 2, batch, hidden, steps),
        ):  # fmt: skip
            yield from operation(
                f"{name_of(node)}.{part}", "gemm", K=gates, C=width, P=rows, bias=has_input(node, 3),
                dynamic=is_dynamic(node, tensors, position), count=count,
                weights=_of(held(node, tensors, position), f"[{direction}]"),
                bias_of=_of(held(node, tensors, 3), f"[{direction}].{part}"),
            )  # fmt: skip
    per_step = 2 * gates + (4 if "LSTM" in node.op_type else 2) * hidden
    cell = _cell(gates // hidden if hidden else 0, batch * hidden)
    yield Remainder("gates", directions * steps * batch * per_step, cell, directions * steps)


def _cell(gates: int, values: int) -> VectorWork:
    """Return what one step computes of its gates: 4 of an LSTM, 3 of a GRU, 1 of a plain recurrence.

    Every gate adds what input and state give, and has a function. An LSTM's cell is f c + i g, its state o tanh(c); a
    GRU's candidate adds r times what the state gives, and its state is (1 - z) n + z h. A peephole is left out.

    Args:
        gates: of the cell.
        values: of its state, of all sequences.
    """
    adds, multiplies, functions, kept = {4: (5, 3, 5, 2), 3: (5, 3, 3, 1)}.get(gates, (gates, 0, gates, 1))
    return VectorWork(
        "gates", "combine", adds * values, multiplies * values, functions * values,
        reads=(2 * gates + (kept if gates > 1 else 0) - (gates == 4)) * values, writes=kept * values,
    )  # fmt: skip


def _of(origin: Origin | None, part: str) -> Origin | None:
    """Return a direction's part of a constant."""
    return None if origin is None else Origin(f"{origin.name}{part}", origin.part)


RULES: Mapping[str, Rule] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
MICROSOFT: Mapping[str, Rule] = {"DynamicQuantizeLSTM": _quantized}

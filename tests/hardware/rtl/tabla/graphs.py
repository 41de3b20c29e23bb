"""Random dataflow graphs with every kind of operation, and accelerators for them."""

import numpy as np

from armillary.hardware.rtl.tabla.program import OPERATIONS
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import OPERANDS, Dataflow, Operation, Output, Tensor

ROOMY = {
    "data_depth": 64, "weight_depth": 256, "intermediate_depth": 256, "inbox_depth": 256, "instruction_depth": 1024,
}  # fmt: skip


def random_graph(rng, operations=40):
    """Return a graph whose outputs include inputs, constants and the same value twice, and parameters that swap."""
    streamed, parameters, constants = int(rng.integers(1, 7)), int(rng.integers(0, 6)), int(rng.integers(1, 4))
    inputs = [Tensor("x", (streamed,))] + ([Tensor("w", (parameters,))] if parameters else [])
    first = streamed + parameters + constants
    made = [random_operation(rng, number) for number in range(first, first + operations)]
    count = first + operations
    outputs = [Output("y", (5,), tuple(rng.integers(0, count, size=5).tolist()))]
    if parameters:
        following = rng.integers(first - constants, count, size=parameters)
        following[: parameters // 2] = rng.integers(streamed, first, size=parameters // 2)
        outputs.append(Output("w1", (parameters,), tuple(following.tolist()), updates="w"))
    values = tuple(float(value) for value in rng.choice([0.5, -1.0, 1.0, 0.25, 3.0], size=constants, replace=False))
    return Dataflow(tuple(inputs), values, tuple(made), tuple(outputs))


def random_operation(rng, number):
    kind = str(rng.choice([*OPERATIONS, "sum", "mul", "add"]))
    operands = int(rng.integers(2, 12)) if kind == "sum" else OPERANDS.get(kind, 2)
    near = rng.integers(max(0, number - 15), number, size=operands)  # deep and wide
    return Operation(
        kind, tuple(np.where(rng.random(operands) < 0.6, near, rng.integers(0, number, operands)).tolist())
    )


def random_accelerator(rng, **changed):
    internal = 2 * int(rng.integers(4, 17))
    num_pu, num_pe = int(rng.integers(1, 5)), int(rng.integers(2, 9))
    values = {
        "num_pu": num_pu,
        "num_pe": num_pe,
        "bit_width": 2 * int(rng.integers(2, internal // 2 + 1)),
        "internal_bit_width": internal,
        "axi_width": int(rng.integers(1, num_pu * num_pe + 1)),
    }
    return Accelerator(**{**values, **ROOMY, **changed})


def whole_range(rng, bits, shape):
    """Return integers of some bits: small ones, anything, and the extremes."""
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    small = rng.integers(least // 16, most // 16 + 1, size=shape)
    pick = rng.random(shape)
    extreme = rng.choice([least, most, 0, 1, -1], size=shape)
    return np.where(pick < 0.7, small, np.where(pick < 0.85, rng.integers(least, most + 1, size=shape), extreme))

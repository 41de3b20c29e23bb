"""From floats to int8: one symmetric scale per tensor, zero point 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError
from armillary.workloads.quantized.reading import FloatNetwork, Operation
from armillary.workloads.quantized.runtime import run_model
from armillary.workloads.quantized.step import (
    HIGHEST,
    LOWEST,
    IntegerNetwork,
    Multiplier,
    Shape4,
    Step,
    TensorInfo,
)
from armillary.yaml_file import read_yaml

CALIBRATION_INPUTS = 4
MOST_SUM = (1 << 31) - 1
_MOST_BIAS = 1 << 29  # which leaves three quarters of the 32 bits to the products and the residual
_LARGER_EXPONENT = 15  # of an addition's larger multiplier: the sum of two stays exact in a float32


def calibrated(network: FloatNetwork, *, seed: int = 0) -> dict[str, float]:
    """Return a scale per tensor: the largest magnitude on standard normal inputs is 127.

    The float model runs in ONNX Runtime on four inputs. The maximum over a window has its input's scale.

    Raises:
        ArmillaryError: if ONNX Runtime is missing or refuses the model.
    """
    rng = np.random.default_rng(seed)
    inputs, *names = _scaled(network)
    largest = dict.fromkeys([inputs, *names], 0.0)
    for _ in range(CALIBRATION_INPUTS):
        given = rng.normal(size=_declared_shape(network)).astype(np.float32)
        found = run_model(network.model, {network.inputs: given}, names)
        for name, values in {network.inputs: given, **found}.items():
            largest[name] = max(largest[name], float(np.abs(values).max()))
    return {name: (most or 1.0) / HIGHEST for name, most in largest.items()}


def _scaled(network: FloatNetwork) -> list[str]:
    """Return the tensors that have a scale of their own: the input, what operations write, and what tables look up."""
    names = [network.inputs]
    for operation in network.operations:
        if operation.function and operation.kind != "lookup":
            names.append(operation.function.inputs)
        if operation.kind != "max_pool":
            names.append(operation.output)
    return names


def _declared_shape(network: FloatNetwork) -> tuple[int, ...]:
    """Return the shape of the input as the file has it, which may have fewer axes than four."""
    declared = next(value for value in network.model.graph.input if value.name == network.inputs)
    return tuple(dimension.dim_value for dimension in declared.type.tensor_type.shape.dim)


def read_scales(path: Path, network: FloatNetwork) -> dict[str, float]:
    """Return the scales of a YAML or JSON file, `tensor: scale`; one for each tensor that `calibrated` has one for.

    Raises:
        ArmillaryError: if the file cannot be read, a tensor is missing or unknown, or a scale is no positive number.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ArmillaryError(f"{path}: holds no scales; write one line `tensor: scale` for each tensor")
    needed = _scaled(network)
    faults = [f"tensor {name!r} has no scale" for name in needed if name not in content]
    faults += [f"no tensor {name!r}; there are {needed}" for name in content if name not in needed]
    faults += [
        f"{name}={value!r} is not allowed; a scale is a positive number"
        for name, value in content.items()
        if not _positive(value)
    ]
    if faults:
        raise ArmillaryError(f"{path}: " + "; ".join(faults[:10]))
    return {name: float(content[name]) for name in needed}


def _positive(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(float(value)) and float(value) > 0  # type: ignore[arg-type]


def quantized(network: FloatNetwork, scales: Mapping[str, float]) -> IntegerNetwork:
    """Return a network in int8.

    Args:
        network: in floats.
        scales: of the input, of what each operation writes and of what its function is applied to, as from
            `calibrated`.

    Raises:
        ArmillaryError: if a bias or a residual cannot be expressed at the scales, or a function is not finite; names
            the node.
    """
    tensors = {network.inputs: TensorInfo(network.inputs, network.shapes[network.inputs], scales[network.inputs])}
    steps = []
    for operation in network.operations:
        given = tensors[operation.inputs]
        scale = given.scale if operation.kind == "max_pool" else scales[operation.output]
        output = TensorInfo(operation.output, network.shapes[operation.output], scale)
        residual = tensors[operation.residual] if operation.residual else None
        tensors[operation.output] = output
        looked_up = output.scale
        if operation.function:
            looked_up = given.scale if operation.kind == "lookup" else scales[operation.function.inputs]
        steps.append(_step(operation, given, residual, output, looked_up))
    return IntegerNetwork(network.name, tensors[network.inputs], tuple(steps), network.outputs)


def _step(
    operation: Operation, given: TensorInfo, residual: TensorInfo | None, output: TensorInfo, byte_scale: float
) -> Step:
    """Return an operation in integers; `byte_scale` is that of the bytes that sums become, before a table."""
    made: dict[str, Any]
    if operation.kind == "max_pool":
        return Step(operation.name, "max_pool", given, output, operation.window)
    if operation.kind == "average_pool":
        unit, made = given.scale / operation.window.area, {}
    elif operation.kind == "lookup":
        unit, made = given.scale, {}
    elif operation.kind == "add":
        assert residual is not None
        unit = max(given.scale, residual.scale) / 2**_LARGER_EXPONENT
        made = {"multiplier": _multiplier(operation, given.scale / unit)}
    else:
        unit, made = _of_convolution(operation, given, residual)
    if residual is not None:
        made |= {"residual": residual, "residual_multiplier": _multiplier(operation, residual.scale / unit)}
    step = Step(
        name=operation.name,
        kind=operation.kind,
        inputs=given,
        output=output,
        window=operation.window,
        groups=operation.groups,
        transposed=operation.transposed,
        scale=float(np.float32(unit / byte_scale)),
        low=0 if operation.low == 0 else LOWEST,
        high=_highest(operation.high, output.scale),
        table=_table(operation, byte_scale, output.scale),
        **made,
    )
    if step.largest_sum > MOST_SUM:
        raise ArmillaryError(f"{step.name}: its sums reach {step.largest_sum:,}; they must be at most {MOST_SUM:,}")
    return step


def _table(operation: Operation, byte_scale: float, made_scale: float) -> NDArray[np.int8] | None:
    if operation.function is None:
        return None
    try:
        return operation.function.table(byte_scale, made_scale)
    except ArmillaryError as fault:
        raise ArmillaryError(f"{operation.name}: {fault}") from None


def _highest(bound: float, scale: float) -> int:
    return HIGHEST if bound >= HIGHEST * scale else round(bound / scale)


def _multiplier(operation: Operation, factor: float) -> Multiplier:
    try:
        return Multiplier.nearest(factor)
    except ArmillaryError as fault:
        raise ArmillaryError(f"{operation.name}: the scales of what it adds lie too far apart: {fault}") from None


def _of_convolution(
    operation: Operation, given: TensorInfo, residual: TensorInfo | None
) -> tuple[float, dict[str, Any]]:
    """Return what a sum of one is worth, and the integer weights and biases.

    The largest weight is 127, or less where a bias or the residual is so much larger than the products that it would
    leave 32 bits.
    """
    assert operation.weights is not None
    assert operation.bias is not None
    unit = given.scale * (float(np.abs(operation.weights).max()) or 1.0) / HIGHEST
    unit = max(unit, float(np.abs(operation.bias).max()) / _MOST_BIAS)
    if residual is not None:
        unit = max(unit, residual.scale / Multiplier.most())
    return unit, {
        "weights": np.rint(operation.weights * given.scale / unit).astype(np.int8),
        "bias": np.rint(operation.bias / unit).astype(np.int32),
    }


def integers(values: NDArray[np.generic], tensor: TensorInfo) -> NDArray[np.int8]:
    """Return an input as integers: int8 as they are, floats by the tensor's scale.

    Raises:
        ArmillaryError: if the shape or the type is another one, or a value is not finite.
    """
    shape: Shape4 = tensor.shape
    if values.size != tensor.bytes or values.shape[:1] != shape[:1]:
        raise ArmillaryError(f"input has shape {list(values.shape)}; tensor {tensor.name!r} has {list(shape)}")
    if values.dtype == np.int8:
        return values.reshape(shape).astype(np.int8)
    if values.dtype not in (np.float32, np.float64):
        raise ArmillaryError(f"input is of type {values.dtype}; allowed are int8, float32 and float64")
    if not np.isfinite(values.astype(np.float64)).all():
        raise ArmillaryError("input holds a value that is not finite")
    scaled = np.rint(values.astype(np.float64) / tensor.scale)
    return scaled.clip(LOWEST, HIGHEST).astype(np.int8).reshape(shape)

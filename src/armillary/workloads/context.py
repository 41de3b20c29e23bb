"""The numeric description of a workload that a contextual surrogate is conditioned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from armillary.workloads.layer import Layer, LayerKind, Workload

# Bytes of an Edge TPU program per operator, and per output channel of a convolution: least squares (relative error)
# of the nine instruction sizes of PRIME Table 2 on its operators and our networks' channels. Errors: -16% to +14%;
# operators alone leave -30% to +40%. A depthwise operator has its channels' share alone.
INSTRUCTION_BYTES: dict[LayerKind, float] = {"conv": 4750.0, "depthwise": 0.0, "gemm": 50800.0}
INSTRUCTION_BYTES_PER_CHANNEL: dict[LayerKind, float] = {"conv": 8.0, "depthwise": 8.0, "gemm": 0.0}


class Context:
    """What is told of a workload: its name, and numbers that describe it.

    Attributes:
        name: of the workload; models that know no numbers of it tell it from others by its name.
    """

    name: str = ""

    def as_dict(self) -> dict[str, float]:
        """Return the features by name; none where nobody gave numbers."""
        return {}

    def vector(self) -> NDArray[np.float64]:
        """Return the features as an array of shape [features]."""
        return np.array(list(self.as_dict().values()), dtype=float)


@dataclass(frozen=True)
class LayerContext(Context):
    """One row of PRIME Table 2.

    `parameter_mb` is in 2^20 bytes at one byte per parameter: only so do the paper's figures fit the
    public networks (MobileNetV2 has 3.47 million weights there and 3.31 MB). `compute_ops` counts
    two operations per multiply-accumulate, as the paper does. `instruction_bytes` is the published
    size of the program where there is one, else an estimate, see `INSTRUCTION_BYTES`.
    """

    conv_ops: float
    depthwise_ops: float
    feed_forward_ops: float
    parameter_mb: float
    instruction_bytes: float
    compute_ops: float
    name: str = ""

    def as_dict(self) -> dict[str, float]:
        """Return the features by name, in the order of PRIME Table 2."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}


@dataclass(frozen=True)
class OwnContext(Context):
    """A user's own numbers for a workload; none where only its name is known."""

    numbers: Mapping[str, float]
    name: str = ""

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return dict(self.numbers)


def context_of(workload: Workload) -> Context:
    """Return the context of a workload: its own numbers where it has such, else those of its layers."""
    return layer_context(workload) if workload.numbers is None else OwnContext(workload.numbers, workload.name)


def with_numbers(numbers: Mapping[str, float], name: str) -> Context:
    """Return the context that has such numbers: one of layers if they are what layers tell, else a user's own."""
    if set(numbers) == {field.name for field in fields(LayerContext)} - {"name"}:
        return LayerContext(**numbers, name=name)
    return OwnContext(numbers, name)


def layer_context(workload: Workload) -> LayerContext:
    """Return what the layers of a workload tell.

    Source: PRIME Table 2.
    """
    counts = {kind: workload.count(kind) for kind in INSTRUCTION_BYTES}
    return LayerContext(
        conv_ops=counts["conv"],
        depthwise_ops=counts["depthwise"],
        feed_forward_ops=counts["gemm"],
        parameter_mb=workload.parameters / 2**20,
        instruction_bytes=_estimated(workload) if workload.program_bytes is None else workload.program_bytes,
        compute_ops=2 * workload.macs,
        name=workload.name,
    )


def issued_instruction_bytes(workload: Workload) -> float:
    """Return the bytes of program that run per inference: a recurrent layer's again in every step."""
    once = _estimated(workload)
    if not once:
        return 0.0
    every_run = sum(use.count * operator_instruction_bytes(use.layer) for use in workload.layers)
    return layer_context(workload).instruction_bytes * every_run / once


def operator_instruction_bytes(layer: Layer) -> float:
    """Return the estimated bytes of program of one operator, see `INSTRUCTION_BYTES`."""
    return INSTRUCTION_BYTES[layer.kind] + INSTRUCTION_BYTES_PER_CHANNEL[layer.kind] * layer.K


def _estimated(workload: Workload) -> float:
    return sum(use.weight_sets * operator_instruction_bytes(use.layer) for use in workload.layers)


def difference(context: Mapping[str, float], columns: Mapping[str, NDArray[np.float64]]) -> tuple[str, float] | None:
    """Return the first feature whose logged column has another value than a context, and that value; None if none has.

    Args:
        context: features by name.
        columns: what was logged of them, each of shape [rows]; a feature that was not is NaN.
    """
    for name, value in context.items():
        column = np.asarray(columns.get(name, np.array([np.nan])), dtype=float)
        same = np.isclose(column, value, rtol=1e-9, equal_nan=True)
        if not same.all():
            return name, float(column[~same][0])
    return None

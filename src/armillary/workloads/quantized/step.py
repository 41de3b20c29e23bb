"""What an integer network is made of: int8 tensors and the steps between them.

A step sums in int32 and converts the sum to int8:

    sum = core(inputs) [+ residual * multiplier]
    output = clip(rint(float32(sum) * float32(scale)), low, high)

`core` is a convolution and its bias, the inputs times a multiplier, or the inputs added up over a window. For a lookup
it is the inputs alone. The maximum
over a window needs no sum and keeps the scale. A GEMM is a convolution whose filter covers its whole input.

A table may then turn each output into another byte, and a convolution may keep of every window of its outputs only the
largest.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Kind = Literal["conv", "add", "lookup", "max_pool", "average_pool"]
Shape4 = tuple[int, int, int, int]
LOWEST, HIGHEST = -128, 127
MOST_MANTISSA, MOST_EXPONENT = 255, 15


@dataclass(frozen=True)
class TensorInfo:
    """An int8 tensor.

    Attributes:
        name: that of the float tensor in the ONNX file.
        shape: N, C, H, W; a matrix has H = W = 1.
        scale: what one step of the integers is worth.
    """

    name: str
    shape: Shape4
    scale: float

    @property
    def bytes(self) -> int:
        """Elements, of a byte each."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Multiplier:
    """An integer factor that the hardware has: `mantissa` times two to the `exponent`.

    Raises:
        ArmillaryError: if the mantissa is not in 1..255 or the exponent not in 0..15.
    """

    mantissa: int = 1
    exponent: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.mantissa <= MOST_MANTISSA:
            raise ArmillaryError(f"multiplier mantissa={self.mantissa} is not allowed; it must be in 1..255")
        if not 0 <= self.exponent <= MOST_EXPONENT:
            raise ArmillaryError(f"multiplier exponent={self.exponent} is not allowed; it must be in 0..15")

    @property
    def value(self) -> int:
        """The factor."""
        return self.mantissa << self.exponent

    @staticmethod
    def most() -> int:
        """Return the largest factor."""
        return MOST_MANTISSA << MOST_EXPONENT

    @classmethod
    def nearest(cls, factor: float) -> Multiplier:
        """Return the multiplier closest to a factor.

        Raises:
            ArmillaryError: if the factor lies outside 0.5 to 255 * 2^15, where none is close.
        """
        if not 0.5 <= factor <= cls.most():
            raise ArmillaryError(f"a factor of {factor:.4g} is not allowed; it must be in 0.5..{cls.most()}")
        exponent = max(0, math.frexp(factor)[1] - 8)  # so that the mantissa has 8 bits
        mantissa = max(1, round(factor / 2**exponent))
        if mantissa > MOST_MANTISSA and exponent < MOST_EXPONENT:
            mantissa, exponent = (mantissa + 1) // 2, exponent + 1
        return cls(min(mantissa, MOST_MANTISSA), exponent)


@dataclass(frozen=True)
class Window:
    """Where a filter or a pool reads, in pixels.

    Attributes:
        kernel: height, width.
        strides: down, across.
        pads: top, left, bottom, right.
        dilations: down, across.
    """

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    @property
    def area(self) -> int:
        """Pixels of one window."""
        return self.kernel[0] * self.kernel[1]

    def outputs(self, height: int, width: int) -> tuple[int, int]:
        """Return how many windows fit an input, down and across."""
        sizes = (height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3])
        down, across = (
            (size - (k - 1) * dilation - 1) // stride + 1
            for size, k, stride, dilation in zip(sizes, self.kernel, self.strides, self.dilations, strict=True)
        )
        return down, across


ONCE = Multiplier()
POINT = Window()


@dataclass(frozen=True, eq=False)
class Step:
    """One step of an integer network.

    Attributes:
        name: of the node that it was made of.
        kind: what it does to its inputs.
        inputs: what it reads.
        output: what it writes.
        window: of a convolution or a pool.
        groups: of a convolution.
        weights: of a convolution, int8, shape [K, C of a group, R, S].
        bias: of a convolution, int32, shape [K].
        multiplier: of the inputs of an addition.
        residual: a second tensor that is added to the sums, of the output's shape.
        residual_multiplier: its factor.
        scale: from sums to outputs, a float32.
        low: the least output.
        high: the largest.
        table: what each byte between them becomes, int8, shape [256]; entry 255 is that of -1. None if it stays.
        pool: windows of a convolution's outputs of which only the largest is written; None if all are.
        transposed: whether a matrix product reads its input transposed: by rows of shape[0] channels.
    """

    name: str
    kind: Kind
    inputs: TensorInfo
    output: TensorInfo
    window: Window = POINT
    groups: int = 1
    weights: NDArray[np.int8] | None = None
    bias: NDArray[np.int32] | None = None
    multiplier: Multiplier = ONCE
    residual: TensorInfo | None = None
    residual_multiplier: Multiplier = ONCE
    scale: float = 1.0
    low: int = LOWEST
    high: int = HIGHEST
    table: NDArray[np.int8] | None = None
    pool: Window | None = None
    transposed: bool = False

    @property
    def keeps_order(self) -> bool:
        """Whether a larger sum never becomes a smaller output."""
        return self.table is None or bool((np.diff(np.roll(self.table, -LOWEST).astype(np.int16)) >= 0).all())

    @property
    def sums_shape(self) -> Shape4:
        """The shape of its sums: that of its output, but for a convolution that is pooled."""
        if self.pool is None:
            return self.output.shape
        return (*self.output.shape[:2], *self.window.outputs(*self.inputs.shape[2:]))

    @property
    def relu(self) -> bool:
        """Whether negative sums become 0."""
        return self.low == 0

    @property
    def reads(self) -> tuple[TensorInfo, ...]:
        """The tensors that it reads."""
        return (self.inputs,) if self.residual is None else (self.inputs, self.residual)

    @property
    def largest_sum(self) -> int:
        """The largest magnitude that its sums can reach."""
        largest = self.multiplier.value if self.kind in ("add", "lookup") else self.window.area
        bias = 0
        if self.weights is not None:
            largest = int(np.abs(self.weights.astype(np.int64)).reshape(len(self.weights), -1).sum(axis=1).max())
        if self.bias is not None:
            bias = int(np.abs(self.bias.astype(np.int64)).max())
        return -LOWEST * (largest + (self.residual_multiplier.value if self.residual else 0)) + bias

    def layer(self) -> Layer:
        """Return a convolution as a layer; its input includes the padding."""
        assert self.weights is not None, f"{self.name} is a {self.kind}, no convolution"
        (n, k, p, q), window = self.sums_shape, self.window
        channels = self.inputs.shape[0 if self.transposed else 1]
        depthwise = self.groups == self.inputs.shape[1] > 1
        gemm = self.inputs.shape[2:] == self.window.kernel and (p, q) == (1, 1)
        return Layer(
            name=self.name,
            kind="gemm" if gemm else "depthwise" if depthwise else "conv",
            N=n, K=k, C=channels, P=p, Q=q, R=window.kernel[0], S=window.kernel[1],
            stride_h=window.strides[0], stride_w=window.strides[1],
            dilation_h=window.dilations[0], dilation_w=window.dilations[1],
            groups=self.groups,
            bias=True,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A network in int8.

    Attributes:
        name: of the file.
        inputs: what it reads.
        steps: in an order in which they can run.
        outputs: names of the tensors that the network is for.
    """

    name: str
    inputs: TensorInfo
    steps: tuple[Step, ...]
    outputs: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """The input and what every step writes."""
        return (self.inputs, *(step.output for step in self.steps))

    def first(self, count: int) -> IntegerNetwork:
        """Return the network of the first steps.

        Raises:
            ArmillaryError: if it has fewer.
        """
        if not 1 <= count <= len(self.steps):
            raise ArmillaryError(f"--layers={count} is not allowed; {self.name} has 1 to {len(self.steps)} steps")
        return replace(self, steps=self.steps[:count])

    def pooled(self, conv: Step, pool: Step) -> IntegerNetwork:
        """Return the network whose convolution writes the maxima that a step takes of its outputs, and no others."""
        merged = replace(conv, output=pool.output, pool=pool.window)
        return replace(self, steps=tuple(merged if s is conv else s for s in self.steps if s is not pool))

    def poolable(self) -> list[tuple[Step, Step]]:
        """Return convolutions with the maximum over windows that alone reads them and could be taken of their sums."""
        readers = Counter(tensor.name for step in self.steps for tensor in step.reads)
        pools = {s.inputs.name: s for s in self.steps if s.kind == "max_pool" and s.window.dilations == (1, 1)}
        return [
            (step, pools[step.output.name])
            for step in self.steps
            if step.kind == "conv" and step.keeps_order and step.output.name in pools
            and readers[step.output.name] == 1 and step.output.name not in self.outputs
        ]  # fmt: skip

"""Layers and workloads: what is computed, in the seven loop dimensions that the field uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

LayerKind = Literal["conv", "depthwise", "gemm"]
_DIMENSIONS = ("N", "K", "C", "P", "Q", "R", "S", "groups", "stride_h", "stride_w", "dilation_h", "dilation_w")


@dataclass(frozen=True, slots=True)
class Layer:
    """One tensor operation.

    K and C are the totals over all groups. A GEMM of M x C by C x K has P=M and Q=R=S=1; a batched
    GEMM is grouped: groups = batch, K and C the totals over the batch. `dynamic` says that the
    second operand is computed at run time (attention) and so is no parameter. The name does not
    take part in comparisons: equal layers are the same work.
    """

    name: str = field(compare=False)
    kind: LayerKind
    N: int = 1
    K: int = 1
    C: int = 1
    P: int = 1
    Q: int = 1
    R: int = 1
    S: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    groups: int = 1
    bias: bool = False
    dynamic: bool = False

    def __post_init__(self) -> None:
        for dimension in _DIMENSIONS:
            value = getattr(self, dimension)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"layer {self.name}: {dimension}={value!r} is not allowed; it must be a positive integer"
                )
        if self.kind not in ("conv", "depthwise", "gemm"):
            raise ValueError(f"layer {self.name}: kind={self.kind!r} is not allowed; choose conv, depthwise or gemm")
        if self.K % self.groups or self.C % self.groups:
            raise ValueError(f"layer {self.name}: groups={self.groups} must divide K={self.K} and C={self.C}")

    @property
    def channels_per_group(self) -> int:
        """Input channels that one output value reads."""
        return self.C // self.groups

    @property
    def input_height(self) -> int:
        """Rows of input that the outputs touch, halo and padding included."""
        return (self.P - 1) * self.stride_h + (self.R - 1) * self.dilation_h + 1

    @property
    def input_width(self) -> int:
        """Columns of input that the outputs touch, halo and padding included."""
        return (self.Q - 1) * self.stride_w + (self.S - 1) * self.dilation_w + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.N * self.K * self.channels_per_group * self.P * self.Q * self.R * self.S

    @property
    def weights(self) -> int:
        """Elements of the second operand, constant or dynamic, without bias."""
        return self.K * self.channels_per_group * self.R * self.S

    @property
    def parameters(self) -> int:
        """Learned values: constant weights and bias."""
        return (0 if self.dynamic else self.weights) + (self.K if self.bias else 0)

    @property
    def inputs(self) -> int:
        """Elements of the input, halo included."""
        return self.N * self.C * self.input_height * self.input_width

    @property
    def outputs(self) -> int:
        """Elements of the output."""
        return self.N * self.K * self.P * self.Q


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer, how often it runs per inference, and how many distinct weight tensors those runs use.

    A recurrent step runs once per time step with the same weights: count = steps, weight_sets = 1.
    """

    layer: Layer
    count: int = 1
    weight_sets: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.weight_sets <= self.count:
            raise ValueError(
                f"layer {self.layer.name}: weight_sets={self.weight_sets} must lie in 1..count={self.count}"
            )


@dataclass(frozen=True, slots=True)
class NotMapped:
    """Operators that run beside the array (activations, pooling, ...): their number and traffic."""

    op_type: str
    count: int
    bytes_moved: int


@dataclass(frozen=True)
class Workload:
    """A named list of layers with repeat counts: an application, in PRIME's words."""

    name: str
    layers: tuple[LayerUse, ...]
    not_mapped: tuple[NotMapped, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError(f"workload {self.name} has no layer")

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference."""
        return sum(use.count * use.layer.macs for use in self.layers)

    @property
    def parameters(self) -> int:
        """Learned values of the mapped layers."""
        return sum(use.weight_sets * use.layer.parameters for use in self.layers)

    def count(self, kind: LayerKind) -> int:
        """Number of operators of a kind; the steps of a recurrent layer are one operator."""
        return sum(use.weight_sets for use in self.layers if use.layer.kind == kind)


def merge(uses: Sequence[LayerUse]) -> tuple[LayerUse, ...]:
    """Merge equal layers into one use with summed counts, in order of first appearance."""
    merged: dict[Layer, LayerUse] = {}
    for use in uses:
        known = merged.get(use.layer)
        merged[use.layer] = (
            use
            if known is None
            else replace(known, count=known.count + use.count, weight_sets=known.weight_sets + use.weight_sets)
        )
    return tuple(merged.values())

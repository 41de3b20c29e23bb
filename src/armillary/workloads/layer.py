"""Layers and workloads: what is computed, in the seven loop dimensions that the field uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from armillary.hardware.bits import Bits
    from armillary.workloads.algorithm import Algorithm
    from armillary.workloads.dataflow import Dataflow
    from armillary.workloads.pairs import LayerPair
    from armillary.workloads.phases import Phase
    from armillary.workloads.vector_work import VectorUse

LayerKind = Literal["conv", "depthwise", "gemm"]
_DIMENSIONS = (
    "N", "K", "C", "P", "Q", "R", "S", "groups", "stride_h", "stride_w", "dilation_h", "dilation_w",
    "outputs_per_bias",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One tensor operation.

    K and C are the totals over all groups. A GEMM of M x C by C x K has P=M and Q=R=S=1; a batched
    GEMM is grouped: groups = batch, K and C the totals over the batch. `dynamic` says that the
    second operand is computed at run time (attention) and so is no parameter. A transposed
    convolution, done as a GEMM with one output per filter tap, adds its bias after the taps are
    summed: `outputs_per_bias` of its K outputs share one. `bits` are widths of this layer's own,
    which come before the hierarchy's. The name does not take part in comparisons: equal layers are
    the same work.
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
    outputs_per_bias: int = 1
    bits: Bits | None = None

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
        if self.K % self.outputs_per_bias:
            raise ValueError(f"layer {self.name}: outputs_per_bias={self.outputs_per_bias} must divide K={self.K}")

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
        return (0 if self.dynamic else self.weights) + (self.K // self.outputs_per_bias if self.bias else 0)

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
    `shared_sets` of the weight sets are held by an earlier operator of the workload already (a
    detection head that runs on several scales): they are fetched like the others but are learned
    once. `extra_parameters` are learned values beyond those of the sets that are not shared: a bias of its own
    beside shared weights, the rest of a tensor of which an earlier operator used a slice, experts that do not run.
    """

    layer: Layer
    count: int = 1
    weight_sets: int = 1
    shared_sets: int = 0
    extra_parameters: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.weight_sets <= self.count:
            raise ValueError(
                f"layer {self.layer.name}: weight_sets={self.weight_sets} must lie in 1..count={self.count}"
            )
        if not 0 <= self.shared_sets <= self.weight_sets:
            raise ValueError(
                f"layer {self.layer.name}: shared_sets={self.shared_sets} must lie in 0..weight_sets={self.weight_sets}"
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all runs."""
        return self.count * self.layer.macs

    @property
    def parameters(self) -> int:
        """Learned values, each counted where it is met first."""
        return (self.weight_sets - self.shared_sets) * self.layer.parameters + self.extra_parameters


@dataclass(frozen=True, slots=True)
class NotMapped:
    """Operators that run beside the array (activations, pooling, ...): their number and traffic.

    `bytes_moved` is what they read and write; `unsized` of their tensors have a size that depends on
    the data (or on an operator that nobody can size) and are not in it.
    """

    op_type: str
    count: int
    bytes_moved: int
    unsized: int = 0


@dataclass(frozen=True)
class Workload:
    """A named list of layers with repeat counts: an application, in PRIME's words.

    Attributes:
        name: of the network.
        layers: what is mapped.
        not_mapped: operators beside the array, as they are listed.
        beside: what they compute and move, where that is known: what evaluators with a vector unit charge for. Empty
            for networks that are told by their layers alone, as those of the zoo are.
        numbers: what a user tells of a workload instead of its layers, which then may be missing.
        algorithm: what it computes as a whole, if that is a small machine-learning algorithm; layers may be missing.
        no_algorithm: why it is none, where that was looked for.
        dataflow: its scalar operations, if its tensors are small and its operators simple; layers may be missing.
        no_dataflow: why there is none, where that was looked for.
        unknown_work: operators whose multiply-accumulates nobody knows and which are in no layer: why, for each.
        warnings: what to know before trusting the numbers.
        idle_parameters: learned values of operators that do not count: of unknown work, of a branch not taken.
        program_bytes: of its Edge TPU program where that is published; None where it has to be estimated.
        phase: of a language model, the tokens that one inference works on; None where nobody said.
        pairs: layers of which the second alone reads what the first puts out, so that they can be fused.
    """

    name: str
    layers: tuple[LayerUse, ...]
    not_mapped: tuple[NotMapped, ...] = ()
    beside: tuple[VectorUse, ...] = ()
    numbers: Mapping[str, float] | None = None
    algorithm: Algorithm | None = None
    no_algorithm: str = ""
    dataflow: Dataflow | None = field(default=None, repr=False)
    no_dataflow: str = ""
    unknown_work: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    idle_parameters: int = 0
    program_bytes: int | None = None
    phase: Phase | None = None
    pairs: tuple[LayerPair, ...] = ()

    def __post_init__(self) -> None:
        for number, pair in enumerate(self.pairs):
            if (place := max(pair.producer, pair.consumer)) >= len(self.layers):
                raise ValueError(
                    f"workload {self.name}: pair {number} is of layer {place}; the workload has {len(self.layers)}"
                )
        if not self.layers and self.numbers is None and self.algorithm is None and self.dataflow is None:
            raise ValueError(f"workload {self.name} has no layer")

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference."""
        return sum(use.macs for use in self.layers)

    @property
    def parameters(self) -> int:
        """Learned values of the layers, and of those whose work does not count."""
        return sum(use.parameters for use in self.layers) + self.idle_parameters

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
            else replace(
                known,
                count=known.count + use.count,
                weight_sets=known.weight_sets + use.weight_sets,
                shared_sets=known.shared_sets + use.shared_sets,
                extra_parameters=known.extra_parameters + use.extra_parameters,
            )
        )
    return tuple(merged.values())

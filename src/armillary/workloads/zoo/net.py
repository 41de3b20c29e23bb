"""A network drawn layer by layer: each call adds one operator and moves on to its output shape."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from armillary.workloads.layer import Layer, LayerKind, LayerUse, NotMapped, Workload, merge
from armillary.workloads.pairs import LayerPair, merged_pairs

_BETWEEN = frozenset({"GEGLU", "Gate", "Gelu", "Softmax"})
"""Operators that leave every value, or every row, where it was, so that a tile of the tensor passes through them."""


class Net:
    """The layers so far and the shape that the next one reads.

    Filters are padded so that the output has ceil(input / stride) rows. Batch normalisation is
    folded into a bias, as compilers for inference do. Traffic of operators beside the array is at
    one byte per value.

    A layer that reads what the one before puts out makes a pair with it, as long as nobody asks for the `shape` of the
    tensor in between to come back to it.

    Attributes:
        channels: channels of the current tensor.
        height: rows of the current tensor.
        width: columns of the current tensor.
    """

    def __init__(self, channels: int, height: int, width: int | None = None) -> None:
        self.channels = channels
        self.height = height
        self.width = height if width is None else width
        self._uses: list[LayerUse] = []
        self._maker: int | None = None
        self._pairs: list[LayerPair] = []
        self._beside: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Values in the current tensor."""
        return self.channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the current tensor: what `at` returns to."""
        self._maker = None  # somebody else is going to read it
        return self.channels, self.height, self.width

    def at(self, shape: tuple[int, int, int]) -> Net:
        """Go on from another tensor, of this shape."""
        self._maker = None
        self.channels, self.height, self.width = shape
        return self

    def conv(self, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, shared: bool = False) -> Net:
        """Add a convolution with bias; `shared` if an earlier operator holds its weights already."""
        return self._filter("conv", outputs, kernel, stride, groups, shared)

    def conv2d(self, outputs: int, kernel: int, stride: int = 1, *, batch: int, bias: bool = True) -> Net:
        """Add a convolution on so many images."""
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        layer = Layer(
            "conv", "conv", N=batch, K=outputs, C=self.channels, P=self.height, Q=self.width, R=kernel, S=kernel,
            stride_h=stride, stride_w=stride, bias=bias,
        )  # fmt: skip
        self._add(layer)
        self.channels = outputs
        return self

    def conv1d(self, outputs: int, kernel: int, stride: int = 1, *, batch: int) -> Net:
        """Add a convolution with bias along the height of so many sequences."""
        self.height = -(-self.height // stride)
        self._add(
            Layer(
                "conv", "conv", N=batch, K=outputs, C=self.channels, P=self.height, R=kernel, stride_h=stride, bias=True
            )
        )
        self.channels = outputs
        return self

    def patches(self, outputs: int, size: int, *, batch: int) -> Net:
        """Add a convolution with bias whose filters cover the images side by side."""
        self.height, self.width = self.height // size, self.width // size
        layer = Layer(
            "patches", "conv", N=batch, K=outputs, C=self.channels, P=self.height, Q=self.width, R=size, S=size,
            stride_h=size, stride_w=size, bias=True,
        )  # fmt: skip
        self._add(layer)
        self.channels = outputs
        return self

    def depthwise(self, kernel: int, stride: int = 1) -> Net:
        """Add a depthwise convolution with bias."""
        return self._filter("depthwise", self.channels, kernel, stride, self.channels, False)

    def depthwise1d(self, kernel: int, *, batch: int) -> Net:
        """Add a depthwise convolution with bias along the height of so many sequences."""
        layer = Layer(
            "depthwise", "depthwise", N=batch, K=self.channels, C=self.channels, P=self.height, R=kernel,
            groups=self.channels, bias=True,
        )  # fmt: skip
        self._add(layer)
        return self

    def dense(self, outputs: int, *, rows: int = 1, bias: bool = True) -> Net:
        """Add a fully connected layer that reads the current tensor as `rows` vectors."""
        inputs = self.size // rows
        self._add(Layer("dense", "gemm", K=outputs, C=inputs, P=rows, bias=bias))
        self.channels, self.height, self.width = outputs, rows, 1
        return self

    def batched_gemm(self, batch: int, rows: int, inner: int, outputs: int) -> Net:
        """Add `batch` products of [rows, inner] by [inner, outputs], both computed at run time."""
        if self._maker is not None and not self._uses[self._maker].layer.dynamic:
            self._maker = None  # the first operand is no dense layer's output as it lies, but heads of several
        self._add(Layer("batched_gemm", "gemm", K=batch * outputs, C=batch * inner, P=rows, groups=batch, dynamic=True))
        self.channels, self.height, self.width = batch * outputs, rows, 1
        return self

    def shared_gemm(self, batch: int, rows: int, inner: int, outputs: int) -> Net:
        """Add `batch` products of [rows, inner] by [inner, outputs], whose second operands are parts of one tensor.

        A table of relative positions has 2 outputs - 1 rows of which each product takes some: it is learned once.
        """
        layer = Layer("shared_gemm", "gemm", K=batch * outputs, C=batch * inner, P=rows, groups=batch)
        self._uses.append(
            LayerUse(_named(layer, len(self._uses)), shared_sets=1, extra_parameters=(2 * outputs - 1) * inner)
        )
        return self

    def pool(self, stride: int, op_type: str = "MaxPool") -> Net:
        """Add a pooling that divides height and width by `stride`, rounding up."""
        before = self.size
        self.at((self.channels, -(-self.height // stride), -(-self.width // stride)))
        return self.beside(op_type, before + self.size)

    def global_pool(self) -> Net:
        """Add an average over height and width."""
        before = self.size
        return self.at((self.channels, 1, 1)).beside("GlobalAveragePool", before + self.size)

    def residual(self) -> Net:
        """Add the sum of the current tensor and another of its shape."""
        return self.beside("Add", 3 * self.size)

    def upsample(self, factor: int = 2) -> Net:
        """Add a resize that multiplies height and width."""
        before = self.size
        return self.at((self.channels, self.height * factor, self.width * factor)).beside("Resize", before + self.size)

    def concat(self, channels: int) -> Net:
        """Join another tensor of this height and width and so many channels to the current one."""
        self.channels += channels
        return self.beside("Concat", 2 * self.size)

    def beside(self, op_type: str, bytes_moved: int) -> Net:
        """Note an operator that runs beside the array."""
        if op_type not in _BETWEEN:
            self._maker = None
        self._beside[op_type] += 1
        self._bytes[op_type] += bytes_moved
        return self

    def workload(self, name: str, program_bytes: int | None = None) -> Workload:
        """Return what was drawn, equal layers merged; `program_bytes` where it is published."""
        beside = tuple(NotMapped(op_type, n, self._bytes[op_type]) for op_type, n in self._beside.items())
        layers = merge(self._uses)
        pairs = merged_pairs(self._uses, self._pairs, layers)
        return Workload(name, layers, beside, program_bytes=program_bytes, pairs=pairs)

    def _filter(self, kind: LayerKind, outputs: int, kernel: int, stride: int, groups: int, shared: bool) -> Net:
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        layer = Layer(
            kind, kind, K=outputs, C=self.channels, P=self.height, Q=self.width, R=kernel, S=kernel,
            stride_h=stride, stride_w=stride, groups=groups, bias=True,
        )  # fmt: skip
        self._add(layer, shared_sets=int(shared))
        self.channels = outputs
        return self

    def _add(self, layer: Layer, shared_sets: int = 0) -> None:
        place = len(self._uses)
        if self._maker is not None:
            self._pairs.append(LayerPair(self._maker, place))
        self._uses.append(LayerUse(_named(layer, place), shared_sets=shared_sets))
        self._maker = place


def _named(layer: Layer, position: int) -> Layer:
    return replace(layer, name=f"{layer.name}_{position}")

"""A network drawn layer by layer: each call adds one operator and moves on to its output shape."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from armillary.workloads.layer import Layer, LayerKind, LayerUse, NotMapped, Workload, merge


class Net:
    """The layers so far and the shape that the next one reads.

    Filters are padded so that the output has ceil(input / stride) rows. Batch normalisation is
    folded into a bias, as compilers for inference do. Traffic of operators beside the array is at
    one byte per value.

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
        self._beside: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Values in the current tensor."""
        return self.channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the current tensor: what `at` returns to."""
        return self.channels, self.height, self.width

    def at(self, shape: tuple[int, int, int]) -> Net:
        """Go on from another tensor, of this shape."""
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
        return self.at((outputs, rows, 1))

    def batched_gemm(self, batch: int, rows: int, inner: int, outputs: int) -> Net:
        """Add `batch` products of [rows, inner] by [inner, outputs], both computed at run time."""
        self._add(Layer("batched_gemm", "gemm", K=batch * outputs, C=batch * inner, P=rows, groups=batch, dynamic=True))
        return self.at((batch * outputs, rows, 1))

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
        self._beside[op_type] += 1
        self._bytes[op_type] += bytes_moved
        return self

    def workload(self, name: str, program_bytes: int | None = None) -> Workload:
        """Return what was drawn, equal layers merged; `program_bytes` where it is published."""
        beside = tuple(NotMapped(op_type, n, self._bytes[op_type]) for op_type, n in self._beside.items())
        return Workload(name, merge(self._uses), beside, program_bytes=program_bytes)

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
        self._uses.append(LayerUse(_named(layer, len(self._uses)), shared_sets=shared_sets))


def _named(layer: Layer, position: int) -> Layer:
    return replace(layer, name=f"{layer.name}_{position}")

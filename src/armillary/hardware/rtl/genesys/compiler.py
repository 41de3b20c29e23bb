"""A layer as a program: tiles of it loaded, multiplied and taken further by the vector unit, each buffer by halves.

While a tile is multiplied, the next one's inputs and weights are loaded into the other halves, and the vector unit
takes the sums of the one before. What a buffer holds already is not loaded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from armillary.hardware.rtl.genesys.behind import Pass
from armillary.hardware.rtl.genesys.instructions import (
    INSTRUCTION_BYTES,
    Builder,
    Load,
    Multiply,
    Program,
    Result,
    Source,
    Start,
    Target,
    Vector,
    Walk,
)
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.rtl.genesys.tiling import Shape, Tiling, tilings
from armillary.hardware.templates.genesys import SUM_BITS, Accelerator
from armillary.workloads.layer import Layer

LATENCY = 40
"""Of DRAM in cycles, where nothing else is said."""
_ALIGNED = 64
_TRIED = 2
_Span = tuple[int, int]
"""First and number."""


@dataclass(frozen=True)
class Tensor:
    """Words of DRAM.

    Attributes:
        address: of the first byte.
        shape: counts, the innermost last.
        word_bytes: of a word.
    """

    address: int
    shape: tuple[int, ...]
    word_bytes: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return prod(self.shape) * self.word_bytes

    def at(self, *place: int) -> int:
        """Return the address of a word, or of the first one under a place of fewer numbers."""
        offset = 0
        for count, index in zip(self.shape, (*place, *([0] * (len(self.shape) - len(place)))), strict=True):
            offset = offset * count + index
        return self.address + offset * self.word_bytes


@dataclass(frozen=True)
class Compiled:
    """A layer's program and where its tensors lie.

    Attributes:
        shape: of the layer on the array.
        tiling: of the layer.
        passes: of the vector unit.
        program: the instructions.
        weights: shape [tiles' words]; see `weight_tiles`.
        weight_tiles: bundle, output blocks, channel blocks and filter rows of each tile of weights, in their order.
        bias: shape [bundles, output blocks]; None if the layer has none.
        inputs: shape [N, bundles, channel blocks, height, width].
        outputs: shape [N, bundles, output blocks, P, Q].
        program_address: of the instructions, the last thing in DRAM.
    """

    shape: Shape
    tiling: Tiling
    passes: tuple[Pass, ...]
    program: Program
    weights: Tensor
    weight_tiles: tuple[tuple[int, _Span, _Span, _Span], ...]
    bias: Tensor | None
    inputs: Tensor
    outputs: Tensor
    program_address: int

    @property
    def dram_bytes(self) -> int:
        """What the program needs of DRAM."""
        return self.program_address + len(self.program.words) * INSTRUCTION_BYTES


@lru_cache(maxsize=1000)
def compile_layer(layer: Layer, accelerator: Accelerator, passes: tuple[Pass, ...], latency: int = LATENCY) -> Compiled:
    """Return a layer as a program: of a few tilings that promise much, that of least cycles.

    Args:
        layer: to be computed.
        accelerator: that runs it.
        passes: of the vector unit over every output.
        latency: of DRAM, for which the tiling is chosen.

    Raises:
        TooSmallError: if the smallest tile does not fit a buffer.
    """
    few = tilings(layer, accelerator, len(passes), _TRIED)
    every = [_Compiler(layer, accelerator, passes, tiling).compiled() for tiling in few]
    return min(every, key=lambda one: scheduled(one.program, accelerator, latency).cycles)


@dataclass
class _Halves:
    """A buffer of two halves: what they hold, and the operations that filled and last read them."""

    words: int
    held: tuple[object, ...] | None = None
    half: int = 1
    filled: list[int | None] = field(default_factory=lambda: [None, None])
    read: list[int | None] = field(default_factory=lambda: [None, None])

    @property
    def base(self) -> int:
        """The first word of the half in use."""
        return self.half * self.words // 2

    def turn(self) -> int | None:
        """Go on to the other half, and return the operation that read it last."""
        self.half ^= 1
        return self.read[self.half]


class _Compiler:
    def __init__(self, layer: Layer, accelerator: Accelerator, passes: tuple[Pass, ...], tiling: Tiling) -> None:
        self._layer, self._accelerator, self._passes, self._tiling = layer, accelerator, passes, tiling
        self._shape = shape = Shape.of(layer, accelerator.array)
        input_bytes, weight_bytes = accelerator.input_bits // 8, accelerator.weight_bits // 8
        sum_bytes = accelerator.array * SUM_BITS // 8
        self._reduced = [
            (c, r)
            for c in _spans(shape.channel_blocks, tiling.channel_blocks)
            for r in _spans(layer.R, tiling.filter_rows)
        ]
        self._weight_tiles = tuple(
            (bundle, k, c, r)
            for bundle in range(shape.bundles)
            for k in _spans(shape.output_blocks, tiling.output_blocks)
            for c, r in self._reduced
        )
        self._row_words = layer.S * accelerator.array
        rows = sum(k[1] * c[1] * r[1] for _, k, c, r in self._weight_tiles)
        self._weights = Tensor(0, (rows * self._row_words,), weight_bytes)
        end = _aligned(self._weights.bytes)
        self._bias = None
        if layer.bias and layer.outputs_per_bias == 1:
            self._bias = Tensor(end, (shape.bundles, shape.output_blocks), sum_bytes)
            end += _aligned(self._bias.bytes)
        size = layer.N, shape.bundles, shape.channel_blocks, layer.input_height, layer.input_width
        self._inputs = Tensor(end, size, input_bytes)
        end += _aligned(self._inputs.bytes)
        self._outputs = Tensor(end, (layer.N, shape.bundles, shape.output_blocks, layer.P, layer.Q), input_bytes)
        self._end = end + _aligned(self._outputs.bytes)
        self._weight_address = {}
        word = 0
        for tile in self._weight_tiles:
            self._weight_address[tile] = self._weights.at(word)
            word += self._words_of(tile)
        self._builder = Builder({Target.IBUF: input_bytes, Target.WBUF: weight_bytes, Target.BBUF: sum_bytes})
        self._ibuf, self._wbuf = _Halves(accelerator.ibuf_words), _Halves(accelerator.wbuf_words)
        self._bbuf, self._obuf = _Halves(accelerator.bbuf_words), _Halves(accelerator.obuf_words)

    def compiled(self) -> Compiled:
        for n, bundle, k, p, q in self._outer():
            self._obuf.turn()
            last = 0
            for c, r in self._reduced:
                last = self._multiplied(n, bundle, k, c, r, p, q, first=(c, r) == self._reduced[0])
            self._behind(n, bundle, k, p, q, last)
        return Compiled(
            self._shape, self._tiling, self._passes, self._builder.program(), self._weights, self._weight_tiles,
            self._bias, self._inputs, self._outputs, self._end,
        )  # fmt: skip

    def _outer(self) -> Iterator[tuple[int, int, _Span, _Span, _Span]]:
        layer, shape, tiling = self._layer, self._shape, self._tiling
        outputs = list(_spans(shape.output_blocks, tiling.output_blocks))
        places = [(p, q) for p in _spans(layer.P, tiling.rows) for q in _spans(layer.Q, tiling.columns)]
        for n in range(layer.N):
            for bundle in range(shape.bundles):
                if tiling.order == "weights":
                    yield from ((n, bundle, k, p, q) for k in outputs for p, q in places)
                else:
                    yield from ((n, bundle, k, p, q) for p, q in places for k in outputs)

    def _multiplied(self, n: int, bundle: int, k: _Span, c: _Span, r: _Span, p: _Span, q: _Span, *, first: bool) -> int:
        """Add the multiplication of a tile and what has to be loaded for it, and return its number."""
        layer, shape = self._layer, self._shape
        high, wide = shape.rows(p[1], r[1]), shape.columns(q[1])
        self._load_inputs(n, bundle, c, r, p, q)
        self._load_weights((bundle, k, c, r))
        if self._bias is not None:
            self._load_bias(bundle, k)
        start = Start.SUM if not first else Start.ZERO if self._bias is None else Start.BIAS
        operation = Multiply(
            counts=(q[1], p[1], layer.S, r[1], c[1], k[1]),
            inputs=Walk(
                self._ibuf.base,
                (layer.stride_w, wide * layer.stride_h, layer.dilation_w, wide * layer.dilation_h, high * wide),
            ),
            sums=Walk(self._obuf.base, (1, q[1], 0, 0, 0, p[1] * q[1])),
            weights=self._wbuf.base,
            bias=self._bbuf.base if self._bias is not None else 0,
            start=start,
        )
        filled = [halves.filled[halves.half] for halves in (self._ibuf, self._wbuf, self._bbuf)]
        taken = [self._obuf.read[self._obuf.half]] if first else []
        number = self._builder.add(operation, after=(*filled, *taken))
        for halves in (self._ibuf, self._wbuf, self._bbuf):
            halves.read[halves.half] = number
        return number

    def _load_inputs(self, n: int, bundle: int, c: _Span, r: _Span, p: _Span, q: _Span) -> None:
        layer, shape, tensor = self._layer, self._shape, self._inputs
        high, wide = shape.rows(p[1], r[1]), shape.columns(q[1])
        top = p[0] * layer.stride_h + r[0] * layer.dilation_h
        row = tensor.shape[-1] * tensor.word_bytes
        whole = wide == tensor.shape[-1]  # rows lie one behind the other
        self._fill(
            self._ibuf,
            (n, bundle, c, r, p, q),
            Target.IBUF,
            tensor.at(n, bundle, c[0], top, q[0] * layer.stride_w),
            (wide * high, 1, c[1]) if whole else (wide, high, c[1]),
            (row, tensor.shape[-2] * row),
        )

    def _load_weights(self, tile: tuple[int, _Span, _Span, _Span]) -> None:
        address = self._weight_address[tile]
        self._fill(self._wbuf, tile, Target.WBUF, address, (self._words_of(tile), 1, 1), (0, 0))

    def _words_of(self, tile: tuple[int, _Span, _Span, _Span]) -> int:
        _, k, c, r = tile
        return k[1] * c[1] * r[1] * self._row_words

    def _load_bias(self, bundle: int, k: _Span) -> None:
        assert self._bias is not None
        self._fill(self._bbuf, (bundle, k), Target.BBUF, self._bias.at(bundle, k[0]), (k[1], 1, 1), (0, 0))

    def _fill(
        self,
        halves: _Halves,
        what: tuple[object, ...],
        target: Target,
        dram: int,
        counts: tuple[int, int, int],
        strides: tuple[int, int],
    ) -> None:
        """Load something into the other half of a buffer if the one in use does not hold it."""
        if halves.held == what:
            return
        halves.held = what
        readers = halves.turn()
        halves.filled[halves.half] = self._builder.add(
            Load(target, halves.base, dram, counts, strides), after=(readers,)
        )

    def _behind(self, n: int, bundle: int, k: _Span, p: _Span, q: _Span, last: int) -> None:
        """Add the passes of the vector unit over a tile of sums."""
        lying, out = (1, q[1], p[1] * q[1]), self._outputs
        row = out.shape[-1] * out.word_bytes
        walk, source = Walk(self._obuf.base, lying), Source.SUMS
        for number, one in enumerate(self._passes):
            result, target = Walk(0, lying), (Result.VMEM1, Result.VMEM2)[number % 2]
            if number == len(self._passes) - 1:
                address = out.at(n, bundle, k[0], p[0], q[0])
                result, target = Walk(address, (out.word_bytes, row, out.shape[-2] * row)), Result.DRAM
            operation = Vector(
                one.op, (q[1], p[1], k[1], 1, 1), walk, result, source, target, immediate=one.immediate,
                shift=one.shift, relu=one.relu,
            )  # fmt: skip
            added = self._builder.add(operation, after=(last,))
            if number == 0:
                self._obuf.read[self._obuf.half] = added
            walk, source = Walk(0, lying), Source(int(target)) if target != Result.DRAM else Source.SUMS


def _spans(whole: int, part: int) -> Iterator[_Span]:
    for first in range(0, whole, part):
        yield first, min(part, whole - first)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED

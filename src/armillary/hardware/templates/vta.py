"""Template `vta`: the Versatile Tensor Accelerator, a matrix core and a tensor ALU driven by micro-operations.

The core multiplies a tile of inputs (`batch` x `block_in`) by a tile of weights (`block_out` x `block_in`) in every
cycle and adds the product to a tile of sums (`batch` x `block_out`); the ALU works on tiles of sums. Modules that load,
compute and store run side by side and wait for each other by tokens. Two loops around a list of micro-operations, which
lie in a buffer of their own, say what a command does to which tiles.

Sources: Moreau et al., "A Hardware-Software Blueprint for Flexible Deep Learning Specialization", IEEE Micro 2019
(arXiv 1807.04188). The hardware and the encoding of its commands are ours; as there, the buffer of outputs has as many
tiles as that of sums.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design

UOP_BYTES = 4
MOST_TILES = {"input": 2048, "weight": 1024, "accumulator": 2048, "uop": 8192}
"""Tiles, or micro-operations, that a command can number, by buffer."""
LEAST_TILES = 4
_BEATS = 256
"""Most beats of a tile."""


def _powers(first: int, last: int) -> tuple[int, ...]:
    return tuple(1 << n for n in range(first.bit_length() - 1, last.bit_length()))


_ALLOWED = {
    "batch": _powers(1, 8),
    "block_in": _powers(2, 64),
    "block_out": _powers(2, 64),
    "input_width": (4, 8),
    "weight_width": (2, 4, 8),
    "accumulator_width": (16, 32),
    "input_buffer": _powers(16, 1 << 20),
    "weight_buffer": _powers(16, 1 << 22),
    "accumulator_buffer": _powers(64, 1 << 22),
    "uop_buffer": _powers(64, 1 << 15),
    "bus_bytes": _powers(4, 64),
}


@dataclass(frozen=True)
class Accelerator:
    """One accelerator of the family, of the space or not. All numbers are powers of two.

    Attributes:
        batch: rows of a tile of inputs.
        block_in: columns of a tile of inputs and of weights: channels that are summed over in a cycle.
        block_out: rows of a tile of weights: channels that are computed in a cycle.
        input_width: bits of inputs and outputs.
        weight_width: bits of weights.
        accumulator_width: bits of sums, which wrap around.
        input_buffer: bytes, as for the other buffers; 4 to 2,048 tiles.
        weight_buffer: 4 to 1,024 tiles.
        accumulator_buffer: 4 to 2,048 tiles; the buffer of outputs has as many.
        uop_buffer: micro-operations of 4 bytes, at most 8,192.
        bus_bytes: per beat of the port to memory, at most those of any tile.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    batch: int = 1
    block_in: int = 16
    block_out: int = 16
    input_width: int = 8
    weight_width: int = 8
    accumulator_width: int = 32
    input_buffer: int = 32768
    weight_buffer: int = 262144
    accumulator_buffer: int = 131072
    uop_buffer: int = 32768
    bus_bytes: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value, allowed = getattr(self, field.name), _ALLOWED[field.name]
            if isinstance(value, bool) or not isinstance(value, Integral) or value not in allowed:
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; choose one of {list(allowed)}")
        for name, tile in self.tile_bytes.items():
            if not self.bus_bytes <= tile <= _BEATS * self.bus_bytes:
                raise ArmillaryError(
                    f"bus_bytes={self.bus_bytes} is not allowed; a tile of {name}s has {tile:g} bytes, "
                    f"which must be 1 to {_BEATS} beats"
                )
        for name, tiles in self.tiles.items():
            if not LEAST_TILES <= tiles <= MOST_TILES[name]:
                size = self.tile_bytes.get(name, UOP_BYTES)
                raise ArmillaryError(
                    f"{name}_buffer={getattr(self, f'{name}_buffer')} is not allowed; it must be "
                    f"{int(LEAST_TILES * size)} to {int(MOST_TILES[name] * size)}, {LEAST_TILES} to {MOST_TILES[name]} "
                    f"{'micro-operations' if name == 'uop' else 'tiles'} of {int(size)} bytes"
                )
        if self.uop_buffer < 2 * self.bus_bytes:
            raise ArmillaryError(
                f"uop_buffer={self.uop_buffer} is not allowed; it must be at least two beats, {2 * self.bus_bytes}"
            )

    @property
    def tile_bits(self) -> dict[str, int]:
        """Bits of a tile of inputs, weights, sums and outputs."""
        return {
            "input": self.batch * self.block_in * self.input_width,
            "weight": self.block_out * self.block_in * self.weight_width,
            "accumulator": self.batch * self.block_out * self.accumulator_width,
            "output": self.batch * self.block_out * self.input_width,
        }

    @property
    def tile_bytes(self) -> dict[str, float]:
        """Bytes of a tile of inputs, weights, sums and outputs."""
        return {name: bits / 8 for name, bits in self.tile_bits.items()}

    @property
    def tiles(self) -> dict[str, int]:
        """Tiles that each buffer holds, and micro-operations."""
        sizes = {name: self.tile_bytes[name] for name in ("input", "weight", "accumulator")} | {"uop": UOP_BYTES}
        return {name: int(getattr(self, f"{name}_buffer") / size) for name, size in sizes.items()}

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates of a cycle."""
        return self.batch * self.block_in * self.block_out


def accelerator_of(design: Design) -> Accelerator:
    """Return the accelerator that a design of the space stands for.

    Raises:
        ArmillaryError: if its values do not go together.
    """
    return Accelerator(**design.as_dict())  # type: ignore[arg-type]


def _exists(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which coded designs there can be, shape [designs]: those that `Accelerator` takes."""
    c = SPACE.columns(codes)
    bits = {
        "input": c["batch"] * c["block_in"] * c["input_width"],
        "weight": c["block_out"] * c["block_in"] * c["weight_width"],
        "accumulator": c["batch"] * c["block_out"] * c["accumulator_width"],
        "output": c["batch"] * c["block_out"] * c["input_width"],
    }
    fits = np.ones(len(codes), dtype=bool)
    for tile in bits.values():
        fits &= (tile >= 8 * c["bus_bytes"]) & (tile <= 8 * _BEATS * c["bus_bytes"])
    for name in ("input", "weight", "accumulator"):
        tiles = 8 * c[f"{name}_buffer"] // bits[name]
        fits &= (tiles >= LEAST_TILES) & (tiles <= MOST_TILES[name])
    return np.asarray(fits & (c["uop_buffer"] >= 2 * c["bus_bytes"]))


SPACE = Space(
    "vta",
    (
        Parameter("batch", (1, 2, 4), unit="rows"),
        Parameter("block_in", (4, 8, 16, 32), unit="channels"),
        Parameter("block_out", (4, 8, 16, 32), unit="channels"),
        Parameter("input_width", (4, 8), unit="bits"),
        Parameter("weight_width", (2, 4, 8), unit="bits"),
        Parameter("accumulator_width", (16, 32), unit="bits"),
        Parameter("input_buffer", _powers(256, 65536), unit="bytes"),
        Parameter("weight_buffer", _powers(256, 524288), unit="bytes"),
        Parameter("accumulator_buffer", _powers(512, 262144), unit="bytes"),
        Parameter("uop_buffer", _powers(256, 32768), unit="bytes"),
        Parameter("bus_bytes", (4, 8, 16, 32), unit="bytes per beat"),
    ),
)
_DEFAULTS = {name: getattr(Accelerator(), name) for name in SPACE.names}
TEMPLATE = Template(
    name="vta",
    space=SPACE,
    objectives=(Objective("runtime_s"),),
    exists=_exists,
    defaults=_DEFAULTS,
    baseline=SPACE.design_from(_DEFAULTS, "vta"),
    baseline_name="VTA",
    baseline_note="the published default: 16 x 16 bytes a cycle",
)

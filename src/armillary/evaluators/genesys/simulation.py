"""Running programs on a simulated accelerator: its simulator, a run, and whether the reference agrees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.simulated import built, compare, told
from armillary.hardware.rtl.genesys.arithmetic import Integers
from armillary.hardware.rtl.genesys.behind import passed
from armillary.hardware.rtl.genesys.compiler import Compiled, Tensor
from armillary.hardware.rtl.genesys.generator import TOP, sources
from armillary.hardware.rtl.genesys.tensors import (
    Bytes,
    bias_words,
    input_words,
    outputs_of,
    packed,
    summed,
    unpacked,
    weight_words,
)
from armillary.hardware.templates.genesys import SUM_BITS, Accelerator

HARNESS = Path(__file__).parent / "harness.cpp"
MOST_CYCLES = 2_000_000_000
_COUNTERS = 6
_BIAS = 1 << 12
"""Random biases lie within minus this and this."""


@dataclass(frozen=True)
class Simulated:
    """What a run showed.

    Attributes:
        cycles: from the start to the end of the program.
        load_cycles: in which a beat of data came.
        array_cycles: in which a word entered the array.
        vector_cycles: in which words entered the vector unit.
        instructions: that were fetched, ahead of the end among them.
        beats_written: of results.
        dram: the bytes that were asked for.
    """

    cycles: int
    load_cycles: int
    array_cycles: int
    vector_cycles: int
    instructions: int
    beats_written: int
    dram: Bytes


@dataclass(frozen=True)
class Tensors:
    """What a layer reads: inputs, shape [N, C, height, width]; weights, [K, C of a group, R, S]; biases, [K]."""

    inputs: Integers
    weights: Integers
    bias: Integers


def simulator(accelerator: Accelerator) -> Path:
    """Return a simulator of an accelerator, built if it is not there yet; registers start with the values of a seed.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    defines = {
        "PORT_BYTES": accelerator.port_width // 8,
        "OUT_BYTES": min(accelerator.port_width, accelerator.input_bits) // 8,
    }
    return built(sources(accelerator), TOP, HARNESS, defines)


def simulate(
    accelerator: Accelerator,
    dram: Bytes,
    program_address: int,
    wanted: Tensor,
    *,
    latency: int,
    most_cycles: int = MOST_CYCLES,
    seed: int = 0,
    pauses: int = 0,
) -> Simulated:
    """Run a program.

    Args:
        accelerator: to simulate.
        dram: its bytes; there is no more of it.
        program_address: of the first instruction.
        wanted: which bytes to give back.
        latency: cycles from a request to its answer, at least 1.
        most_cycles: after which the run has failed.
        seed: of what every register and memory holds at the start.
        pauses: seed of cycles in which ports are held up and answers late; 0 for none.

    Raises:
        RunError: if it does not end.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    head = [program_address, most_cycles, latency, pauses, wanted.address, wanted.bytes, len(dram), len(dram)]
    stdin = np.array(head, dtype=np.int64).tobytes() + dram.tobytes()
    said = told(simulator(accelerator), stdin, seed)
    cycles, *counters = np.frombuffer(said[: 8 * _COUNTERS], dtype=np.int64).tolist()
    loads, array, vector, instructions, written = counters
    data = np.frombuffer(said[8 * _COUNTERS :], dtype=np.uint8)
    return Simulated(cycles, loads, array, vector, instructions, written, data)


def random_tensors(compiled: Compiled, accelerator: Accelerator, rng: np.random.Generator) -> Tensors:
    """Return random tensors of a layer, of all values that their bits have; what pads inputs is data like any."""
    layer = compiled.shape.layer

    def numbers(bits: int, *shape: int) -> NDArray[np.int64]:
        return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), size=shape)

    inputs = numbers(accelerator.data_width, layer.N, layer.C, layer.input_height, layer.input_width)
    weights = numbers(accelerator.weight_width, layer.K, layer.channels_per_group, layer.R, layer.S)
    bias = rng.integers(-_BIAS, _BIAS, size=layer.K) if compiled.bias else np.zeros(layer.K, dtype=np.int64)
    return Tensors(inputs, weights, bias)


def into_dram(compiled: Compiled, accelerator: Accelerator, tensors: Tensors) -> Bytes:
    """Return the bytes of DRAM before a layer's program runs."""
    shape, dram = compiled.shape, np.zeros(compiled.dram_bytes, dtype=np.uint8)

    def put(address: int, data: Bytes) -> None:
        dram[address : address + data.size] = data.ravel()

    words = packed(weight_words(shape, tensors.weights), accelerator.weight_width)
    tiles = [
        words[bundle, k : k + outputs, c : c + channels, r : r + rows].ravel()
        for bundle, (k, outputs), (c, channels), (r, rows) in compiled.weight_tiles
    ]
    put(compiled.weights.address, np.concatenate(tiles))
    if compiled.bias is not None:
        put(compiled.bias.address, packed(bias_words(shape, tensors.bias), SUM_BITS))
    put(compiled.inputs.address, packed(input_words(shape, tensors.inputs), accelerator.data_width))
    put(compiled.program_address, compiled.program.words.view(np.uint8))
    return dram


def checked(
    compiled: Compiled,
    accelerator: Accelerator,
    tensors: Tensors,
    *,
    latency: int,
    most_cycles: int = MOST_CYCLES,
    seed: int = 0,
    pauses: int = 0,
) -> Simulated:
    """Return what `simulate` does of a layer, every output compared with the reference.

    Raises:
        RunError: names the first output that differs.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    dram = into_dram(compiled, accelerator, tensors)
    found = simulate(
        accelerator, dram, compiled.program_address, compiled.outputs, latency=latency, most_cycles=most_cycles,
        seed=seed, pauses=pauses,
    )  # fmt: skip
    words = unpacked(found.dram.reshape(*compiled.outputs.shape, -1), accelerator.data_width)
    theirs = outputs_of(compiled.shape, words)
    layer = compiled.shape.layer
    own = passed(compiled.passes, summed(layer, tensors.inputs, tensors.weights, tensors.bias), accelerator.data_width)
    compare(f"layer {layer.name}: output", own, theirs, f"{accelerator}, seed {seed}")
    return found

"""Integer networks on simulated accelerators of the `gemmini` template, in one simulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.layers import BUDGET
from armillary.evaluators.gemmini.sampling import fitting
from armillary.evaluators.gemmini.simulation import UNITS, Job, Simulated, simulate
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.network import NetworkProgram, compile_network
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.search import search
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import IntegerNetwork

Tensor = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Placed:
    """A network that has run.

    Attributes:
        result: of the simulation.
        mappings: of every step, as text; empty where there is none.
        cycles: of every step, from the end of the one before to its own.
        tensors: that the hardware wrote, by name, and the input.
    """

    result: Simulated
    mappings: tuple[str, ...]
    cycles: tuple[int, ...]
    tensors: dict[str, Tensor]


def run_network(
    accelerator: Accelerator, network: IntegerNetwork, inputs: Tensor, *, full: bool = False, seed: int = 0, **more: Any
) -> Placed:
    """Run a network in one simulation.

    Args:
        accelerator: on which.
        network: in int8.
        inputs: shape [N, C, H, W].
        full: simulate every multiplier.
        seed: of the search for mappings.

    Raises:
        TooSmallError: if a memory is too small for a step; names it.
        NoLegalMappingError: if no mapping of a layer was found.
        SimulationError: if the simulation ends without a result.
        BuildError: if the simulator cannot be built.
        AccidentError: if a signal ended a tool.
    """
    program = compile_network(network, accelerator, partial(mapping_in_whole_rows, accelerator, seed=seed))
    place = program.places[network.inputs.name]
    dram = program.dram.copy()
    dram[place.address : place.end] = place.packed(inputs)
    job = Job(accelerator, program, dram, wants_dram=True, wants_events=True, **more)
    result = simulate(simulator(accelerator, full=full), job)
    tensors = {name: at.unpacked(result.dram) for name, at in program.places.items()}
    mappings = tuple(str(program.mappings.get(step.output.name, "")) for step in network.steps)
    return Placed(replace(result, dram=result.dram[:0]), mappings, step_cycles(program, result), tensors)


def step_cycles(program: NetworkProgram, result: Simulated) -> tuple[int, ...]:
    """Return the cycles of every step, from the end of the one before to its own; the last ends with the program."""
    ends = np.zeros(len(program.commands), dtype=np.int64)
    for number, unit in enumerate(UNITS):
        finished = np.array([event.last for event in result.events if event.unit == unit], dtype=np.int64)
        done = np.cumsum([commands[number] for commands in program.commands])
        there = done > 0
        ends[there] = np.maximum(ends[there], finished[done[there] - 1])
    ends[-1] = result.cycles
    return tuple(np.diff(ends, prepend=0).tolist())


@lru_cache(maxsize=10_000)
def mapping_in_whole_rows(accelerator: Accelerator, layer: Layer, *, seed: int = 0, budget: int = BUDGET) -> Mapping:
    """Return a good mapping by the cost model whose blocks of channels and of outputs are rows of the array.

    Raises:
        NoLegalMappingError: if none was found.
    """
    fits = partial(_in_whole_rows, accelerator, layer)
    found = search(accelerator.hierarchy(), layer, goal="delay", budget=budget, seed=seed, perfect=True, fits=fits)
    return found.mapping


def _in_whole_rows(accelerator: Accelerator, layer: Layer, batch: MappingBatch) -> NDArray[np.bool_]:
    """Return which mappings fit and have such blocks, shape [n]."""
    temporal, spatial = batch.temporal.numpy(), batch.spatial.numpy()
    k, c, dim = DIMENSIONS.index("K"), DIMENSIONS.index("C"), accelerator.dim
    by_channels = spatial[1, c] == dim if accelerator.stationary == "W" else temporal[0, c] % dim == 0
    return fitting(accelerator, layer, batch) & (spatial[2, k] == dim) & by_channels

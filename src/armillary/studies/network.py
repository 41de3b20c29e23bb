"""A whole network on simulated hardware: every tensor in int8, checked against ONNX Runtime."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray

from armillary.evaluators.gemmini.network import Placed, run_network
from armillary.evaluators.gemmini.simulation import Simulated, SimulationError
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.verilator import BuildError
from armillary.types import ArmillaryError
from armillary.workloads.quantized.executing import differing
from armillary.workloads.quantized.quantizing import calibrated, integers, quantized, read_scales
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.runtime import integer_graph, reference
from armillary.workloads.quantized.step import IntegerNetwork, Step

Tensor = NDArray[np.int8]


@dataclass(frozen=True)
class StepRun:
    """One step as it ran.

    Attributes:
        step: which.
        mapping: of a convolution, as text; empty for others.
        dataflow: of the array while it runs; empty for steps without a mapping.
        cycles: from the end of the step before to its own.
        macs: multiply-accumulates of the network; zeros that pad it to the array count as none.
        utilization: `macs` over what the array could do in `cycles`.
        matches: whether its output is ONNX Runtime's, byte by byte.
    """

    step: Step
    mapping: str
    dataflow: str
    cycles: int
    macs: int
    utilization: float
    matches: bool


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """A network as it ran.

    Attributes:
        network: in int8, as it ran: some pools as part of the convolutions before.
        result: of the simulation.
        steps: in order.
        tensors: the hardware's, by name.
        random: weights that the file lacks and that were drawn.
        scales: of the whole network's tensors, by name.
    """

    network: IntegerNetwork
    result: Simulated
    steps: tuple[StepRun, ...]
    tensors: Table[str, Tensor]
    random: tuple[str, ...]
    scales: Table[str, float]

    @property
    def matches(self) -> bool:
        """Whether every tensor is ONNX Runtime's."""
        return all(run.matches for run in self.steps)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the tensors that were compared."""
        return sum(run.step.output.bytes for run in self.steps)


def run_quantized(
    accelerator: Accelerator,
    path: Path,
    *,
    scales: Path | None = None,
    inputs: Path | None = None,
    layers: int | None = None,
    dims: Table[str, int] | None = None,
    full: bool = False,
    seed: int = 0,
) -> NetworkRun:
    """Quantise a float network and run it in one simulation.

    Args:
        accelerator: on which.
        path: the ONNX file.
        scales: a file of scales; calibrated on random inputs if left out.
        inputs: a `.npy` file, int8 or floats; random ones if left out.
        layers: run so many steps, the first ones; all if left out.
        dims: values of symbolic dimensions.
        full: simulate every multiplier.
        seed: of missing weights, calibration, inputs and the search for mappings.

    Raises:
        ArmillaryError: if a file is wrong, the network cannot be quantised or does not fit, a tool is missing or fails.
        AccidentError: if a signal ended a tool.
    """
    floats = read_network(path, seed=seed, dims=dict(dims or {}))
    found = read_scales(scales, floats) if scales else calibrated(floats, seed=seed)
    network = quantized(floats, found)
    network = network if layers is None else network.first(layers)
    image = _inputs(inputs, network, seed)
    try:
        placed = run_network(accelerator, network, image, full=full, seed=seed)
    except (BuildError, SimulationError) as fault:
        raise ArmillaryError(f"{path}: {fault}") from fault
    wrong = set(differing(placed.tensors, reference(placed.network, image)))
    runs = _step_runs(accelerator, placed, wrong)
    return NetworkRun(placed.network, placed.result, runs, placed.tensors, floats.random, found)


def _inputs(path: Path | None, network: IntegerNetwork, seed: int) -> Tensor:
    if path is None:
        return np.random.default_rng(seed).integers(-128, 128, network.inputs.shape).astype(np.int8)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as fault:
        raise ArmillaryError(f"--input {path}: cannot be read as .npy: {fault}") from fault
    try:
        return integers(values, network.inputs)
    except ArmillaryError as fault:
        raise ArmillaryError(f"--input {path}: {fault}") from None


def _step_runs(accelerator: Accelerator, placed: Placed, wrong: set[str]) -> tuple[StepRun, ...]:
    runs = []
    for step, mapping, cycles in zip(placed.network.steps, placed.mappings, placed.cycles, strict=True):
        macs = step.layer().macs if step.kind == "conv" else 0
        utilization = macs / (cycles * accelerator.dim**2)
        dataflow = accelerator.view(Mapping.parse(mapping)).dataflow if mapping else ""
        runs.append(StepRun(step, mapping, dataflow, cycles, macs, utilization, step.output.name not in wrong))
    return tuple(runs)


def write_run(run: NetworkRun, folder: Path) -> list[Path]:
    """Write what repeats a run elsewhere, and return the files.

    `integer.onnx` computes every tensor in any ONNX runtime, `tensors.npz` holds the hardware's, and `scales.yaml` is
    what `--scales` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("integer.onnx", "tensors.npz", "scales.yaml")]
    onnx.save(integer_graph(run.network), str(paths[0]))
    with zipfile.ZipFile(paths[1], "w", zipfile.ZIP_DEFLATED) as archive:  # numpy's own takes no tensor called "file"
        for name, values in run.tensors.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, values)
    paths[2].write_text(yaml.safe_dump(dict(run.scales), sort_keys=False))
    return paths

"""One design in detail: what every layer costs and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.evaluators.edge_tpu.compiler import (
    INVOCATION_S,
    LAYER_SETUP_CYCLES,
    MAPPINGS,
    ChipTensors,
    LayerTensors,
    compile_workload,
)
from armillary.evaluators.edge_tpu.evaluator import energy_parts_pj
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, SPACE, EdgeTpuChips
from armillary.types import ArmillaryError, Design
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class LayerCost:
    """One layer on one design; cycles and bytes are per use of the layer, `count` uses per inference."""

    layer: str
    kind: str
    count: int
    macs: int
    mapping: str
    cycles: float
    compute_cycles: float
    dram_cycles: float
    onchip_cycles: float
    dram_bytes: float
    onchip_bytes: float
    utilization: float
    bound: str


@dataclass(frozen=True)
class Explanation:
    """A feasible design on a workload: its layers and the parts of its delay, energy and area."""

    layers: tuple[LayerCost, ...]
    overhead_s: dict[str, float]
    energy_parts_pj: dict[str, float]
    area_parts_mm2: dict[str, float]
    peak_macs_per_s: float
    peak_dram_bytes_per_s: float


def explain(design: Design, workload: Workload) -> Explanation:
    """Return the cost of every layer of a workload on a design.

    Raises:
        ArmillaryError: if a layer has no legal mapping; evaluate the design to learn why.
    """
    chip = EdgeTpuChips.of(SPACE.encode([design]))
    device = torch.device("cpu")
    chips, layers = ChipTensors.of(dict(chip.columns), device), LayerTensors.of(workload, device)
    compiled = compile_workload(chips, layers, workload)
    if not bool(compiled.legal.all()):
        raise ArmillaryError(f"{workload.name} has no legal mapping on {design.as_dict()}")
    columns = {
        name: getattr(compiled, name)[0].numpy()
        for name in (
            "mapping",
            "cycles",
            "compute_cycles",
            "dram_cycles",
            "network_cycles",
            "dram_bytes",
            "network_bytes",
        )
    }
    peak = float(chip.macs_per_cycle[0])
    costs = tuple(_layer_cost(workload, i, columns, peak) for i in range(len(workload.layers)))
    instructions = float(compiled.instruction_bytes[0])
    dram = np.array([sum(c.count * c.dram_bytes for c in costs) + instructions])
    onchip = np.array([sum(c.count * c.onchip_bytes for c in costs)])
    energy = energy_parts_pj(chip, workload, dram, onchip, np.array([True]))
    return Explanation(
        layers=costs,
        overhead_s={
            "invocation": INVOCATION_S,
            "instruction fetch": float(compiled.instruction_cycles[0]) / CLOCK_HZ,
        },
        energy_parts_pj={name: float(values[0]) for name, values in energy.items()},
        area_parts_mm2={name: float(values[0]) for name, values in chip.area_parts_mm2().items()},
        peak_macs_per_s=peak * CLOCK_HZ,
        peak_dram_bytes_per_s=float(chip.dram_bytes_per_s[0]),
    )


def _layer_cost(workload: Workload, i: int, columns: dict[str, NDArray[np.float64]], peak: float) -> LayerCost:
    use = workload.layers[i]
    parts = {name: float(columns[f"{name}_cycles"][i]) for name in ("compute", "dram", "network")}
    cycles = float(columns["cycles"][i])
    bound = max(parts, key=lambda name: parts[name])
    if parts[bound] < LAYER_SETUP_CYCLES:
        bound = "overhead"
    return LayerCost(
        layer=use.layer.name,
        kind=use.layer.kind,
        count=use.count,
        macs=use.layer.macs,
        mapping=_mapping_text(int(columns["mapping"][i])),
        cycles=cycles,
        compute_cycles=parts["compute"],
        dram_cycles=parts["dram"],
        onchip_cycles=parts["network"],
        dram_bytes=float(columns["dram_bytes"][i]),
        onchip_bytes=float(columns["network_bytes"][i]),
        utilization=use.layer.macs / (cycles * peak),
        bound="on-chip" if bound == "network" else bound,
    )


def _mapping_text(mapping: int) -> str:
    roles = MAPPINGS[mapping].tolist()
    positions = ("P", "Q", "P")
    return " ".join(
        f"{unit}:{'K' if channels else position}"
        for unit, channels, position in zip(("X", "Y", "cores"), roles, positions, strict=True)
    )

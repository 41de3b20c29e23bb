"""One design of the Edge TPU template in detail."""

from __future__ import annotations

from typing import Literal

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
from armillary.evaluators.edge_tpu.energy import Traffic, energy_parts_pj
from armillary.evaluators.explanation import Explanation, LayerCost
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, MAX_AREA_MM2, SPACE, EdgeTpuChips
from armillary.types import ArmillaryError, Design
from armillary.workloads.layer import LayerUse, Workload

_COLUMNS = ("mapping", "cycles", "compute_cycles", "dram_cycles", "network_cycles", "dram_bytes", "network_bytes")


def explain(design: Design, workload: Workload) -> Explanation:
    """Return the cost of every layer of a workload on a design.

    Raises:
        ArmillaryError: if the design is too large to be built, or a layer has no legal mapping; evaluate
            the design to learn why.
    """
    chip = EdgeTpuChips.of(SPACE.encode([design]))
    area = float(chip.area_mm2()[0])
    if area > MAX_AREA_MM2:
        raise ArmillaryError(f"{design.as_dict()} cannot be built: its area is {area:.4g} mm2, at most {MAX_AREA_MM2}")
    device = torch.device("cpu")
    chips, layers = ChipTensors.of(chip, device), LayerTensors.of(workload, device)
    compiled = compile_workload(chips, layers)
    if not bool(compiled.legal.all()):
        raise ArmillaryError(f"{workload.name} has no legal mapping on {design.as_dict()}")
    columns = {name: getattr(compiled, name)[0].numpy() for name in _COLUMNS}
    costs = tuple(
        _layer_cost(use, chip, {name: float(values[i]) for name, values in columns.items()})
        for i, use in enumerate(workload.layers)
    )
    program = float(compiled.instruction_bytes[0])
    total = Traffic(
        macs=workload.macs,
        dram_bytes=np.array([sum(c.count * c.dram_bytes for c in costs) + program]),
        onchip_bytes=np.array([sum(c.count * c.onchip_bytes for c in costs)]),
    )
    return Explanation(
        layers=costs,
        clock_hz=CLOCK_HZ,
        overhead_s={
            "invocation": INVOCATION_S,
            "instruction fetch": float(compiled.instruction_cycles[0]) / CLOCK_HZ,
        },
        energy_parts_pj=_first(energy_parts_pj(chip, total)),
        area_parts_mm2=_first(chip.area_parts_mm2()),
        peak_macs_per_s=float(chip.macs_per_cycle[0]) * CLOCK_HZ,
        peak_dram_bytes_per_s=float(chip.dram_bytes_per_s[0]),
    )


def _first(parts: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in parts.items()}


def _layer_cost(use: LayerUse, chip: EdgeTpuChips, chosen: dict[str, float]) -> LayerCost:
    traffic = Traffic(
        macs=use.layer.macs,
        dram_bytes=np.array([chosen["dram_bytes"]]),
        onchip_bytes=np.array([chosen["network_bytes"]]),
    )
    return LayerCost(
        layer=use.layer.name,
        kind=use.layer.kind,
        count=use.count,
        macs=use.layer.macs,
        mapping=_mapping_text(int(chosen["mapping"])),
        delay_cycles=chosen["cycles"],
        compute_cycles=chosen["compute_cycles"],
        dram_cycles=chosen["dram_cycles"],
        onchip_cycles=chosen["network_cycles"],
        dram_bytes=chosen["dram_bytes"],
        onchip_bytes=chosen["network_bytes"],
        energy_pj=sum(_first(energy_parts_pj(chip, traffic)).values()),
        utilization=use.layer.macs / (chosen["cycles"] * float(chip.macs_per_cycle[0])),
        bound=_bound(chosen),
    )


def _bound(chosen: dict[str, float]) -> Literal["compute", "dram", "on-chip", "overhead"]:
    cycles: dict[Literal["compute", "dram", "on-chip", "overhead"], float] = {
        "overhead": LAYER_SETUP_CYCLES,
        "compute": chosen["compute_cycles"],
        "dram": chosen["dram_cycles"],
        "on-chip": chosen["network_cycles"],
    }
    return max(cycles, key=lambda part: cycles[part])


def _mapping_text(mapping: int) -> str:
    roles = MAPPINGS[mapping].tolist()
    return " ".join(
        f"{unit}:{'K' if channels else position}"
        for unit, channels, position in zip(("X", "Y", "cores"), roles, "PQP", strict=True)
    )

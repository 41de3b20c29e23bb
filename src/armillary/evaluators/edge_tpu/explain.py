"""One design of the Edge TPU template in detail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.evaluators.beside import Beside
from armillary.evaluators.edge_tpu.compiler import (
    INVOCATION_S,
    MAPPINGS,
    ChipTensors,
    Compiled,
    LayerTensors,
    compile_workload,
    weights_stay,
)
from armillary.evaluators.edge_tpu.energy import Traffic, energy_parts_pj
from armillary.evaluators.edge_tpu.vector_unit import vector_unit
from armillary.evaluators.explanation import ChipRates, Explanation, LayerCost
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, MAX_AREA_MM2, SPACE, EdgeTpuChips
from armillary.types import ArmillaryError, Design, Evaluation, LayerRun
from armillary.workloads.layer import LayerUse, Workload

_START = "start of the runtime"
_METRICS = {
    "delay_cycles": "cycles",
    "compute_cycles": "compute_cycles",
    "dram_cycles": "dram_cycles",
    "onchip_cycles": "network_cycles",
    "dram_bytes": "dram_bytes",
    "onchip_bytes": "network_bytes",
}


def layer_runs(design: Design, workload: Workload) -> tuple[LayerRun, ...]:
    """Return the runs of a workload's layers on a design, which can run them all.

    The mapping names what the array's two axes and the lanes' cores take: output channels (K), or rows (P) and columns
    (Q) of the output.

    Raises:
        ArmillaryError: if the design is too large to be built, or a layer has no legal mapping; evaluate
            the design to learn why.
    """
    chip, compiled = _compiled(design, workload)
    columns = {metric: getattr(compiled, name)[0].tolist() for metric, name in _METRICS.items()}
    mappings = compiled.mapping[0].tolist()
    return tuple(
        _layer_run(design, use, chip, int(mappings[i]), {name: float(values[i]) for name, values in columns.items()})
        for i, use in enumerate(workload.layers)
    )


def explain(evaluation: Evaluation, workload: Workload) -> Explanation:
    """Return the parts of a feasible evaluation.

    Raises:
        ArmillaryError: see `layer_runs`.
    """
    design = evaluation.design
    chip, compiled = _compiled(design, workload)
    runs = evaluation.layers or layer_runs(design, workload)
    program = float(compiled.instruction_bytes[0])
    beside = Beside.of(vector_unit(chip), workload.beside, CLOCK_HZ)
    return Explanation(
        layers=tuple(LayerCost.of(run, run.layer.macs) for run in runs),
        rates=ChipRates(
            clock_hz=CLOCK_HZ,
            macs_per_s=float(chip.macs_per_cycle[0]) * CLOCK_HZ,
            dram_bytes_per_s=float(chip.dram_bytes_per_s[0]),
        ),
        area_parts_mm2=_first(chip.area_parts_mm2()),
        energy_parts_pj={
            **_first(energy_parts_pj(chip, _traffic(runs, workload.macs, program))),
            **beside.energy_parts_pj,
        },
        overhead_s={
            _START: INVOCATION_S,
            "instruction fetch": float(compiled.instruction_cycles[0]) / CLOCK_HZ,
            **beside.overhead_s,
        },
        fixed=(_START,),
        remarks={"dram_bytes": _where_weights_are(design, workload)},
        beside=beside.costs,
    )


def _where_weights_are(design: Design, workload: Workload) -> str:
    device = torch.device("cpu")
    chips = ChipTensors.of(EdgeTpuChips.of(SPACE.encode([design])), device)
    megabytes = f"{workload.parameters / 1e6:,.3g} MB of weights"
    if bool(weights_stay(chips, LayerTensors.of(workload, device)).all()):
        return f"its {megabytes} stay on chip from one inference to the next, so none of them is in this traffic"
    return f"its {megabytes} do not fit on chip and stream from DRAM in every inference, which this traffic includes"


def _compiled(design: Design, workload: Workload) -> tuple[EdgeTpuChips, Compiled]:
    chip = EdgeTpuChips.of(SPACE.encode([design]))
    area = float(chip.area_mm2()[0])
    if area > MAX_AREA_MM2:
        raise ArmillaryError(f"{design.as_dict()} cannot be built: its area is {area:.4g} mm2, at most {MAX_AREA_MM2}")
    device = torch.device("cpu")
    compiled = compile_workload(ChipTensors.of(chip, device), LayerTensors.of(workload, device))
    if not bool(compiled.legal.all()):
        raise ArmillaryError(f"{workload.name} has no legal mapping on {design.as_dict()}")
    return chip, compiled


def _traffic(runs: Sequence[LayerRun], macs: int, program_bytes: float) -> Traffic:
    return Traffic(
        macs=macs,
        dram_bytes=np.array([sum(run.runs * run.metrics["dram_bytes"] for run in runs) + program_bytes]),
        onchip_bytes=np.array([sum(run.runs * run.metrics["onchip_bytes"] for run in runs)]),
    )


def _first(parts: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in parts.items()}


def _layer_run(design: Design, use: LayerUse, chip: EdgeTpuChips, mapping: int, chosen: dict[str, float]) -> LayerRun:
    traffic = Traffic(
        macs=use.layer.macs,
        dram_bytes=np.array([chosen["dram_bytes"]]),
        onchip_bytes=np.array([chosen["onchip_bytes"]]),
    )
    metrics = {
        **chosen,
        "energy_pj": sum(_first(energy_parts_pj(chip, traffic)).values()),
        "utilization": use.layer.macs / (chosen["delay_cycles"] * float(chip.macs_per_cycle[0])),
    }
    return LayerRun(design, use.layer, _mapping_text(mapping), metrics, runs=use.count)


def _mapping_text(mapping: int) -> str:
    roles = MAPPINGS[mapping].tolist()
    return " ".join(
        f"{unit}:{'K' if channels else position}"
        for unit, channels, position in zip(("X", "Y", "cores"), roles, "PQP", strict=True)
    )

"""The Edge TPU evaluator: designs in, delay, energy, area and reasons of failure out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.evaluators.edge_tpu.compiler import (
    INVOCATION_S,
    ChipTensors,
    Compiled,
    LayerTensors,
    compile_workload,
)
from armillary.evaluators.edge_tpu.energy import Traffic, energy_parts_pj
from armillary.evaluators.edge_tpu.explain import explain
from armillary.evaluators.explanation import Explanation
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, MAX_AREA_MM2, SPACE, EdgeTpuChips
from armillary.types import Design, Evaluation, Evaluations, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload

# Designs whose tensors of designs x layers x mappings stay in the processor's cache; a GPU wants
# them all at once.
CHUNK = {"cpu": 512, "cuda": 65536}


class EdgeTpuEvaluator:
    """Our analytical model of the Edge TPU template.

    Args:
        seed: recorded with each evaluation; the model itself draws nothing.
        device: where the tensors live: `cpu` or `cuda`.
    """

    name = "edge_tpu"
    version = "2"
    delay_version = "1"
    """The version of delay, area and legality; benchmarks keep by it what depends on these alone."""
    fidelity = Fidelity.ANALYTICAL

    def __init__(self, *, seed: int = 0, device: str = "cpu") -> None:
        self._seed = seed
        self._device = torch.device(device)

    def evaluate(self, designs: Sequence[Design], workload: Workload) -> list[Evaluation]:
        """Evaluate designs one by one; infeasible ones state their failure."""
        return self.evaluate_codes(SPACE.encode(designs), workload).to_list() if designs else []

    def evaluate_codes(self, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        """Evaluate coded designs, shape [designs, 10].

        Metrics: `runtime_s` of one inference in a stream of them, `delay_cycles` (the same at
        800 MHz), `energy_pj` (dynamic; no leakage), `area_mm2` (known for infeasible designs
        too), `utilization` (share of the peak multiply-accumulates over the whole inference),
        `dram_bytes`, `onchip_bytes` (moved on the array's buses).
        """
        start = time.perf_counter()
        area = EdgeTpuChips.of(codes).area_mm2()
        buildable = np.flatnonzero(area <= MAX_AREA_MM2)
        results = _Results(len(codes), area)
        layers = LayerTensors.of(workload, self._device)
        step = CHUNK[self._device.type]
        for first in range(0, len(buildable), step):
            rows = buildable[first : first + step]
            self._evaluate_chunk(codes[rows], rows, layers, workload, results)
        return results.table(codes, workload, self, time.perf_counter() - start)

    def explain(self, design: Design, workload: Workload) -> Explanation:
        """Take one feasible design apart."""
        return explain(design, workload)

    def _evaluate_chunk(
        self,
        codes: NDArray[np.int64],
        rows: NDArray[np.intp],
        layers: LayerTensors,
        workload: Workload,
        results: _Results,
    ) -> None:
        chip = EdgeTpuChips.of(codes)
        chips = ChipTensors.of(chip, self._device)
        compiled = compile_workload(chips, layers)
        legal = compiled.legal.all(dim=1).cpu().numpy()
        results.add_metrics(
            rows[legal],
            {name: values[legal] for name, values in _metrics(chip, compiled, layers, workload).items()},
        )
        results.add_failures(rows[~legal], compiled, chips, workload, ~legal)

    @property
    def seed(self) -> int:
        """The recorded seed."""
        return self._seed


def _metrics(
    chip: EdgeTpuChips, compiled: Compiled, layers: LayerTensors, workload: Workload
) -> dict[str, NDArray[np.float64]]:
    count = layers.count.reshape(1, -1)

    def total(values: Tensor) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = (values * count).sum(dim=1).cpu().numpy()
        return summed

    cycles = np.ceil(total(compiled.cycles) + compiled.instruction_cycles.cpu().numpy() + INVOCATION_S * CLOCK_HZ)
    traffic = Traffic(
        macs=workload.macs,
        dram_bytes=total(compiled.dram_bytes) + compiled.instruction_bytes.cpu().numpy(),
        onchip_bytes=total(compiled.network_bytes),
    )
    return {
        "delay_cycles": cycles,
        "runtime_s": cycles / CLOCK_HZ,
        "energy_pj": np.sum(list(energy_parts_pj(chip, traffic).values()), axis=0),
        "utilization": workload.macs / (cycles * chip.macs_per_cycle),
        "dram_bytes": traffic.dram_bytes,
        "onchip_bytes": traffic.onchip_bytes,
    }


class _Results:
    """The columns of one batch while its chunks are evaluated."""

    def __init__(self, rows: int, area_mm2: NDArray[np.float64]) -> None:
        self._metrics = {"area_mm2": area_mm2}
        self._feasible = np.zeros(rows, dtype=bool)
        self._resource = np.full(rows, "area_mm2", dtype=object)
        self._layer = np.full(rows, "", dtype=object)
        self._needed = area_mm2.copy()
        self._available = np.full(rows, MAX_AREA_MM2)

    def add_metrics(self, rows: NDArray[np.intp], metrics: dict[str, NDArray[np.float64]]) -> None:
        """Record feasible rows."""
        for name, values in metrics.items():
            column = self._metrics.setdefault(name, np.full(len(self._feasible), np.nan))
            column[rows] = values
        self._feasible[rows] = True
        self._resource[rows] = ""
        self._needed[rows] = self._available[rows] = np.nan

    def add_failures(
        self,
        rows: NDArray[np.intp],
        compiled: Compiled,
        chips: ChipTensors,
        workload: Workload,
        failed: NDArray[np.bool_],
    ) -> None:
        """Record, for each row, the first layer without a legal mapping and the memory it lacks."""
        if not len(rows):
            return
        layer = np.argmin(compiled.legal.cpu().numpy()[failed], axis=1)
        picked = np.arange(len(rows)), layer
        self._layer[rows] = np.array([use.layer.name for use in workload.layers], dtype=object)[layer]
        undecided = np.ones(len(rows), dtype=bool)
        for resource, needed, available in (
            ("activation_memory_bytes", compiled.legality.activation_needed, chips.activation_memory_bytes),
            ("parameter_memory_bytes", compiled.legality.parameter_needed, chips.parameter_memory_bytes),
            ("core_memory_bytes", compiled.legality.core_needed, chips.core_memory_bytes),
            ("pe_memory_half_bytes", compiled.legality.pe_needed, chips.pe_half_bytes),
        ):
            need = needed.cpu().numpy()[failed][picked]
            have = available.reshape(-1).cpu().numpy()[failed]
            lacking = undecided & (need > have)
            self._resource[rows[lacking]] = resource
            self._needed[rows[lacking]] = need[lacking]
            self._available[rows[lacking]] = have[lacking]
            undecided &= ~lacking

    def table(
        self, codes: NDArray[np.int64], workload: Workload, evaluator: EdgeTpuEvaluator, seconds: float
    ) -> Evaluations:
        """Return the batch; its seconds are shared equally."""
        rows = len(self._feasible)
        kinds = np.where(self._feasible, "", "infeasible").astype(object)
        context = context_of(workload).as_dict()
        return Evaluations(
            space=SPACE.name,
            design=SPACE.columns(codes),
            workload=np.full(rows, workload.name, dtype=object),
            context={name: np.full(rows, value) for name, value in context.items()},
            evaluator=np.full(rows, evaluator.name, dtype=object),
            version=np.full(rows, evaluator.version, dtype=object),
            fidelity=np.full(rows, str(evaluator.fidelity), dtype=object),
            metrics=self._metrics,
            feasible=self._feasible,
            failure_kind=kinds,
            failure_resource=self._resource,
            failure_layer=self._layer,
            failure_needed=self._needed,
            failure_available=self._available,
            failure_detail=np.full(rows, "", dtype=object),
            seconds=np.full(rows, seconds / max(rows, 1)),
            seed=np.full(rows, evaluator.seed, dtype=np.int64),
            time=np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
        )

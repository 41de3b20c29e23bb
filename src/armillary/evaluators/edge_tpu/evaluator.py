"""The Edge TPU evaluator: designs in, delay, energy, area and reasons of failure out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.evaluators.beside import with_beside
from armillary.evaluators.edge_tpu.compiler import (
    INVOCATION_S,
    ChipTensors,
    Compiled,
    LayerTensors,
    compile_workload,
)
from armillary.evaluators.edge_tpu.energy import Traffic, energy_parts_pj
from armillary.evaluators.edge_tpu.explain import explain, layer_runs
from armillary.evaluators.edge_tpu.vector_unit import vector_unit
from armillary.evaluators.explanation import Explanation
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.recording import Infeasible, table, without_mappings
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, MAX_AREA_MM2, SPACE, EdgeTpuChips
from armillary.metrics import folded
from armillary.types import Candidate, Cost, Design, Evaluation, Evaluations, EvaluatorSpec, Fidelity, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

# Designs whose tensors of designs x layers x mappings stay in the processor's cache; a GPU wants
# them all at once.
CHUNK = {"cpu": 512, "cuda": 65536}


class EdgeTpuEvaluator:
    """Our analytical model of the Edge TPU template.

    Args:
        spec: of `KIND`, whose seed is recorded; the model itself draws nothing.
        device: where the tensors live: `cpu` or `cuda`.
    """

    def __init__(self, spec: EvaluatorSpec | None = None, *, device: str = "cpu") -> None:
        self.spec = KIND.spec() if spec is None else spec
        self._device = torch.device(device)

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one; infeasible ones state their failure, feasible ones the runs of their layers.

        Raises:
            ArmillaryError: if a candidate brings mappings, or is of another space.
        """
        without_mappings(candidates, self.spec)
        if not candidates:
            return []
        codes = SPACE.encode([candidate.design for candidate in candidates])
        return [self._with_layers(e, workload) for e in self.evaluate_codes(codes, workload).to_list()]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate; one without a legal mapping says what it lacks.

        Raises:
            ArmillaryError: if a candidate brings mappings, or is of another space.
        """
        without_mappings(candidates, self.spec)
        return [self._layer_run(candidate.design, layer) for candidate in candidates for layer in layers]

    def _with_layers(self, evaluation: Evaluation, workload: Workload) -> Evaluation:
        if not evaluation.feasible:
            return evaluation
        return replace(evaluation, layers=layer_runs(evaluation.design, workload))

    def _layer_run(self, design: Design, layer: Layer) -> LayerRun:
        alone = Workload(layer.name, (LayerUse(layer),))
        failure = self.evaluate_codes(SPACE.encode([design]), alone).failure(0)
        return LayerRun(design, layer, "", {}, failure) if failure else layer_runs(design, alone)[0]

    def evaluate_codes(self, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        """Evaluate coded designs, shape [designs, 10].

        Metrics: `runtime_s` of one inference in a stream of them, `delay_cycles` (the same at
        800 MHz), `energy_pj` (dynamic; no leakage), `area_mm2` (known for infeasible designs
        too), `utilization` (share of the peak multiply-accumulates over the whole inference),
        `dram_bytes`, `onchip_bytes` (moved on the array's buses by layers), and what operators beside the array take of
        them, where the workload tells any: `beside_cycles`, `beside_energy_pj`, `beside_dram_bytes`.
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
        return results.table(codes, workload, self.spec, time.perf_counter() - start)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart."""
        return explain(evaluation, workload)

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


def _metrics(
    chip: EdgeTpuChips, compiled: Compiled, layers: LayerTensors, workload: Workload
) -> dict[str, NDArray[np.float64]]:
    sums = folded(
        {
            "delay_cycles": compiled.cycles,
            "dram_bytes": compiled.dram_bytes,
            "onchip_bytes": compiled.network_bytes,
        },
        layers.count.reshape(1, -1),
    )
    total = {name: values.cpu().numpy() for name, values in sums.items()}
    starting = compiled.instruction_cycles.cpu().numpy() + INVOCATION_S * CLOCK_HZ
    traffic = Traffic(
        macs=workload.macs,
        dram_bytes=total["dram_bytes"] + compiled.instruction_bytes.cpu().numpy(),
        onchip_bytes=total["onchip_bytes"],
    )
    of_layers = {
        "delay_cycles": total["delay_cycles"] + starting,
        "energy_pj": np.sum(list(energy_parts_pj(chip, traffic).values()), axis=0),
        "dram_bytes": traffic.dram_bytes,
    }
    sums = with_beside(of_layers, vector_unit(chip), workload.beside)
    cycles = np.ceil(sums["delay_cycles"])
    return {
        **{name: np.broadcast_to(values, cycles.shape) for name, values in sums.items()},
        "delay_cycles": cycles,
        "runtime_s": cycles / CLOCK_HZ,
        "utilization": workload.macs / (cycles * chip.macs_per_cycle),
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

    def table(self, codes: NDArray[np.int64], workload: Workload, spec: EvaluatorSpec, seconds: float) -> Evaluations:
        """Return the batch."""
        infeasible = Infeasible(self._resource, self._layer, self._needed, self._available)
        return table(
            spec,
            SPACE,
            codes,
            workload,
            self._metrics,
            seconds=seconds,
            feasible=self._feasible,
            infeasible=infeasible,
        )


DELAY_VERSION = "1"
"""The version of delay, area and legality alone, which energies leave as they are."""
KIND = EvaluatorKind(
    template="edge_tpu",
    fidelity=Fidelity.ANALYTICAL,
    name="edge_tpu",
    version="3",
    cost=Cost.BATCH,
    make=lambda spec, _: EdgeTpuEvaluator(spec),
)

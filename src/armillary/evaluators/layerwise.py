"""The evaluator of templates with an array per layer, and the true optimum of their spaces.

The layers run one after another, each on its own array, so the cost of a design is a sum over the layers.
Every layer is evaluated once on each of the 144 arrays it may have, by the analytical cost model with
the template's fixed dataflow. Designs are then sums of looked-up rows, and the best of all 12^106 designs under
an area bound is a multiple-choice knapsack that an integer program solves exactly.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from armillary.cost_model.cost import evaluate
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.explanation import Explanation, LayerCost
from armillary.evaluators.hierarchical import energy_parts, rates_of
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.recording import record, table, without_mappings
from armillary.hardware import templates
from armillary.hardware.templates.layerwise import CLOCK_GHZ, FILTERS, PES, Layerwise, slots
from armillary.metrics import folded
from armillary.types import (
    ArmillaryError,
    Candidate,
    Cost,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    Fidelity,
    LayerRun,
)
from armillary.workloads.layer import Layer, Workload

_CHOICES = len(PES) * len(FILTERS)


@dataclass(frozen=True)
class Tables:
    """What each array may cost per inference, each of shape [arrays, PEs, filters]."""

    delay_cycles: NDArray[np.float64]
    energy_pj: NDArray[np.float64]
    area_mm2: NDArray[np.float64]


class LayerwiseEvaluator:
    """Our analytical cost model on the arrays of a layerwise template.

    Args:
        spec: of the template's kind.
        family: the template; the model itself draws nothing.
    """

    def __init__(self, spec: EvaluatorSpec, family: Layerwise) -> None:
        self.spec, self._family = spec, family

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Raises:
            ArmillaryError: if a candidate brings mappings, or is of another workload's space.
        """
        without_mappings(candidates, self.spec)
        space = self._family.of(workload).space
        return [self._one(candidate, space.encode([candidate.design])[0], workload) for candidate in candidates]

    def evaluate_codes(self, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        """Evaluate coded designs, shape [designs, 2 * arrays].

        Metrics: `delay_cycles`, the sum over the layers; `runtime_s`, the same at 1 GHz; `energy_pj` (dynamic; no
        leakage); `area_mm2` (the arrays; no shared buffer).

        Raises:
            ArmillaryError: if the designs are of another workload's space.
        """
        start = time.perf_counter()
        template = self._family.of(workload)
        if codes.shape[1] != len(template.space.parameters):
            raise ArmillaryError(
                f"designs with {codes.shape[1]} parameters are not of space {template.space.name}, "
                f"which has {len(template.space.parameters)}"
            )
        metrics = self._sums(codes, workload)
        return table(self.spec, template.space, codes, workload, metrics, seconds=time.perf_counter() - start)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one evaluation apart; the layers run one after another, so the peak is that of the largest array."""
        code = self._family.of(workload).space.encode([evaluation.design])[0]
        hierarchies = [
            self._family.hierarchy(slot.layer, PES[p], FILTERS[f])
            for slot, (p, f) in zip(slots(workload), code.reshape(-1, 2).tolist(), strict=True)
        ]
        rates = [rates_of(hierarchy) for hierarchy in hierarchies]
        return Explanation(
            layers=tuple(LayerCost.of(run, run.layer.macs) for run in evaluation.layers),
            rates=max(rates, key=lambda rate: rate.macs_per_s),
            energy_parts_pj=energy_parts(list(zip(hierarchies, evaluation.layers, strict=True))),
        )

    def _sums(self, codes: NDArray[np.int64], workload: Workload) -> dict[str, NDArray[np.float64]]:
        tables = tables_of(self._family, workload)
        once = np.ones(len(tables.area_mm2))  # the tables hold every array's runs already
        layers = {name: _picked(getattr(tables, name), codes) for name in ("delay_cycles", "energy_pj")}
        sums = folded(layers, once)
        area = _picked(tables.area_mm2, codes).sum(axis=1)
        return {**sums, "runtime_s": sums["delay_cycles"] / (CLOCK_GHZ * 1e9), "area_mm2": area}

    def _one(self, candidate: Candidate, code: NDArray[np.int64], workload: Workload) -> Evaluation:
        start = time.perf_counter()
        metrics = {name: float(column[0]) for name, column in self._sums(code[None], workload).items()}
        layers = self._layer_runs(candidate, code, workload)
        seconds = time.perf_counter() - start
        return record(self.spec, candidate, workload, metrics, None, seconds=seconds, layers=layers)

    def _layer_runs(self, candidate: Candidate, code: NDArray[np.int64], workload: Workload) -> list[LayerRun]:
        """Return a run of every array's layer; where a layer has several arrays, these are numbered."""
        layers: list[Layer] = []
        arrays = Counter[str]()
        for slot in slots(workload):
            arrays[slot.layer.name] += 1
            number = arrays[slot.layer.name]
            layers.append(slot.layer if number == 1 else replace(slot.layer, name=f"{slot.layer.name}#{number}"))
        pairs = zip(layers, code.reshape(-1, 2).tolist(), strict=True)
        choices = [(layer, PES[pes], FILTERS[filters]) for layer, (pes, filters) in pairs]
        hierarchies = [self._family.hierarchy(*choice) for choice in choices]
        mappings = [self._family.spread(*choice) for choice in choices]
        costs = evaluate(hierarchies, layers, mappings)
        return [
            LayerRun(candidate.design, layer, str(mapping), layer_metrics(costs, i, hierarchies[i]), runs=slot.runs)
            for i, (slot, layer, mapping) in enumerate(zip(slots(workload), layers, mappings, strict=True))
        ]


def _kind(name: str) -> EvaluatorKind:
    return EvaluatorKind(
        template=name,
        fidelity=Fidelity.ANALYTICAL,
        name=name,
        version="1",
        cost=Cost.BATCH,
        make=lambda spec, _: LayerwiseEvaluator(spec, templates.family(name)),
    )


NVDLA = _kind("nvdla")
SHIDIANNAO = _kind("shidiannao")


def tables_of(family: Layerwise, workload: Workload) -> Tables:
    """Return what every array of a workload may cost."""
    arrays = slots(workload)
    each = [_costs(family, slot.layer) for slot in arrays]
    runs = np.array([slot.runs for slot in arrays], dtype=float).reshape(-1, 1, 1)
    cycles, energy, area = (np.stack([costs[i] for costs in each]) for i in range(3))
    return Tables(cycles * runs, energy * runs, area)


def optimum(
    family: Layerwise, workload: Workload, area_mm2: float, *, seconds: float = 60.0
) -> tuple[NDArray[np.int64], float]:
    """Return a design of least delay within an area, and a lower bound of the delay of all designs in cycles.

    The bound equals the design's delay if the integer program ended within the time; else it lies below.

    Raises:
        ArmillaryError: if no design is small enough, or none was found in time.
    """
    tables = tables_of(family, workload)
    least = float(tables.area_mm2.min(axis=(1, 2)).sum())
    if least > area_mm2:
        raise ArmillaryError(f"no design has area_mm2 <= {area_mm2:g}; the smallest has {least:.4g}")
    arrays = len(tables.area_mm2)
    columns = np.arange(arrays * _CHOICES)
    one_each = coo_array((np.ones(len(columns)), (columns // _CHOICES, columns)))
    result = milp(
        tables.delay_cycles.reshape(-1),
        constraints=[
            LinearConstraint(one_each.tocsr(), 1, 1),
            LinearConstraint(tables.area_mm2.reshape(1, -1), ub=area_mm2),
        ],
        integrality=np.ones(len(columns), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": 1e-6},
    )
    if result.x is None:
        raise ArmillaryError(f"no optimum was found in {seconds:g} s; allow more time")
    choice = result.x.reshape(arrays, _CHOICES).argmax(axis=1)
    codes = np.stack(np.divmod(choice, len(FILTERS)), axis=1).reshape(-1).astype(np.int64)
    return codes, float(result.mip_dual_bound)


@lru_cache(maxsize=1024)
def _costs(family: Layerwise, layer: Layer) -> NDArray[np.float64]:
    """Return delay in cycles, energy in pJ and area in mm2 of a layer on every array, shape [3, PEs, filters]."""
    choices = [(pes, filters) for pes in PES for filters in FILTERS]
    mappings = [family.spread(layer, *choice) for choice in choices]
    costs = evaluate([family.hierarchy(layer, *choice) for choice in choices], layer, mappings)
    if not bool(costs.feasible.all()):
        raise AssertionError(f"the {family.name} dataflow maps layer {layer.name} onto more than an array has")
    area = np.array([family.area_mm2(layer, *choice) for choice in choices])
    every = np.stack([costs.delay_cycles.double().numpy(), costs.energy_pj.double().numpy(), area])
    return every.reshape(3, len(PES), len(FILTERS))


def _picked(choices: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what designs choose of every array, shape [designs, arrays]."""
    pairs = codes.reshape(len(codes), -1, 2)
    return np.asarray(choices[np.arange(len(choices)), pairs[..., 0], pairs[..., 1]])

"""The evaluator of templates with an array per layer, and the true optimum of their spaces.

The layers run one after another, each on its own array, so the cost of a design is a sum over the layers.
Every layer is evaluated once on each of the 144 arrays it may have, by the analytical cost model with
the template's fixed dataflow. Designs are then sums of looked-up rows, and the best of all 12^106 designs under
an area bound is a multiple-choice knapsack that an integer program solves exactly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from armillary.cost_model.cost import evaluate
from armillary.hardware import templates
from armillary.hardware.template import Template
from armillary.hardware.templates.layerwise import CLOCK_GHZ, FILTERS, PES, Layerwise, slots
from armillary.types import ArmillaryError, Design, Evaluation, Evaluations, Fidelity
from armillary.workloads.context import context_of
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
        family: the template.
        seed: recorded with each evaluation; the model itself draws nothing.
    """

    version = "1"
    fidelity = Fidelity.ANALYTICAL

    def __init__(self, family: Layerwise, *, seed: int = 0) -> None:
        self._family, self._seed = family, seed
        self.name = family.name

    def evaluate(self, designs: Sequence[Design], workload: Workload) -> list[Evaluation]:
        """Evaluate designs one by one."""
        if not designs:
            return []
        return self.evaluate_codes(self._family.of(workload).space.encode(designs), workload).to_list()

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
        tables = tables_of(self._family, workload)
        cycles = _picked(tables.delay_cycles, codes)
        metrics = {
            "delay_cycles": cycles,
            "runtime_s": cycles / (CLOCK_GHZ * 1e9),
            "energy_pj": _picked(tables.energy_pj, codes),
            "area_mm2": _picked(tables.area_mm2, codes),
        }
        return _table(template, codes, workload, self, metrics, time.perf_counter() - start)

    @property
    def seed(self) -> int:
        """The recorded seed."""
        return self._seed


def nvdla(*, seed: int = 0) -> LayerwiseEvaluator:
    """Return the evaluator of the template `nvdla`."""
    return LayerwiseEvaluator(templates.family("nvdla"), seed=seed)


def shidiannao(*, seed: int = 0) -> LayerwiseEvaluator:
    """Return the evaluator of the template `shidiannao`."""
    return LayerwiseEvaluator(templates.family("shidiannao"), seed=seed)


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


def _picked(table: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum over the arrays of what designs choose, shape [designs]."""
    pairs = codes.reshape(len(codes), -1, 2)
    return np.asarray(table[np.arange(len(table)), pairs[..., 0], pairs[..., 1]].sum(axis=1))


def _table(
    template: Template,
    codes: NDArray[np.int64],
    workload: Workload,
    evaluator: LayerwiseEvaluator,
    metrics: dict[str, NDArray[np.float64]],
    seconds: float,
) -> Evaluations:
    rows = len(codes)

    def text(value: str) -> NDArray[np.object_]:
        return np.full(rows, value, dtype=object)

    return Evaluations(
        space=template.space.name,
        design=template.space.columns(codes),
        workload=text(workload.name),
        context={name: np.full(rows, value) for name, value in context_of(workload).as_dict().items()},
        evaluator=text(evaluator.name),
        version=text(evaluator.version),
        fidelity=text(str(evaluator.fidelity)),
        metrics=metrics,
        feasible=np.ones(rows, dtype=bool),
        failure_kind=text(""),
        failure_resource=text(""),
        failure_layer=text(""),
        failure_needed=np.full(rows, np.nan),
        failure_available=np.full(rows, np.nan),
        failure_detail=text(""),
        seconds=np.full(rows, seconds / max(rows, 1)),
        seed=np.full(rows, evaluator.seed, dtype=np.int64),
        time=np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
    )

"""What `ppa-dse` searches: a platform's small designs with all knobs, for a small workload, under two bounds.

Bounds lie near the power and the runtime of the few layouts that were made before, so that they leave a part of the
random layouts over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators, workloads
from armillary.evaluators.kind import rungs_of
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make
from armillary.hardware.template import Template
from armillary.log import shipped
from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung
from armillary.studies.layout_design import tightened
from armillary.studies.subject import Shipped
from armillary.types import Candidate, Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Layer, LayerUse, Workload

OBJECTIVES = (Objective("energy_j"), Objective("area_mm2"))


@dataclass(frozen=True)
class Task:
    """What is searched.

    Attributes:
        template: architectures with knobs.
        workload: that they are for.
        bounds: that a layout has to keep.
        spec: of what makes layouts.
        make: the evaluator of a specification; other processes can import it.
    """

    template: Template
    workload: Workload
    bounds: tuple[Bound, ...]
    spec: EvaluatorSpec
    make: Make = evaluators.make

    @property
    def problem(self) -> Problem:
        """Energy and area under the bounds."""
        return self.template.asked(OBJECTIVES, self.bounds, (self.workload,))

    def laid_out(self, folder: Path, codes: NDArray[np.int64], rung: Rung | None = None) -> Evaluations:
        """Return the layouts of coded designs, or how far a rung makes them, those made before from a folder's logs."""
        executor = LocalExecutor(Log(folder / ("layouts" if rung is None else "rungs")), make=self.make)
        spec, rows = self.spec if rung is None else rung.spec, []
        for design in self.template.space.designs(codes):  # one after another: other searches have the other cores
            rows += list(executor.run(spec, [Candidate(design)], self.workload))
        return Evaluations.from_list(rows)

    def rungs(self) -> tuple[Rung, ...]:
        """Return the rungs below whole layouts."""
        return rungs_of(self.make(self.spec))


def svm() -> Task:
    """Return a support vector machine of `axiline`, of six features."""
    weights = tuple((-0.75) ** k for k in range(6))
    workload = Workload("svm6", (), algorithm=Algorithm("svm", "inference", 6, weights=weights, bias=0.125))
    choices = {"input_width": (4, 8), "internal_width": (8, 12)}
    return _task("axiline", workload, choices, power_mw=3.0, runtime_s=3e-9)


def tabla() -> Task:
    """Return the training of a support vector machine of four features on one unit of `tabla`."""
    choices = {
        "num_pu": (1,), "num_pe": (2, 4), "bit_width": (4, 8), "internal_bit_width": (8,), "axi_width": (1, 2),
        "data_depth": (4, 8), "weight_depth": (4, 8, 16), "intermediate_depth": (4, 8, 16), "inbox_depth": (4, 8, 16),
        "instruction_depth": (32, 64, 128),
    }  # fmt: skip
    workload = workloads.load(str(shipped.read("tabla_svm").workload_file))
    return _task("tabla", workload, choices, power_mw=20.0, runtime_s=3e-8)


def genesys() -> Task:
    """Return a small convolution on arrays of 2 x 2 of `genesys`."""
    choices = {
        "array": (2,), "data_width": (4, 8), "weight_width": (4, 8), "ibuf_kib": (1, 2), "wbuf_kib": (1, 2),
        "obuf_kib": (1, 2), "bbuf_kib": (1,), "vmem_kib": (1, 2), "port_width": (32, 64),
    }  # fmt: skip
    return _task("genesys", _CONVOLUTION, choices, power_mw=60.0, runtime_s=2e-4)


def vta() -> Task:
    """Return a small convolution on 4 x 4 multipliers of `vta`."""
    choices = {
        "batch": (1,), "block_in": (4,), "block_out": (4,), "input_width": (8,), "weight_width": (2, 4, 8),
        "accumulator_width": (16, 32), "input_buffer": (256, 512), "weight_buffer": (512, 1024),
        "accumulator_buffer": (512, 1024), "uop_buffer": (256,), "bus_bytes": (4,),
    }  # fmt: skip
    return _task("vta", _CONVOLUTION, choices, power_mw=40.0, runtime_s=8e-5)


_CONVOLUTION = Workload("convolution", (LayerUse(Layer("convolution", "conv", K=16, C=16, R=3, S=3, P=12, Q=12)),))


def _task(
    platform: str, workload: Workload, choices: Mapping[str, tuple[Any, ...]], *, power_mw: float, runtime_s: float
) -> Task:
    subject = Shipped(platform, Fidelity.PHYSICAL)
    template = tightened(subject.template([workload]), workload).narrowed(choices, "ppa-dse")
    bounds = (Bound("power_mw", at_most=power_mw), Bound("runtime_s", at_most=runtime_s))
    return Task(template, workload, bounds, subject.simulator().spec)

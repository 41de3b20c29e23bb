"""The least that the closed form gives any design of a grid under its mapper, and what RTL says of its neighbourhood.

All 4,096 designs of Table 6.1 under a thorough mapper take days. The grid has all arrays, and memories of which each is
twice the one before.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from armillary import evaluators
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.polaris.runs import Sizes, design_of, network_of
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators.gemmini.build import simulated_text
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import TEMPLATE, Accelerator
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.studies.ask_tell import evaluated_each
from armillary.studies.layer_source import AnalyticalSource
from armillary.types import Candidate, Fidelity
from armillary.workloads import zoo

_KIB, _QUICK_KIB = (8, 16, 32, 64, 128, 256), (32, 64, 128)
_ARRAYS, _QUICK_ARRAYS = (4, 8, 16, 32), (16, 32)
_NEIGHBOURS = 3


def bound_of(network: str, sizes: Sizes, options: BenchOptions) -> str:
    """Return the least delay times energy of the grid in a sentence, with RTL of its best designs."""
    found = _measured(network, sizes, options)
    rtl = ", ".join(f"{value:.4g}" for value in found["rtl"])
    return (
        f"{network}: of {found['designs']} designs on a grid, each under the mapper, the closed form gives at least "
        f"{found['least']:.4g} pJ cycles; its best {len(found['rtl'])} by RTL: {rtl}"
    )


def _measured(network: str, sizes: Sizes, options: BenchOptions) -> dict[str, Any]:
    arrays, memories = (_QUICK_ARRAYS, _QUICK_KIB) if options.quick else (_ARRAYS, _KIB)
    rtl = evaluators.spec_of(TEMPLATE.name, Fidelity.RTL, {"goal": "edp"}, seed=options.seed)
    inputs = {
        "network": network, "most_macs": sizes.most_macs, "mapped": sizes.mapped, "grid": [arrays, memories],
        "seed": options.seed, "hardware": digest(simulated_text(Accelerator())),
    }  # fmt: skip

    def measure() -> dict[str, Any]:
        work = network_of(network, sizes)
        problem = Problem.minimising(TEMPLATE.space, "edp_pj_cycles", workloads=(work,))
        designs = [
            design_of({"dim": dim, "scratchpad_kib": held, "accumulator_kib": sums})
            for dim, held, sums in product(arrays, memories, memories)
        ]
        source = AnalyticalSource(TEMPLATE.name)
        judged = source.networks(designs, work, problem.metric, searched=sizes.mapped, seed=options.seed)
        values = problem.values(Outcomes.of_each(judged))
        best = [judged[number] for number in np.argsort(values, kind="stable")[:_NEIGHBOURS].tolist()]
        candidates = [Candidate(one.design, {run.layer.name: run.mapping for run in one.layers}) for one in best]
        truth = evaluated_each(LocalExecutor(), rtl, candidates, workload=work)
        told = problem.values(Outcomes.of_each(truth)).tolist()
        return {"designs": len(designs), "least": float(values.min()), "rtl": told}

    part = Part(options.out.parent / "polaris-runs", f"bound-{network}", inputs, (__name__, zoo.paths()[network]), rtl)
    return part.measured(measure)

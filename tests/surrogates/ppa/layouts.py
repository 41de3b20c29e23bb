"""Layouts of a made-up back end: their power follows from the hierarchy of the RTL and from the knobs."""

import numpy as np

from armillary.hardware.templates.axiline import SPACE as AXILINE
from armillary.problems.criteria import Objective
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.ppa.graph import FEATURES, Architectures
from armillary.types import Evaluations

_VALUES = {
    "algorithm": ("linear_regression", "svm"), "mode": ("inference",), "dimension": (4, 6, 8, 10, 12),
    "input_width": (4, 8), "internal_width": (8, 12, 16), "cycles": (1, 2, 4), "depth": (1,),
}  # fmt: skip
CLOCKS = (0.5, 0.7, 1.0, 1.4, 2.0)
SPACE = Space(
    "axiline.physical",
    (
        *(Parameter(p.name, _VALUES[p.name], p.kind) for p in AXILINE.parameters),
        Parameter("clock_ns", CLOCKS),
        Parameter("utilization", (0.5, 0.6, 0.7)),
    ),
)
ARCHITECTURE = AXILINE.names
PROBLEM = Problem(SPACE, (Objective("power_mw"),))


def drawn(architectures, points, seed):
    """Return coded designs, so many points of each architecture, shape [designs, parameters]."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, n, architectures * points) for n in SPACE.cardinalities], axis=1)
    width = len(ARCHITECTURE)
    codes[:, :width] = np.repeat(codes[:architectures, :width], points, axis=0)
    return codes


def power_mw(codes):
    """Return what the back end tells, shape [designs]."""
    graphs, which = Architectures.of(SPACE).graphs(codes)
    totals = np.stack([graph.totals for graph in graphs])[which]
    bits = 0.9 * totals[:, FEATURES.index("multiplication bits")] + 4.5 * totals[:, FEATURES.index("register bits")]
    columns = SPACE.columns(codes)
    return 1e-3 * bits / columns["clock_ns"] * (1 + 0.1 * columns["utilization"])


def metrics_of(codes):
    """Return all metrics that the benches predict, by name, shape [designs] each."""
    power, clock = power_mw(codes), SPACE.columns(codes)["clock_ns"]
    effective_mhz = 1000 / np.maximum(clock, 0.6 + 0.1 * SPACE.columns(codes)["cycles"])
    runtime_s = 1e-3 / effective_mhz
    return {
        "power_mw": power, "effective_mhz": effective_mhz, "area_mm2": 1e-3 * power * clock, "runtime_s": runtime_s,
        "energy_pj": power * runtime_s * 1e9,
    }  # fmt: skip


def rows_of(codes, seed=0):
    """Return the rows of designs; one in twelve failed."""
    count = len(codes)
    good = np.random.default_rng(seed).random(count) > 1 / 12

    def same(text):
        return np.array([text] * count, dtype=object)

    return Evaluations(
        space=SPACE.name,
        design={n: c.astype(object) if c.dtype.kind == "U" else c for n, c in SPACE.columns(codes).items()},
        workload=same("svm"),
        context={},
        evaluator=same("axiline/physical"),
        version=same("1"),
        fidelity=same("physical"),
        metrics={name: np.where(good, values, np.nan) for name, values in metrics_of(codes).items()},
        feasible=good,
        failure_kind=np.where(good, "", "infeasible").astype(object),
        failure_resource=np.where(good, "", "routing").astype(object),
        failure_layer=same(""),
        failure_needed=np.full(count, np.nan),
        failure_available=np.full(count, np.nan),
        failure_detail=same(""),
        seconds=np.zeros(count),
        seed=np.zeros(count, dtype=np.int64),
        time=np.zeros(count, dtype="datetime64[us]"),
        options=same(""),
    )

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.types import Evaluations


def _evaluations(n=20, seed=0, space=SPACE.name):
    """Return n random evaluations, about a quarter of them feasible."""
    rng = np.random.default_rng(seed)
    feasible = rng.random(n) < 0.25
    layers = np.array([f"conv_{i}" for i in range(60)], dtype=object)[rng.integers(0, 60, n)]
    kinds = np.where(feasible, "", np.array(["infeasible", "error"])[rng.integers(0, 2, n)]).astype(object)
    short = kinds == "infeasible"
    codes = np.stack([rng.integers(0, count, n) for count in SPACE.cardinalities], axis=1)
    return Evaluations(
        space=space,
        design=SPACE.columns(codes),
        workload=np.array(["m4", "m5", "mobilenet_v2"], dtype=object)[rng.integers(0, 3, n)],
        context={name: np.full(n, rng.random()) for name in ("conv_ops", "parameter_mb")},
        evaluator=np.full(n, "test", dtype=object),
        version=np.full(n, "1.2", dtype=object),
        fidelity=np.full(n, "analytical", dtype=object),
        metrics={
            "runtime_s": np.where(feasible, rng.random(n) + 0.1, np.nan),
            "area_mm2": np.where(kinds == "error", np.nan, 60 * rng.random(n) + 1),
            "energy_pj": np.where(feasible, 1e9 * rng.random(n), np.nan),
        },
        feasible=feasible,
        failure_kind=kinds,
        failure_resource=np.where(short, "pe_memory_bytes", "").astype(object),
        failure_layer=np.where(short, layers, "").astype(object),
        failure_needed=np.where(short, np.round(1e7 * rng.random(n)), np.nan),
        failure_available=np.where(short, 262144.0, np.nan),
        failure_detail=np.where(kinds == "error", "the tool broke", "").astype(object),
        seconds=1e-4 * rng.random(n),
        seed=rng.integers(0, 2**40, n),
        time=np.datetime64("2026-01-01", "us") + rng.integers(0, 10**12, n).astype("timedelta64[us]"),
    )


def _assert_same(a, b):
    assert a.space == b.space
    assert [name for name, _ in a.columns()] == [name for name, _ in b.columns()]
    for (name, left), (_, right) in zip(a.columns(), b.columns(), strict=True):
        assert left.dtype.kind == right.dtype.kind, name
        np.testing.assert_array_equal(left, right, err_msg=name)


@pytest.fixture(scope="session")
def evaluations():
    return _evaluations


@pytest.fixture(scope="session")
def assert_same():
    return _assert_same

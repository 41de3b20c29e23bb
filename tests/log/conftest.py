import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.layer_runs import LayerRuns
from armillary.log.schema import EVALUATIONS, LAYER_RUNS, Table, to_table
from armillary.log.store import Log
from armillary.types import Evaluations

OPTIONS = ("", '{"mapper": "random"}', '{"mapper": "exhaustive"}')


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
        options=np.array(OPTIONS, dtype=object)[rng.integers(0, 3, n)],
    )


def _layer_runs(n=20, seed=0, space=SPACE.name):
    """Return n random layer runs, about a quarter of them feasible."""
    rng = np.random.default_rng([seed, 1])
    rows = _evaluations(n, seed, space)
    shared = {name for name, _ in rows.columns() if "." not in name} - {"seconds"}
    groups = 2 ** rng.integers(0, 3, n)
    return LayerRuns(
        space=space,
        design=rows.design,
        metrics={"delay_cycles": rows.metrics["runtime_s"] * 1e9, "energy_pj": rows.metrics["energy_pj"]},
        **{name: getattr(rows, name) for name in shared},
        network=np.array(["", "m4", "m5"], dtype=object)[rng.integers(0, 3, n)],
        position=rng.integers(0, 50, n),
        runs=rng.integers(1, 5, n),
        layer=np.array([f"conv_{i}" for i in range(60)], dtype=object)[rng.integers(0, 60, n)],
        kind=np.array(["conv", "depthwise", "gemm"], dtype=object)[rng.integers(0, 3, n)],
        **{name: rng.integers(1, 9, n) for name in ("N", "P", "Q", "R", "S")},
        **{name: rng.integers(1, 3, n) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")},
        K=groups * 2 * rng.integers(1, 9, n),
        C=groups * rng.integers(1, 9, n),
        groups=groups,
        bias=rng.random(n) < 0.5,
        dynamic=rng.random(n) < 0.5,
        outputs_per_bias=rng.integers(1, 3, n),
        bits=np.array(["", "W=4", "W=8,I=8,P=32,O=8,kind=int"], dtype=object)[rng.integers(0, 3, n)],
        mapping=np.array([f"L1 K{i} - L0 P16" for i in range(9)], dtype=object)[rng.integers(0, 9, n)],
    )


@dataclass(frozen=True)
class _Case:
    """One table of a log: how rows are made, written and read, and where its fragments lie in the folder."""

    table: Table[Any]
    rows: Callable[..., Any]
    append: Callable[..., str]
    read: Callable[..., Any]
    of: str
    subfolder: str

    def fragments(self, log):
        return getattr(log, self.of).all()


_CASES = (
    _Case(EVALUATIONS, _evaluations, Log.append, Log.evaluations, "of_evaluations", ""),
    _Case(LAYER_RUNS, _layer_runs, Log.append_layers, Log.layer_runs, "of_layer_runs", "layer_runs"),
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
def layer_runs():
    return _layer_runs


def _version_1(rows):
    """Return the table that Armillary 0.1.0 wrote of evaluations, which knew no options and had no second table."""
    header = {
        "space": rows.space, "parameters": list(rows.design), "context": list(rows.context),
        "metrics": list(rows.metrics), "armillary_version": "0.1.0", "schema_version": 1,
    }  # fmt: skip
    stored = to_table(rows, EVALUATIONS).drop_columns(["options"])
    return stored.replace_schema_metadata({b"armillary_log": json.dumps(header).encode()})


@pytest.fixture(scope="session")
def version_1():
    return _version_1


@pytest.fixture(scope="session", params=_CASES, ids=lambda case: case.table.name)
def case(request):
    """Each of the tables of a log in turn."""
    return request.param


@pytest.fixture(scope="session")
def assert_same():
    return _assert_same

"""Rows of a user's file: mapped layers and whole designs."""

import csv
import re

import numpy as np
import pytest

from armillary.log.exchange import export_csv, write_csv
from armillary.log.layer_rows import BOUNDS, read_design_rows, read_layer_rows
from armillary.log.layer_runs import LayerRuns
from armillary.log.query import reading
from armillary.log.store import Log
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, EvaluatorSpec, Failure, Fidelity, LayerRun, MappedLayer
from armillary.workloads.layer import Layer

SPACE = Space("mine", (Parameter("dim", (4, 8)), Parameter("flow", ("ws", "os"), kind="categorical")))
DEFAULTS = {"flow": "os"}
MAPPING = "L1[WIO] K8 Q28 - L0[W] C4 K4X"
CONV = {"N": 1, "K": 32, "C": 4, "P": 1, "Q": 28, "R": 1, "S": 1, "mapping": MAPPING, "dim": 8}


def written(path, *rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path, *rows):
    return read_layer_rows(written(path / "rows.csv", *rows), SPACE, DEFAULTS)


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def test_a_row_is_a_mapped_layer(tmp_path):
    whole = {**CONV, "R": 3, "S": 5, "stride_h": 2, "stride_w": 3, "dilation_h": 4, "dilation_w": 5, "groups": 2,
             "outputs_per_bias": 4, "kind": "gemm", "bias": "true", "dynamic": 1, "layer": "first", "network": "net",
             "flow": "ws"}  # fmt: skip
    (found,) = read(tmp_path, whole).rows
    layer = Layer("first", "gemm", N=1, K=32, C=4, P=1, Q=28, R=3, S=5, stride_h=2, stride_w=3, dilation_h=4,
                  dilation_w=5, groups=2, bias=True, dynamic=True, outputs_per_bias=4)  # fmt: skip
    assert found == MappedLayer(SPACE.design_from({"dim": 8, "flow": "ws"}, "test"), layer, MAPPING, "net")
    assert found.layer.name == "first"


def test_what_is_left_out_has_defaults(tmp_path):
    (found,) = read(tmp_path, CONV).rows
    assert found.layer == Layer("", "conv", K=32, C=4, Q=28)
    assert (found.layer.name, found.network, found.design["flow"]) == ("K32C4Q28", "", "os")


def test_the_network_is_else_the_workload_and_groups_may_be_g(tmp_path):
    rows = [
        {**CONV, "G": 2, "network": "mine", "workload": "other"}, {**CONV, "G": 4, "network": "", "workload": "other"},
    ]  # fmt: skip
    found = read(tmp_path, *rows).rows
    assert [(one.network, one.layer.groups) for one in found] == [("mine", 2), ("other", 4)]


def test_mappings_are_written_as_the_log_does(tmp_path):
    (found,) = read(tmp_path, {**CONV, "mapping": f"  {MAPPING.replace(' - ', '   -  ')} "}).rows
    assert found.mapping == MAPPING


@pytest.mark.parametrize("name", ["mapping", "dim", *BOUNDS])
def test_a_missing_column_is_named(name, tmp_path):
    with pytest.raises(ArmillaryError, match=rf"rows\.csv: column '{name}' is missing"):
        read(tmp_path, without(CONV, name))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("K", "0", "write an integer from 1 up"),
        ("P", "2.5", "write an integer from 1 up"),
        ("stride_w", "", "write an integer from 1 up"),
        ("kind", "pool", r"choose one of \['conv', 'depthwise', 'gemm'\]"),
        ("bias", "maybe", "choose one of"),
        ("dim", "5", r"choose one of \[4, 8\]"),
        ("flow", "is", r"choose one of \['ws', 'os'\]"),
        ("space", "yours", r"choose one of \['mine'\]"),
        ("mapping", "L0[W] Z4", r"mapping .*level 0: loop dimension 'Z' is unknown"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(name, value, allowed, tmp_path):
    good = {**CONV, "stride_w": 1, "kind": "conv", "bias": "false", "flow": "ws", "space": "mine"}
    where = rf"rows\.csv: row 3: {name}='{re.escape(value)}'"
    with pytest.raises(ArmillaryError, match=f"{where} is not allowed; {allowed}"):
        read(tmp_path, good, {**good, name: value})


def test_every_fault_is_told(tmp_path):
    with pytest.raises(ArmillaryError, match=r"(?s)2 faults.*row 2: K='x'.*row 3: C='-1'"):
        read(tmp_path, {**CONV, "K": "x"}, {**CONV, "C": "-1"})


def test_a_layer_that_cannot_be_is_named_with_its_row(tmp_path):
    with pytest.raises(ArmillaryError, match=r"row 3: layer .*groups=3 must divide K=32"):
        read(tmp_path, {**CONV, "groups": 1}, {**CONV, "groups": 3})


def test_a_column_that_looks_misspelt_is_refused_and_another_is_told(tmp_path):
    with pytest.raises(ArmillaryError, match=r"column 'stride_hh' is unknown; did you mean 'stride_h'\?"):
        read(tmp_path, {**CONV, "stride_hh": 2})
    assert read(tmp_path, {**CONV, "remark": "x", "delay_cycles": 3.5, "seed": 1}).unused == ("remark",)


def test_groups_are_told_once(tmp_path):
    with pytest.raises(ArmillaryError, match="columns 'G' and 'groups' say the same"):
        read(tmp_path, {**CONV, "G": 1, "groups": 1})


def test_mappings_of_other_layers_are_refused_by_row(tmp_path):
    rows = read(tmp_path, CONV, CONV)
    rows.refuse({})
    with pytest.raises(ArmillaryError, match=r"rows\.csv: row 3: mapping='L1.*' is not allowed; too long"):
        rows.refuse({1: "too long"})


@pytest.mark.parametrize("by", ["export", "query"])
def test_what_a_log_exports_can_be_read(by, tmp_path):
    layers = [
        Layer("a", "conv", K=8, C=4, P=9, Q=7, R=3, S=5, stride_h=2, dilation_w=2, bias=True),
        Layer("b", "gemm", K=8, C=4, P=9, groups=4, dynamic=True, outputs_per_bias=2),
    ]
    designs = [SPACE.design_from({"dim": dim, "flow": flow}, "test") for dim, flow in ((4, "os"), (8, "ws"))]
    runs = [
        LayerRun(designs[0], layers[0], MAPPING, {"delay_cycles": 7.0}, network="net"),
        LayerRun(designs[1], layers[1], MAPPING, {}, Failure("infeasible", "rows", "b", 2.0, 1.0), network="net"),
    ]
    log = Log(tmp_path / "log")
    log.append_layers(LayerRuns.of_runs(runs, EvaluatorSpec("mine", Fidelity.RTL, "tool", "1"), np.datetime64(0, "us")))
    path = tmp_path / "rows.csv"
    if by == "export":
        assert export_csv(log, path, layer_runs=True) == 2
    else:
        with reading(log.path, "SELECT * FROM layer_runs") as answer:
            write_csv(answer, answer.schema, path)
    found = read_layer_rows(path, SPACE, {})
    assert found.rows == tuple(MappedLayer(run.design, run.layer, run.mapping, "net") for run in runs)
    assert [one.layer.name for one in found.rows] == ["a", "b"]
    assert found.unused == ()


def test_whole_designs_are_of_workloads(tmp_path):
    rows = [{"workload": "unet", "dim": 8, "flow": "ws"}, {"workload": "bert", "dim": 4, "flow": "os"}]
    found = read_design_rows(written(tmp_path / "rows.csv", *rows), SPACE, {})
    assert found.codes.tolist() == [[1, 0], [0, 1]]
    assert found.workloads.tolist() == ["unet", "bert"]
    with pytest.raises(ArmillaryError, match="column 'workload' is missing"):
        read_design_rows(written(tmp_path / "rows.csv", {"dim": 8}), SPACE, DEFAULTS)

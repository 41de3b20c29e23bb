"""Small models of every kind that importers stumble over, beside what each needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from armillary.types import ArmillaryError
from armillary.workloads import checking
from armillary.workloads.onnx.importer import import_onnx

CASES = Path(__file__).parents[4] / "shared" / "data" / "onnx_cases"
EXPECTED = json.loads((CASES / "expected.json").read_text()) if CASES.is_dir() else {}


@pytest.mark.parametrize("name", EXPECTED)
def test_cases_of_others_need_what_they_are_known_to(name: str) -> None:
    row = EXPECTED[name]
    if row["macs"] is None:
        with pytest.raises(ArmillaryError, match=rf"{name}\.onnx: "):
            import_onnx(CASES / f"{name}.onnx", row["dims"])
    else:
        workload = import_onnx(CASES / f"{name}.onnx", row["dims"])
        assert (workload.macs, workload.parameters) == (row["macs"], row["parameters"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("k_cycle", "its nodes form a cycle: Add node 'b', Add node 'a'"),
        ("m_stride_len1", r"Conv node 'y' cannot be read: strides=\[2\] has 1 values for 2 axes"),
        (
            "v_unet_odd",
            r"Concat node 'c': tensors 'a' \[1, 4, 15, 16\] and 'u' \[1, 4, 14, 16\] do not fit: axis 2 of the one "
            r"asks for 15, axis 2 of the other for 14; .*--dim height=15 --dim width=16; it would fit with "
            "--dim height=16",
        ),
        ("v_unet_one", "it would fit with --dim height=2 --dim width=2"),
    ],
)
def test_what_is_refused_is_said(name: str, message: str) -> None:
    with pytest.raises(ArmillaryError, match=message):
        import_onnx(CASES / f"{name}.onnx", EXPECTED[name]["dims"])


def test_work_that_depends_on_the_data_is_said_and_can_be_set() -> None:
    workload = import_onnx(CASES / "l_nonzero_moe.onnx")
    assert len(workload.unknown_work) == 2
    assert "it is lost at NonZero node 'nz'); set --dim 'nz[1]=NUMBER'" in workload.unknown_work[0]
    known = import_onnx(CASES / "l_nonzero_moe.onnx", {"nz[1]": 16})
    assert known.unknown_work == ()
    assert known.macs == workload.macs + 16 * 64 * 256 * 2
    assert known.parameters == workload.parameters


def test_contradicting_recorded_shapes_are_named() -> None:
    (warning,) = import_onnx(CASES / "e_stale_batch.onnx").warnings
    assert warning.startswith(
        "6 recorded shapes contradict the inputs and are not used: 'c1' [1, 8, 16, 16], which is [8"
    )


def write(folder: Path, content: object) -> Path:
    (folder / "expected.json").write_text(json.dumps(content))
    return folder


def test_a_folder_is_checked_case_by_case(tmp_path: Path) -> None:
    for name in ("d_einsum_three", "k_cycle"):
        (tmp_path / f"{name}.onnx").write_bytes((CASES / f"{name}.onnx").read_bytes())
    right = {"d_einsum_three": {"macs": 12288, "parameters": 3072}, "k_cycle": {"macs": None}}
    assert [checking.check(case).ok for case in checking.cases_of(write(tmp_path, right))] == [True, True]
    wrong = {"d_einsum_three": {"macs": 12288, "parameters": 1}, "k_cycle": {"macs": 7}}
    results = [checking.check(case) for case in checking.cases_of(write(tmp_path, wrong))]
    assert [result.ok for result in results] == [False, False]
    assert (results[0].macs, results[0].parameters) == (12288, 3072)
    assert "form a cycle" in results[1].note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has to be an object, one entry a model"),
        ({"x": {}}, "x: has to be an object with macs"),
        ({"x": {"macs": "1"}}, r"x: macs='1' is not allowed; it must be a whole number, or null"),
        ({"x": {"macs": 1, "mac": 2}}, r"x: unknown fields \['mac'\]"),
        ({"x": {"macs": 1, "dims": {"n": "2"}}}, "dims=.* must be an object of int"),
        ({"x": {"macs": 1}}, r"x: there is no file x\.onnx"),
    ],
)
def test_a_list_that_is_none_is_refused(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArmillaryError, match=message):
        checking.cases_of(write(tmp_path, content))


def test_a_folder_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArmillaryError, match=r"expected\.json: cannot be read: No such file"):
        checking.cases_of(tmp_path)

import csv
import dataclasses
import errno
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.exchange import export_csv, import_csv
from armillary.log.store import Log
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

DESIGN = {p.name: str(p.values[0]) for p in SPACE.parameters}
GOOD = {**DESIGN, "runtime_s": "0.5", "area_mm2": "27"}


@pytest.fixture
def sheet(tmp_path):
    """Write rows (mappings of column to cell) as a CSV file."""

    def write(*rows):
        path = tmp_path / "in.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def test_an_exported_log_is_imported_without_loss(tmp_path, evaluations, assert_same):
    log = Log(tmp_path / "log")
    log.append(evaluations(300))
    assert export_csv(log, tmp_path / "out.csv") == 300
    assert_same(import_csv(tmp_path / "out.csv", SPACE), evaluations(300))


FORMULAS = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "'=1", "''=1", "'plain", "plain")


def test_no_cell_of_an_exported_file_is_a_formula(tmp_path, evaluations, assert_same):
    rows = replace(evaluations(9), failure_detail=np.array(FORMULAS, dtype=object))
    log = Log(tmp_path / "log")
    log.append(rows)
    export_csv(log, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        told = [row["failure_detail"] for row in csv.DictReader(file)]
    assert told == ["'" + text if text.lstrip("'")[0] in "=+-@\t" else text for text in FORMULAS]
    assert_same(import_csv(tmp_path / "out.csv", SPACE), rows)


MIXED = Space(
    "mixed",
    (
        Parameter("dataflow", ("ws", "os, then ws", 'a "b"\nc'), kind="categorical"),
        Parameter("voltage_v", (0.1, 0.7, 1.1)),
        Parameter("size", (3, 5)),
    ),
)
ANY_TEXT = st.text(max_size=8)
ANY_NUMBER = st.floats(allow_nan=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(ANY_TEXT, min_size=6, max_size=6), numbers=st.lists(ANY_NUMBER, min_size=5, max_size=5))
def test_csv_keeps_any_text_and_number(tmp_path_factory, evaluations, assert_same, texts, numbers):
    folder = tmp_path_factory.mktemp("csv")
    codes = np.stack([np.arange(6) % n for n in MIXED.cardinalities], axis=1)
    data = dataclasses.replace(
        evaluations(6, seed=4),
        space="mixed",
        design={name: values.astype(object) if values.dtype.kind == "U" else values
                for name, values in MIXED.columns(codes).items()},
        workload=np.array(texts, dtype=object),
        failure_detail=np.array(texts[::-1], dtype=object),
        feasible=np.zeros(6, dtype=bool),  # so that its metrics may be anything
        failure_kind=np.full(6, "infeasible", dtype=object),
        metrics={"runtime_s": np.array([*numbers, 0.1]), "mine_s": np.array([1e-300, *numbers])},
        time=np.array(["2026-01-01", "1969-12-31T23:59:59.999999", "NaT"] * 2, dtype="datetime64[us]"),
    )  # fmt: skip
    log = Log(folder / "log")
    log.append(data)
    export_csv(log, folder / "out.csv")
    assert_same(import_csv(folder / "out.csv", MIXED, extra_metrics=["mine_s"]), data)


@pytest.mark.parametrize(
    ("metric", "cell", "allowed"),
    [("runtime_s", cell, "a feasible row states a positive number") for cell in ("nan", "inf", "-1", "0")]
    + [("dram_bytes", cell, "a feasible row states a finite number") for cell in ("nan", "inf", "-1")],
)
def test_feasible_rows_with_impossible_metrics_are_refused(sheet, metric, cell, allowed):
    with pytest.raises(ArmillaryError, match=f"row 2: {metric}='{cell}' is not allowed; {allowed}"):
        import_csv(sheet({**GOOD, "feasible": "true", metric: cell}), SPACE, workload="w")
    failed = {**GOOD, "feasible": "false", metric: cell}
    assert not import_csv(sheet(failed), SPACE, workload="w").feasible.any()


def test_the_space_is_named_where_the_log_holds_several(tmp_path, evaluations):
    log = Log(tmp_path / "log")
    log.append(evaluations(3))
    log.append(evaluations(4, space="gemmini"))
    with pytest.raises(ArmillaryError, match=r"several spaces; name one of \['edge_tpu', 'gemmini'\]"):
        export_csv(log, tmp_path / "out.csv")
    assert export_csv(log, tmp_path / "out.csv", space="gemmini") == 4


def test_a_full_disk_leaves_the_earlier_export(tmp_path, evaluations, monkeypatch):
    log = Log(tmp_path / "log")
    log.append(evaluations(3))
    export_csv(log, tmp_path / "out.csv")
    before = (tmp_path / "out.csv").read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArmillaryError, match=r"/out\.csv: cannot be written \(No space left on device\)"):
        export_csv(log, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["log", "out.csv"]


def test_parameters_and_a_metric_suffice(sheet):
    data = import_csv(sheet(GOOD, {**GOOD, "runtime_s": " 1e-3 "}), SPACE, workload="m4", evaluator="maestro")
    first = data.row(0)
    assert first.design == SPACE.design([0] * 10)
    assert (first.workload, first.evaluator, first.fidelity) == ("m4", "maestro", "external")
    assert (first.version, first.options) == ("", {})
    assert first.feasible
    assert first.failure is None
    assert data.metrics["runtime_s"].tolist() == [0.5, 0.001]
    assert data.seconds.tolist() == [0.0, 0.0]


def test_numbers_may_be_written_as_decimals(sheet):
    data = import_csv(sheet({**GOOD, "pes_x": "8.0", "cores": " 16 "}), SPACE, workload="m4")
    assert data.design["pes_x"].tolist() == [8]
    assert data.design["pes_x"].dtype == np.int64


def test_an_infeasible_row_needs_no_metrics_nor_a_reason(sheet):
    bad = {**GOOD, "runtime_s": "", "area_mm2": ""}
    data = import_csv(sheet({**GOOD, "feasible": "1"}, {**bad, "feasible": "False"}), SPACE, workload="m4")
    assert data.feasible.tolist() == [True, False]
    assert str(data.failure(1)) == "infeasible: unstated"
    assert np.isnan(data.metrics["runtime_s"][1])


def test_options_are_as_the_log_writes_them(sheet):
    cells = ("", "{}", '{"b": 2, "a": "x"}', ' {"a":"x","b":2} ')
    data = import_csv(sheet(*({**GOOD, "options": cell} for cell in cells)), SPACE, workload="m4")
    assert data.options.tolist() == ["", "", '{"a": "x", "b": 2}', '{"a": "x", "b": 2}']
    assert data.row(3).options == {"a": "x", "b": 2}


def test_a_metric_that_nobody_knows_is_taken_where_it_is_named(sheet):
    path = sheet({**GOOD, "wakeup_s": "0.25"})
    with pytest.raises(ArmillaryError, match="column 'wakeup_s' is unknown"):
        import_csv(path, SPACE, workload="m4")
    data = import_csv(path, SPACE, workload="m4", extra_metrics=["wakeup_s", "runtime_s", "other"])
    assert {name: column.tolist() for name, column in data.metrics.items()} == {
        "runtime_s": [0.5], "area_mm2": [27.0], "wakeup_s": [0.25],
    }  # fmt: skip


def test_context_columns_are_taken(sheet):
    data = import_csv(sheet({**GOOD, "context_conv_ops": "45"}), SPACE, workload="m4")
    assert data.context["conv_ops"].tolist() == [45.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pes_z": "1"}, "column 'pes_z' is unknown; did you mean 'pes_y' or 'pes_x'?"),
        ({"runtime_ms": "1"}, "column 'runtime_ms' is unknown; did you mean 'runtime_s'"),
        ({"qqq": "1"}, "column 'qqq' is unknown; known columns are ['pes_x', "),
        ({"context_": "1"}, "column 'context_' is unknown"),
        ({"pes_x": "3"}, "row 3: pes_x='3' is not allowed; choose one of [1, 2, 4, 6, 8, 10, 12, 14, 16, 32]"),
        ({"pes_x": ""}, "row 3: pes_x='' is not allowed; choose one of [1, "),
        ({"runtime_s": "fast"}, "row 3: runtime_s='fast' is not allowed; without a column 'feasible', every row"),
        ({"runtime_s": ""}, "row 3: runtime_s='' is not allowed; without a column 'feasible', every row"),
        ({"feasible": "maybe"}, "row 3: feasible='maybe' is not allowed; choose one of ['true', "),
        ({"feasible": "1", "area_mm2": "1,5"}, "row 3: area_mm2='1,5' is not allowed; write a number, or nothing"),
        ({"feasible": "1", "failure_kind": "error"}, "row 3: failure_kind='error' is not allowed; a feasible row has"),
        ({"feasible": "0", "failure_kind": ""}, "row 3: failure_kind='' is not allowed; choose one of ['infeasible', "),
        ({"fidelity": "rlt"}, "row 3: fidelity='rlt' is not allowed; choose one of ['analytical', 'rtl', "),
        ({"seed": "1.5"}, "row 3: seed='1.5' is not allowed; write an integer"),
        ({"seed": ""}, "row 3: seed='' is not allowed; write an integer"),
        ({"time": "yesterday"}, "row 3: time='yesterday' is not allowed; write it in UTC as 2026-01-31 13:05:00"),
        ({"options": "fast"}, "row 3: options='fast' is not allowed; write the evaluator's options like {"),
        ({"options": "[1]"}, "row 3: options='[1]' is not allowed; write the evaluator's options"),
        ({"options": '{"a": [1]}'}, "row 3: options='{\"a\": [1]}' is not allowed; write the evaluator's options"),
        ({"space": "gemmini"}, "row 3: space='gemmini' is not allowed; choose one of ['edge_tpu']"),
    ],
)
def test_a_fault_names_file_row_column_value_and_what_is_allowed(sheet, change, message):
    fine = {
        "feasible": "1",
        "failure_kind": "",
        "fidelity": "rtl",
        "seed": "1",
        "time": "2026-01-01",
        "space": "edge_tpu",
        "options": "",
    }
    first = {**GOOD, **{name: fine.get(name, GOOD.get(name, "1")) for name in change}}
    path = sheet(first, {**first, **change})
    with pytest.raises(ArmillaryError, match=rf"^{re.escape(f'{path}: ')}.*{re.escape(message)}"):
        import_csv(path, SPACE, workload="m4")


def test_all_faults_of_a_file_are_told_at_once(sheet):
    path = sheet({**GOOD, "pes_x": "3", "lanes": "5"}, {**GOOD, "runtime_s": "x"})
    with pytest.raises(ArmillaryError, match=r"(?s)3 faults\n.*row 2: pes_x='3'.*row 2: lanes='5'.*row 3: runtime_s"):
        import_csv(path, SPACE, workload="m4")


def test_a_file_full_of_faults_shows_the_first_and_counts_the_rest(sheet):
    with pytest.raises(ArmillaryError, match=r"50 faults\n(.*\n){20}  and 30 more$"):
        import_csv(sheet(*[{**GOOD, "cores": "3"}] * 50), SPACE, workload="m4")


def test_missing_columns_are_told_at_once(sheet):
    row = {name: value for name, value in DESIGN.items() if name != "cores"}
    with pytest.raises(ArmillaryError) as fault:
        import_csv(sheet(row), SPACE)
    assert "column 'cores', a parameter of edge_tpu, is missing" in str(fault.value)
    assert "no column is a metric; known metrics are ['delay_cycles', " in str(fault.value)
    assert "column 'workload' is missing and no workload was named" in str(fault.value)


def test_a_column_that_appears_twice(sheet):
    path = sheet(GOOD)
    path.write_text(path.read_text().replace("pes_y", "pes_x", 1))
    with pytest.raises(ArmillaryError, match=r"(?s)column 'pes_x' appears 2 times.*'pes_y', .* is missing"):
        import_csv(path, SPACE, workload="m4")


def test_a_row_with_too_few_cells_is_named(sheet):
    path = sheet(GOOD, GOOD)
    path.write_text(path.read_text() + "1,2,3\n")
    with pytest.raises(ArmillaryError, match=r"row 4 has 3 cells, expected 12: '1,2,3'"):
        import_csv(path, SPACE, workload="m4")


def test_a_byte_order_mark_is_no_part_of_the_first_name(sheet):
    path = sheet(GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(import_csv(path, SPACE, workload="m4")) == 1


def test_a_header_without_rows_is_no_evaluation(sheet):
    path = sheet(GOOD)
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert len(import_csv(path, SPACE, workload="m4")) == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x00\x01\x02,", b"a,b\n\xff\xff,1\n"])
def test_what_is_no_csv_is_refused(tmp_path, content):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(ArmillaryError, match=r"odd\.csv"):
        import_csv(path, SPACE, workload="m4")


def test_a_cell_that_is_no_utf8_is_refused(sheet):
    path = sheet(*[{**GOOD, "workload": "m4"}] * 500, {**GOOD, "workload": "last"})
    path.write_bytes(path.read_bytes().replace(b"last", b"\xff"))
    with pytest.raises(ArmillaryError, match=r"cannot read .*in\.csv as CSV: .*invalid UTF8"):
        import_csv(path, SPACE)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArmillaryError, match=r"cannot read .*none\.csv as CSV: .*No such file"):
        import_csv(tmp_path / "none.csv", SPACE)

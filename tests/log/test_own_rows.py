import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from armillary.log.own_rows import fingerprints, read_candidates, read_own_rows
from armillary.log.sheet import read_table
from armillary.problems.problem_file import read_problem
from armillary.types import ArmillaryError, Evaluations

PROBLEM = """
name: mychip
parameters: {rows: [4, 8], clock: [0.5, 1.0], flow: {choices: [ws, os]}, double: [false, true]}
metrics: {latency_ms: {unit: ms, goal: minimize}, slack_ns: {unit: ns, at_least: -1}, area_mm2: {unit: mm2}}
log: {columns: {lat: latency_ms}, scale: {lat: 0.001}, feasible: "status == 'OK'", reason: status, workload: net}
"""
HEADER = "rows,clock,flow,double,net,lat,slack_ns,area_mm2,status"
GOOD = "4,0.5,ws,true,asr,2500,-0.5,1.5,OK"
BAD = "8,1,os,0,kws,,,2.5,FAIL_SRAM"


@pytest.fixture
def problem(tmp_path):
    return made(tmp_path, PROBLEM)


def made(tmp_path, text):
    path = tmp_path / "problem.yaml"
    path.write_text(text)
    return read_problem(path)


def sheet(tmp_path, *rows, header=HEADER):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_become_evaluations(problem, tmp_path):
    found = read_own_rows(sheet(tmp_path, GOOD, BAD), problem)
    assert (found.faults, found.notes, found.faulty) == ((), (), 0)
    first, second = found.evaluations.to_list()
    assert first.design.as_dict() == {"rows": 4, "clock": 0.5, "flow": "ws", "double": True}
    assert first.metrics == {"latency_ms": 2.5, "slack_ns": -0.5, "area_mm2": 1.5}
    assert (first.workload, first.evaluator, first.version, str(first.fidelity)) == ("asr", "mychip", "1", "external")
    assert second.design.as_dict() == {"rows": 8, "clock": 1.0, "flow": "os", "double": False}
    assert (second.feasible, second.failure.kind, second.failure.detail) == (False, "infeasible", "FAIL_SRAM")
    assert second.metrics == {"area_mm2": 2.5}


def test_parquet_is_read_as_csv_is(problem, tmp_path):
    columns = {
        "rows": [4, 8], "clock": [0.5, 1.0], "flow": ["ws", "os"], "double": [True, False], "net": ["asr", "kws"],
        "lat": [2500.0, None], "slack_ns": [-0.5, None], "area_mm2": [1.5, 2.5], "status": ["OK", "FAIL_SRAM"],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "runs.parquet")
    from_parquet = read_own_rows(tmp_path / "runs.parquet", problem).evaluations
    from_csv = read_own_rows(sheet(tmp_path, GOOD, BAD), problem).evaluations
    together = fingerprints(Evaluations.concat([from_parquet, from_csv]))
    assert together.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (
            "5,0.5,ws,true,asr,2500,0,1,OK",
            r"rows holds values that rows does not have .*: 1 row, line 3; e.g. line 3: '5'",
        ),
        ("4,0.5,ws,maybe,asr,2500,0,1,OK", r"double holds values"),
        ("4,0.5,WS,true,asr,2500,0,1,OK", r"choose one of \['ws', 'os'\]"),
        ("4,0.5,ws,true,asr,soon,0,1,OK", r"lat is no number: 1 row, line 3; e.g. line 3: 'soon'"),
        ("4,0.5,ws,true,asr,nan,0,1,OK", r"latency_ms is missing in feasible rows"),
        ("4,0.5,ws,true,asr,,0,1,OK", r"latency_ms is missing in feasible rows"),
        ("4,0.5,ws,true,asr,inf,0,1,OK", r"latency_ms is infinite in feasible rows"),
        ("4,0.5,ws,true,asr,-1,0,1,OK", r"latency_ms is not positive in feasible rows.* lat=-0.001"),
        ("4,0.5,ws,true,asr,0,0,1,OK", r"latency_ms is not positive"),
        ("4,0.5,ws,true,asr,2500,0,0,OK", r"area_mm2 is not positive"),
        ("4,0.5,ws,true,asr,2500,,1,OK", r"slack_ns is missing in feasible rows"),
        ("4,0.5,ws,true,,2500,0,1,OK", r"net names no workload"),
    ],
)
def test_an_impossible_row_is_a_fault_and_left_out(problem, tmp_path, row, fault):
    found = read_own_rows(sheet(tmp_path, GOOD, row), problem)
    assert found.faulty == 1
    assert len(found.faults) == 1
    assert re.search(fault, found.faults[0]), found.faults
    assert found.evaluations.metrics["latency_ms"].tolist() == [2.5]
    assert found.lines.tolist() == [2]


def test_a_kind_of_fault_is_told_once_with_the_lines_of_its_rows(problem, tmp_path):
    rows = [GOOD if i % 2 else GOOD.replace("4,", f"{i + 100},", 1) for i in range(40)]
    found = read_own_rows(sheet(tmp_path, *rows), problem)
    (fault,) = found.faults
    assert "20 rows, lines 2, 4, 6, 8, 10 and 15 more; e.g. line 2: '100'" in fault
    assert found.faulty == 20


def test_infeasible_rows_may_lack_and_break_anything(problem, tmp_path):
    found = read_own_rows(sheet(tmp_path, "4,0.5,ws,true,asr,-5,,0,CRASH"), problem)
    assert found.faults == ()


@pytest.mark.parametrize(
    ("old", "new", "rows", "feasible"),
    [
        ("feasible: \"status == 'OK'\", ", "", [GOOD, BAD], [True, False]),  # by missing goals
        ("feasible: \"status == 'OK'\"", 'feasible: "lat < 2000"', [GOOD, GOOD.replace("2500", "1500")], [False, True]),
    ],
)
def test_what_is_feasible_follows_the_problem(tmp_path, old, new, rows, feasible):
    assert old in PROBLEM
    found = read_own_rows(sheet(tmp_path, *rows), made(tmp_path, PROBLEM.replace(old, new)))
    assert found.evaluations.feasible.tolist() == feasible


def test_a_column_of_truth_values_tells_what_is_feasible(tmp_path):
    problem = made(tmp_path, PROBLEM.replace("feasible: \"status == 'OK'\", reason: status, ", ""))
    path = sheet(
        tmp_path, GOOD.replace("OK", "yes"), GOOD.replace("OK", "False"), header=HEADER.replace("status", "feasible")
    )
    assert read_own_rows(path, problem).evaluations.feasible.tolist() == [True, False]


def test_missing_columns_are_told_together_with_near_names(problem, tmp_path):
    path = sheet(tmp_path, GOOD, header=HEADER.replace("clock", "clocks").replace("net", "network"))
    with pytest.raises(ArmillaryError, match=r"'clock' has no column \(did you mean 'clocks'\?\); log.workload names"):
        read_own_rows(path, problem)


def test_feasible_rows_that_the_problems_own_rules_exclude_are_faults(tmp_path):
    problem = made(tmp_path, PROBLEM + 'constraints: ["rows * clock <= 4"]\n')
    path = sheet(tmp_path, GOOD, GOOD.replace("4,0.5", "8,1.0"), BAD)
    found = read_own_rows(path, problem)
    assert "feasible rows break the constraints: 1 row, line 3" in found.faults[0]
    listed = read_candidates(sheet(tmp_path, BAD), problem)
    found = read_own_rows(sheet(tmp_path, GOOD, BAD), problem, candidates=listed)
    assert "feasible rows are of no design of the candidates: 1 row, line 2" in found.faults[0]


def test_candidates_are_listed_once_each(problem, tmp_path):
    assert read_candidates(sheet(tmp_path, BAD, GOOD, BAD), problem).tolist() == [[1, 1, 1, 0], [0, 0, 0, 1]]
    with pytest.raises(ArmillaryError, match="rows holds values that rows does not have"):
        read_candidates(sheet(tmp_path, GOOD.replace("4,", "5,", 1)), problem)


def test_repeats_constants_laws_and_unused_columns_are_said(tmp_path):
    problem = made(tmp_path, PROBLEM + 'laws: {area_mm2: "0.1 * rows"}\n')
    rows = [GOOD, GOOD.replace("2500", "2600"), GOOD.replace("OK", "FLAKY"), GOOD.replace("4,0.5", "8,0.5")]
    notes = read_own_rows(sheet(tmp_path, *(f"{row},x" for row in rows), header=HEADER + ",who"), problem).notes
    assert "columns that are not used: who" in notes
    assert any("1 designs were measured more than once (3 rows, e.g. line 2)" in note for note in notes)
    assert any("1 of them are feasible in one row and not in another" in note for note in notes)
    assert any("area_mm2 is 1.5 in every feasible row" in note for note in notes)
    assert any(
        "area_mm2 of 3 rows differs from its law by more than 1%, e.g. line 2: 1.5 logged, 0.4" in n for n in notes
    )


def test_contexts_come_from_the_problem_and_from_the_files_own_columns(problem, tmp_path):
    told = {"asr": {"macs": 5.0}, "kws": {"macs": 7.0}}
    found = read_own_rows(sheet(tmp_path, GOOD, BAD), problem, contexts=told).evaluations
    assert found.context["macs"].tolist() == [5.0, 7.0]
    path = sheet(tmp_path, f"{GOOD},11", header=HEADER + ",context_macs")
    assert read_own_rows(path, problem, contexts=told).evaluations.context["macs"].tolist() == [11.0]


def test_files_that_are_none_are_refused(problem, tmp_path):
    for name, text, message in (
        ("a.txt", "x", r"a\.txt: is neither \.csv nor \.parquet"),
        ("b.parquet", "x", r"b\.parquet: cannot be read as Parquet"),
        ("c.csv", HEADER + "\n", r"c\.csv: has no row"),
        ("d.csv", HEADER + ",lat\n" + GOOD + ",1\n", "column 'lat' appears 2 times"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ArmillaryError, match=message):
            read_own_rows(tmp_path / name, problem)
    with pytest.raises(ArmillaryError, match="no such file"):
        read_own_rows(tmp_path / "none.csv", problem)


def test_fingerprints_tell_apart_what_differs_in_anything(problem, tmp_path):
    rows = [
        GOOD,
        GOOD.replace("2500", "2500.0001"),
        GOOD.replace("asr", "kws"),
        BAD,
        BAD.replace("SRAM", "ROUTE"),
        GOOD,
    ]
    prints = fingerprints(read_own_rows(sheet(tmp_path, *rows), problem).evaluations)
    assert prints.tolist() == [0, 1, 2, 3, 4, 0]
    assert prints.dtype == np.int64


def test_a_column_whose_name_is_no_text_is_refused_with_the_file(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"abcdef": [1.0]}), path)
    path.write_bytes(path.read_bytes().replace(b"abcdef", b"ab\xff\xfeef"))
    with pytest.raises(ArmillaryError, match=r"rows\.parquet: cannot be read as Parquet"):
        read_table(path)

from pathlib import Path

import pytest

from armillary.log.store import Log
from armillary.studies.imports import import_own_files
from armillary.studies.own import OwnProblem
from armillary.types import ArmillaryError

PROBLEM = """
name: mychip
parameters: {rows: [4, 8, 16], cols: [1, 2]}
metrics: {latency_ms: {unit: ms, goal: minimize}}
workloads: {asr: {macs: 5}, kws: {macs: 7}}
log: {feasible: "status == 'OK'", reason: status, workload: net}
"""
ROWS = ["4,1,asr,2.5,OK", "8,2,asr,1.5,OK", "16,2,kws,,TOO_BIG", "4,1,asr,2.5,OK"]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "problem.yaml").write_text(PROBLEM)
    return OwnProblem.read(tmp_path / "problem.yaml")


def runs(folder, *rows, name="runs.csv"):
    path = Path(folder) / name
    path.write_text("\n".join(["rows,cols,net,latency_ms,status", *rows]) + "\n")
    return path


def test_a_file_that_is_imported_twice_is_there_once(own, tmp_path):
    log, path = str(tmp_path / "log"), runs(tmp_path, *ROWS)
    first = import_own_files([path], log, own)
    assert (first.rows, first.feasible, first.known, first.reasons) == (3, 2, 1, {"TOO_BIG": 1})
    again = import_own_files([path], log, own)
    assert (again.rows, again.known) == (0, 4)
    assert len(Log(log)) == 3


def test_new_rows_of_a_grown_file_are_added(own, tmp_path):
    log = str(tmp_path / "log")
    import_own_files([runs(tmp_path, *ROWS)], log, own)
    grown = import_own_files([runs(tmp_path, *ROWS, "8,2,asr,1.6,OK", "16,1,kws,9,OK")], log, own)
    assert (grown.rows, grown.known) == (2, 4)
    rows = Log(log).evaluations("mychip")
    assert rows.metrics["latency_ms"].tolist()[-2:] == [1.6, 9.0]  # a repeated measurement is kept
    assert rows.context["macs"].tolist() == [5, 5, 7, 5, 7]


def test_nothing_is_imported_of_files_with_faults(own, tmp_path):
    log = str(tmp_path / "log")
    good, bad = runs(tmp_path, *ROWS), runs(tmp_path, "5,1,asr,1,OK", "4,1,asr,-1,OK", ROWS[1], name="bad.csv")
    with pytest.raises(ArmillaryError) as raised:
        import_own_files([good, bad], log, own)
    told = str(raised.value)
    assert "bad.csv: 2 of 3 rows have faults; nothing was imported (--skip-faulty leaves them out)" in told
    assert len(told.splitlines()) == 3
    assert not (tmp_path / "log").exists()


def test_faulty_rows_can_be_left_out(own, tmp_path):
    log = str(tmp_path / "log")
    found = import_own_files([runs(tmp_path, "5,1,asr,1,OK", *ROWS)], log, own, skip_faulty=True)
    assert (found.rows, found.faulty, len(found.faults)) == (3, 1, 1)


def test_rows_of_another_version_of_the_simulator_are_others(own, tmp_path):
    log, path = str(tmp_path / "log"), runs(tmp_path, *ROWS)
    import_own_files([path], log, own)
    (tmp_path / "newer.yaml").write_text(PROBLEM + 'evaluator: {command: [mysim], version: "2"}\n')
    found = import_own_files([path], log, OwnProblem.read(tmp_path / "newer.yaml"))
    assert found.rows == 3
    assert set(Log(log).evaluations("mychip").version) == {"1", "2"}


def test_workloads_come_from_the_file_and_from_the_log(own, tmp_path):
    log = str(tmp_path / "log")
    import_own_files([runs(tmp_path, *ROWS, "4,2,new_net,3,OK")], log, own)
    assert own.workload_names(Log(log)) == ["asr", "kws", "new_net"]
    assert own.workload("asr").numbers == {"macs": 5.0}
    assert own.workload("new_net", log=Log(log)).numbers == {}
    with pytest.raises(ArmillaryError, match=r"have the workloads \['asr', 'kws', 'new_net'\]"):
        own.workload("other", log=Log(log))
    with pytest.raises(ArmillaryError, match="name one or several with --workload"):
        own.the_workloads([], None, Log(log))


def test_a_workload_may_be_a_network(tmp_path):
    (tmp_path / "problem.yaml").write_text(PROBLEM.replace("asr: {macs: 5}", "asr: mobilenet_v2"))
    own = OwnProblem.read(tmp_path / "problem.yaml")
    network = own.workload("asr")
    assert (network.name, network.numbers) == ("asr", None)
    assert network.macs > 1e8
    assert own.contexts()["asr"]["conv_ops"] > 0


def test_a_problem_without_workloads_has_one_of_its_own_name(tmp_path):
    text = PROBLEM.replace("workloads: {asr: {macs: 5}, kws: {macs: 7}}\n", "").replace(", workload: net", "")
    (tmp_path / "problem.yaml").write_text(text)
    own = OwnProblem.read(tmp_path / "problem.yaml")
    (only,) = own.the_workloads([], None, None)
    assert only.name == "mychip"
    import_own_files([runs(tmp_path, *ROWS)], str(tmp_path / "log"), own)
    assert set(Log(tmp_path / "log").evaluations("mychip").workload) == {"mychip"}

import dataclasses
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from armillary.log.query import query
from armillary.log.schema import NewerSchemaError
from armillary.log.store import Log
from armillary.types import ArmillaryError


@pytest.fixture
def filled(tmp_path, evaluations):
    log = Log(tmp_path / "log")
    for seed in range(3):
        log.append(evaluations(200, seed=seed))
    return log


def test_the_best_feasible_designs(filled):
    table = query(filled.path, "SELECT pes_x, runtime_s FROM log WHERE feasible ORDER BY runtime_s LIMIT 10")
    assert isinstance(table, pa.Table)
    data = filled.evaluations("edge_tpu")
    best = np.argsort(data.metrics["runtime_s"])[:10]
    assert table["runtime_s"].to_pylist() == data.metrics["runtime_s"][best].tolist()
    assert table["pes_x"].to_pylist() == data.design["pes_x"][best].tolist()


def test_a_failure_reads_as_it_does_elsewhere(filled):
    told = query(filled.path, "SELECT failure FROM log")["failure"].to_pylist()
    data = filled.evaluations("edge_tpu")
    assert told == [failure and str(failure) for failure in (data.failure(row) for row in range(len(data)))]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"failure_layer": "conv_1", "failure_needed": 123.0, "failure_available": 45.0},
         "layer conv_1: pe_memory_bytes needs 123, has 45"),
        ({"failure_needed": 262144.5, "failure_available": 1e7}, "pe_memory_bytes needs 262,144, has 1e+07"),
        ({"failure_needed": 2.0}, "pe_memory_bytes needs 2, has nan"),
        ({"failure_layer": "fc", "failure_resource": "", "failure_detail": "unstated"},
         "layer fc: infeasible: unstated"),
        ({"failure_detail": "too wide"}, "pe_memory_bytes: too wide"),
        ({"failure_kind": "timeout", "failure_detail": "after 60 s"}, "timeout: after 60 s"),
    ],
)  # fmt: skip
def test_every_kind_of_failure_in_words(tmp_path, evaluations, fields, text):
    defaults = {"failure_kind": "infeasible", "failure_resource": "pe_memory_bytes", "failure_layer": "",
                "failure_detail": "", "failure_needed": np.nan, "failure_available": np.nan}  # fmt: skip
    columns = {
        name: np.full(1, value, dtype=object if isinstance(value, str) else float)
        for name, value in (defaults | fields).items()
    }
    row = dataclasses.replace(evaluations(1), feasible=np.array([False]), **columns)
    Log(tmp_path).append(row)
    assert str(row.failure(0)) == text
    assert query(tmp_path, "SELECT failure FROM log")["failure"].to_pylist() == [text]


def test_fragments_are_united_by_name(tmp_path, evaluations):
    log = Log(tmp_path)
    data = evaluations(3)
    log.append(data)
    log.append(dataclasses.replace(data, space="mine", design={"K": np.arange(3, dtype=np.int32)}, metrics={}))
    table = query(tmp_path, "SELECT space, pes_x, K, runtime_s FROM log ORDER BY space")
    assert table["space"].to_pylist() == ["edge_tpu"] * 3 + ["mine"] * 3
    assert table["K"].to_pylist() == [None] * 3 + [0, 1, 2]
    assert table["pes_x"].to_pylist()[3:] == [None] * 3


def test_parameters_of_one_name_and_different_types_are_refused(tmp_path, evaluations):
    log = Log(tmp_path)
    data = evaluations(2)
    log.append(data)
    log.append(dataclasses.replace(data, space="mine", design={"pes_x": np.array(["a", "b"], dtype=object)}))
    with pytest.raises(ArmillaryError, match=r"a column has different types in different spaces: .*pes_x"):
        query(tmp_path, "SELECT 1 FROM log")


def test_truncated_and_foreign_files_are_left_out(filled, tmp_path):
    (tmp_path / "log" / "cut.parquet").write_bytes(b"PAR1 cut")
    (tmp_path / "log" / "notes.txt").write_text("not ours")
    assert query(filled.path, "SELECT count(*) AS n FROM log")["n"].to_pylist() == [600]


def test_any_file_system_is_queried(evaluations):
    path = f"memory://{uuid.uuid4().hex}"
    Log(path).append(evaluations(7))
    assert query(path, "SELECT count(*) AS n FROM log")["n"].to_pylist() == [7]


def test_a_mistake_shows_the_message_and_the_columns(filled):
    with pytest.raises(ArmillaryError, match=r'(?s)"runtime" not found.*The columns of log are: space, workload, .*'
                                             r"pes_x, .*context_conv_ops, .*runtime_s, .*failure$"):  # fmt: skip
        query(filled.path, "SELECT runtime FROM log")
    with pytest.raises(ArmillaryError, match=r"(?s)syntax error.*The columns of log are"):
        query(filled.path, "SELEKT 1")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY log TO '{out}'",
        "CREATE TABLE t AS SELECT * FROM log",
        "SELECT 1; COPY log TO '{out}'",
        "EXPLAIN ANALYZE COPY log TO '{out}'",
        "ATTACH '{out}'",
        "SET enable_external_access = true",
        "",
    ],
)
def test_only_one_select_is_taken(filled, tmp_path, sql):
    out = tmp_path / "out.csv"
    with pytest.raises(ArmillaryError, match="a log is queried with one SELECT, got"):
        query(filled.path, sql.format(out=out))
    assert not out.exists()


def test_a_query_sees_neither_other_files_nor_our_variables(filled, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    secret = pa.table({"a": [1]})
    for source in (f"'{tmp_path}/secret.csv'", f"read_csv('{tmp_path}/secret.csv')", "glob('/*')", "secret"):
        with pytest.raises(ArmillaryError, match=r"disabled|does not exist"):
            query(filled.path, f"SELECT * FROM {source}")
    assert secret.num_rows == 1


def test_damage_that_a_scan_meets_is_an_error(filled, tmp_path):
    name = filled.fragments()[0].name
    path = tmp_path / "log" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArmillaryError, match="CRC"):
        query(filled.path, "SELECT * FROM log")


@pytest.fixture
def with_layers(filled, layer_runs):
    for seed in range(3):
        filled.append_layers(layer_runs(200, seed=seed))
    return filled


def test_the_slowest_layers(with_layers):
    sql = "SELECT layer, K, pes_x, delay_cycles FROM layer_runs WHERE feasible ORDER BY delay_cycles DESC LIMIT 10"
    rows = query(with_layers.path, sql)
    runs = with_layers.layer_runs("edge_tpu")
    slowest = np.argsort(np.where(runs.feasible, -runs.metrics["delay_cycles"], np.inf))[:10]
    assert rows["delay_cycles"].to_pylist() == runs.metrics["delay_cycles"][slowest].tolist()
    assert rows["layer"].to_pylist() == runs.layer[slowest].tolist()
    assert rows["K"].to_pylist() == runs.K[slowest].tolist()
    assert rows["pes_x"].to_pylist() == runs.design["pes_x"][slowest].tolist()


def test_a_layer_run_has_every_column_and_its_failure_in_words(with_layers):
    rows = query(with_layers.path, "SELECT * FROM layer_runs")
    runs = with_layers.layer_runs("edge_tpu")
    names = [name.removeprefix("design.").removeprefix("metrics.") for name, _ in runs.columns()]
    assert rows.column_names == ["space", *names, "failure"]
    assert rows["failure"].to_pylist() == [run.failure and str(run.failure) for run in runs.to_list()]


def test_evaluations_and_their_layer_runs_are_joined(with_layers, evaluations):
    whose = ", ".join([*evaluations(1).design, "workload", "evaluator", "version", "options", "seed"])
    sql = f"SELECT runtime_s, mapping FROM log JOIN layer_runs USING ({whose}) WHERE log.feasible ORDER BY runtime_s"
    rows = query(with_layers.path, sql)
    data = with_layers.evaluations("edge_tpu")
    data = data.select(data.feasible)
    best = np.argsort(data.metrics["runtime_s"])
    assert rows["runtime_s"].to_pylist() == data.metrics["runtime_s"][best].tolist()
    found = with_layers.layers_of(data.select(best))
    assert rows["mapping"].to_pylist() == [layers[0].mapping for layers in found]


def test_layer_runs_are_queried_without_evaluations(tmp_path, layer_runs):
    Log(tmp_path).append_layers(layer_runs(7))
    assert query(tmp_path, "SELECT count(*) AS n FROM Layer_Runs")["n"].to_pylist() == [7]
    with pytest.raises(ArmillaryError, match=rf"^log {tmp_path} holds no evaluations$"):
        query(tmp_path, "SELECT count(*) FROM log")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM layer_runs",
        "SELECT * FROM log JOIN layer_runs USING (seed)",
        "SELECT * FROM log WHERE seed IN (SELECT seed FROM LAYER_RUNS)",
    ],
)
def test_a_log_without_layer_runs_says_so(filled, sql):
    with pytest.raises(ArmillaryError, match=rf"^log {filled.path} holds no layer runs"):
        query(filled.path, sql)


def test_a_name_in_a_text_is_no_table(filled):
    rows = query(filled.path, "SELECT count(*) AS layer_runs, 'layer_runs' AS text FROM log")
    assert rows.to_pylist() == [{"layer_runs": 600, "text": "layer_runs"}]


def test_a_mistake_shows_the_columns_of_each_view(with_layers):
    with pytest.raises(ArmillaryError, match=r"(?s)The columns of log are: .*The columns of layer_runs are: space, .*"
                                             r"position, .*mapping, .*pes_x, .*delay_cycles, .*failure$"):  # fmt: skip
        query(with_layers.path, "SELECT nothing FROM log, layer_runs")


def test_a_query_opens_only_the_files_of_the_views_it_names(with_layers, tmp_path):
    """Of a view that is not named, not even a file that no reader takes would be noticed."""
    later = pa.table({}).replace_schema_metadata({b"armillary_log": b'{"schema_version": 99}'})
    pq.write_table(later, tmp_path / "log" / "layer_runs" / "later.parquet")
    assert query(with_layers.path, "SELECT count(*) AS n FROM log")["n"].to_pylist() == [600]
    with pytest.raises(NewerSchemaError, match="upgrade"):
        query(with_layers.path, "SELECT count(*) AS n FROM layer_runs")
    (tmp_path / "log" / "layer_runs" / "later.parquet").rename(tmp_path / "log" / "later.parquet")
    assert query(with_layers.path, "SELECT count(*) AS n FROM layer_runs")["n"].to_pylist() == [600]


@pytest.mark.parametrize("later", [0, 4])
def test_evaluations_of_version_1_have_no_options(tmp_path, evaluations, version_1, later):
    pq.write_table(version_1(evaluations(3)), tmp_path / "1.parquet")
    if later:
        Log(tmp_path).append(evaluations(later))
    rows = query(tmp_path, "SELECT options, workload FROM log")
    options = ["", "", "", *evaluations(later).options]
    assert sorted(rows["options"].to_pylist()) == sorted(options)
    empty = query(tmp_path, "SELECT count(*) AS n FROM log WHERE options = ''")
    assert empty["n"].to_pylist() == [options.count("")]


def test_a_log_that_cannot_be_queried_says_why(tmp_path, evaluations, monkeypatch):
    with pytest.raises(ArmillaryError, match="holds no evaluations"):
        query(tmp_path, "SELECT 1 FROM log")
    monkeypatch.setattr("armillary.log.schema.SCHEMA_VERSION", 0)
    Log(tmp_path).append(evaluations())
    with pytest.raises(NewerSchemaError, match="upgrade"):
        query(tmp_path, "SELECT 1 FROM log")

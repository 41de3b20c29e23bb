"""Fragments that are odd inside: each is named and left out, and the others are read."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from armillary.log.checking import check
from armillary.log.query import query
from armillary.log.schema import METADATA_KEY, to_table
from armillary.log.store import Log


def with_header(table, **fields):
    header = json.loads(table.schema.metadata[METADATA_KEY]) | fields
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(header)})


def with_column(table, name, values):
    metadata = table.schema.metadata
    place = table.column_names.index(name)
    return table.set_column(place, name, values).replace_schema_metadata(metadata)


def text(values):
    return pa.array(values, pa.string()).dictionary_encode()


def lacking(table, name):
    values = table[name].combine_chunks().to_pylist()
    return with_column(table, name, text([None, *values[1:]]) if name == "workload" else pa.array([None, *values[1:]]))


def metric(table, value, *, feasible=True):
    values = np.array(table["area_mm2"].to_numpy(), dtype=float)
    values[table["feasible"].to_numpy().argmax() if feasible else table["feasible"].to_numpy().argmin()] = value
    return with_column(table, "area_mm2", pa.array(values, from_pandas=True))


ODD = {
    "infinite version": (lambda t: with_header(t, schema_version=float("inf")), "its metadata has no log header"),
    "version of text": (lambda t: with_header(t, schema_version="3"), "its metadata has no log header"),
    "parameters of numbers": (lambda t: with_header(t, parameters=[1, {}]), r"header is garbled: parameters\.0"),
    "parameters of text": (lambda t: with_header(t, parameters="pes_x"), r"header is garbled: parameters"),
    "space of a number": (lambda t: with_header(t, space=3), r"header is garbled: space"),
    "another space": (lambda t: with_header(t, space="gemmini"), "its rows are of another space than its header's"),
    "a name twice": (lambda t: with_header(t, metrics=["area_mm2", "area_mm2"]), "names a column twice"),
    "an unknown column": (lambda t: with_header(t, metrics=["nothing"]), r"its column 'nothing' is missing"),
    "numbers for text": (
        lambda t: with_column(t, "workload", pa.array(range(len(t)))),
        r"its column 'workload' is int64, and should hold text",
    ),
    "text for numbers": (
        lambda t: with_column(t, "area_mm2", text(["="] * len(t))),
        r"its column 'area_mm2' is dictionary.*, and should hold numbers",
    ),
    "lists": (
        lambda t: with_column(t, "pes_x", pa.array([[1]] * len(t))),
        r"its column 'pes_x' is list.*, and should hold text or numbers or whole numbers or true and false",
    ),
    "text for a parameter": (
        lambda t: with_column(t, "pes_x", text(["4"] * len(t))),
        r"its parameter 'pes_x' holds text, where earlier fragments hold numbers",
    ),
    "no workload": (lambda t: lacking(t, "workload"), r"its column 'workload' lacks 1 values"),
    "no truth": (lambda t: lacking(t, "feasible"), r"its column 'feasible' lacks 1 values"),
    "negative": (lambda t: metric(t, -1.0), r"1 of its feasible rows have impossible metrics, e\.g\. area_mm2=-1\.0"),
    "infinite": (lambda t: metric(t, np.inf), r"have impossible metrics, e\.g\. area_mm2=inf"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_fragment_is_named_and_the_others_are_read(kind, tmp_path, evaluations, assert_same):
    change, reason = ODD[kind]
    log = Log(tmp_path)
    log.append(evaluations(20))
    pq.write_table(change(to_table(evaluations(20, seed=3), log.of_evaluations.table)), tmp_path / "z.parquet")
    assert_same(log.evaluations("edge_tpu"), evaluations(20))
    (skipped,) = log.skipped
    assert skipped.name == "z.parquet"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(skipped.reason)
    assert query(tmp_path, "SELECT count(*) AS n, min(area_mm2) AS least FROM log")["n"].to_pylist() == [20]


def test_metrics_of_rows_that_are_not_feasible_may_be_anything(tmp_path, evaluations):
    log = Log(tmp_path)
    pq.write_table(
        metric(to_table(evaluations(20), log.of_evaluations.table), -1.0, feasible=False), tmp_path / "a.parquet"
    )
    assert len(log.evaluations("edge_tpu")) == 20


@pytest.mark.parametrize("value", [np.inf, -1.0])
def test_what_is_appended_states_no_impossible_metric_as_feasible(value, tmp_path, evaluations):
    rows = evaluations(20)
    first = int(rows.feasible.argmax())
    areas = rows.metrics["area_mm2"].copy()
    areas[first] = value
    log = Log(tmp_path)
    log.append(dataclasses.replace(rows, metrics={**rows.metrics, "area_mm2": areas}))
    back = log.evaluations("edge_tpu")
    assert not back.feasible[first]
    assert str(back.failure(first)) == f"error: metric area_mm2={value} cannot be"
    assert back.feasible.sum() == rows.feasible.sum() - 1
    assert back.metrics["area_mm2"][first] == value


def test_a_log_is_checked_and_what_is_odd_put_aside(tmp_path, case):
    log = Log(tmp_path)
    _, damaged = (case.append(log, case.rows(500, seed=seed)) for seed in range(2))
    folder = tmp_path / case.subfolder
    data = bytearray((folder / damaged).read_bytes())
    data[len(data) // 4] ^= 0xFF
    (folder / damaged).write_bytes(data)
    (folder / "notes.txt").write_text("not ours")
    (found,) = (table for table in check(log) if table.table == case.table.name)
    assert (found.fragments, found.rows) == (1, 500)
    assert {file.name for file in found.skipped} == {damaged, "notes.txt"}
    check(log, quarantine=True)
    assert {path.name for path in (folder / "quarantine").iterdir()} == {damaged, "notes.txt"}
    (found,) = (table for table in check(log) if table.table == case.table.name)
    assert (found.fragments, found.skipped) == (1, ())

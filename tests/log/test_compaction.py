"""Many fragments become few, and no row is lost or doubled however it ends."""

import contextlib
import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from armillary.log import compaction, store
from armillary.log.compaction import compact
from armillary.log.query import query
from armillary.log.removal import remove
from armillary.log.schema import METADATA_KEY, to_table
from armillary.log.store import Log
from armillary.types import ArmillaryError, Evaluations


@pytest.fixture
def filled(tmp_path, case):
    log = Log(tmp_path / "log")
    for seed in range(6):
        case.append(log, case.rows(7, seed=seed))
        if seed == 2:
            case.append(log, case.rows(4, seed=9, space="gemmini"))
    return log


def test_rows_and_their_order_are_as_before(filled, case, assert_same):
    before = [case.read(filled, name) for name in ("edge_tpu", "gemmini")]
    (found,) = (table for table in compact(filled) if table.table == case.table.name)
    assert (found.before, found.after, found.rows) == (7, 2, 46)
    for name, rows in zip(("edge_tpu", "gemmini"), before, strict=True):
        assert_same(case.read(Log(filled.path), name), rows)
    assert filled.skipped == []
    case.append(filled, case.rows(2, seed=8))
    assert len(case.read(filled, "edge_tpu")) == 44
    compact(filled)
    assert_same(case.read(filled, "edge_tpu").select(slice(0, 42)), before[0])


def test_fragments_of_other_columns_stay_apart(tmp_path, evaluations):
    log = Log(tmp_path)
    rows = evaluations(5)
    for one in (rows, rows, dataclasses.replace(rows, metrics={"power_mw": np.ones(5)}), rows):
        log.append(one)
    compact(log)
    assert [fragment.rows for fragment in log.fragments()] == [10, 5, 5]


def test_no_fragment_becomes_too_large(tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr(compaction, "MOST_ROWS", 10)
    log = Log(tmp_path)
    for seed in range(5):
        log.append(evaluations(4, seed=seed))
    compact(log)
    assert [fragment.rows for fragment in log.fragments()] == [8, 8, 4]


@pytest.mark.parametrize("removed", range(7))
def test_a_compaction_that_is_ended_loses_and_doubles_nothing(removed, filled, case, assert_same, monkeypatch):
    before = case.read(filled, "edge_tpu")
    folder = type(filled.of_evaluations.folder)
    remove_file, left = folder.remove, iter(range(removed))

    def ended(self, name):
        if next(left, None) is None:
            raise KeyboardInterrupt
        remove_file(self, name)

    monkeypatch.setattr(folder, "remove", ended)
    with contextlib.suppress(KeyboardInterrupt):
        compact(filled)
    monkeypatch.undo()
    assert_same(case.read(Log(filled.path), "edge_tpu"), before)
    compact(filled)
    assert len(case.fragments(filled)) == 2
    assert_same(case.read(Log(filled.path), "edge_tpu"), before)


def test_a_read_goes_on_beside_a_compaction(filled, case, assert_same, monkeypatch):
    before = case.read(filled, "edge_tpu")
    reader = Log(filled.path)
    table = reader.of_evaluations if case.table.name == "evaluations" else reader.of_layer_runs
    scan = table._all
    calls = []

    def scanned():
        found = scan()
        if not calls:
            calls.append(compact(Log(filled.path)))
        return found

    monkeypatch.setattr(table, "_all", scanned)
    assert_same(case.read(reader, "edge_tpu"), before)
    assert reader.skipped == []


def test_a_compacted_log_is_queried_and_rows_are_removed_from_it(tmp_path, evaluations):
    log = Log(tmp_path)
    for seed in range(3):
        log.append(evaluations(10, seed=seed))
    compact(log)
    assert query(tmp_path, "SELECT count(*) AS n FROM log")["n"].to_pylist() == [30]
    assert remove(log, "feasible").left == len(log)


def test_one_process_at_a_time_rewrites_a_log(filled):
    with filled.of_evaluations.folder.rewriting(), pytest.raises(ArmillaryError, match="another process removes"):
        compact(Log(filled.path))


def test_what_replaces_more_than_it_holds_is_skipped(tmp_path, evaluations):
    log = Log(tmp_path)
    names = [log.append(evaluations(10)), log.append(evaluations(10, seed=1))]
    stored = to_table(evaluations(3, seed=2), log.of_evaluations.table)
    header = json.loads(stored.schema.metadata[METADATA_KEY]) | {"replaces": names, "schema_version": 4}
    pq.write_table(stored.replace_schema_metadata({METADATA_KEY: json.dumps(header)}), tmp_path / "z.parquet")
    assert len(log.evaluations("edge_tpu")) == 20
    assert "replaces fragments with more rows than it has" in log.skipped[0].reason


def test_a_log_compacts_itself_as_it_is_appended_to(tmp_path, evaluations, monkeypatch, assert_same):
    monkeypatch.setattr(compaction, "FRESH", 8)
    monkeypatch.setattr(store, "FRESH", 8)
    log = Log(tmp_path)
    rows = [evaluations(3, seed=seed) for seed in range(50)]
    most = 0
    for each in rows:
        log.append(each)
        most = max(most, len(log.fragments()))
    assert most <= 50 / 8 + 2 * 8  # what was joined is not joined again, and there are never many beside
    assert_same(log.evaluations("edge_tpu"), Evaluations.concat(rows))
    for _ in range(9):
        Log(tmp_path).append(evaluations(1))  # of many short runs none appends often
    assert len(log.fragments()) <= 50 / 8 + 8


def test_a_log_that_workers_of_a_cluster_write_to_is_not_compacted(tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr(compaction, "FRESH", 2)
    log = Log(tmp_path)
    log.append(evaluations(3))
    with log.of_evaluations.folder.marked() as mark:
        with pytest.raises(ArmillaryError, match=f"workers of a cluster write to it; wait .* remove .*{mark}"):
            compact(log)
        for seed in range(3):
            Log(tmp_path).append(evaluations(3, seed=seed))
        assert len(log.fragments()) == 4
    Log(tmp_path).append(evaluations(3, seed=4))
    assert len(log.fragments()) == 1


def test_an_append_leaves_to_others_what_they_rewrite(tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr(compaction, "FRESH", 2)
    for seed in range(3):
        log = Log(tmp_path)
        with log.of_evaluations.folder.rewriting():
            log.append(evaluations(3, seed=seed))
    assert len(log.fragments()) == 3


def test_what_an_earlier_armillary_wrote_is_still_read_once_compacted(tmp_path, layer_runs):
    rows = layer_runs(5)
    log = Log(tmp_path)
    folder = log.of_layer_runs.folder
    stored = to_table(rows, log.of_layer_runs.table).drop_columns(["bits"])
    header = json.loads(stored.schema.metadata[METADATA_KEY]) | {"schema_version": 3}
    for name in ("a.parquet", "b.parquet"):
        before = stored.replace_schema_metadata({METADATA_KEY: json.dumps(header)})
        folder.write(name, lambda file, before=before: pq.write_table(before, file))
    compact(log)
    read = Log(tmp_path)
    assert len(read.of_layer_runs.read("edge_tpu")) == 10
    assert len(read.of_layer_runs.all()) == 1
    assert read.skipped == []

"""What is known of fragments without opening them."""

import json
import os
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from armillary.log import fragments as module
from armillary.log.index import INDEX_NAME
from armillary.log.store import Log

FRAGMENTS = 5


@pytest.fixture
def log(tmp_path, case, monkeypatch):
    """A log of settled fragments, among them one that is none."""
    monkeypatch.setattr("armillary.log.index._WORTH", FRAGMENTS)
    log = Log(tmp_path / "log")
    for seed in range(FRAGMENTS):
        case.append(log, case.rows(3, seed=seed))
    folder = tmp_path / "log" / case.subfolder
    (folder / "odd.parquet").write_bytes(b"PAR1")
    for path in folder.glob("*.parquet"):
        os.utime(path, (time.time() - 60,) * 2)
    return log


@pytest.fixture
def opened(monkeypatch):
    found = []
    open_file = pq.ParquetFile
    monkeypatch.setattr(module.pq, "ParquetFile", lambda path, **how: found.append(path) or open_file(path, **how))
    return found


def told(log, case):
    return [(f.name, f.header, f.rows, f.schema.remove_metadata(), dict(f.only)) for f in case.fragments(log)]


def test_fragments_are_opened_once(log, case, opened):
    first = told(log, case)
    assert len(first) == FRAGMENTS
    assert len(opened) == FRAGMENTS + 1
    again = Log(log.path)
    assert told(again, case) == told(log, case) == first
    assert len(opened) == FRAGMENTS + 1
    assert [skipped.name for skipped in again.skipped] == ["odd.parquet"]


def test_a_changed_fragment_is_opened_again(log, case, opened):
    told(log, case)
    Path(log.path, case.subfolder, told(log, case)[0][0]).write_bytes(b"PAR1")
    opened.clear()
    assert len(told(Log(log.path), case)) == FRAGMENTS - 1
    assert len(opened) == 1


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"version": 1}', "\0", "[" * 100_000, None])
def test_a_damaged_index_is_none(damage, log, case):
    first = told(log, case)
    path = Path(log.path, case.subfolder, INDEX_NAME)
    content = json.loads(path.read_text())
    content["fragments"][first[0][0]][-1] = 99
    path.write_text(json.dumps(content) if damage is None else damage)
    assert told(Log(log.path), case) == first


def test_rows_are_looked_up_without_opening_fragments_of_others(tmp_path, evaluations, opened, assert_same):
    log = Log(tmp_path)
    rows = evaluations(60)
    for name in ("m4", "m5"):
        log.append(rows.select(rows.workload == name))
    log.append(rows)
    log.fragments()
    opened.clear()
    found = log.evaluations_of("edge_tpu", {"workload": "m4", "evaluator": "test", "options": ""})
    chosen = (rows.workload == "m4") & (rows.options == "")
    assert_same(found.select(slice(0, int(chosen.sum()))), rows.select(chosen))
    assert len(found) == 2 * chosen.sum()
    assert log.evaluations_of("edge_tpu", {"workload": "m4", "evaluator": "other"}) is None
    names = [fragment.name for fragment in log.fragments()]
    assert not [path for path in opened if path.endswith(names[1]) and opened.count(path) > 3]

import dataclasses
import logging
import subprocess
import sys
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from armillary.atomic_file import unfinished_name
from armillary.log.schema import METADATA_KEY, NewerSchemaError, to_table
from armillary.log.store import InMemoryLog, Log
from armillary.types import ArmillaryError, Evaluations


@pytest.fixture(params=["local", "memory", "file_url"])
def log(request, tmp_path):
    paths = {
        "local": tmp_path / "deep" / "log",
        "memory": f"memory://{uuid.uuid4().hex}/log",
        "file_url": f"file://{tmp_path}/log",
    }
    return Log(paths[request.param])


def test_what_was_appended_is_read_in_order(log, evaluations, assert_same):
    parts = [evaluations(5, seed=seed) for seed in range(4)]
    names = [log.append(part) for part in parts]
    assert names == sorted(names)
    assert len(set(names)) == 4
    assert_same(log.evaluations("edge_tpu"), Evaluations.concat(parts))
    assert len(log) == 20
    assert log.spaces() == ["edge_tpu"]
    assert log.skipped == []


def test_a_log_is_opened_again_by_its_path(log, evaluations, assert_same):
    log.append(evaluations())
    assert_same(Log(log.path).evaluations("edge_tpu"), evaluations())


def test_rows_keep_metrics_that_other_fragments_lack(log, evaluations):
    data = evaluations(4)
    log.append(data)
    log.append(dataclasses.replace(data, metrics={"power_mw": np.ones(4)}, context={}))
    back = log.evaluations("edge_tpu")
    assert list(back.metrics) == ["runtime_s", "area_mm2", "energy_pj", "power_mw"]
    np.testing.assert_array_equal(back.metrics["power_mw"], [np.nan] * 4 + [1.0] * 4)
    np.testing.assert_array_equal(back.metrics["area_mm2"][:4], data.metrics["area_mm2"])
    assert np.isnan(back.context["conv_ops"][4:]).all()


def test_one_log_holds_several_spaces(log, evaluations, assert_same):
    log.append(evaluations(3, space="gemmini"))
    log.append(evaluations(4))
    assert log.spaces() == ["gemmini", "edge_tpu"]
    assert_same(log.evaluations("gemmini"), evaluations(3, space="gemmini"))


def test_a_log_without_fragments_says_so(log):
    with pytest.raises(ArmillaryError, match=rf"^log {log.path} holds no evaluations$"):
        log.evaluations("edge_tpu")
    assert len(log) == 0


def test_a_log_of_another_space_says_which(log, evaluations):
    log.append(evaluations(space="gemmini"))
    with pytest.raises(ArmillaryError, match=r"holds evaluations of space 'gemmini', not of 'edge_tpu'"):
        log.evaluations("edge_tpu")


def test_a_space_whose_parameters_changed_is_not_mixed(log, evaluations):
    data = evaluations(3)
    log.append(data)
    log.append(dataclasses.replace(data, design={"pes_x": data.design["pes_x"]}))
    with pytest.raises(ArmillaryError, match=r"mixes two versions of a space.*pes_y"):
        log.evaluations("edge_tpu")


def test_a_later_schema_version_is_an_error_not_a_gap(tmp_path, evaluations):
    log = Log(tmp_path)
    log.append(evaluations())
    later = to_table(evaluations()).replace_schema_metadata({METADATA_KEY: b'{"schema_version": 2}'})
    pq.write_table(later, tmp_path / "later.parquet")
    with pytest.raises(NewerSchemaError, match=r"fragment later\.parquet: its schema version is 2.*upgrade"):
        log.evaluations("edge_tpu")


def _spoil(folder):
    """Put files that are no whole fragments into the folder; return their names with the reason."""
    whole = next(folder.glob("*.parquet")).read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "notes.txt").write_text("not ours")
    (folder / "sub.parquet").mkdir()
    pq.write_table(pa.table({"x": [1]}), folder / "foreign.parquet")
    (folder / unfinished_name("20260101-1-ab.parquet")).write_bytes(whole[:100])
    return {
        "cut.parquet": "magic bytes not found in footer",
        "empty.parquet": "size is 0 bytes",
        "foreign.parquet": "not written by Armillary",
        "notes.txt": "does not end in .parquet",
        "sub.parquet": "",
    }


def test_truncated_and_foreign_files_are_named_and_skipped(tmp_path, evaluations, assert_same, caplog):
    log = Log(tmp_path)
    log.append(evaluations())
    reasons = _spoil(tmp_path)
    with caplog.at_level(logging.WARNING, "armillary.log"):
        assert_same(log.evaluations("edge_tpu"), evaluations())
        assert len(log) == 20
    assert [skipped.path for skipped in log.skipped] == [f"{tmp_path}/{name}" for name in reasons]
    for skipped, reason in zip(log.skipped, reasons.values(), strict=True):
        assert reason in skipped.reason
    assert len(caplog.messages) == len(reasons)  # once each, though the log was read twice
    assert caplog.messages[0].startswith(f"skipped {tmp_path}/cut.parquet: ")


def test_a_log_of_nothing_but_broken_files_names_them(tmp_path):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArmillaryError, match=rf"holds no evaluations; skipped {tmp_path}/cut\.parquet: "):
        Log(tmp_path).evaluations("edge_tpu")


def test_damage_inside_a_fragment_is_found_by_its_checksums(tmp_path, evaluations, assert_same):
    log = Log(tmp_path)
    damaged = tmp_path / log.append(evaluations(500, seed=1))
    log.append(evaluations())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 4] ^= 0xFF
    damaged.write_bytes(data)
    assert_same(log.evaluations("edge_tpu"), evaluations())
    assert [skipped.path for skipped in log.skipped] == [str(damaged)]


def test_no_single_bit_of_damage_gets_through(tmp_path, evaluations, assert_same):
    """A flipped bit is noticed, or it sits where it changes nothing."""
    log = Log(tmp_path)
    name = log.append(evaluations(300))
    whole = (tmp_path / name).read_bytes()
    log.append(evaluations(1, seed=1))
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 120):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        (tmp_path / name).write_bytes(damaged)
        back = log.evaluations("edge_tpu")
        assert len(log.skipped) == (len(back) == 1)
        if len(back) > 1:
            assert_same(back.select(slice(0, 300)), evaluations(300))


def test_a_file_is_no_log(tmp_path, evaluations):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(ArmillaryError, match=r"cannot read the log .*/file: it is a file"):
        Log(path).evaluations("edge_tpu")
    with pytest.raises(ArmillaryError, match=r"/file/.*\.parquet: cannot be written \(File exists\)"):
        Log(path).append(evaluations())


def test_a_log_in_memory_serves_its_space_only(evaluations, assert_same):
    log = InMemoryLog(evaluations())
    assert_same(log.evaluations("edge_tpu"), evaluations())
    with pytest.raises(ArmillaryError, match="the log holds evaluations of space 'edge_tpu', not of 'gemmini'"):
        log.evaluations("gemmini")


def test_reading_a_log_loads_neither_torch_nor_an_evaluator():
    code = (
        "import sys, armillary.log.store, armillary.log.query, armillary.log.exchange\n"
        "assert not [m for m in sys.modules if m == 'torch' or m.startswith('armillary.evaluators')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

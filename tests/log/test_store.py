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


def test_what_was_appended_is_read_in_order(log, case, assert_same):
    parts = [case.rows(5, seed=seed) for seed in range(4)]
    names = [case.append(log, part) for part in parts]
    assert names == sorted(names)
    assert len(set(names)) == 4
    assert_same(case.read(log, "edge_tpu"), case.table.rows.concat(parts))
    assert [fragment.rows for fragment in case.fragments(log)] == [5] * 4
    assert log.skipped == []


def test_a_log_is_opened_again_by_its_path(log, case, assert_same):
    case.append(log, case.rows())
    assert_same(case.read(Log(log.path), "edge_tpu"), case.rows())


def test_the_tables_do_not_disturb_each_other(log, evaluations, layer_runs, assert_same):
    log.append_layers(layer_runs(7))
    assert (len(log), log.spaces()) == (0, [])
    with pytest.raises(ArmillaryError, match=r"holds no evaluations$"):
        log.evaluations("edge_tpu")
    log.append(evaluations(5))
    assert_same(log.evaluations("edge_tpu"), evaluations(5))
    assert_same(log.layer_runs("edge_tpu"), layer_runs(7))
    assert (len(log), log.spaces()) == (5, ["edge_tpu"])
    assert log.skipped == []


def test_rows_keep_metrics_that_other_fragments_lack(log, evaluations):
    data = evaluations(4)
    log.append(data)
    log.append(dataclasses.replace(data, metrics={"power_mw": np.ones(4)}, context={}))
    back = log.evaluations("edge_tpu")
    assert list(back.metrics) == ["runtime_s", "area_mm2", "energy_pj", "power_mw"]
    np.testing.assert_array_equal(back.metrics["power_mw"], [np.nan] * 4 + [1.0] * 4)
    np.testing.assert_array_equal(back.metrics["area_mm2"][:4], data.metrics["area_mm2"])
    assert np.isnan(back.context["conv_ops"][4:]).all()


def test_layer_runs_keep_metrics_that_other_fragments_lack(log, layer_runs):
    data = layer_runs(4)
    log.append_layers(data)
    log.append_layers(dataclasses.replace(data, metrics={"busy_cycles": np.ones(4)}))
    back = log.layer_runs("edge_tpu")
    assert list(back.metrics) == ["delay_cycles", "energy_pj", "busy_cycles"]
    np.testing.assert_array_equal(back.metrics["busy_cycles"], [np.nan] * 4 + [1.0] * 4)
    np.testing.assert_array_equal(back.metrics["energy_pj"], [*data.metrics["energy_pj"], *[np.nan] * 4])


def test_one_log_holds_several_spaces(log, case, assert_same):
    case.append(log, case.rows(3, space="gemmini"))
    case.append(log, case.rows(4))
    assert [fragment.header.space for fragment in case.fragments(log)] == ["gemmini", "edge_tpu"]
    assert_same(case.read(log, "gemmini"), case.rows(3, space="gemmini"))
    assert_same(case.read(log, "edge_tpu"), case.rows(4))


def test_the_spaces_of_a_log_are_those_of_its_evaluations(log, evaluations):
    log.append(evaluations(3, space="gemmini"))
    log.append(evaluations(4))
    assert log.spaces() == ["gemmini", "edge_tpu"]


def test_a_log_without_fragments_says_so(log, case):
    with pytest.raises(ArmillaryError, match=rf"^log {log.path} holds no {case.table.noun}$"):
        case.read(log, "edge_tpu")
    assert len(log) == 0


def test_a_log_of_another_space_says_which(log, case):
    case.append(log, case.rows(space="gemmini"))
    with pytest.raises(ArmillaryError, match=rf"holds {case.table.noun} of space 'gemmini', not of 'edge_tpu'"):
        case.read(log, "edge_tpu")


def test_a_space_whose_parameters_changed_is_not_mixed(log, case):
    data = case.rows(3)
    case.append(log, data)
    case.append(log, dataclasses.replace(data, design={"pes_x": data.design["pes_x"]}))
    with pytest.raises(ArmillaryError, match=r"mixes two versions of a space.*pes_y"):
        case.read(log, "edge_tpu")


def test_a_later_schema_version_is_an_error_not_a_gap(tmp_path, case):
    log = Log(tmp_path)
    case.append(log, case.rows())
    later = to_table(case.rows(), case.table).replace_schema_metadata({METADATA_KEY: b'{"schema_version": 99}'})
    pq.write_table(later, tmp_path / case.subfolder / "later.parquet")
    with pytest.raises(NewerSchemaError, match=r"fragment later\.parquet: its schema version is 99.*upgrade"):
        case.read(log, "edge_tpu")


def test_reading_evaluations_opens_no_layer_runs(tmp_path, evaluations, layer_runs, assert_same, monkeypatch):
    log = Log(tmp_path)
    log.append(evaluations())
    log.append_layers(layer_runs())
    opened = []
    open_file = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **how: opened.append(path) or open_file(path, **how))
    assert_same(log.evaluations("edge_tpu"), evaluations())
    assert opened
    assert not [path for path in opened if "layer_runs" in path]


def test_a_fragment_in_the_folder_of_the_other_table_is_foreign(tmp_path, case, evaluations, layer_runs, assert_same):
    log = Log(tmp_path)
    names = {"evaluations": log.append(evaluations()), "layer_runs": log.append_layers(layer_runs())}
    other = "layer_runs" if case.table.name == "evaluations" else "evaluations"
    source = tmp_path / ("layer_runs" if other == "layer_runs" else "") / names[other]
    (tmp_path / case.subfolder / "moved.parquet").write_bytes(source.read_bytes())
    assert_same(case.read(log, "edge_tpu"), case.rows())
    assert [skipped.reason for skipped in log.skipped] == [
        f"it holds {other}, which do not belong here among {case.table.name}"
    ]


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


def test_truncated_and_foreign_files_are_named_and_skipped(tmp_path, case, assert_same, caplog):
    log = Log(tmp_path)
    case.append(log, case.rows())
    folder = tmp_path / case.subfolder
    reasons = _spoil(folder)
    with caplog.at_level(logging.WARNING, "armillary.log"):
        assert_same(case.read(log, "edge_tpu"), case.rows())
        assert len(case.fragments(log)) == 1
    assert [skipped.path for skipped in log.skipped] == [f"{folder}/{name}" for name in reasons]
    for skipped, reason in zip(log.skipped, reasons.values(), strict=True):
        assert reason in skipped.reason
    assert len(caplog.messages) == len(reasons)  # once each, though the log was read twice
    assert caplog.messages[0].startswith(f"skipped {folder}/cut.parquet: ")


def test_a_log_of_nothing_but_broken_files_names_them(tmp_path, case):
    folder = tmp_path / case.subfolder
    folder.mkdir(exist_ok=True)
    (folder / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArmillaryError, match=rf"holds no {case.table.noun}; skipped {folder}/cut\.parquet: "):
        case.read(Log(tmp_path), "edge_tpu")


def test_damage_inside_a_fragment_is_found_by_its_checksums(tmp_path, case, assert_same):
    log = Log(tmp_path)
    damaged = tmp_path / case.subfolder / case.append(log, case.rows(500, seed=1))
    case.append(log, case.rows())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 4] ^= 0xFF
    damaged.write_bytes(data)
    assert_same(case.read(log, "edge_tpu"), case.rows())
    assert [skipped.path for skipped in log.skipped] == [str(damaged)]


def test_no_single_bit_of_damage_gets_through(tmp_path, case, assert_same):
    """A flipped bit is noticed, or it sits where it changes nothing."""
    log = Log(tmp_path)
    path = tmp_path / case.subfolder / case.append(log, case.rows(300))
    whole = path.read_bytes()
    case.append(log, case.rows(1, seed=1))
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 120):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        back = case.read(log, "edge_tpu")
        assert len(log.skipped) == (len(back) == 1)
        if len(back) > 1:
            assert_same(back.select(slice(0, 300)), case.rows(300))


def test_no_damage_of_the_footer_ends_the_process(tmp_path, case):
    """Asked for statistics of a column whose metadata are damaged, pyarrow aborts."""
    path = tmp_path / case.subfolder / case.append(Log(tmp_path), case.rows(20))
    whole = path.read_bytes()
    footer = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8
    rng = np.random.default_rng(1)
    for position in rng.integers(footer, len(whole), 400):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        case.fragments(Log(tmp_path))


def test_a_file_is_no_log(tmp_path, case, evaluations):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(ArmillaryError, match=r"/file/.*\.parquet: cannot be written \((File exists|Not a directory)\)"):
        case.append(Log(path), case.rows())
    with pytest.raises(ArmillaryError, match=r"cannot read the log .*/file: it is a file"):
        Log(path).evaluations("edge_tpu")


def test_evaluations_of_version_1_are_read_beside_later_ones(tmp_path, evaluations, version_1, assert_same):
    log = Log(tmp_path)
    pq.write_table(version_1(evaluations(5)), tmp_path / "20260101.parquet")
    log.append(evaluations(4, seed=1))
    old = dataclasses.replace(evaluations(5), options=np.full(5, "", dtype=object))
    assert_same(log.evaluations("edge_tpu"), Evaluations.concat([old, evaluations(4, seed=1)]))
    assert log.skipped == []


def test_each_evaluation_finds_its_layer_runs(log, evaluations, layer_runs):
    rows, runs = evaluations(30), layer_runs(30)  # run i is of evaluation i
    log.append(rows)
    log.append_layers(runs.select(slice(0, 20)))
    log.append_layers(dataclasses.replace(runs, space="gemmini"))
    found = log.layers_of(rows)
    assert [len(layers) for layers in found] == [1] * 20 + [0] * 10
    assert list(map(repr, found[:20])) == [f"({run!r},)" for run in runs.to_list()[:20]]  # NaN is not equal to itself
    assert log.layers_of(rows.select(slice(7, 9)))[1] == (runs.row(8),)


def test_the_layer_run_that_was_written_last_counts(log, evaluations, layer_runs):
    rows, runs = evaluations(3), layer_runs(3)
    log.append_layers(runs)
    log.append_layers(dataclasses.replace(runs.select(slice(0, 1)), mapping=np.array(["again"], dtype=object)))
    assert [layers[0].mapping for layers in log.layers_of(rows)] == ["again", *runs.mapping[1:]]


def test_evaluations_without_layer_runs_have_none(log, evaluations, layer_runs):
    log.append(evaluations(3))
    assert log.layers_of(evaluations(3)) == [(), (), ()]
    log.append_layers(layer_runs(space="gemmini"))
    assert log.layers_of(evaluations(3)) == [(), (), ()]


def test_layer_runs_of_other_parameters_are_no_gap(log, evaluations, layer_runs):
    data = layer_runs(3)
    log.append_layers(dataclasses.replace(data, design={"pes_x": data.design["pes_x"]}))
    with pytest.raises(ArmillaryError, match=r"mixes two versions of a space: .*do not belong to"):
        log.layers_of(evaluations(3))


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

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import typer

from armillary import evaluators
from armillary.benchmarks import BENCHES, BY_APPLICATION
from armillary.benchmarks.prime.tables import TABLES
from armillary.benchmarks.record import Record, measured
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.kind import versions_asked
from armillary.types import ArmillaryError, Fidelity


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 3, tmp_path / "out" / "speed", lambda *_: None)


def bench(_options):
    evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL)
    rows = [{"ratio": np.float64(1 / 3), "count": np.int64(7), "none": float("inf")}]
    return BenchResult(rows, [Check("ratio", 1 / 3, "under 1", ok=True), Check("count", 7, "under 5", ok=False)], ["n"])


def test_a_record_says_what_ran_with_which_evaluators_and_what_was_measured(options):
    record = measured("speed", bench, options)
    version = evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL).version
    assert record.command == "armillary bench speed --quick --seed 3"
    assert (record.name, record.size, record.seed) == ("speed-quick", "quick", 3)
    assert record.evaluators == {"edge_tpu.analytical": version}
    assert record.seconds > 0
    assert record.cpu_seconds > 0
    assert not record.ok
    assert replace(record, checks=record.checks[:1]).ok


def test_a_full_run_has_a_file_of_its_own(options):
    record = measured("speed", bench, replace(options, quick=False, seed=0))
    assert (record.name, record.command) == ("speed", "armillary bench speed")


def test_a_run_of_some_applications_has_a_file_of_its_own(options):
    some = replace(options, seed=0, applications=("unet", "m4_like"))
    record = measured("prime-table3", bench, some)
    assert (record.name, record.size) == ("prime-table3-quick-part", "quick-part")
    assert record.command == "armillary bench prime-table3 --quick --application unet --application m4_like"
    assert measured("prime-table3", bench, replace(some, quick=False)).name == "prime-table3-part"


def test_applications_are_refused_where_a_benchmark_has_none(tmp_path):
    from armillary.cli.benchmarks import bench as command

    with pytest.raises(ArmillaryError, match=r"--application is not for 'speed'; choose one of \['prime-conservatism'"):
        command("speed", out=tmp_path, application=["unet"])


def test_the_benchmarks_that_take_applications_exist():
    assert set(BY_APPLICATION) <= set(BENCHES.names())
    assert set(TABLES) <= set(BY_APPLICATION)


def test_a_file_holds_six_digits_and_reads_back(options, tmp_path):
    record = measured("speed", bench, options)
    path = record.write(tmp_path / "results")
    assert path == tmp_path / "results" / "speed-quick.json"
    read = Record.read(path)
    assert read.rows == [{"ratio": 0.333333, "count": 7, "none": None}]
    assert read.checks[0] == Check("ratio", 0.333333, "under 1", ok=True)
    assert replace(read, rows=[], checks=[], seconds=0.0, cpu_seconds=0.0) == replace(
        record, rows=[], checks=[], notes=["n"], seconds=0.0, cpu_seconds=0.0
    )
    assert read.write(tmp_path / "again").read_text() == path.read_text()


def test_what_comes_first_is_kept_and_seeds_are_part_of_the_command(options, tmp_path):
    def told(options):
        return replace(bench(options), preface=["Size: one row."])

    path = measured("speed", told, replace(options, seeds=2)).write(tmp_path)
    read = Record.read(path)
    assert read.preface == ["Size: one row."]
    assert read.command == "armillary bench speed --quick --seed 3 --seeds 2"
    assert "preface" not in measured("speed", bench, options).write(tmp_path).read_text()


def test_no_time_is_recorded_where_an_earlier_run_left_parts(options):
    options.out.mkdir(parents=True)
    (options.out.parent / "kept.json").write_text("{}")
    record = measured("speed", bench, options)
    assert record.seconds is None
    assert record.cpu_seconds is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no JSON file"), ("[]", "missing: ['bench'"), ('{"bench": "speed", "date": 1}', "not allowed: ['date']")],
)
def test_a_file_that_is_no_record_is_named(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ArmillaryError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        Record.read(path)


def test_versions_are_noted_within_the_block_alone():
    with versions_asked() as outer:
        evaluators.spec_of("gemmini", Fidelity.RTL)
        with versions_asked() as inner:
            evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL)
    evaluators.spec_of("vta", Fidelity.RTL)
    assert list(outer) == ["gemmini.rtl"]
    assert list(inner) == ["edge_tpu.analytical"]


def test_the_command_records_what_it_prints(tmp_path, monkeypatch, capsys):
    from armillary.cli.benchmarks import bench as command

    monkeypatch.setitem(BENCHES.members, "speed", f"{__name__}:bench")
    with pytest.raises(typer.Exit) as stopped:
        command("speed", quick=True, out=tmp_path / "out", record=tmp_path / "results", as_json=True)
    assert stopped.value.exit_code == 1
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "results" / "speed-quick.json").read_text())
    assert kept["checks"][1] == printed["checks"][1]
    assert printed["bench"] == kept["bench"] == "speed"

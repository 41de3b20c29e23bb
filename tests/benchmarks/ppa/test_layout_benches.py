"""The benches of layouts on a small log of a made-up back end."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.ppa import graphs, layouts, prediction, region, sampling, transfer
from armillary.benchmarks.ppa.layouts import Told, errors, summed_up, tables_of
from armillary.benchmarks.result import BenchOptions
from armillary.log.store import Log
from armillary.surrogates.ppa import forests, gcn, perceptron, stack
from armillary.surrogates.ppa.forests import Forest
from armillary.types import ArmillaryError
from surrogates.ppa.layouts import SPACE, drawn, rows_of

FEW = {"ppa": layouts.with_members((Forest,)), "random forest, default": layouts.default_forest}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    Log(folder / "axiline_svm").append(rows_of(drawn(8, 8, seed=0)))
    return folder


@pytest.fixture
def options(folder, tmp_path, monkeypatch):
    for bench in (prediction, region):
        monkeypatch.setattr(bench, "models", lambda quick: FEW)
    monkeypatch.setattr(parts, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
    monkeypatch.setattr(sampling, "MEMBERS", (Forest,))
    monkeypatch.setattr(gcn, "_STEPS", 20)
    monkeypatch.setattr(gcn, "NETWORKS", 1)
    monkeypatch.setattr(perceptron, "_STEPS", 20)
    monkeypatch.setattr(forests, "_TREES", 20)
    monkeypatch.setattr(stack, "_MANY_FOLDS", 3)
    monkeypatch.setattr(stack, "_FOLDS", 3)
    return BenchOptions(folder, True, 0, tmp_path / "out", lambda *_: None)


def test_tables_are_of_values_that_occur_and_of_feasible_rows(folder):
    (table,) = tables_of(folder)
    rows = Log(folder / "axiline_svm").evaluations(SPACE.name)
    assert len(table) == rows.feasible.sum() < len(rows)
    assert table.name == "axiline.physical svm"
    assert set(table.space.names) == set(SPACE.names)
    clocks = rows.design["clock_ns"][rows.feasible]
    assert table.space.columns(table.codes)["clock_ns"].tolist() == clocks.tolist()
    assert table.metrics["power_mw"].tolist() == rows.metrics["power_mw"][rows.feasible].tolist()


def test_technologies_are_tables_of_their_own(tmp_path):
    rows = rows_of(drawn(8, 4, seed=0))
    far = replace(rows, options=np.array(['{"enablement": "osu018"}'] * len(rows), dtype=object))
    for name, part in (("near", rows), ("far", far)):
        Log(tmp_path / name).append(part)
    assert sorted(t.name for t in tables_of(tmp_path)) == ["axiline.physical svm", "axiline.physical svm in osu018"]
    Log(tmp_path / "again").append(rows)
    with pytest.raises(ArmillaryError, match=r"several logs have layouts of .axiline\.physical svm."):
        tables_of(tmp_path)


@pytest.mark.parametrize("split", ["points", "architectures"])
def test_folds_ask_each_row_once_and_of_no_group_that_they_learn(folder, split):
    (table,) = tables_of(folder)
    group = table.point if split == "points" else table.architecture
    folds = table.folds(split, 0)
    assert sorted(np.concatenate([asked for _, asked in folds]).tolist()) == list(range(len(table)))
    for train, asked in folds:
        assert len(train) + len(asked) == len(table)
        assert not set(group[train]) & set(group[asked])


def test_a_log_of_few_architectures_is_asked_for_points_alone(tmp_path):
    Log(tmp_path).append(rows_of(drawn(2, 16, seed=0)))
    (table,) = tables_of(tmp_path)
    assert "unseen architectures: fewer than 4, not asked" in table.note
    with pytest.raises(ArmillaryError, match="4 architectures are needed"):
        tables_of(tmp_path, "architectures")


def test_a_folder_without_layouts_is_refused(tmp_path):
    with pytest.raises(ArmillaryError, match="holds no log of layouts"):
        tables_of(tmp_path)


def test_scores_are_of_all_layouts():
    told = Told(np.array([1.1, 2.0]), np.array([1.0, 2.1]), np.array([1.2, 2.2]))
    found = summed_up([errors(told, np.array([1.0, 2.0])), errors(told, np.array([1.1, 4.0]))])
    assert found["asked"] == 4
    assert found["mean_error"] == pytest.approx((10 + 0 + 0 + 50) / 4)
    assert found["most_error"] == pytest.approx(50)
    assert found["coverage"] == pytest.approx(2 / 4)


def test_prediction_compares_models_on_both_splits_and_resumes(options, monkeypatch):
    result = prediction.run(options)
    assert len(result.rows) == 2 * 2 * 2
    for row in result.rows:
        assert row["published"] == 7
        assert (row["coverage"] is None) == (row["model"] != "ppa")
    assert {check.goal for check in result.checks} == {"at most 5", "at most 8", "0.85 to 0.95"}
    monkeypatch.setattr(prediction, "measured", SimpleNamespace)  # would fail if it were called
    assert prediction.run(options).rows == result.rows


def test_a_quick_run_leaves_out_what_takes_longest_alone():
    assert set(layouts.models(quick=False)) - set(layouts.models(quick=True)) == {"ppa-gcn"}


def test_the_graph_network_is_held_against_the_best_trees(options):
    result = graphs.run(options)
    assert {row["learned"] for row in result.rows} == {1.0, 0.5}
    for check in result.checks[:-1]:
        share = 1.0 if "100%" in check.name else 0.5
        metric = next(metric for metric in graphs.QUICK_METRICS if metric in check.name)
        others = [
            row["mean_error"]
            for row in result.rows
            if row["learned"] == share
            and row["metric"] == metric
            and row["model"] in {kind.name for kind in graphs.TREES}
        ]
        assert check.ok == (check.value <= min(others))
    assert "ms" in result.checks[-1].name


def test_the_region_is_of_layouts_that_meet_their_target(options, folder):
    (table,) = tables_of(folder)
    target = 1000 / table.space.columns(table.codes)["clock_ns"]
    assert region.region(table, 0.95 * target, 0.1).all()
    assert not region.region(table, 0.85 * target, 0.1).any()
    result = region.run(options)
    true = region.region(table, table.metrics["effective_mhz"], 0.1)
    assert 0.2 < true.mean() < 0.9
    rows = {(row["split"], row["share"], row["model"]): row for row in result.rows}
    assert rows["points", 0.1, "ppa"]["accuracy"] > 0.6
    assert {row["model"] for row in result.rows} == {*FEW, "classifier", "the more frequent"}


def test_samplers_choose_architectures_of_the_log_once(options, folder):
    (table,) = tables_of(folder)
    for sampler in sampling.SAMPLERS:
        found = sampling.chosen(table, sampler, 4, 0)
        assert len(set(found.tolist())) == 4
        assert found.max() <= table.architecture.max()
    result = sampling.run(options)
    assert len(result.rows) == len(sampling.counts(table)) * 3
    assert {row["sampler"] for row in result.rows} == set(sampling.SAMPLERS)


def test_what_is_unseen_decides_what_is_learned_from(tmp_path):
    rows = rows_of(drawn(8, 4, seed=0))
    count = len(rows)
    told = {
        "near": rows,
        "other": replace(rows, workload=np.array(["linear"] * count, dtype=object)),
        "far": replace(rows, options=np.array(['{"enablement": "osu018"}'] * count, dtype=object)),
    }
    for name, part in told.items():
        Log(tmp_path / name).append(part)
    tables = {table.name: table for table in tables_of(tmp_path)}
    foreign = replace(tables["axiline.physical svm"], rows=replace(rows, space="tabla.physical"), name="tabla")
    tables["tabla"] = foreign
    found = {
        (name, unseen): [other.name for other in transfer.sources(table, list(tables.values()), unseen)]
        for name, table in tables.items()
        for unseen in transfer.UNSEEN
    }
    assert found["axiline.physical svm", "algorithm"] == ["axiline.physical linear"]
    assert found["axiline.physical svm", "platform"] == ["tabla"]
    assert found["axiline.physical svm", "technology"] == ["axiline.physical svm in osu018"]
    assert found["axiline.physical svm in osu018", "algorithm"] == []
    assert found["tabla", "technology"] == []
    assert len(found["tabla", "platform"]) == 3


def test_a_few_layouts_are_learned_and_all_others_asked(options, folder, monkeypatch):
    (table,) = tables_of(folder)
    seen = []

    def learn(train, asked):
        seen.append((len(train), sorted([*train.tolist(), *asked.tolist()])))
        return Told(1.1 * table.metrics["power_mw"][asked])

    monkeypatch.setattr(transfer, "models", lambda *_: dict.fromkeys((transfer.TRANSFER, transfer.ALONE), learn))
    rows = transfer.measured(table, [], "power_mw", (12, 24, len(table)), (0, 1))["rows"]
    assert [count for count, _ in seen] == [12] * 4 + [24] * 4  # as many as the log are not to be learned
    assert all(rows == list(range(len(table))) for _, rows in seen)
    assert [row["layouts"] for row in rows] == [12, 12, 24, 24]
    assert all(row["mean_error"] == pytest.approx(10) for row in rows)
    with pytest.raises(ArmillaryError, match="no table has another one to learn from"):
        transfer.run(options)

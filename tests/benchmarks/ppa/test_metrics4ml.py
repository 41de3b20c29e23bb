"""The bench on a small file of the same form."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.ppa import metrics4ml
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.ppa.forests import Forest
from armillary.surrogates.ppa.surrogate import Ppa
from armillary.types import ArmillaryError


def written(folder, rows=120):
    rng = np.random.default_rng(0)
    path = folder / "physical" / "metrics4ml.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["experiment", "platform", "knob.util", "knob.m1", *metrics4ml.METRICS, "finished"])
        for k in range(rows):
            util, m1 = int(rng.integers(20, 60)), round(float(rng.choice([0.1, 0.2, 0.4])), 1)
            figures = [2e5 / util, 1e5 * (1 + m1), -util / 20, 0.01 * util * (1 + m1)]
            out.writerow(["ab"[k % 2], "p", util, m1 if k % 2 else "", *figures, True])
        out.writerow(["a", "p", 70, "", "", "", "", "", False])
    return path


def test_reads_finished_layouts_and_their_knobs(tmp_path):
    layouts = metrics4ml.layouts_of(written(tmp_path))
    assert len(layouts) == 120
    assert layouts.space.names == ("experiment", "util", "m1")
    assert layouts.codes.min() == 0
    util = layouts.space.columns(layouts.codes)["util"].astype(float)
    assert np.allclose(layouts.metrics["area_um2"], 2e5 / util)


def test_compares_all_models_on_all_figures_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(Ppa, "members", (Forest,))
    monkeypatch.setattr(metrics4ml, "QUICK_REPEATS", 1)
    monkeypatch.setattr(parts, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
    written(tmp_path)
    options = BenchOptions(tmp_path, True, 0, tmp_path / "out", lambda *_: None)
    result = metrics4ml.run(options)
    assert len(result.rows) == 4 * 4  # 100 rows are more than half
    errors = {(row["metric"], row["model"]): row["mean_error"] for row in result.rows}
    for metric in metrics4ml.METRICS:
        assert errors[metric, "ppa"] < errors[metric, "mean"]
    monkeypatch.setattr(metrics4ml, "measured", SimpleNamespace)  # would fail if it were called
    assert metrics4ml.run(options).rows == result.rows


def test_a_file_without_a_figure_is_refused(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text().replace("power_w", "watt"))
    with pytest.raises(ArmillaryError, match="there is no column 'power_w'"):
        metrics4ml.layouts_of(path)
    with pytest.raises(ArmillaryError, match="--data"):
        metrics4ml.layouts_of(tmp_path / "none.csv")

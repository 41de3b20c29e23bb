from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight import figures, low
from armillary.surrogates.starlight.low import Schedule
from benchmarks.starlight.rows import rows


@pytest.fixture
def options(tmp_path, monkeypatch):
    some = rows()
    monkeypatch.setattr(figures, "collected", lambda _options: some)
    bound = {name: some.roofline.metrics[name] for name in ("delay_cycles", "energy_pj")}
    monkeypatch.setattr(low, "sampled", lambda *_, **_options: replace(some.data, **bound))
    monkeypatch.setattr(low, "QUICK_SCHEDULE", Schedule(epochs=5, batch=40))
    return BenchOptions(None, True, 0, tmp_path / "bench", lambda *_: None)


def test_distributions_of_edp(options):
    result = figures.fig52(options)
    rtl, cost_model, physics = result.rows
    assert rtl["q50"] - physics["q50"] == pytest.approx(np.log10(1.5), abs=0.02)
    assert physics["spearman"] > cost_model["spearman"]
    assert (options.out / "figure.html").exists()


def test_latent_spaces_of_both_autoencoders(options):
    result = figures.fig53(options)
    assert [row["autoencoder"] for row in result.rows] == ["without predictor", "with predictor"]
    assert len({row["neighbours_spearman"] for row in result.rows}) == 2
    assert figures._ordered(np.arange(40.0)[:, None], np.arange(40.0)) > 0.98


def test_accuracy_of_both_models_and_ours(options):
    lines = {row["model"]: row for row in figures.fig55(options).rows}
    assert lines["starlight"]["mean_error"] < 0.05
    assert lines["starlight"]["spearman"] > lines["starlight-paper"]["spearman"]


def test_trials_are_kept(options, monkeypatch):
    monkeypatch.setattr(figures, "_QUICK_EPOCHS", (2, 4))
    monkeypatch.setattr(figures, "_QUICK_SIZES", (50,))
    monkeypatch.setattr(figures, "_QUICK_TRIALS", 1)
    monkeypatch.setattr(figures, "_QUICK_TUNING", Schedule(epochs=2, batch=25))
    epochs = figures.fig56(options)
    assert [row["epochs"] for row in epochs.rows] == [2, 4]
    assert all(row["least"] <= row["spearman"] <= row["most"] for row in epochs.rows)
    sizes = figures.fig57(options)
    by_name = {row["model"]: row["spearman"] for row in sizes.rows}
    assert set(figures.PUBLISHED_57) < set(by_name)
    assert max(by_name, key=by_name.get) == "starlight"
    monkeypatch.setattr(figures, "_timed", None)  # would fail if it were called
    assert figures.fig57(options).rows == sizes.rows


def test_spotlights_surrogate(options):
    result = figures.section511(options)
    assert [(row["kernel"], row["published"]) for row in result.rows] == [("linear", 0.0822), ("matern", 0.1127)]
    assert figures._top(np.arange(10.0), np.arange(10.0)) == 1.0
    assert figures._top(np.arange(10.0), -np.arange(10.0)) == 0.0

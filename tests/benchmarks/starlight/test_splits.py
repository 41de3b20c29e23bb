from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight import splits
from armillary.benchmarks.starlight.models import MODELS, alone, surrogate
from armillary.benchmarks.starlight.scores import Guess, scores
from benchmarks.starlight.rows import rows


def test_what_is_held_out_is_not_learned_from():
    some = rows()
    found = {split.name: split for split in splits.splits(some, 1, 0)}
    assert list(found) == ["random", "layers", "DIM 4", "DIM 8", "DIM 16", "DIM 32", "knobs"]  # there is one network
    for split in found.values():
        for asked in split.asked.values():
            assert not set(split.pool) & set(asked)
        assert set(some.knobs[split.pool]) == {""}
    layers = some.data.layer
    assert not set(layers[found["layers"].pool]) & set(layers[found["layers"].asked["layers"]])
    dims = np.array([one.design["dim"] for one in some.data.mapped])
    assert set(dims[found["DIM 8"].asked["DIM 8"]]) == {8}
    assert 8 not in dims[found["DIM 8"].pool]
    assert list(found["knobs"].asked) == ["burst 4"]
    assert len(found["knobs"].asked["burst 4"]) == (some.knobs == "burst 4").sum()
    assert len(found["random"].asked["random"]) == round(0.4 * (some.knobs == "").sum())
    again = splits.splits(some, 2, 0)[0]
    assert set(again.pool) != set(found["random"].pool)


def test_the_models_learn_the_factor(monkeypatch):
    some = rows()
    chosen = {name: MODELS[name] for name in ("cost model alone", "physics alone", "physics, calibrated", "starlight")}
    monkeypatch.setattr(splits, "MODELS", chosen)
    split = next(split for split in splits.splits(some, 0, 0) if split.name == "knobs")
    found = splits.measured(some, split, 60, 0, None, 1)["burst 4"]
    assert list(found) == list(chosen)
    assert found["physics alone"]["mean_error"] == pytest.approx(1 / 3, abs=0.02)
    assert found["physics, calibrated"]["mean_error"] < 0.03
    assert found["starlight"]["mean_error"] < 0.03
    assert found["cost model alone"]["rmsle"] > 2 * found["starlight"]["rmsle"]


def shuffled(some, seed):
    """Return rows whose simulated cycles are those of others among them; all else stays."""
    cycles = np.random.default_rng(seed).permutation(some.data.delay_cycles)
    return replace(some, data=replace(some.data, delay_cycles=cycles))


def leaks(model):
    """Return whether a model knows of a row what only its simulation tells.

    That is so if a truth of other rows in the training does not ruin it, or if it predicts anything else once the rows
    that it is asked have another truth.
    """
    some = rows()
    own = np.arange(len(some))
    train, asked = some.select(own[:80]), some.select(own[80:])
    honest = model(train, asked, 0)
    ruined = scores(model(shuffled(train, 3), asked, 0), asked)["rmsle"] > 5 * scores(honest, asked)["rmsle"]
    return not ruined or not np.array_equal(model(train, shuffled(asked, 4), 0).mean, honest.mean)


def test_shuffled_truth_leaves_nothing_to_learn():
    """What models know of a row is known before it is simulated, so that a truth of other rows ruins them."""
    assert not leaks(surrogate("starlight", "physics"))
    assert not leaks(surrogate("calibrated", "physics"))


def test_a_leak_would_be_noticed():
    """Of a model that looks the answer up, and of a prior that holds what the simulator counted."""

    def looked_up(_train, asked, _seed):
        return Guess(1.01 * asked.data.delay_cycles)

    def with_counters(train, asked, seed):
        told = (replace(some, physics=with_stalls(some)) for some in (train, asked))
        return surrogate("starlight", "physics")(*told, seed)

    def with_stalls(some):
        return replace(some.physics, metrics={**some.physics.metrics, "stall_cycles": some.data.delay_cycles / 2})

    assert leaks(looked_up)
    assert leaks(with_counters)


def test_the_bench_keeps_what_it_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(splits, "MODELS", {"cost model alone": alone("roofline"), "physics alone": alone("physics")})
    monkeypatch.setattr(splits, "collected", lambda _options, **_: rows())
    monkeypatch.setattr(splits, "low_of_samples", lambda _options, **_: None)
    monkeypatch.setattr(splits, "QUICK_TRAINING", (50,))
    monkeypatch.setattr(splits, "BESIDE_PAPER", ())
    monkeypatch.setattr(parts, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
    options = BenchOptions(None, True, 0, tmp_path, lambda *_: None)
    result = splits.run(options)
    lines = {(row["split"], row["model"]): row for row in result.rows}
    assert len(lines) == 2 * 7
    assert lines["random", "physics alone"]["spearman"] > lines["random", "cost model alone"]["spearman"]
    assert (tmp_path / "table.csv").read_text().count("\n") == 15
    monkeypatch.setattr(splits, "measured", SimpleNamespace)  # would fail if it were called
    assert splits.run(options).rows == result.rows


def test_a_goal_that_is_missed_is_told():
    good = {
        "spearman": 0.993, "worst_spearman": 0.989, "mean_error": 0.05, "rmsle": 0.07, "within_layer": 0.95,
        "within_layer_and_hardware": 0.9, "coverage": 0.9, "trained_s": 19.0, "predicted_ms": 0.2,
    }  # fmt: skip
    names = [*MODELS]

    def table(split="random", **changes):
        others = [{"split": split, "training": 820, "model": name, **good, "rmsle": 0.2} for name in names[:-1]]
        return [*others, {"split": split, "training": 820, "model": "starlight", **good, **changes}]

    def missed(rows):
        return [check.name.split(":")[0] for check in splits.checks(rows) if not check.ok]

    assert missed(table()) == []
    assert missed(table(worst_spearman=0.987)) == ["worst_spearman"]
    assert missed(table(mean_error=0.086)) == ["mean_error"]
    assert missed(table(within_layer=None)) == ["within_layer"]
    assert missed(table(coverage=0.97)) == ["coverage"]
    assert missed(table(trained_s=20.1)) == ["trained_s"]
    assert missed(table(predicted_ms=0.31)) == ["predicted_ms"]
    assert missed(table(predicted_ms=None)) == []
    assert missed(table(rmsle=0.105)) == ["rmsle beside cost model"]
    assert missed(table("bus 4", mean_error=0.21, spearman=0.1)) == ["mean_error"]

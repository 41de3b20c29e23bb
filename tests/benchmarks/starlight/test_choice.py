from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight import choice
from armillary.benchmarks.starlight.models import alone
from benchmarks.starlight.rows import rows


def test_regret_is_of_the_first_and_of_the_best_of_five():
    true = np.array([100.0, 110, 150, 200, 300, 400])
    assert choice.regret(true, true) == {1: 0.0, 5: 0.0}
    assert choice.regret(-true, true) == pytest.approx({1: 3.0, 5: 0.1})
    assert choice.regret(np.array([3, 1, 2, 4, 5, 6.0]), true) == pytest.approx({1: 0.1, 5: 0.0})


def test_pairs_are_of_one_layer_on_one_design():
    some = rows()
    pairs = choice.pairs_of(some)
    assert sorted(np.concatenate(pairs).tolist()) == list(range(len(some)))
    assert all(len({(some.data.layer[i], some.data.hardware[i]) for i in own}) == 1 for own in pairs)


def test_models_learn_from_other_layers_only(monkeypatch, tmp_path):
    some, asked_of = rows(), []
    own = some.data.layer == some.data.layer[0]
    one_design = replace(some.data, hardware=np.zeros(len(some), dtype=np.int64))
    every = replace(some, data=one_design, knobs=np.where(own, "candidates", ""))
    monkeypatch.setattr(choice, "simulated", lambda _drawn, _options: every)

    def watched(train, asked, seed):
        asked_of.append(set(train.data.layer) & set(asked.data.layer))
        return alone("physics")(train, asked, seed)

    monkeypatch.setattr(choice, "MODELS", {"starlight": watched})
    result = choice.run(BenchOptions(None, True, 0, tmp_path, lambda *_: None))
    assert asked_of == [set()]
    (row,) = result.rows
    assert (row["training"], row["pairs"]) == (50, 1)
    assert row["regret_best_of_five"] <= row["regret_first"] < 0.1
    assert [check.ok for check in result.checks] == [True, True]
    assert not any(check.ok for check in choice.checks([{**row, "regret_first": 0.2, "regret_best_of_five": 0.04}]))

from pathlib import Path

import numpy as np
import pytest

from armillary import surrogates
from armillary.benchmarks import prime_surrogates
from armillary.benchmarks.prime_surrogates import METHODS, scored_best
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.optimizers.surrogate_search import keys
from armillary.spaces.samplers import sample
from armillary.types import Prediction


class ByLanes:
    """A surrogate that likes small areas."""

    def fit(self, _log, _objective):
        return self

    def predict(self, designs, _context):
        area = TEMPLATE.area_mm2(designs)
        return Prediction(area, np.zeros(len(area)), np.ones(len(area)))


def options(quick=True):
    return BenchOptions(None, quick, 0, Path("unused"), lambda *_: None)


def test_the_best_of_everything_scored_are_kept(monkeypatch):
    monkeypatch.setattr(prime_surrogates, "_QUICK_DESIGNS", 5000)
    monkeypatch.setattr(prime_surrogates, "_CHUNK", 700)
    every = np.unique(SPACE.index(sample(SPACE, 5000, "random", 0)))
    area = TEMPLATE.area_mm2(SPACE.at(every))
    inside = np.sort(area[area <= 29])
    known = keys(SPACE.at(every[np.argsort(area, kind="stable")[:3]]))
    codes, scored = scored_best(ByLanes(), {}, 29.0, options(), known)
    assert scored == len(inside) - 3
    assert np.array_equal(TEMPLATE.area_mm2(codes), inside[3 : 3 + 256])


def test_without_quick_the_whole_space_is_scored(monkeypatch):
    monkeypatch.setattr(prime_surrogates, "_CHUNK", SPACE.size // 4 + 1)
    monkeypatch.setattr(np, "arange", range)
    monkeypatch.setattr(type(SPACE), "at", lambda self, index: index)
    parts = list(prime_surrogates._designs(options(quick=False)))
    assert [part[0] for part in parts[1:]] == [part[-1] + 1 for part in parts[:-1]]
    assert (parts[0][0], parts[-1][-1] + 1) == (0, SPACE.size)


@pytest.mark.parametrize("name", METHODS)
def test_every_surrogate_compared_exists(name):
    method, settings = METHODS[name]
    assert surrogates.load(method)(space=SPACE, seed=0, **settings)

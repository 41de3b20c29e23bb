from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from armillary import surrogates
from armillary.benchmarks.prime import designs as prime_designs
from armillary.benchmarks.prime import scoring as prime_scoring
from armillary.benchmarks.prime import surrogates as prime_surrogates
from armillary.benchmarks.prime.designs import area_parts, positions_within, unmet
from armillary.benchmarks.prime.scoring import scored_best
from armillary.benchmarks.prime.surrogates import METHODS
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.spaces.samplers import sample
from armillary.types import Prediction


class BySmallness:
    """A surrogate that likes small areas."""

    def fit(self, _log, _problem):
        return self

    def predict(self, designs, _context):
        area = TEMPLATE.area_mm2(designs)
        return Prediction(area, np.zeros(len(area)), np.ones(len(area)))


def options(quick=True):
    return BenchOptions(None, quick, 0, Path("unused"), lambda *_: None)


def test_the_best_of_everything_scored_are_kept(monkeypatch):
    monkeypatch.setattr(prime_designs, "QUICK_DESIGNS", 5000)
    monkeypatch.setattr(prime_scoring, "CHUNK", 700)
    every = np.unique(SPACE.index(sample(SPACE, 5000, "random", 0)))
    area = TEMPLATE.area_mm2(SPACE.at(every))
    inside = np.sort(area[area <= 29])
    known = SPACE.at(every[np.argsort(area, kind="stable")[:3]])
    positions = unmet(positions_within(29.0, options()), known)
    assert len(positions) == len(inside) - 3
    codes = scored_best(BySmallness(), {}, positions)
    assert np.array_equal(TEMPLATE.area_mm2(codes), inside[3 : 3 + 256])


def test_without_quick_every_design_within_the_area_is_scored(monkeypatch, tmp_path):
    few = replace(SPACE, parameters=tuple(replace(p, values=p.values[:3]) for p in SPACE.parameters))
    monkeypatch.setattr(prime_designs, "SPACE", few)
    monkeypatch.setattr(prime_designs, "CHUNK", 7000)
    every = np.arange(few.size)
    expected = every[TEMPLATE.area_mm2(few.at(every)) <= 4.0]
    assert 0 < len(expected) < few.size
    full = replace(options(quick=False), out=tmp_path / "prime-surrogates")
    for write in area_parts(4.0, full).values():
        write()
    np.testing.assert_array_equal(positions_within(4.0, full), expected)


def test_quick_compares_two_applications_without_coms(monkeypatch, tmp_path):
    told = dict.fromkeys(("scored_s", "searched_s"), 2e-3) | dict.fromkeys(("scored_legal", "searched_legal"), 1.0)
    told |= {"spearman": 0.9, "brier": 0.1, "training_seconds": 1.0, "designs": 10, "scoring_seconds": 1.0}
    monkeypatch.setattr(prime_surrogates, "_one", lambda *_: told)
    monkeypatch.setattr(prime_surrogates, "in_processes", lambda *_: None)
    rows = prime_surrogates.run(replace(options(), out=tmp_path)).rows
    assert {row["application"] for row in rows} == {"mobilenet_v2", "t_rnn_enc", "mean"}
    assert {row["surrogate"] for row in rows} == set(METHODS) - {"coms"}
    full = prime_surrogates.run(replace(options(quick=False), out=tmp_path)).rows
    assert len(full) == (9 + 1) * len(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_surrogate_compared_exists(name):
    method, settings = METHODS[name]
    assert surrogates.load(method)(space=SPACE, seed=0, **settings)

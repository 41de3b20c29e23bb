"""The benchmark of uneven tiles: its rows, and what its checks notice."""

from dataclasses import replace

import pytest

from armillary.benchmarks.cost_model import uneven_tiles
from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla, tpu, uneven
from armillary.benchmarks.result import BenchOptions
from armillary.workloads.layer import LayerUse, Workload
from cost_model.test_memories import LAYER, chip


@pytest.fixture
def case():
    network = Workload("two", (LayerUse(LAYER, 3, 3), LayerUse(replace(LAYER, name="short", P=1))))
    return uneven_tiles.Case(chip(), network, "energy")


def test_a_row_compares_the_sums_over_layers(case, monkeypatch, tmp_path):
    """The large layer takes 3,684 pJ or 2,876 pJ, as hands have counted; the small one has no use for a second tile."""
    monkeypatch.setattr(uneven_tiles, "_cases", lambda _: iter([case]))
    options = BenchOptions(data=None, quick=True, seed=0, out=tmp_path, on_progress=lambda *_: None)
    result = uneven_tiles.run(options)
    row = result.rows[0]
    small = row["even energy uJ"] * 1e6 - 3 * 3684
    assert row["saved energy"] == f"{3 * (3684 - 2876) / (3 * 3684 + small):.2%}"
    assert (row["layers better"], row["most of a layer"]) == ("1 of 2", f"{1 - 2876 / 3684:.2%}")
    assert (row["gap even"], row["gap uneven"]) == ("0.00%", "0.00%")
    assert result.ok


def test_the_check_notices_a_layer_that_became_worse(case):
    even, free = (uneven_tiles._mapped(one, case, 0) for one in (case.hierarchy.even(), case.hierarchy))
    assert uneven_tiles._check(case, even, free).ok
    assert not uneven_tiles._check(case, free, even).ok


@pytest.mark.parametrize("hierarchy", [eyeriss(), gemmini(), tpu(), nvdla()], ids=lambda chip: chip.name)
def test_one_buffer_of_each_hierarchy_is_shared(hierarchy):
    free = uneven(hierarchy)
    assert len(free.levels) == len(hierarchy.levels) + 1
    assert free.even() == hierarchy


def test_the_quick_run_is_part_of_the_full_one():
    full = {(c.hierarchy.name, c.network.name, c.goal) for c in uneven_tiles._cases(False)}
    quick = {(c.hierarchy.name, c.network.name, c.goal) for c in uneven_tiles._cases(True)}
    assert quick < full
    assert len(full) == 12

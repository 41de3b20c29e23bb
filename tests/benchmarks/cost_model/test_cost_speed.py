import numpy as np
import pytest

from armillary.benchmarks.cost_model import cost_speed
from armillary.benchmarks.result import BenchOptions
from armillary.cost_model import evaluate
from armillary.cost_model.batch import HierarchyBatch
from armillary.cost_model.summaries import summaries
from armillary.mapping.mapspace import MapSpace
from armillary.workloads import zoo


def test_a_mixed_batch_holds_mappings_of_every_layer():
    uses = zoo.build("resnet18").layers
    chip = cost_speed.gemmini()
    layers, mappings = cost_speed._mixed([MapSpace(chip, use.layer) for use in uses], 500, np.random.default_rng(0))
    assert len(layers) == len(mappings) == 500
    assert len(np.unique(layers.bounds.numpy(), axis=1).T) == len({use.layer for use in uses})
    found = summaries(HierarchyBatch.of([chip]), layers, mappings)
    assert 0 < found.feasible.sum() < 500


def test_the_search_ends_below_random_search(tmp_path, monkeypatch):
    real = cost_speed.search
    monkeypatch.setattr(
        cost_speed,
        "search",
        lambda *a, **k: real(*a, **{**k, "budget": 4_000, "seconds": None}),
    )
    options = BenchOptions(data=None, quick=True, seed=0, out=tmp_path, on_progress=lambda *_: None)
    uses = zoo.build("resnet18").layers[:3]
    found = cost_speed._whole_network(uses, options)
    assert found["search_edp"] <= cost_speed.NEAR * found["random_edp"]
    assert found["random_mappings"] == 12_000
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
def test_the_quick_benchmark_holds(tmp_path):
    result = cost_speed.run(BenchOptions(data=None, quick=True, seed=0, out=tmp_path, on_progress=lambda *_: None))
    assert {check.name for check in result.checks if not check.ok} <= {"mappings/s, compiled, largest batch"}


def test_the_example_is_the_benchmarks_hierarchy():
    chip = cost_speed.gemmini()
    space = MapSpace(chip, zoo.build("resnet18").layers[1].layer)
    mapping = space.mapping(space.random(1, np.random.default_rng(0))[0])
    assert not list(mapping.faults(chip, space.layer))
    assert evaluate(chip, space.layer, mapping).macs.item() == space.layer.macs

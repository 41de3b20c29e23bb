from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.spotlight import figures as spotlight_figures
from armillary.benchmarks.spotlight import runs as spotlight_runs
from armillary.benchmarks.spotlight.runs import HAND, Runs, Study, chip_from
from armillary.evaluators.spotlight import map_network
from armillary.hardware.templates.spotlight import EDGE, chip_of, cloud
from armillary.optimizers import peers
from armillary.optimizers.genetic import children
from armillary.workloads import zoo
from armillary.workloads.layer import Workload


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Make every experiment small: one trial of three chips and ten mappings, networks of two layers."""
    # other processes would not see the small networks
    monkeypatch.setattr(spotlight_runs, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
    monkeypatch.setattr(Runs, "of", staticmethod(lambda o: Runs(o, trials=1, hardware=3, software=25)))
    build = zoo.build
    monkeypatch.setattr(zoo, "build", lambda name: Workload(name, build(name).layers[-3:-1]))
    monkeypatch.setattr(spotlight_figures, "MODELS", ("resnet50", "mnasnet"))
    monkeypatch.setattr(spotlight_figures, "_UNSEEN", ("mnasnet",))
    monkeypatch.setattr(spotlight_figures, "_TRAINED", ("resnet50",))
    monkeypatch.setattr(spotlight_figures, "COMPARED_MAPPINGS", (200, 400))
    return BenchOptions(None, True, 0, tmp_path / "figure", lambda *_: None)


@pytest.mark.parametrize("number", [*(pytest.param(n, marks=pytest.mark.slow) for n in (42, 43, 44, 46)), 45, 47])
def test_every_figure_is_made_and_checked(options, number):
    result = getattr(spotlight_figures, f"fig{number}")(options)
    assert result.rows
    assert result.checks
    assert (options.out / "table.csv").exists()
    assert list(options.out.glob("*.html"))
    for row in result.rows:
        assert np.isfinite(row.get("median", 1.0))


def test_runs_are_kept_and_repeat(options):
    runs, study = Runs.of(options), Study(("resnet50",), "edp")
    first = runs.trials_of("spotlight", study)
    kept = {path: path.read_text() for path in Path(options.out.parent).rglob("*.json")}
    assert runs.trials_of("spotlight", study) == first
    assert {path: path.read_text() for path in Path(options.out.parent).rglob("*.json")} == kept
    assert len(first[0]["values"]) == len(first[0]["seconds"]) == 3
    assert chip_from(first[0]).area_mm2 <= study.template.budgets["area_mm2"]


@pytest.mark.parametrize("method", HAND)
def test_hand_designed_chips_have_no_more_area_and_lanes(options, method):
    (run,) = Runs.of(options).trials_of(method, Study(("resnet50",), "delay"))
    chip = chip_from(run)
    largest = chip_of(EDGE.design([n - 1 for n in EDGE.cardinalities]))
    assert chip.area_mm2 <= 3.5
    assert chip.pes * chip.simd_lanes <= largest.pes * largest.simd_lanes
    assert chip.scratchpad_kib <= largest.scratchpad_kib
    assert chip.register_file_kib <= largest.register_file_kib
    assert spotlight_runs.values_of([run]) == [run["value"]]


def test_confuciux_breeds_for_half_of_its_chips_whatever_the_size_of_the_run(options, monkeypatch):
    bred = []
    monkeypatch.setattr(peers, "children", lambda *a, **k: bred.append(1) or children(*a, **k))
    Runs(options, trials=1, hardware=6, software=5).trials_of("confuciux", Study(("resnet50",), "delay"))
    assert len(bred) >= 3  # as many as chips, or more where some were too large


def test_memories_beyond_the_space_fill_the_area(options):
    study = Study(("resnet50",), "delay")
    runs = Runs.of(options)
    bounded, free = (
        chip_from(runs.trials_of("nvdla-like", replace(study, hand=hand))[0]) for hand in ("bounded", "unbounded")
    )
    assert free.scratchpad_kib > bounded.scratchpad_kib
    assert free.area_mm2 == pytest.approx(3.5, rel=0.02)


def test_a_hand_designed_chip_is_tried_with_a_bus_for_its_array(options):
    study = Study(("resnet50",), "delay", "cloud")
    chip, _ = HAND["maeri-like"]
    buses = spotlight_runs._buses(chip, study)
    tried = spotlight_runs._scaled(cloud(chip), 320.0, study, buses)
    assert {one.bandwidth for one in tried} == {64, 256}  # the released bus and the space's widest
    assert [bus(2 * chip.pes) for bus in buses] == [64, 128, 256]
    free = replace(study, hand="unbounded")
    widest = max(spotlight_runs._scaled(cloud(chip), 320.0, free, spotlight_runs._buses(chip, free)), key=_bandwidth)
    assert widest.bandwidth == pytest.approx(64 * widest.pes / chip.pes, abs=0.5)


def _bandwidth(chip):
    return chip.bandwidth


def test_each_scaling_of_a_hand_designed_chip_begins_with_the_mappings_of_the_best_before(options, monkeypatch):
    begun = []

    def mapped(*args, starts, **kwargs):
        network = map_network(*args, starts=starts, **kwargs)
        begun.append((starts, network))
        return network

    monkeypatch.setattr(spotlight_runs, "map_network", mapped)
    Runs.of(options).trials_of("nvdla-like", Study(("resnet50",), "delay"))
    (first, one), (second, two), (third, _) = begun[:3]
    assert first == {}
    assert second == {name: (mapping,) for name, mapping in one.by_layer.items()}
    order = sorted((one, two), key=lambda network: network.delay_cycles)
    name = next(iter(order[0].by_layer))
    assert third[name] == tuple(dict.fromkeys(network.by_layer[name] for network in order))

"""Metrics: how the runs of layers add up, what follows from others, and those of other packages."""

import sys
from datetime import datetime
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from armillary.metrics import METRICS, STALLS, derived, folded, of_tokens, with_derived
from armillary.testing.optimizers import evaluation
from armillary.types import Design, Evaluations, Metric
from armillary.workloads.phases import Phase

PJ = Metric("pJ", over_layers=lambda values, runs: (values * runs).sum(-1))


@pytest.mark.parametrize("name", METRICS)
def test_the_unit_ends_the_name(name):
    unit = METRICS[name].unit
    spelt = unit.lower().replace("*", "_").replace("/", "_per_")
    assert unit == "1" or f"_{name}".endswith(f"_{spelt}")


@pytest.mark.parametrize("cause", STALLS)
def test_every_stall_is_a_metric_that_adds_up(cause):
    columns = {f"{cause}_stall_cycles": np.array([2.0, 3.0])}
    assert folded(columns, np.array([1.0, 10.0])) == {f"{cause}_stall_cycles": 32.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [("edp_pj_cycles", 4e10), ("power_mw", 2000.0), ("runtime_area_s_mm2", 6e-3)],
)
def test_what_follows_from_others(name, value):
    assert derived({"energy_pj": 4e9, "delay_cycles": 10.0, "runtime_s": 2e-3, "area_mm2": 3.0}, name) == value


def test_a_metric_that_is_given_is_not_worked_out():
    assert derived({"energy_pj": 4e9, "runtime_s": 2e-3, "power_mw": 7.0}, "power_mw") == 7.0


@pytest.mark.parametrize("name", ["power_mw", "delay_cycles", "wear"])
def test_what_neither_stands_there_nor_follows_is_none(name):
    assert derived({"energy_pj": 4e9}, name) is None


def test_layers_add_up_as_often_as_they_run_and_area_is_shared():
    layers = {
        "delay_cycles": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "area_mm2": np.array([[7.0, 5.0], [1.0, 2.0], [3.0, 9.0]]),
    }
    found = folded(layers, np.array([10.0, 1.0]))
    assert found["delay_cycles"].tolist() == [12.0, 34.0, 56.0]
    assert found["area_mm2"].tolist() == [7.0, 2.0, 9.0]


@pytest.mark.parametrize("name", ["utilization", "edp_pj_cycles", "power_mw", "wear"])
def test_what_does_not_add_up_is_left_out(name):
    assert list(folded({name: np.ones(2), "energy_pj": np.ones(2)}, np.ones(2))) == ["energy_pj"]


LAYERS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 9)), min_size=1, max_size=6)


@given(layers=LAYERS, seed=st.integers(0, 2**32 - 1))
def test_a_layer_that_runs_n_times_is_n_layers_in_any_order(layers, seed):
    def fold(rows):
        energy, area, runs = np.array(rows, dtype=float).T
        return folded({"energy_pj": energy, "area_mm2": area}, runs)

    alone = [(energy, area, 1) for energy, area, runs in layers for _ in range(runs)]
    shuffled = [alone[i] for i in np.random.default_rng(seed).permutation(len(alone))]
    assert fold(layers) == fold(shuffled)


@given(layers=LAYERS)
def test_tensors_add_up_to_what_arrays_do(layers):
    energy, area, runs = np.array(layers, dtype=float).T
    arrays = folded({"energy_pj": energy, "area_mm2": area}, runs)
    tensors = folded({"energy_pj": torch.tensor(energy), "area_mm2": torch.tensor(area)}, torch.tensor(runs))
    assert {name: float(value) for name, value in tensors.items()} == arrays


def test_a_problem_brings_metrics_of_its_own():
    own = {"wear_pj": PJ, "twice_pj": Metric("pJ", derive=lambda m: 2 * m["wear_pj"])}
    assert folded({"wear_pj": np.array([1.0, 2.0])}, np.array([1.0, 3.0]), own) == {"wear_pj": 7.0}
    assert folded({"energy_pj": np.array([1.0, 2.0])}, np.array([1.0, 3.0]), own) == {}
    assert derived({"wear_pj": 4.0}, "twice_pj", own) == 8.0
    assert derived({"energy_pj": 1.0, "delay_cycles": 1.0}, "edp_pj_cycles", own) is None


def test_rows_get_what_they_lack_and_keep_what_they_have():
    designs = [Design("s", (("width", width),)) for width in (1, 2)]
    told = [{"energy_pj": 4e9, "runtime_s": 2e-3, "power_mw": 7.0, "delay_cycles": 3.0}, None]
    rows = Evaluations.from_list([evaluation(d, m) for d, m in zip(designs, told, strict=True)])
    found = with_derived(rows, ("edp_pj_cycles", "power_mw", "runtime_area_s_mm2"))
    assert sorted(found.metrics) == ["delay_cycles", "edp_pj_cycles", "energy_pj", "power_mw", "runtime_s"]
    np.testing.assert_array_equal(found.metrics["edp_pj_cycles"], [1.2e10, np.nan])
    np.testing.assert_array_equal(found.metrics["power_mw"], [7.0, np.nan])
    assert found.time[0] == datetime(2026, 1, 1)
    assert with_derived(rows, ("power_mw", "runtime_area_s_mm2")) is rows


def test_other_packages_add_metrics_and_replace_none(monkeypatch):
    stranger = SimpleNamespace(WEAR=Metric("1"), ENERGY=Metric("J"))
    monkeypatch.setitem(sys.modules, "stranger", stranger)
    group = "armillary.metrics"
    entries = [
        metadata.EntryPoint("wear", "stranger:WEAR", group), metadata.EntryPoint("energy_pj", "stranger:ENERGY", group)
    ]  # fmt: skip
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == "armillary.metrics" else [])
    found = type(METRICS)()  # those of the process are looked up once
    assert found["wear"] is stranger.WEAR
    assert found["energy_pj"] is METRICS["energy_pj"]
    assert set(found) == {*METRICS, "wear"}
    assert len(found) == len(METRICS) + 1
    with pytest.raises(KeyError, match="tear"):
        found["tear"]


def test_what_a_step_of_decode_comes_to_per_token():
    step = Phase("decode", 1, 2048, 8)
    found = of_tokens({"runtime_s": 0.5, "energy_pj": 16.0, "area_mm2": 1.0}, step)
    assert found == {"tokens_per_s": 16.0, "energy_per_token_pj": 2.0}


def test_the_first_token_follows_from_the_whole_prompt():
    prompt = Phase("prefill", 100, 0, 2)
    times = np.array([0.5, 2.0])
    found = of_tokens({"runtime_s": times, "energy_pj": np.array([400.0, 800.0])}, prompt)
    np.testing.assert_array_equal(found["time_to_first_token_s"], times)
    np.testing.assert_array_equal(found["tokens_per_s"], [400.0, 100.0])
    np.testing.assert_array_equal(found["energy_per_token_pj"], [2.0, 4.0])


def test_a_phase_without_energy_has_none_per_token():
    assert of_tokens({"runtime_s": 2.0}, Phase("decode", 1, 1, 1)) == {"tokens_per_s": 0.5}
    assert of_tokens({}, Phase("prefill", 1, 0, 1)) == {}

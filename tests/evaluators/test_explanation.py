from dataclasses import replace

import pytest

from armillary.evaluators.explanation import BOUNDS, ChipRates, LayerCost, bound_of
from armillary.metrics import STALLS
from armillary.types import Design, LayerRun
from armillary.workloads.layer import Layer

LAYER = Layer("a", "conv", K=4, C=5, P=5)
MODELLED = {
    "delay_cycles": 10.0, "compute_cycles": 4.0, "dram_cycles": 8.0, "onchip_cycles": 2.0, "energy_pj": 3.0,
    "dram_bytes": 50.0, "utilization": 0.5,
}  # fmt: skip
SIMULATED = {
    "delay_cycles": 100.0, "busy_cycles": 20.0, **{f"{cause}_stall_cycles": 16.0 for cause in STALLS},
    "energy_pj": 3.0, "dram_bytes": 50.0, "utilization": 0.5,
}  # fmt: skip


def cost(**changes):
    usual = LayerCost("a", "conv", 1, 100.0, 10.0, 5.0, 10.0, 1.0, 50.0, 0.5, "dram")
    return replace(usual, **changes)


def test_intensity_is_work_per_dram_byte():
    assert cost().macs_per_dram_byte == 2.0
    assert cost(dram_bytes=0.0).macs_per_dram_byte == float("inf")


def test_an_unknown_bound_is_refused():
    with pytest.raises(ValueError, match=r"layer a: bound='luck' is not allowed; choose one of \['compute'"):
        cost(bound="luck")


def test_rates_are_positive():
    with pytest.raises(ValueError, match=r"clock_hz=0 is not allowed; it must be positive"):
        ChipRates(0, 1.0, 1.0)


def test_bounds_name_every_limit():
    assert set(BOUNDS) == {"compute", "dram", "on-chip", "overhead"}


def test_a_layers_cost_is_that_of_all_its_runs():
    run = LayerRun(Design("s", ()), LAYER, "L0[WIO] N1", MODELLED, runs=3)
    found = LayerCost.of(run, 100)
    assert found == LayerCost("a", "conv", 3, 300.0, 30.0, 12.0, 24.0, 9.0, 150.0, 0.5, "dram", "L0[WIO] N1")


def test_a_simulated_layers_cost_holds_what_was_measured():
    found = LayerCost.of(LayerRun(Design("s", ()), LAYER, "", SIMULATED, runs=2), 100)
    assert (found.delay_cycles, found.compute_cycles, found.dram_cycles) == (200.0, 40.0, 32.0)


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({}, "dram"),
        ({"compute_cycles": 9.0}, "compute"),
        ({"onchip_cycles": 9.0}, "on-chip"),
        ({"delay_cycles": 15.0}, "dram"),
        ({"delay_cycles": 17.0}, "overhead"),  # 9 cycles on top of 8
    ],
)
def test_the_largest_need_of_a_model_bounds(changes, bound):
    assert bound_of(MODELLED | changes) == bound


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"busy_cycles": 33.0}, "compute"),
        ({"dram_stall_cycles": 33.0}, "dram"),
        ({"busy_cycles": 31.0}, "on-chip"),  # two causes of 16 cycles each; overhead has two, too, but comes later
        ({"command_stall_cycles": 17.0}, "overhead"),
    ],
)
def test_what_most_cycles_were_spent_on_bounds_a_simulation(changes, bound):
    assert bound_of(SIMULATED | changes) == bound

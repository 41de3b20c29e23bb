"""Samples of designs, layers and mappings."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.layers import costs_of_each
from armillary.evaluators.gemmini.mapped import by_cost_model, sorted_out
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.sampling import LayerSampling
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import check_layer
from armillary.hardware.templates.gemmini import TEMPLATE
from armillary.types import ArmillaryError, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

LARGE = Layer("large", "conv", K=96, C=64, P=28, Q=28, R=3, S=3)
SMALL = Layer("small", "gemm", K=48, C=20, P=12)
NETS = (
    Workload("one", (LayerUse(LARGE), LayerUse(SMALL))),
    Workload("two", (LayerUse(replace(SMALL, name="again")), LayerUse(Layer("own", "conv", K=10, C=8, P=7, Q=7)))),
)


def sampled(samples=48, networks=NETS, on_done=lambda _: None, **options):
    return sample_layers(networks, LayerSampling(samples, **options), on_done)


def runs_of(found):
    return [run for _, run in sorted(by_cost_model(found.rows, costs_of_each), key=lambda one: one[0])]


def test_every_size_and_every_layer_is_drawn_as_often():
    found = sampled(48)
    pairs = Counter((one.design["dim"], one.layer.name) for one in found.rows)
    assert pairs == {(dim, layer): 4 for dim in (4, 8, 16, 32) for layer in ("large", "small", "own")}
    assert (len(found.rows), found.layers, found.too_long, found.missed) == (48, 3, 0, 0)
    assert Counter(one.design["dim"] for one in sampled(6).rows) == {4: 2, 8: 2, 16: 1, 32: 1}


def test_a_pair_has_several_mappings():
    found = sampled(48, mappings=4).rows
    groups = [found[first : first + 4] for first in range(0, 48, 4)]
    assert all(len({(one.design, one.layer) for one in group}) == 1 for group in groups)
    assert all(len({one.mapping for one in group}) > 1 for group in groups if group[0].layer.name == "large")
    assert len({(group[0].design, group[0].layer) for group in groups}) == 12
    assert found[:6] == sampled(6, mappings=4).rows
    with pytest.raises(ArmillaryError, match="mappings=0 is not allowed; it must be at least 1"):
        sampled(4, mappings=0)


def test_a_layer_of_several_networks_is_the_first_ones():
    assert {(one.layer.name, one.network) for one in sampled().rows} == {
        ("large", "one"), ("small", "one"), ("own", "two")
    }  # fmt: skip


def test_the_hardware_is_that_of_the_table():
    designs = [one.design.as_dict() for one in sampled(96).rows]
    for name, value in TEMPLATE.defaults.items():
        seen = {design[name] for design in designs}
        if name in ("scratchpad_kib", "accumulator_kib"):
            assert len(seen) > 25
            assert (min(seen), max(seen)) == (8, 256)
        elif name not in ("dim", "bus_bytes"):
            assert seen == {value}
    assert {design["dim"]: design["bus_bytes"] for design in designs} == {4: 4, 8: 8, 16: 16, 32: 16}


def test_knobs_take_the_values_that_are_given():
    knobs = {"dim": (16, 32), "dataflow": ("output_stationary", "weight_stationary"), "bus_bytes": (4, 32)}
    designs = [one.design.as_dict() for one in sampled(knobs=knobs).rows]
    assert Counter(design["dim"] for design in designs) == {16: 24, 32: 24}
    assert {design["dataflow"] for design in designs} == set(knobs["dataflow"])
    assert {(design["dim"], design["bus_bytes"]) for design in designs} == {(16, 4), (32, 4), (32, 32)}


@pytest.mark.parametrize("remainders", [False, True])
def test_samples_run_but_for_the_share_that_need_not(remainders):
    all_run = runs_of(sampled(96, unfit_share=0.0, remainders=remainders))
    assert all(run.failure is None for run in all_run)
    first = runs_of(sampled(96, unfit_share=1.0, remainders=remainders))
    some = runs_of(sampled(96, unfit_share=0.5, remainders=remainders))
    unfit = [sum(run.failure is not None for run in runs) for runs in (some, first)]
    assert 0.25 * unfit[1] < unfit[0] < 0.75 * unfit[1]
    assert [run.mapping for run in first if run.failure is None] == [
        two.mapping for one, two in zip(first, all_run, strict=True) if one.failure is None
    ]  # what fits is not drawn again
    assert any(Mapping.parse(run.mapping).imperfect for run in all_run) == remainders


def test_fewer_samples_are_the_first_of_more():
    assert sampled(40).rows[:17] == sampled(17).rows
    assert sampled(17, seed=1).rows != sampled(17).rows
    assert sampled(17, sampler="random").rows != sampled(17).rows


def test_layers_end_in_the_cycles_that_are_allowed():
    most = 60_000
    found = sampled(60, most_cycles=most)
    assert found.too_long == 3  # `large` has 43 million products, 42,336 for each element of the array of 32
    assert "large" not in {one.layer.name for one in found.rows if one.design["dim"] < 32}
    runs = runs_of(found)
    assert all(run.metrics["delay_cycles"] <= most for run in runs if run.failure is None)
    assert found.missed == 60 - len(found.rows)


def test_progress_ends_with_all():
    told = []
    sampled(24, on_done=told.append)
    assert told == sorted(told)
    assert told[-1] == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"knobs": {"dims": (4,)}}, "knob 'dims' is no parameter of gemmini"),
        ({"knobs": {"dim": (5,)}}, r"dim=5 is not allowed; choose one of \[4, 8, 16, 32\]"),
        ({"knobs": {"bus_bytes": (16,)}}, "bus_bytes=16 is not allowed; an array of 4 rows needs one of at most 4"),
        ({"most_cycles": 3}, "most_cycles=3 is not allowed; an array of 4 rows does none of the 3 layers"),
        ({"most_cycles": 0}, "most_cycles=0 is not allowed; it must be positive"),
        ({"unfit_share": 1.5}, "unfit_share=1.5 is not allowed; it must be 0 to 1"),
        ({"samples": 0}, "samples=0 is not allowed; it must be at least 1"),
        ({"sampler": "sobl"}, "did you mean 'sobol'"),
    ],
)
def test_what_is_wrong_is_named(options, message):
    with pytest.raises(ArmillaryError, match=message):
        sampled(**options)


def test_mappings_are_of_layers_as_the_hardware_runs_them():
    depthwise = Workload("dw", (LayerUse(Layer("dw", "depthwise", K=32, C=32, P=6, Q=6, R=3, S=3, groups=32)),))
    found = sampled(8, [depthwise], unfit_share=0.0)
    for one in found.rows:
        assert one.layer.groups == 32
        _, (ready,) = sorted_out([one], check_layer)
        assert ready.run.layer.groups == 32 // ready.accelerator.dim
    assert all(isinstance(run, LayerRun) for run in runs_of(found))
    assert np.isfinite([run.metrics["energy_pj"] for run in runs_of(found)]).all()

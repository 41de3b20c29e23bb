from dataclasses import replace

import numpy as np
import pytest

from armillary.cost_model.batch import LayerBatch, MappingBatch
from armillary.cost_model.packed import nests_of, works_of
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.sampling import random_sample
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.evaluators.gemmini.timing.machine import Machine, machines_of
from armillary.evaluators.gemmini.timing.schedule import cycles_of_some, room
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

LAYERS = [
    Layer("conv", "conv", K=32, C=16, P=12, Q=12, R=3, S=3),
    Layer("pointwise", "conv", K=64, C=32, P=8, Q=8),
    Layer("strided", "conv", K=24, C=12, P=9, Q=10, R=3, S=3, stride_h=2, stride_w=2),
    Layer("grouped", "conv", K=24, C=24, P=12, Q=8, R=3, S=3, groups=6),
    Layer("gemm", "gemm", K=48, C=96, P=24),
]
SMALL = Accelerator(dim=4, bus_bytes=4, scratchpad_kib=8, accumulator_kib=8)
# other knobs than the array and the bus need no other simulator
KNOBS = [
    {},
    {"queue_depth": 2, "dram_latency": 200, "outstanding": 2},
    {"scratchpad_kib": 4, "accumulator_kib": 2, "scratchpad_banks": 2, "burst_rows": 4},
    {"dram_bytes_per_cycle": 2, "dram_latency": 20, "queue_depth": 8},
]
GEMM = Layer("gemm", "gemm", K=16, C=16, P=64)
LONG = replace(GEMM, P=1024)


def cycles(text, layer=GEMM, **changes):
    return float(physics_cycles(replace(SMALL, **changes), layer, [Mapping.parse(text)])[0])


def measured(accelerator, layer, mapping):
    return simulate(simulator(accelerator), Job(accelerator, compile_layer(layer, mapping, accelerator))).cycles


def samples(accelerator, n, seed):
    rng = np.random.default_rng(seed)
    return [random_sample(accelerator, LAYERS, 60_000, rng) for _ in range(n)]


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
def test_it_is_near_the_rtl(dataflow):
    ratios = []
    for number, knobs in enumerate(KNOBS):
        accelerator = replace(SMALL, dataflow=dataflow, **knobs)
        for one in samples(accelerator, 6, number):
            said = physics_cycles(accelerator, one.layer, [one.mapping])[0]
            ratios.append(said / measured(accelerator, one.layer, one.mapping))
    assert np.mean(np.abs(np.array(ratios) - 1)) < 0.1
    assert 0.6 < min(ratios) <= max(ratios) < 1.4


@pytest.mark.parametrize(
    ("dataflow", "text"),
    [
        ("weight_stationary", "L3[WIO] P8 K4 - L2[WI] N1 K4X - L1[O] C4 C4X - L0[W] P128"),
        ("weight_stationary", "L3[WIO] C4 P8 - L2[WI] N1 K4X - L1[O] K4 C4X - L0[W] P128"),  # spills
        ("output_stationary", "L3[WIO] P16 C4 K4 - L2[WI] N1 K4X - L1[O] P16 P4X - L0[O] C4"),
    ],
)
def test_long_runs_are_near_the_rtls(dataflow, text):
    accelerator = replace(SMALL, dataflow=dataflow)
    true = measured(accelerator, LONG, Mapping.parse(text))
    assert cycles(text, LONG, dataflow=dataflow) == pytest.approx(true, rel=0.12)


def test_what_is_passed_over_changes_nothing():
    """A trace has every command, so that nothing is passed over."""
    for dataflow in ("weight_stationary", "output_stationary"):
        for number, knobs in enumerate(KNOBS):
            accelerator = replace(SMALL, dataflow=dataflow, **knobs)
            for one in samples(accelerator, 5, 10 + number):
                nests, works = nests_of(MappingBatch.of([one.mapping])), works_of(LayerBatch.of([one.layer]))
                space, out, trace = room(accelerator.queue_depth), np.empty(1), np.zeros((2, 4))
                cycles_of_some(nests, works, machines_of([accelerator]), (0, 0), 0, 1, space, out, trace)
                assert physics_cycles(accelerator, one.layer, [one.mapping])[0] == pytest.approx(out[0], rel=0.03)


def test_a_loop_that_repeats_costs_the_same_each_time():
    several = [
        cycles(f"L3[WIO] P{n} - L2[WI] N1 K4X - L1[O] K4 C4 C4X - L0[W] P8", replace(GEMM, P=8 * n))
        for n in (1000, 1001, 1002)
    ]
    # 16 tiles of weights and 8 pixels each, which hide loads and stores of 32 rows each
    first, second = several[1] - several[0], several[2] - several[1]
    assert abs(first - second) <= 1  # whole cycles
    assert 128 <= first <= 140


def test_short_runs_wait_for_the_weights():
    long = cycles("L3[WIO] N1 - L2[WI] N1 K4X - L1[O] K4 C4 C4X - L0[W] P64")
    short = cycles("L3[WIO] N1 - L2[WI] N1 K4X - L1[O] P64 K4 C4 C4X - L0[W] N1")
    assert short - long >= 16 * 64 * (4 - 1)  # four cycles for each of 1,024 tiles of weights, not one


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"dram_latency": 200}, {"dram_latency": 20}),
        ({"outstanding": 1}, {"outstanding": 16}),
        ({"burst_rows": 1, "outstanding": 2}, {"burst_rows": 16, "outstanding": 2}),
        ({"dram_bytes_per_cycle": 1}, {"dram_bytes_per_cycle": 4}),
        ({"queue_depth": 1}, {"queue_depth": 4}),
        ({"scratchpad_kib": 1}, {"scratchpad_kib": 8}),  # room for two tiles of inputs
        ({"accumulator_kib": 2}, {"accumulator_kib": 8}),  # and of sums
        ({"scratchpad_banks": 2}, {"scratchpad_banks": 16}),
    ],
)
def test_every_knob_counts(worse, better):
    text = "L3[WIO] P2 K4 - L2[WI] N1 K4X - L1[O] C4 P2 C4X - L0[W] P16"
    if "accumulator_kib" in worse:
        text = "L3[WIO] P8 - L2[WI] N1 K4X - L1[O] K4 C4 C4X - L0[W] P24"
        assert cycles(text, replace(GEMM, P=192), **worse) > cycles(text, replace(GEMM, P=192), **better)
    elif "scratchpad_banks" in worse:  # pixels four rows apart stay in one of four banks
        layer = Layer("conv", "conv", K=16, C=16, P=8, Q=4)
        text = "L3[WIO] N1 - L2[WI] N1 K4X - L1[O] Q4 K4 C4 C4X - L0[W] P8"
        assert cycles(text, layer, **worse) > cycles(text, layer, **better)
    else:
        assert cycles(text, **worse) > cycles(text, **better)


def test_batches_are_their_parts():
    mappings = [Mapping.parse(f"L3[WIO] K4 P{p} - L2[WI] N1 K4X - L1[O] C4 C4X - L0[W] P{64 // p}") for p in (1, 2, 8)]
    alone = [physics_cycles(SMALL, GEMM, [mapping])[0] for mapping in mappings]
    assert physics_cycles(SMALL, GEMM, mappings).tolist() == alone
    slow = replace(SMALL, dram_latency=300, queue_depth=8)
    other = replace(GEMM, K=32)
    longer = Mapping.parse("L3[WIO] K8 - L2[WI] N1 K4X - L1[O] C4 C4X - L0[W] P64")
    mixed = physics_cycles([SMALL, slow, SMALL], [GEMM, GEMM, other], [mappings[0], mappings[0], longer])
    assert mixed.tolist() == [
        alone[0], physics_cycles(slow, GEMM, mappings[:1])[0], physics_cycles(SMALL, other, [longer])[0]
    ]  # fmt: skip
    assert len(set(mixed.tolist())) == 3


def test_numbers_that_do_not_match_are_told():
    mapping = Mapping.parse("L3[WIO] K4 - L2[WI] N1 K4X - L1[O] C4 C4X - L0[W] P64")
    with pytest.raises(ArmillaryError, match=r"'accelerators': 2, 'layers': 1, 'mappings': 3} does not match"):
        physics_cycles([SMALL, SMALL], GEMM, [mapping] * 3)


def test_what_a_machine_is():
    (row,) = machines_of([Accelerator(dim=6, bus_bytes=4, dram_bytes_per_cycle=2, dataflow="output_stationary")])
    machine = Machine(*row)
    assert (machine.holds_sums, machine.dim, machine.beats, machine.beat_cycles) == (1, 6, 2, 2.0)
    assert (machine.fetch_beats, machine.scratchpad_rows, machine.accumulator_rows) == (64, 43_690, 2_730)
    assert (machine.burst_rows, machine.outstanding, machine.queue_depth, machine.latency) == (16, 16, 4, 50)

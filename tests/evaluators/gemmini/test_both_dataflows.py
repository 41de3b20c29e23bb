"""An array of both dataflows: commands of each in one program."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.evaluators import for_template
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.layers import best_mapping, best_of_views, costs_of_each, mapped
from armillary.evaluators.gemmini.network import run_network
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.commands import end
from armillary.hardware.rtl.gemmini.compiler import Placement, RefusedError, compile_layer, program_bytes
from armillary.hardware.rtl.gemmini.layout import FETCHED, aligned
from armillary.hardware.templates.gemmini import BOTH_SPACE, BOTH_TEMPLATE, DATAFLOWS, SPACE, Accelerator
from armillary.mapping.goals import value_of
from armillary.mapping.search import NoLegalMappingError
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.quantized.executing import differing
from armillary.workloads.quantized.quantizing import calibrated, quantized
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.runtime import reference
from evaluators.gemmini.random_programs import ACCELERATORS, cases
from workloads.quantized.small_networks import residual_block

BOTH = tuple(replace(ACCELERATORS[number], dataflow="both") for number in (2, 3))
SOME = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, eq=False)
class Joined:
    """Several layers' programs, one after another, without a wait between them."""

    words: np.ndarray
    address: int
    dram_bytes: int


def joined(accelerator, some):
    """Return the program of several cases, those of them that are not refused, and their own programs."""
    behind, parts = 0, []
    for case in some:
        try:
            program = compile_layer(
                case.layer, case.mapping, accelerator, padding=case.padding, requantization=case.requantization,
                placement=Placement(address=behind),
            )  # fmt: skip
        except RefusedError:
            continue
        parts.append((case, program))
        behind = aligned(program.dram_bytes, FETCHED)
    words = np.concatenate([*(program.words[:-1] for _, program in parts), end()])
    return Joined(words, behind, behind + program_bytes(len(words))), parts


@pytest.mark.parametrize("accelerator", BOTH, ids=lambda a: f"{a.dim}-{a.bus_bytes}")
def test_commands_of_both_in_one_program_are_bit_exact_in_the_same_cycles(accelerator):
    programs = [simulator(accelerator, full=full) for full in (False, True)]
    kinds = set()
    either = st.one_of(*(cases(view) for view in accelerator.views))

    @SOME
    @given(
        some=st.lists(either, min_size=2, max_size=4),
        latency=st.sampled_from([0, 7, 60]),
        backpressure=st.sampled_from([0, 0, 1]),
    )
    def check(some, latency, backpressure):
        slower = replace(accelerator, dram_latency=latency)
        whole, parts = joined(slower, some)
        rng, dram = np.random.default_rng(latency), np.zeros(whole.address, dtype=np.uint8)
        expected = []
        for case, program in parts:
            inputs, weights = random_tensors(case.layer, case.padding, rng)
            own = into_dram(program, inputs, weights)
            dram[program.inputs.address : len(own)] = own[program.inputs.address :]
            expected.append(convolved(case.layer, inputs, weights, case.padding, case.requantization))
        job = Job(slower, whole, dram, most_cycles=10_000_000, wants_dram=True, backpressure=backpressure)
        fast, full = (simulate(path, job) for path in programs)
        for result in (fast, full):
            for (case, program), outputs in zip(parts, expected, strict=True):
                np.testing.assert_array_equal(from_dram(program, result.dram, case.layer.K), outputs)
        assert (fast.cycles, fast.stalls) == (full.cycles, full.stalls)
        kinds.add("".join(case.mapping.levels[-1].keeps for case, _ in parts))

    check()
    assert any("WO" in kind for kind in kinds)
    assert any("OW" in kind for kind in kinds)


@pytest.mark.parametrize("number", [0, 1])
def test_one_dataflow_takes_the_cycles_of_an_array_that_has_no_other(number):
    view = BOTH[0].views[number]
    ran = 0

    @SOME
    @given(case=cases(view), latency=st.sampled_from([0, 60]))
    def check(case, latency):
        nonlocal ran
        found = []
        for accelerator in (BOTH[0], view):
            slower = replace(accelerator, dram_latency=latency)
            try:
                program = compile_layer(case.layer, case.mapping, slower, padding=case.padding)
            except RefusedError:
                return
            found.append(simulate(simulator(accelerator), Job(slower, program, most_cycles=10_000_000)))
        assert (found[0].cycles, found[0].busy, found[0].stalls) == (found[1].cycles, found[1].busy, found[1].stalls)
        ran += 1

    check()
    assert ran >= 15


MANY_PIXELS = Layer("pixels", "conv", K=4, C=4, P=32, Q=8)
ONE_PIXEL = Layer("one", "gemm", K=64, C=64)


def test_each_layer_is_mapped_with_the_dataflow_that_suits_it_better():
    accelerator = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4, dataflow="both")
    chosen = set()
    for layer in (MANY_PIXELS, ONE_PIXEL):
        values = {}
        for view in accelerator.views:
            (run,) = mapped(view, [LayerUse(layer)], budget=500)
            (costs,) = costs_of_each([accelerator], [run])  # by the mapping's dataflow
            assert costs == costs_of_each([view], [run])[0]
            values[run.mapping] = value_of("edp", costs["delay_cycles"], costs["energy_pj"])
        best = best_mapping(accelerator, layer, budget=500)
        assert best == min(values, key=values.__getitem__)
        chosen.add(best.levels[-1].keeps)
    assert chosen == {"W", "O"}


def test_a_dataflow_that_finds_nothing_leaves_the_other():
    accelerator = BOTH[0]

    def only(stationary):
        def find(view):
            if view.stationary != stationary:
                raise NoLegalMappingError("none")
            return view

        return best_of_views(accelerator, find, lambda view: 1.0)

    assert [only(held).stationary for held in "WO"] == ["W", "O"]
    with pytest.raises(NoLegalMappingError):
        only("I")


def test_a_mapping_says_which_dataflow_it_is_of():
    accelerator = Accelerator(dataflow="both")
    weights, outputs = accelerator.views
    assert (weights.dataflow, outputs.dataflow) == ("weight_stationary", "output_stationary")
    text = "L3[WIO] K4 - L2[WI] N1 K16X - L1[O] C16X - L0[{}] N1"
    assert accelerator.view(Mapping.parse(text.format("W"))) == weights
    assert accelerator.view(Mapping.parse(text.format("O"))) == outputs
    assert weights.view(Mapping.parse(text.format("O"))) == weights
    with pytest.raises(ArmillaryError, match="take one of `views`"):
        accelerator.hierarchy()


def test_a_network_runs_each_step_with_the_better_dataflow(tmp_path):
    floats = read_network(residual_block().save(tmp_path / "net.onnx"))
    network = quantized(floats, calibrated(floats))
    image = np.random.default_rng(0).integers(-128, 128, network.inputs.shape).astype(np.int8)
    found = run_network(BOTH[0], network, image, most_cycles=5_000_000)
    assert not differing(found.tensors, reference(found.network, image))
    held = {Mapping.parse(text).levels[-1].keeps for text in found.mappings if text}
    assert held <= {"W", "O"}


@pytest.mark.parametrize("fidelity", [Fidelity.ANALYTICAL, Fidelity.RTL])
def test_an_evaluation_tells_each_layers_dataflow(fidelity):
    values = {"dim": 4, "bus_bytes": 4, "scratchpad_kib": 8, "accumulator_kib": 8}
    workload = Workload("two", (LayerUse(MANY_PIXELS), LayerUse(ONE_PIXEL, count=2)))
    found = {}
    for dataflow in DATAFLOWS:
        design = BOTH_SPACE.design_from({**BOTH_TEMPLATE.defaults, **values, "dataflow": dataflow}, "test")
        evaluator = for_template("gemmini_both", fidelity, {"budget": 500})
        (found[dataflow],) = evaluator.evaluate([Candidate(design)], workload)
        assert evaluator.explain(found[dataflow], workload).layers
    both = found.pop("both")
    assert {Mapping.parse(run.mapping).levels[-1].keeps for run in both.layers} == {"W", "O"}
    assert both.metrics["area_mm2"] > max(one.metrics["area_mm2"] for one in found.values())
    for number, run in enumerate(both.layers):
        assert run.metrics["delay_cycles"] in [one.layers[number].metrics["delay_cycles"] for one in found.values()]


def test_the_space_of_the_template_with_one_dataflow_is_what_it_was():
    assert BOTH_SPACE.size == SPACE.size * 3 // 2
    with pytest.raises(ArmillaryError, match="dataflow='both' is not allowed; choose one of"):
        SPACE.design_from({**BOTH_TEMPLATE.defaults, "dataflow": "both"}, "test")

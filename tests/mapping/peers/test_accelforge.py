import json
import math

import pytest

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla
from armillary.cost_model import evaluate
from armillary.mapping.peers import accelforge
from armillary.mapping.peers.interpreter import interpreter, version_in
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

GEMM = Layer("gemm", "gemm", K=1000, C=509, P=17)
CONV = Layer("conv", "conv", K=8, C=4, P=7, Q=7, R=3, S=3, stride_h=2, stride_w=2, dilation_w=3)


def hold(at, tensors):
    return {"holds": list(tensors), "at": at}


def loop(dimension, turns, axis=None):
    return {"loop": dimension, "turns": turns} | ({} if axis is None else {"axis": axis})


# Weights wait in the scratchpad, one column of them in the registers, while all 17 rows go by.
NODES = [
    hold("DRAM", "WOI"),
    hold("Scratchpad", "I"),
    loop("k", 63),
    hold("Scratchpad", "W"),
    loop("k", 16, "X2"),
    hold("Accumulator", "O"),
    loop("c", 32),
    loop("c", 16, "X1"),
    hold("Registers", "W"),
    loop("p", 17),
]


def test_memories_are_told_in_bits_joules_and_words_per_second():
    told = {node["name"]: node for node in accelforge.nodes(gemmini(), GEMM)}
    assert list(told) == [
        "DRAM", "Scratchpad", "below_Scratchpad", "Accumulator", "below_Accumulator", "Registers", "Compute",
    ]  # fmt: skip
    scratchpad = told["Scratchpad"]
    assert scratchpad["size"] == (1 << 18) * 8
    assert scratchpad["tensors"] == {"keep": "W | I"}
    assert {action["throughput"] for action in scratchpad["actions"]} == {32e9}
    assert scratchpad["total_latency"].startswith("sum")
    assert told["DRAM"]["tensors"] == {"keep": "All"}
    assert told["DRAM"]["actions"][0]["energy"] == pytest.approx(8 * 1300 / 64 * 1e-12)
    assert math.isinf(told["Registers"]["actions"][0]["throughput"])


def test_fan_outs_are_told_with_the_loops_that_they_may_not_have():
    told = {node["name"]: node for node in accelforge.nodes(nvdla(), GEMM)}
    x, y = told["below_Accumulator"]["spatial"]
    assert (x["name"], x["fanout"], x["loop_bounds"][0]["expression"]) == ("X1", 16, "c | p")
    assert (y["name"], y["fanout"], y["loop_bounds"][0]["expression"]) == ("Y1", 64, "k | p")


def test_a_fan_out_that_no_dimension_may_use_is_left_out():
    grouped = Layer("dw", "depthwise", K=8, C=8, P=4, groups=8)
    assert not [node for node in accelforge.nodes(gemmini(), grouped) if node["kind"] == "array"]


def test_windows_are_told_with_stride_and_dilation():
    told = accelforge.workload(CONV)
    weights, inputs, outputs = told["einsums"][0]["tensor_accesses"]
    assert inputs["projection"] == {"C": "c", "H": "2 * p + 1 * r", "V": "2 * q + 3 * s"}
    assert weights["projection"] == ["k", "c", "r", "s"]
    assert outputs["output"]
    assert told["iteration_space_shape"]["q"] == "0 <= q < 7"
    assert "n" not in told["iteration_space_shape"]


def test_a_tensor_of_one_word_is_refused():
    with pytest.raises(ArmillaryError, match="layer dot: AccelForge takes no tensor of one word, as O is"):
        accelforge.workload(Layer("dot", "gemm", C=8))


def test_register_files_are_told_in_every_order_and_fan_outs_stay():
    told = list(accelforge.orders(eyeriss()))
    assert len({tuple(level.name for level in order.levels) for order in told}) == 6
    assert {tuple(level.fanout for level in order.levels) for order in told} == {
        tuple(level.fanout for level in eyeriss().levels)
    }
    assert [level.name for level in told[0].levels[2:]] == ["Weights", "PartialSums", "Inputs"]
    assert eyeriss() in told
    assert list(accelforge.orders(gemmini())) == [gemmini()]
    swapped = list(accelforge.orders(nvdla()))[1]
    assert [level.name for level in swapped.levels] == ["DRAM", "Accumulator", "ConvBuffer", "Registers"]
    assert swapped.levels[2].fanout == (16, 64)
    assert swapped.levels[2].capacity_words == nvdla().levels[1].capacity_words


def test_loops_and_what_is_held_are_read_from_outermost_to_innermost():
    nest = accelforge.nest(gemmini(), NODES)
    assert nest.temporal == (("P", 17), ("C", 32), ("K", 63))
    assert nest.held == {(2, "I"): 3, (2, "W"): 2, (1, "O"): 2, (0, "W"): 1}
    assert {level: str(loops[0]) for level, loops in nest.spatial.items()} == {2: "K16X", 1: "C16X"}


def answering(folder, *bodies):
    """Return a program that gives one of these answers a run, the last one for ever."""
    program = folder / "python"
    lines = [
        json.dumps({"delay_s": 2e-9, "energy_j": 3e-12, "evaluated": 4, "version": "0", "nodes": body})
        for body in bodies
    ]
    for number, line in enumerate(lines):
        (folder / f"answer{number}").write_text(line)
    last = len(lines) - 1
    program.write_text(
        f"#!/bin/sh\ncd {folder}\nn=$(cat count 2>/dev/null || echo 0)\n"
        f"echo $(( n < {last} ? n + 1 : {last} )) > count\ncat answer$n\n"
    )
    program.chmod(0o755)
    return str(program)


def test_its_mapping_becomes_ours(tmp_path):
    answer = accelforge.best_mapping(gemmini(), GEMM, python=answering(tmp_path, NODES))
    assert (answer.program, answer.evaluated, answer.failure, answer.lost) == ("AccelForge 0", 4, "", "")
    assert (answer.delay_cycles, answer.energy_pj) == (pytest.approx(2.0), pytest.approx(3.0))
    assert not list(answer.mapping.faults(gemmini(), GEMM))
    costs = evaluate(gemmini(), GEMM, answer.mapping)
    assert costs.feasible
    assert float(costs.compute_cycles) == 17 * 63 * 32


def test_the_order_of_memories_whose_mapping_is_best_by_our_model_counts(tmp_path):
    layer = Layer("l", "gemm", K=16, C=64, P=4)
    start = [hold("DRAM", "WOI"), hold("ConvBuffer", "WI"), hold("Accumulator", "O")]
    registers = hold("Registers", "W")
    slow = [*start, loop("k", 16), loop("c", 64), registers, loop("p", 4)]
    fast = [*start, loop("k", 16, "X1"), loop("c", 64, "Y1"), registers, loop("p", 4)]
    answer = accelforge.best_mapping(nvdla(), layer, goal="delay", python=answering(tmp_path, slow, fast))
    assert float(evaluate(nvdla(), layer, answer.mapping).compute_cycles) == 4
    assert answer.evaluated == 8


def test_orders_are_left_out_when_the_time_is_over(tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    answer = accelforge.best_mapping(eyeriss(), GEMM, python=str(slow), time_limit_s=0.5)
    assert answer.failure.startswith("took more than 0.5 s")
    assert answer.seconds < 20


def test_a_mapping_that_does_not_cover_the_layer_is_none(tmp_path):
    answer = accelforge.best_mapping(gemmini(), GEMM, python=answering(tmp_path, NODES[:-1]))
    assert answer.mapping is None
    assert answer.failure == "its mapping has loops over P that turn 1 times; layer gemm has 17"


def test_a_failing_program_is_an_answer():
    answer = accelforge.best_mapping(gemmini(), GEMM, python="false")
    assert math.isnan(answer.edp)
    assert "exit status 1" in answer.failure


PYTHON = interpreter(accelforge.PYTHON_VARIABLE)
MISSING = version_in(PYTHON, accelforge.DISTRIBUTION) is None


@pytest.mark.skipif(MISSING, reason=f"AccelForge is not installed: {accelforge.INSTALL}")
@pytest.mark.parametrize("goal", ["energy", "delay", "edp"])
def test_its_delay_and_energy_are_near_ours(goal):
    answer = accelforge.best_mapping(gemmini(), GEMM, goal=goal, python=PYTHON)
    assert not answer.failure
    costs = evaluate(gemmini(), GEMM, answer.mapping)
    assert costs.feasible
    assert answer.delay_cycles == pytest.approx(float(costs.delay_cycles), rel=0.01)
    assert answer.energy_pj == pytest.approx(float(costs.energy_pj), rel=0.02)

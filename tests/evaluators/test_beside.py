"""What operators beside the array cost, by hand, and that they add to a network's totals and to nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from armillary import evaluators
from armillary.evaluators.beside import Beside, cost_of, total, with_beside
from armillary.hardware import templates
from armillary.hardware.rtl.genesys import vector_programs
from armillary.hardware.rtl.genesys.arithmetic import Op
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.templates import genesys
from armillary.hardware.templates.gemmini import Accelerator
from armillary.hardware.vector_unit import VectorEnergy, VectorUnit
from armillary.types import Candidate, Fidelity
from armillary.workloads import load
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.vector_work import WORK_KINDS, VectorUse, VectorWork

UNIT = VectorUnit(
    lanes=4.0,
    function_adds=2,
    function_multiplies=1,
    behind=frozenset({"clamp", "scale", "sum", "stride"}),
    buffer_values=16.0,
    move_values=2.0,
    resident_values=0.0,
    dram_reads=4.0,
    dram_writes=8.0,
    dram_values=8.0,
    setup_cycles=10.0,
    value_bytes=0.5,
    energy=VectorEnergy(add_pj=1.0, multiply_pj=5.0, buffer_pj=2.0, dram_pj=100.0),
)
AT_HOME = replace(UNIT, resident_values=1e9)


@pytest.mark.parametrize(
    ("work", "unit", "cycles", "dram_bytes", "energy_pj"),
    [
        # computing sets the delay: 400 operations on 4 lanes
        (VectorWork("pool", "pool", adds=400, reads=80, writes=20), UNIT, 10 + 100, 50.0, 400 + 2 * 100 + 100 * 100),
        # reads set it: 80 values at 4
        (VectorWork("copy", "reduce", reads=80, writes=20), UNIT, 10 + 20, 50.0, 2 * 100 + 100 * 100),
        # both directions together: 160 values at 8
        (VectorWork("copy", "reduce", reads=40, writes=120), UNIT, 10 + 20, 80.0, 2 * 160 + 100 * 160),
        # on the chip: 100 values at 16, nothing of DRAM
        (VectorWork("copy", "reduce", reads=80, writes=20), AT_HOME, 10 + 6.25, 0.0, 2 * 100),
        # values that change places are slower: 100 at 2
        (VectorWork("move", "move", reads=50, writes=50), AT_HOME, 10 + 50, 0.0, 2 * 100),
        # three passes over the memory on the chip: 3 x 160 at 16
        (VectorWork("soft", "softmax", reads=80, writes=80), AT_HOME, 10 + 30, 0.0, 2 * 480),
        # a function is two additions and a multiplication: 3 x 40 on 4 lanes
        (VectorWork("exp", "function", functions=40, reads=40, writes=40), AT_HOME, 10 + 30, 0.0, 80 + 200 + 2 * 80),
        # behind a layer: its operations have energy, and no time
        (VectorWork("relu", "clamp", adds=40, reads=40, writes=40, passed=40), UNIT, 0.0, 0.0, 40.0),
        # the other half of a residual sum: 40 values at 4
        (VectorWork("add", "sum", adds=40, reads=80, writes=40, passed=40), UNIT, 10.0, 20.0, 40 + 2 * 40 + 100 * 40),
        # a function is not done behind a layer here, be it part of a sum or not
        (
            VectorWork("tanh", "function", functions=40, reads=40, writes=40, passed=40),
            AT_HOME, 10 + 30, 0.0, 80 + 200 + 2 * 80,
        ),
        (VectorWork("what", "unknown"), UNIT, 0.0, 0.0, 0.0),
    ],
)  # fmt: skip
def test_costs_by_hand(work, unit, cycles, dram_bytes, energy_pj):
    found = cost_of(unit, work)
    assert (float(found.cycles), float(found.dram_bytes), float(found.energy_pj)) == (cycles, dram_bytes, energy_pj)


def test_a_unit_without_energies_has_cycles_alone():
    uses = [
        VectorUse(VectorWork("pool", "pool", adds=400, reads=80, writes=20), 3),
        VectorUse(VectorWork("?", "unknown")),
    ]
    found = total(replace(UNIT, energy=None), uses)
    assert found.energy_pj is None
    assert set(found.metrics()) == {"beside_cycles", "beside_dram_bytes"}
    assert float(found.cycles) == 3 * 110


amounts = st.integers(0, 10_000)


@st.composite
def any_work(draw):
    reads = draw(amounts)
    return VectorWork(
        "any", draw(st.sampled_from(WORK_KINDS)), draw(amounts), draw(amounts), draw(amounts), reads, draw(amounts),
        passed=draw(st.integers(0, reads)),
    )  # fmt: skip


units = st.sampled_from([UNIT, AT_HOME, Accelerator(activation_tables=1).vector_unit()])


@given(work=any_work(), unit=units, rate=st.sampled_from(["lanes", "buffer_values", "dram_reads", "dram_values"]))
def test_twice_a_rate_is_never_slower(work, unit, rate):
    faster = replace(unit, **{rate: 2 * getattr(unit, rate)})
    assert float(cost_of(faster, work).cycles) <= float(cost_of(unit, work).cycles)


@given(work=any_work(), unit=units)
def test_twice_the_work_is_no_faster_and_needs_no_less_energy(work, unit):
    twice = replace(
        work,
        **{name: 2 * getattr(work, name) for name in ("adds", "multiplies", "functions", "reads", "writes", "passed")},
    )
    once, double = cost_of(unit, work), cost_of(unit, twice)
    assert float(double.cycles) >= float(once.cycles)
    assert float(double.energy_pj) >= float(once.energy_pj)


@given(work=any_work(), unit=units)
def test_what_is_done_behind_a_layer_is_never_dearer(work, unit):
    behind, alone = cost_of(unit, work), cost_of(unit, replace(work, passed=0))
    assert float(behind.cycles) <= float(alone.cycles)
    assert float(behind.energy_pj) <= float(alone.energy_pj) * (1 + 1e-12)


@given(uses=st.lists(st.builds(VectorUse, any_work(), st.integers(1, 9)), min_size=1, max_size=6))
def test_the_total_is_the_sum_over_kinds(uses):
    whole, kinds = total(UNIT, uses), Beside.of(UNIT, uses, 1e9).costs
    assert sum(cost.delay_cycles for cost in kinds) == pytest.approx(float(whole.cycles))
    assert sum(cost.energy_pj for cost in kinds) == pytest.approx(float(whole.energy_pj))
    assert sum(cost.dram_bytes for cost in kinds) == pytest.approx(float(whole.dram_bytes))
    assert sum(cost.count for cost in kinds) == sum(use.count for use in uses)


def test_many_designs_at_once_are_each_by_itself():
    uses = [VectorUse(VectorWork("soft", "softmax", adds=900, functions=300, reads=300, writes=300), 2)]
    lanes, held = np.array([1.0, 64.0, 4.0]), np.array([0.0, 1e9, 1e9])
    together = total(replace(UNIT, lanes=lanes, resident_values=held), uses)
    for number in range(3):
        alone = total(replace(UNIT, lanes=float(lanes[number]), resident_values=float(held[number])), uses)
        assert float(alone.cycles) == together.cycles[number]
        assert float(alone.energy_pj) == together.energy_pj[number]


def test_without_operators_nothing_changes():
    sums = {"delay_cycles": 12.5, "energy_pj": 3.0, "onchip_bytes": 8.0}
    assert with_beside(sums, UNIT, ()) == sums


GEMMINI = templates.load("gemmini")
LAYERS = (LayerUse(Layer("gemm", "gemm", K=32, C=32, P=32), 2),)
SOFTMAX = VectorUse(
    VectorWork("soft", "softmax", adds=3072, multiplies=1024, functions=1056, reads=1024, writes=1024), 2
)
RELU = VectorUse(VectorWork("relu", "clamp", adds=1024, reads=1024, writes=1024, passed=1024), 2)


def evaluated(template, workload):
    evaluator = evaluators.for_template(template.name, Fidelity.ANALYTICAL)
    return evaluator.evaluate([Candidate(template.baseline)], workload)[0], evaluator


def test_genesys_has_cycles_and_no_energy_of_them():
    found, _ = evaluated(templates.load("genesys"), Workload("net", LAYERS, beside=(SOFTMAX, RELU)))
    alone, _ = evaluated(templates.load("genesys"), Workload("net", LAYERS))
    assert found.metrics["delay_cycles"] - alone.metrics["delay_cycles"] == found.metrics["beside_cycles"] > 0
    assert "energy_pj" not in found.metrics
    assert "beside_energy_pj" not in found.metrics


@pytest.mark.parametrize("name", ["gemmini", "edge_tpu"])
def test_a_network_rises_by_exactly_the_account(name):
    template = templates.load(name)
    alone, _ = evaluated(template, Workload("net", LAYERS))
    both, evaluator = evaluated(template, Workload("net", LAYERS, beside=(SOFTMAX, RELU)))
    assert both.metrics["beside_cycles"] > 0
    assert both.metrics["beside_energy_pj"] > 0
    for whole, part in (("energy_pj", "beside_energy_pj"), ("dram_bytes", "beside_dram_bytes")):
        assert both.metrics[whole] == pytest.approx(alone.metrics[whole] + both.metrics[part], rel=1e-12)
    rise = both.metrics["delay_cycles"] - alone.metrics["delay_cycles"]
    assert rise == pytest.approx(both.metrics["beside_cycles"], abs=1)  # whole cycles
    clock = alone.metrics["delay_cycles"] / alone.metrics["runtime_s"]
    assert both.metrics["runtime_s"] == pytest.approx(both.metrics["delay_cycles"] / clock)
    assert both.metrics["utilization"] < alone.metrics["utilization"]
    assert [run.metrics for run in both.layers] == [run.metrics for run in alone.layers]
    explained = evaluator.explain(both, Workload("net", LAYERS, beside=(SOFTMAX, RELU)))
    assert sum(explained.energy_parts_pj.values()) == pytest.approx(both.metrics["energy_pj"])
    spent = sum(layer.delay_cycles for layer in explained.layers) / explained.rates.clock_hz
    assert spent + sum(explained.overhead_s.values()) == pytest.approx(both.metrics["runtime_s"], rel=1e-3)
    assert [(cost.kind, cost.count) for cost in explained.beside] == [("clamp", 2), ("softmax", 2)]


@pytest.mark.parametrize("name", ["gemmini", "edge_tpu"])
def test_a_network_of_layers_alone_has_no_such_metric(name):
    found, evaluator = evaluated(templates.load(name), Workload("net", LAYERS))
    assert not [metric for metric in found.metrics if metric.startswith("beside")]
    assert evaluator.explain(found, Workload("net", LAYERS)).beside == ()


def attention_block(path):
    """A block of a transformer of width 32 on 16 tokens: normalisation, attention, residual sums, GELU."""

    def node(op_type, *names, **options):
        *inputs, output = names
        return helper.make_node(op_type, inputs, [output], **options)

    weights = dict.fromkeys("qkvo", (32, 32)) | {"up": (32, 64), "down": (64, 32)}
    nodes = [
        node("LayerNormalization", "x", "g", "b", "n"),
        *(node("MatMul", "n", name, f"n{name}") for name in "qkv"),
        node("Transpose", "nk", "kt", perm=[1, 0]),
        node("MatMul", "nq", "kt", "s"),
        node("Mul", "s", "scale", "t"),
        node("Softmax", "t", "p"),
        node("MatMul", "p", "nv", "a"),
        node("MatMul", "a", "o", "z"),
        node("Add", "z", "x", "r"),
        node("MatMul", "r", "up", "u"),
        node("Gelu", "u", "f"),
        node("MatMul", "f", "down", "d"),
        node("Add", "d", "r", "y"),
    ]
    tensors = {name: np.ones(shape, np.float32) for name, shape in weights.items()}
    tensors |= {"g": np.ones(32, np.float32), "b": np.ones(32, np.float32), "scale": np.float32(0.2)}
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 32])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), str(path))


@pytest.mark.parametrize("name", ["gemmini", "edge_tpu"])
def test_a_transformer_from_onnx_rises_by_the_account_of_its_operators(name, tmp_path):
    """By hand: 512 values normalised, 256 scores in 16 rows, two residual sums of 512, a GELU of 1,024."""
    attention_block(tmp_path / "block.onnx")
    workload = load(str(tmp_path / "block.onnx"))
    by_hand = [
        VectorUse(VectorWork("n", "normalization", 4 * 512, 3 * 512 + 2 * 16, 16, 512, 512)),
        VectorUse(VectorWork("t", "stride", reads=512, writes=512, passed=512)),
        VectorUse(VectorWork("m", "scale", multiplies=256, reads=256, writes=256, passed=256)),
        VectorUse(VectorWork("s", "softmax", 3 * 256, 256, 256 + 16, 256, 256, 256)),
        VectorUse(VectorWork("a", "sum", 512, reads=1024, writes=512, passed=512), 2),
        VectorUse(VectorWork("g", "function", 1024, 3 * 1024, 1024, 1024, 1024, 1024)),
    ]
    assert set(workload.beside) == set(by_hand)
    template = templates.load(name)
    both, evaluator = evaluated(template, workload)
    alone, _ = evaluated(template, replace(workload, beside=()))
    for total_of, part in (("delay_cycles", "beside_cycles"), ("energy_pj", "beside_energy_pj")):
        rise = both.metrics[total_of] - alone.metrics[total_of]
        assert rise == pytest.approx(both.metrics[part], abs=1 if total_of == "delay_cycles" else None, rel=1e-9)
    costs = {cost.kind: cost.delay_cycles for cost in evaluator.explain(both, workload).beside}
    assert costs["scale"] == 0
    assert costs["normalization"] > 0
    assert (costs["stride"] == 0) == (name == "gemmini")
    assert sum(costs.values()) == pytest.approx(both.metrics["beside_cycles"])


def test_layers_added_up_are_what_the_network_is():
    workload = Workload("net", LAYERS, beside=(SOFTMAX,))
    found, evaluator = evaluated(GEMMINI, workload)
    runs = evaluator.run_layers([Candidate(GEMMINI.baseline)], [use.layer for use in LAYERS])
    assert evaluator.added_up(Candidate(GEMMINI.baseline), workload, runs).metrics == found.metrics


def test_gemmini_by_hand():
    """16 lanes; a function is 7 operations; 16 bytes a cycle of DRAM; 60 cycles of commands and 50 of latency."""
    unit = Accelerator().vector_unit()
    assert float(cost_of(unit, SOFTMAX.work).cycles) == 110 + (3072 + 1024 + 7 * 1056) / 16
    residual = VectorWork("add", "sum", adds=4096, reads=8192, writes=4096, passed=4096)
    assert float(cost_of(unit, residual).cycles) == 4096 / 16
    tanh = VectorWork("tanh", "function", functions=4096, reads=4096, writes=4096, passed=4096)
    assert float(cost_of(unit, tanh).cycles) == 110 + 7 * 4096 / 16
    assert float(cost_of(Accelerator(activation_tables=1).vector_unit(), tanh).cycles) == 0.0


def test_genesys_is_near_what_its_programs_take():
    """The schedule of each program of the vector unit is exact: every step of a block waits for the one before."""
    accelerator, latency = genesys.Accelerator(), 20
    unit, lanes = accelerator.vector_unit(latency), accelerator.array
    values, rows = 8 * 128 * lanes, 8 * lanes
    softmax = VectorWork("s", "softmax", 3 * values, values, values + rows, values, values)
    norm = VectorWork("n", "normalization", 4 * values, 3 * values + 2 * rows, rows, values, values)
    words = 256 * lanes
    sums = VectorWork("a", "sum", words, reads=2 * words, writes=words)
    pixels = 8 * 14 * 14 * lanes
    pooled = VectorWork("p", "pool", pixels, reads=pixels, writes=pixels // 4)
    for program, work, least in (
        (vector_programs.softmax(accelerator, 8, 128, 0.05), softmax, 0.75),
        (vector_programs.layer_norm(accelerator, 8, vector_programs.Norm(128, 16.0)), norm, 0.65),
        (vector_programs.elementwise(accelerator, 256, Op.ADD, 0.5), sums, 0.7),  # scaled in a pass of its own
        (vector_programs.pool(accelerator, 8, vector_programs.Pool("max", 14, 14, 2, 2)), pooled, 0.9),
    ):
        exact = scheduled(program.program, accelerator, latency).cycles
        assert least * exact < float(cost_of(unit, work).cycles) < exact


def test_genesys_takes_functions_behind_layers():
    unit = genesys.Accelerator().vector_unit(20)
    gelu = VectorWork("g", "function", 64, 3 * 64, 64, 64, 64, 64)
    assert float(cost_of(unit, gelu).cycles) == 0.0
    assert float(cost_of(unit, replace(gelu, passed=0)).cycles) == 28 + 5 * 64 / 16 + 64 / 16


def test_resnet18_on_gemmini_takes_what_its_hardware_takes(shared_data):
    """`armillary rtl run` of this file simulates all of it, sums and pools included: 9,505,493 cycles at DIM 16.

    Of these the maximum over windows of 3 x 3 takes 128,133 (docs/rtl.md).
    """
    workload = load(str(shared_data / "onnx" / "resnet18.onnx"))
    unit = Accelerator().vector_unit()
    pool = next(use.work for use in workload.beside if use.work.kind == "pool")
    assert float(cost_of(unit, pool).cycles) == pytest.approx(128_133, rel=0.15)

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from armillary import evaluators
from armillary.evaluators.tabla.evaluator import misfit, random_steps
from armillary.evaluators.tabla.simulation import Steps, reference
from armillary.execution.local import LocalExecutor
from armillary.hardware.rtl.fixed_point import fixed
from armillary.hardware.rtl.tabla.arithmetic import numbers
from armillary.hardware.rtl.tabla.compiler import compiled
from armillary.hardware.templates.axiline import TEMPLATE as AXILINE
from armillary.hardware.templates.tabla import SPACE, TEMPLATE, Accelerator
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.dataflow import Dataflow, Operation, Output, Tensor
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.onnx.importer import import_onnx
from hardware.rtl.tabla.graphs import ROOMY
from workloads.onnx import algorithm_models as models

STEP = Dataflow(
    (Tensor("x", (2,)), Tensor("w", (1,))), (0.5,),
    (Operation("mul", (0, 2)), Operation("sub", (4, 1)), Operation("mul", (5, 3)), Operation("sub", (2, 6))),
    (Output("y", (1,), (4,)), Output("w1", (1,), (7,), updates="w")),
)  # fmt: skip
"""y = w x0, then w - (y - x1) / 2."""
WORKLOAD = Workload("step", (), dataflow=STEP)
SMALL = {
    "num_pu": 1, "num_pe": 2, "axi_width": 1, "data_depth": 2, "weight_depth": 4, "intermediate_depth": 4,
    "inbox_depth": 4, "instruction_depth": 32,
}  # fmt: skip


def evaluated(workload, fidelity=Fidelity.ANALYTICAL, options=None, seed=0, **values):
    design = SPACE.design_from({**TEMPLATE.defaults, **SMALL, **values}, "test")
    return evaluators.for_template("tabla", fidelity, options, seed=seed).evaluate([Candidate(design)], workload)[0]


class TestAnalytical(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return evaluators.for_template("tabla", Fidelity.ANALYTICAL)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return WORKLOAD

    @pytest.fixture
    def size(self):
        return 20


def test_metrics_are_those_of_the_schedule_at_the_clock():
    """Four operations after each other, 2 cycles apart and 4 for the last; two words come first, a cycle each."""
    metrics = evaluated(WORKLOAD, options={"inputs": 11, "clock_ns": 2.0}, axi_width=1).metrics
    cycles = 3 * 2 + 4
    latency = 2 + 1 + cycles + 1
    stream = latency + 10 * cycles
    assert metrics == pytest.approx({
        "latency_cycles": latency, "stream_cycles": stream, "delay_cycles": stream / 11,
        "runtime_s": stream / 11 * 2e-9,
        "throughput_mhz": 11e3 / (2 * stream), "utilization": 4 * 11 / (2 * stream),
    })  # fmt: skip


def test_the_simulated_hardware_takes_the_cycles_of_the_schedule():
    first, second = (evaluated(WORKLOAD, f, {"inputs": 30}, seed=3, **ROOMY) for f in ("analytical", "rtl"))
    assert first.feasible
    assert second.metrics == first.metrics


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"internal_bit_width": 8, "bit_width": 16},
            "design: internal_bit_width=8 is not allowed; it must be at least",
        ),
        ({"axi_width": 4}, "design: axi_width=4 is not allowed; it must be 1 to num_pu * num_pe = 2"),
        ({"num_pu": 16, "num_pe": 64}, "design: num_pe=64 is not allowed; it must be at least 2, and at most 512"),
    ],
)
def test_what_cannot_be_built_says_why(values, reason):
    answer = evaluated(WORKLOAD, **values)
    assert not answer.feasible
    assert str(answer.failure).startswith(reason)


def test_what_a_memory_cannot_hold_says_so(shared_data):
    answer = evaluated(import_onnx(shared_data / "onnx" / "linear54.onnx"), data_depth=32, weight_depth=32)
    assert not answer.feasible
    assert str(answer.failure) == "instruction_depth words needs 120, has 32"


@pytest.mark.parametrize(
    ("constant", "bits", "reason"),
    [
        (1e-4, 16, "the constant 0.0001 would be 0; the least is 0.00195312"),
        (200.0, 16, "the constant 200 is beyond -128 to 128"),
        (200.0, 32, None),
        (1e-4, 32, None),
        (-128.0, 16, None),
    ],
)
def test_constants_that_numbers_cannot_hold(constant, bits, reason):
    graph = Dataflow((Tensor("x", (1,)),), (constant,), (Operation("mul", (0, 1)),), (Output("y", (1,), (2,)),))
    failure = misfit(graph, Accelerator(internal_bit_width=bits))
    assert (failure and failure.detail) == reason


def test_a_network_without_a_graph_is_refused():
    layers = (LayerUse(Layer("fc", "gemm", K=3, C=3)),)
    with pytest.raises(ArmillaryError, match=r"workload net has no dataflow graph for tabla: Conv node 'y' is none"):
        evaluated(Workload("net", layers, no_dataflow="Conv node 'y' is none of"))
    with pytest.raises(ArmillaryError, match=r"workload net has .*: tabla takes ONNX files of small models"):
        evaluated(Workload("net", layers))


def test_a_graph_without_layers_is_for_evaluators_of_graphs():
    executor, design = LocalExecutor(), SPACE.design_from({**TEMPLATE.defaults, **SMALL}, "test")
    spec = evaluators.spec_of("tabla", Fidelity.ANALYTICAL)
    assert next(executor.run(spec, [Candidate(design)], WORKLOAD)).feasible
    other = evaluators.spec_of("axiline", Fidelity.ANALYTICAL)
    with pytest.raises(ArmillaryError, match=r"workload step is a dataflow graph and has no layers, .* 'axiline'"):
        next(executor.run(other, [Candidate(AXILINE.baseline)], WORKLOAD))


def one_step(path, accelerator, seed):
    """Return what ONNX and the reference make of a step, and the parameters before it, in real numbers."""
    graph = import_onnx(path).dataflow
    step = compiled(graph, accelerator)
    steps = random_steps(graph, accelerator, 1, np.random.default_rng(seed))
    values = np.zeros(graph.first_constant)
    values[numbers(graph.parameters, graph.elements)] = steps.parameters / 2.0**accelerator.fraction
    values[numbers(graph.streamed, graph.elements)] = steps.data[0] / 2.0**accelerator.input_fraction
    feeds = {t.name: values[graph.elements[t.name]].reshape(t.shape).astype(np.float32) for t in graph.inputs}
    expected = np.concatenate([np.ravel(v) for v in ReferenceEvaluator(str(path)).run(None, feeds)])
    found = reference(step, steps)
    place = dict(zip(sorted(graph.next_values), found.parameters, strict=True))
    place |= {("out", n): v for n, v in zip(step.mapped.emitted, found.emitted[0], strict=True)}
    out = iter(step.mapped.outputs)
    own = []
    for output in graph.outputs:
        keys = graph.elements[output.updates] if output.updates else [("out", number) for number in next(out)]
        own += [place[key] for key in keys]
    before = [values[list(graph.elements[output.updates])] for output in graph.outputs if output.updates]
    return expected, np.array(own) / 2.0**accelerator.fraction, np.concatenate([*before, []])


SIGMOID = 0.019
"""How far the four lines are beside the logistic function."""


@pytest.mark.parametrize(
    ("name", "error"),
    [("linear54", 0.0), ("svm54", 0.0), ("logistic54", SIGMOID), ("backprop8_16_4", 4 * SIGMOID)],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_step_is_what_onnx_says_it_is(name, error, seed, shared_data):
    accelerator = Accelerator(weight_depth=128)
    expected, found, before = one_step(shared_data / "onnx" / f"{name}.onnx", accelerator, seed)
    assert np.abs(found - expected).max() < error + 60 * 2.0**-accelerator.fraction
    assert name == "svm54" or np.abs(before - expected).max() > 0.05


def test_wider_numbers_err_less(shared_data):
    path = shared_data / "onnx" / "linear54.onnx"
    errors = []
    for bits, internal in ((8, 8), (8, 16), (16, 24), (16, 32)):
        expected, found, _ = one_step(path, Accelerator(bit_width=bits, internal_bit_width=internal), 0)
        errors.append(np.abs(found - expected).max())
    assert all(narrow > 4 * wide for narrow, wide in pairwise(errors))


def test_more_elements_of_inputs_a_cycle_come_in_sooner(shared_data):
    workload = import_onnx(shared_data / "onnx" / "linear54.onnx")
    roomy = {**ROOMY, "num_pe": 64}
    one, eight = (evaluated(workload, axi_width=lanes, **roomy).metrics for lanes in (1, 8))
    assert one["delay_cycles"] > one["latency_cycles"] / 2 > eight["delay_cycles"]
    assert eight["latency_cycles"] == one["latency_cycles"] - 55 + 8


@pytest.mark.parametrize("name", list(models.PREDICTIONS))
def test_a_prediction_is_what_onnx_says_it_is(name, tmp_path):
    onnx.save(models.inference(models.PREDICTIONS[name]), str(tmp_path / "m.onnx"))
    expected, found, _ = one_step(tmp_path / "m.onnx", Accelerator(2, 2, axi_width=1), 0)
    assert np.abs(found - expected).max() < SIGMOID * (name == "logistic_regression") + 2e-3


def test_training_with_random_steps_holds(shared_data):
    """Inputs are scaled so that steps with a rate of one do not run away into saturation."""
    graph = import_onnx(shared_data / "onnx" / "linear54.onnx").dataflow
    accelerator = Accelerator()
    steps = random_steps(graph, accelerator, 200, np.random.default_rng(0))
    step = compiled(graph, accelerator)
    after = reference(step, Steps(steps.parameters, steps.data), each=True).parameters / 2.0**accelerator.fraction
    assert np.abs(after).max() < 10
    assert np.ptp(after[:, 0]) > 0.1
    assert fixed(np.array([1.0]), accelerator.fraction) == 1 << 16

"""Programs, run instruction by instruction, make what the reference says, whatever the graph and the accelerator."""

import numpy as np
import pytest

from armillary.hardware.rtl.tabla.arithmetic import Reference
from armillary.hardware.rtl.tabla.compiler import compiled, readouts
from armillary.hardware.rtl.tabla.program import TooSmallError
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Dataflow, Operation, Output, Tensor
from armillary.workloads.onnx.importer import import_onnx
from hardware.rtl.tabla.graphs import ROOMY, random_accelerator, random_graph, whole_range
from hardware.rtl.tabla.machine import Machine

TRAINING = (
    ("svm54", (1, 2)), ("svm54", (16, 32)), ("linear54", (1, 128)), ("logistic54", (4, 8)), ("backprop8_16_4", (1, 4)),
    ("backprop8_16_4", (4, 8)),
)  # fmt: skip


def check(graph, accelerator, rng, steps=2):
    """Compare some steps with the reference, and what programs read out behind them."""
    step = compiled(graph, accelerator)
    model, machine = Reference(step.mapped, accelerator), Machine(step)
    parameters = sorted(graph.next_values)
    streamed = [number for tensor in graph.streamed for number in graph.elements[tensor.name]]
    weights = {number: ("weight", element, address) for element, address, number in step.program.weights}
    data = {number: ("data", *place) for number, place in step.program.data.items()}
    values = whole_range(rng, accelerator.internal_bit_width, len(parameters))
    machine.place(dict(zip(parameters, values.tolist(), strict=True)), {n: weights[n] for n in parameters})
    shift = accelerator.fraction - accelerator.input_fraction
    for _ in range(steps):
        given = whole_range(rng, accelerator.bit_width, len(streamed))
        emitted, values = model.step(given, values)
        machine.place(dict(zip(streamed, (given << shift).tolist(), strict=True)), data)
        out = dict(zip(step.program.emitted, machine.step(), strict=True))
        assert [out[number] for number in step.mapped.emitted] == emitted.tolist()
        held = [machine.memories["weight"][weights[n][1]][weights[n][2]] for n in parameters]
        assert held == values.tolist()
    assert [len(program.emitted) for program in readouts(step)] == ([len(parameters)] if parameters else [])
    return step


@pytest.mark.parametrize("seed", range(30))
def test_any_graph_on_any_accelerator_is_its_reference(seed):
    rng = np.random.default_rng(seed)
    check(random_graph(rng, int(rng.integers(1, 60))), random_accelerator(rng), rng)


@pytest.mark.parametrize(("name", "shape"), TRAINING)
def test_steps_of_training_are_their_reference(name, shape, shared_data):
    graph = import_onnx(shared_data / "onnx" / f"{name}.onnx").dataflow
    step = check(graph, Accelerator(*shape, axi_width=2, **ROOMY), np.random.default_rng(0), steps=1)
    operations, elements = len(step.mapped.operations), shape[0] * shape[1]
    assert operations / elements <= step.program.cycles < 2.5 * operations / elements + 120


def test_a_result_may_replace_several_parameters_of_an_element():
    graph = Dataflow(
        (Tensor("w", (5,)), Tensor("x", (1,))), (), (Operation("add", (0, 5)),),
        (Output("w1", (5,), (6,) * 5, updates="w"),),
    )  # fmt: skip
    check(graph, Accelerator(1, 2, axi_width=1, **ROOMY), np.random.default_rng(0))


def test_more_elements_take_fewer_cycles(shared_data):
    graph = import_onnx(shared_data / "onnx" / "svm54.onnx").dataflow
    cycles = [compiled(graph, Accelerator(1, n, axi_width=1, **ROOMY)).program.cycles for n in (2, 4, 8, 16)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > 2.5 * cycles[-1]


def test_a_chain_takes_two_cycles_an_operation():
    """A result is an operand of the operation that begins two cycles later; the last is written in its fourth cycle."""
    chain = tuple(Operation("add", (number, number)) for number in range(1, 11))
    graph = Dataflow((Tensor("x", (1,)),), (), (Operation("pass", (0,)), *chain), (Output("y", (1,), (11,)),))
    assert compiled(graph, Accelerator()).program.cycles == 2 * 10 + 4


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("data_depth", 4),
        ("weight_depth", 64),
        ("intermediate_depth", 16),
        ("inbox_depth", 4),
        ("instruction_depth", 256),
    ],
)
def test_what_a_memory_cannot_hold_is_told(name, depth, shared_data):
    """Deep enough, each memory is used to no more than it has."""
    graph = import_onnx(shared_data / "onnx" / "backprop8_16_4.onnx").dataflow
    roomy = compiled(graph, Accelerator(1, 2, axi_width=1, **ROOMY))
    assert all(used <= ROOMY[memory] for memory, used in roomy.program.used.items())
    with pytest.raises(TooSmallError, match=rf"{name}={depth} is too small; the program needs \d+") as fault:
        compiled(graph, Accelerator(1, 2, axi_width=1, **{**ROOMY, name: depth}))
    assert fault.value.needed > depth


def test_parameters_beyond_the_instructions_are_read_out_in_parts():
    many = 40
    moved = tuple(Operation("add", (number, many)) for number in range(many))
    graph = Dataflow(
        (Tensor("w", (many,)), Tensor("x", (1,))), (), moved,
        (Output("w1", (many,), tuple(range(many + 1, 2 * many + 1)), updates="w"),),
    )  # fmt: skip
    step = compiled(graph, Accelerator(2, 4, axi_width=1, instruction_depth=32))
    assert [len(program.emitted) for program in readouts(step)] == [24, 16]


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9, 50, 51])
@pytest.mark.parametrize("axi_width", [1, 2, 8])
def test_the_delay_of_many_steps_follows_from_few(steps, axi_width, shared_data):
    graph = import_onnx(shared_data / "onnx" / "linear54.onnx").dataflow
    step = compiled(graph, Accelerator(4, 8, axi_width=axi_width))
    assert step.delay_cycles(steps) == step.start_cycles(steps)[-1] + step.program.cycles + 1

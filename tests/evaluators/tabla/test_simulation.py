"""The hardware, simulated: bit for bit what the reference says, in the cycles of the schedule."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.simulated import RunError
from armillary.evaluators.tabla import simulation
from armillary.evaluators.tabla.simulation import Steps, checked, simulate
from armillary.hardware.rtl.tabla.compiler import compiled
from armillary.hardware.templates.tabla import Accelerator
from hardware.rtl.tabla.graphs import ROOMY, random_accelerator, random_graph, whole_range

FEW = (
    Accelerator(1, 2, 16, 32, 1, **ROOMY),
    Accelerator(3, 2, 4, 10, 4, data_depth=4, weight_depth=64, intermediate_depth=64, inbox_depth=32),
)
"""Words of inputs that hold one element and that reach two groups, the last not whole; narrow and wide instructions."""


def any_steps(graph, accelerator, count, rng):
    parameters = whole_range(rng, accelerator.internal_bit_width, len(graph.next_values))
    elements = sum(tensor.size for tensor in graph.streamed)
    return Steps(parameters, whole_range(rng, accelerator.bit_width, (count, elements)))


def check(accelerator, seed):
    """Compare steps one after another, steps with pauses, and steps after each of which parameters are read out."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, int(rng.integers(1, 60)))
    step = compiled(graph, accelerator)
    steps = any_steps(graph, accelerator, 7, rng)
    found = checked(step, steps, seed=seed)
    starts = np.array(step.start_cycles(7))
    assert found.done.tolist() == (starts + step.program.cycles).tolist()
    assert found.done[-1] + 1 == step.delay_cycles(7)
    slower = checked(step, steps, seed=seed + 1, pauses=seed + 1)
    assert slower.done[-1] >= found.done[-1]
    checked(step, steps, seed=seed, each=True)


@pytest.mark.parametrize("accelerator", FEW, ids=["1x2", "3x2"])
def test_results_and_cycles_are_those_of_the_reference_and_the_schedule(accelerator):
    for seed in range(8):
        check(accelerator, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_accelerator_is_its_reference(seed):
    accelerator = random_accelerator(np.random.default_rng(seed))
    for graph in range(3):
        check(accelerator, 100 * seed + graph)


def small():
    rng = np.random.default_rng(5)
    graph = random_graph(rng, 10)
    return compiled(graph, FEW[0]), any_steps(graph, FEW[0], 3, rng)


@pytest.mark.parametrize("name", ["emitted", "parameters"])
def test_a_result_that_differs_is_an_error(name, monkeypatch):
    step, steps = small()
    right = simulation.reference(step, steps)
    wrong = getattr(right, name).copy()
    wrong.flat[-1] += 1
    monkeypatch.setattr(simulation, "reference", lambda *_, **__: replace(right, **{name: wrong}))
    with pytest.raises(RunError, match=rf"{name}\[.*\] is {wrong.flat[-1] - 1}, the reference says {wrong.flat[-1]}"):
        checked(step, steps)


def test_a_run_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr(simulation, "_SLACK", 0)
    monkeypatch.setattr(simulation, "_LEAST", 5)
    step, steps = small()
    with pytest.raises(RunError, match="not done after 5 cycles"):
        simulate(step, steps)

"""The hardware, simulated: bit for bit what the reference says, in the cycles of the closed form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.evaluators.axiline.model import Inputs, Model, model_of, random_inputs
from armillary.evaluators.axiline.simulation import checked, simulate
from armillary.evaluators.simulated import RunError
from armillary.hardware.rtl.axiline.arithmetic import FixedTree
from armillary.hardware.templates.axiline import Accelerator
from armillary.workloads.algorithm import ALGORITHMS, MODES, Algorithm

FEW = (
    Accelerator("linear_regression", "inference", dimension=5, input_width=16, internal_width=16, cycles=2),
    Accelerator("logistic_regression", "training", dimension=7, input_width=12, internal_width=16, cycles=3),
    Accelerator("svm", "training", dimension=1, input_width=4, internal_width=8, cycles=1),
    Accelerator("recommender", "training", dimension=4, input_width=4, internal_width=24, cycles=4),
    Accelerator("decision_tree", "inference", dimension=6, input_width=5, internal_width=10, cycles=2, depth=5),
)
IDS = [f"{one.algorithm}-{one.mode}" for one in FEW]


def whole_range(rng, bits, shape):
    """Return integers of some bits: anything, and the extremes often."""
    extremes = np.array([-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, 1, -1])
    any_of_them = rng.integers(extremes[0], extremes[1] + 1, size=shape)
    return np.where(rng.random(shape) < 0.3, rng.choice(extremes, size=shape), any_of_them)


def any_model(accelerator, rng):
    """Return a model of anything that fits its bits."""
    bits = accelerator.internal_width
    if accelerator.algorithm == "decision_tree":
        nodes = (1 << accelerator.depth) - 1
        tree = FixedTree(
            rng.integers(0, accelerator.dimension, size=nodes),
            whole_range(rng, accelerator.input_width, nodes),
            whole_range(rng, bits, nodes + 1),
        )
        return Model(np.zeros(0, dtype=np.int64), tree=tree)
    bias = int(whole_range(rng, bits, ())) if accelerator.mode == "inference" else 0
    weights = whole_range(rng, bits, accelerator.dimension)
    if rng.integers(3) == 0:  # alike, they make the largest sums
        weights[:] = -(1 << (bits - 1))
    return Model(weights, bias, int(rng.integers(1, 1 << bits)), bool(rng.integers(2)))


def any_inputs(accelerator, count, rng):
    vectors = whole_range(rng, accelerator.vector_width, (count, accelerator.dimension))
    vectors[0] = -(1 << (accelerator.vector_width - 1))  # elements alike make the largest sums
    return Inputs(vectors, whole_range(rng, accelerator.input_width, count))


def check(accelerator, seed):
    """Compare a stream of anything, once without and once with pauses, from whatever the registers hold."""
    rng = np.random.default_rng(seed)
    model, inputs = any_model(accelerator, rng), any_inputs(accelerator, 40, rng)
    found = checked(accelerator, model, inputs, seed=seed)
    assert (found.done - found.first == accelerator.latency_cycles).all()
    assert (np.diff(found.first) == accelerator.per_input_cycles).all()
    assert found.done[-1] - found.first[0] == accelerator.delay_cycles(len(inputs.vectors))
    slower = checked(accelerator, model, inputs, seed=seed + 1, pauses=seed + 1)
    assert slower.done[-1] > found.done[-1]


@pytest.mark.parametrize("accelerator", FEW, ids=IDS)
def test_results_and_cycles_are_those_of_the_reference(accelerator):
    for seed in range(6):
        check(accelerator, seed)


@pytest.mark.parametrize("accelerator", FEW, ids=IDS)
def test_values_that_stay_within_their_range_too(accelerator):
    """What saturates hides what comes before."""
    rng = np.random.default_rng(0)
    if accelerator.algorithm == "decision_tree":
        model = any_model(accelerator, rng)
    else:
        named = Algorithm(accelerator.algorithm, accelerator.mode, accelerator.dimension, rate=0.125)
        model = model_of(named, accelerator, rng)
    inputs = random_inputs(accelerator, 60, rng)
    found = checked(accelerator, model, inputs)
    most = 1 << (accelerator.internal_width - 1)
    assert (np.abs(found.predictions) < most - 1).all()


@st.composite
def accelerators(draw):
    algorithm = draw(st.sampled_from(ALGORITHMS))
    tree = algorithm == "decision_tree"
    dimension = draw(st.integers(1, 20))
    width = draw(st.integers(4, 16))
    return Accelerator(
        algorithm,
        "inference" if tree else draw(st.sampled_from(MODES)),
        dimension,
        width,
        2 * draw(st.integers(max(4, -(-width // 2)), 12)),
        draw(st.integers(1, dimension)),
        draw(st.integers(1, 8)) if tree else 1,
    )


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(accelerators(), st.integers(0, 1000))
def test_any_accelerator_is_its_reference(accelerator, seed):
    check(accelerator, seed)


@pytest.mark.slow
@pytest.mark.parametrize("cycles", [1, 2, 5, 9, 27, 54])
def test_results_do_not_depend_on_the_cycles(cycles):
    """Products are added up without rounding, so that their order is no matter."""
    base = Accelerator("svm", "training", cycles=3)
    rng = np.random.default_rng(1)
    model, inputs = any_model(base, rng), random_inputs(base, 30, rng)
    found = simulate(replace(base, cycles=cycles), model, inputs)
    expected = model.results(base, inputs)
    assert (found.predictions == expected.predictions).all()
    assert (found.weights == expected.weights).all()


def test_a_result_that_differs_is_an_error(monkeypatch):
    accelerator = FEW[0]
    rng = np.random.default_rng(2)
    model, inputs = any_model(accelerator, rng), any_inputs(accelerator, 4, rng)
    right = model.results(accelerator, inputs)
    wrong = right.predictions.copy()
    wrong[2] += 1
    monkeypatch.setattr(Model, "results", lambda *_: replace(right, predictions=wrong))
    with pytest.raises(RunError, match=rf"predictions\[2\] is {right.predictions[2]}, the reference says {wrong[2]}"):
        checked(accelerator, model, inputs)


def test_a_run_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr("armillary.evaluators.axiline.simulation._SLACK", 0)
    accelerator = FEW[0]
    rng = np.random.default_rng(3)
    with pytest.raises(RunError, match="not done after 0 cycles"):
        simulate(accelerator, any_model(accelerator, rng), any_inputs(accelerator, 4, rng))

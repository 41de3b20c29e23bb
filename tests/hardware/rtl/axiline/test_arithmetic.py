import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.rtl.axiline.arithmetic import FixedTree, predicted, scored, trained
from armillary.hardware.rtl.fixed_point import bits_of, fixed, requantized, sigmoid
from armillary.hardware.templates.axiline import Accelerator
from armillary.workloads.algorithm import Tree


@given(st.integers(-(2**40), 2**40), st.integers(0, 30), st.integers(2, 24))
def test_dropped_bits_are_rounded_half_up_and_the_rest_saturates(value, drop, bits):
    exact = math.floor(value / 2**drop + 0.5)  # no bit of these is beyond a double's
    nearest = min(max(exact, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
    assert requantized(np.array([value]), drop, bits).tolist() == [nearest]


@given(st.lists(st.integers(-(2**30), 2**30), min_size=1))
def test_bits_hold_every_value_and_no_fewer_do(values):
    bits = bits_of(np.array(values))
    assert all(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) for value in values)
    assert bits == 1 or not all(-(2 ** (bits - 2)) <= value < 2 ** (bits - 2) for value in values)


@pytest.mark.parametrize("fraction", [4, 8, 12])
def test_the_logistic_function_is_within_its_bound(fraction):
    values = np.arange(-(8 << fraction), 8 << fraction)
    found = sigmoid(values, fraction) / 2**fraction
    error = np.abs(found - 1 / (1 + np.exp(-values / 2.0**fraction)))
    assert error.max() < 0.019 + 0.5 / 2**fraction
    assert fraction == 4 or error.max() > 0.018  # as the source says of its worst place
    # two of the lines do not meet: at 2.375 the function falls by 1/256
    falls = values[1:][np.diff(found) < 0] / 2**fraction
    assert set(np.abs(np.round(falls, 1)).tolist()) <= {2.4}
    assert np.diff(found).min() >= -1 / 256 - 1 / 2**fraction
    assert (found[values == 0], found[-1], found[0]) == (0.5, 1.0, 0.0)


def as_numbers(accelerator, vectors, weights):
    return vectors / 2.0**accelerator.vector_fraction, weights / 2.0**accelerator.internal_fraction


@given(st.integers(0, 2**32 - 1), st.sampled_from(["linear_regression", "recommender", "svm"]))
def test_scores_are_dot_products_to_half_a_last_bit(seed, algorithm):
    rng = np.random.default_rng(seed)
    accelerator = Accelerator(algorithm, "inference", dimension=9, cycles=3)
    vectors = fixed(rng.uniform(-1, 1, size=(20, 9)), accelerator.vector_fraction)
    weights, bias = fixed(rng.uniform(-1, 1, size=9), accelerator.internal_fraction), int(rng.integers(-500, 500))
    numbers, exact_weights = as_numbers(accelerator, vectors, weights)
    last = 2.0**-accelerator.internal_fraction
    found = scored(accelerator, vectors, weights, bias) * last
    assert np.abs(found - (numbers @ exact_weights + bias * last)).max() <= last / 2
    if algorithm == "svm":
        assert (
            predicted(accelerator, scored(accelerator, vectors, weights, bias)) * last == np.sign(found + 1e-9)
        ).all()


def steps_in_floating_point(algorithm, vectors, labels, weights, rate, hinge):
    """The same training with real numbers and the true logistic function."""
    items = []
    for x, y in zip(vectors, labels, strict=True):
        s = weights @ x
        error = {
            "linear_regression": s - y,
            "recommender": s - y,
            "logistic_regression": 1 / (1 + np.exp(-s)) - y,
            "svm": -y * float(y * s < 1 if hinge else y * s > y),
        }[algorithm]
        items.append(x - rate * error * weights)
        weights = weights - rate * error * x
    return weights, np.array(items)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hinge", [True, False])
@pytest.mark.parametrize("algorithm", ["linear_regression", "recommender", "logistic_regression", "svm"])
def test_training_is_that_of_real_numbers_but_for_rounding(algorithm, hinge, seed):
    rng = np.random.default_rng(seed)
    accelerator = Accelerator(algorithm, "training", dimension=6, input_width=16, internal_width=24, cycles=2)
    vectors = fixed(rng.uniform(-1, 1, size=(12, 6)), accelerator.vector_fraction)
    weights = fixed(rng.uniform(-1, 1, size=6), accelerator.internal_fraction)
    classes = rng.integers(0, 2, size=12)
    labels = {"svm": 2 * classes - 1, "logistic_regression": classes}.get(algorithm, rng.uniform(-1, 1, size=12))
    labels = fixed(labels, accelerator.input_fraction)
    rate = int(fixed(np.array(0.125), accelerator.internal_width - 1))
    found = trained(accelerator, vectors, labels, weights, rate=rate, hinge=hinge)
    numbers, start = as_numbers(accelerator, vectors, weights)
    exact, items = steps_in_floating_point(
        algorithm, numbers, labels / 2.0**accelerator.input_fraction, start, 0.125, hinge
    )
    last = 2.0**-accelerator.internal_fraction
    most = 0.019 * 0.125 * 12 if algorithm == "logistic_regression" else 0.0  # of the lines, at every step
    assert np.abs(found.weights * last - exact).max() < most + 12 * 2 * last
    assert np.abs(start - exact).max() > 0.05  # it learned something
    if algorithm == "recommender":
        assert np.abs(found.items * last - items).max() < 12 * 2 * last


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("algorithm", ["logistic_regression", "svm"])
def test_small_numbers_suffice_to_tell_two_classes_apart(algorithm, seed):
    rng = np.random.default_rng(seed)
    accelerator = Accelerator(algorithm, "training", dimension=8, input_width=8, internal_width=16, cycles=4)
    truth = rng.normal(size=8)
    numbers = rng.uniform(-1, 1, size=(3000, 8))
    numbers = numbers[np.abs(numbers @ truth) > 0.5]
    classes = (numbers @ truth > 0).astype(int)
    vectors = fixed(numbers, accelerator.vector_fraction)
    labels = fixed(2.0 * classes - (algorithm == "svm") * 1.0 if algorithm == "svm" else classes, 6)
    rate = int(fixed(np.array(0.0625), 15))
    found = trained(accelerator, vectors[:-200], labels[:-200], np.zeros(8, dtype=np.int64), rate=rate)
    right = (scored(accelerator, vectors[-200:], found.weights) >= 0) == classes[-200:]
    assert right.mean() > 0.97


def walked(tree, vector):
    node = 0
    while node < len(tree.features):
        node = 2 * node + (2 if vector[tree.features[node]] > tree.thresholds[node] else 1)
    return tree.leaves[node - len(tree.features)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 3))
def test_a_deeper_accelerator_decides_as_the_tree_itself(seed, depth, deeper):
    rng = np.random.default_rng(seed)
    nodes = 2**depth - 1
    tree = Tree(
        tuple(rng.integers(0, 3, size=nodes).tolist()),
        tuple(rng.uniform(-2, 1.99, size=nodes).tolist()),
        tuple((rng.integers(-100, 100, size=nodes + 1) / 256).tolist()),
    )
    accelerator = Accelerator("decision_tree", "inference", dimension=3, cycles=1, depth=depth + deeper, input_width=4)
    vectors = rng.integers(-8, 8, size=(40, 3))
    found = FixedTree.of(tree, accelerator).decided(vectors) / 2**accelerator.internal_fraction
    assert found.tolist() == [walked(tree, vector) for vector in vectors / 2**accelerator.input_fraction]

"""The mappings of a network's layers whose product of sums is least."""

from itertools import product

import numpy as np
import pytest

from armillary.mapping.balance import least_product


def value(costs, runs, numbers):
    delay, energy = sum(n * cost[:, i] for n, cost, i in zip(runs, costs, numbers, strict=True))
    return delay * energy


def random_costs(seed, layers=4, mappings=5):
    rng = np.random.default_rng(seed)
    return [np.exp(rng.normal(0, 1, (2, mappings)) + rng.normal(0, 1)) for _ in range(layers)]


@pytest.mark.parametrize("seed", range(5))
def test_is_as_good_as_the_best_of_all_combinations(seed):
    costs, runs = random_costs(seed), np.array([1.0, 3.0, 2.0, 1.0])
    best = min(value(costs, runs, numbers) for numbers in product(range(5), repeat=4))
    assert value(costs, runs, least_product(costs, runs)) == pytest.approx(best, rel=0.01)


def test_gives_up_a_layers_own_best_for_the_network():
    """The first layer's energy hardly counts beside the second one's, its delay does."""
    costs = [np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.0], [100.0]])]
    assert least_product(costs, np.ones(2)) == [0, 0]
    assert least_product(costs[:1], np.ones(1)) == [1]


def test_counts_how_often_a_layer_runs():
    """Beside a layer of much delay energy counts little, if that layer runs once; if it runs often, even less."""
    costs = [np.array([[1.0, 2.0], [1.9, 1.0]]), np.array([[1.0], [1.0]])]
    for runs in ([1.0, 1.0], [9.0, 1.0], [1.0, 9.0]):
        chosen = least_product(costs, np.array(runs))
        assert value(costs, runs, chosen) == min(value(costs, runs, [i, 0]) for i in (0, 1))


def test_what_does_not_run_is_not_chosen():
    costs = [np.array([[np.inf, 5.0], [np.inf, 5.0]]), np.array([[1.0], [1.0]])]
    assert least_product(costs, np.ones(2)) == [1, 0]

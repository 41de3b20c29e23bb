import pytest

from armillary.benchmarks.scale.cluster_model import Cost, efficiency, shortest

FREE = Cost(0.0, 0.0)


@pytest.mark.parametrize("workers", [1, 8, 200])
def test_workers_that_cost_nothing_never_wait(workers):
    assert efficiency(workers, 1.0, FREE) == pytest.approx(1, abs=0.02)


def test_a_sender_that_is_busy_all_the_time_bounds_what_workers_do():
    cost = Cost(driver_s=0.001, way_s=0.0)
    assert efficiency(200, 0.05, cost) == pytest.approx(1000 * 0.05 / 200, rel=0.02)


def test_a_long_way_is_hidden_by_what_waits_at_the_workers_while_it_lasts():
    assert efficiency(80, 1.0, Cost(0.0, 0.05)) > 0.98
    assert efficiency(80, 1.0, Cost(0.0, 2.0)) < 0.5


def test_shortest_is_where_efficiency_falls_below_the_least():
    cost = Cost(0.002, 0.004)
    least = shortest(100, 0.9, cost)
    assert efficiency(100, 1.1 * least, cost) >= 0.9 > efficiency(100, 0.9 * least, cost)

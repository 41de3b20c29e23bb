import sys

import pytest

from armillary import execution
from armillary.types import ArmillaryError, Cost


def test_the_executors_are_named():
    assert execution.names() == ["local", "ray"]
    with pytest.raises(ArmillaryError, match="executor 'rya' is unknown; did you mean 'ray'"):
        execution.workers_of("rya")


def test_only_what_takes_minutes_gets_processes_of_this_machine():
    workers = execution.workers_of("local")
    assert [workers.takes(cost) for cost in (Cost.BATCH, Cost.SECONDS, Cost.MINUTES)] == [False, False, True]
    assert not workers.elsewhere


def test_an_address_without_a_cluster_is_refused():
    with pytest.raises(ArmillaryError, match="--ray-address 'head:6379' goes with --executor ray"):
        execution.workers_of("local", "head:6379")


def test_ray_that_is_missing_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "armillary.execution.ray_workers", raising=False)
    with pytest.raises(ArmillaryError, match=r"--executor ray needs Ray .*: pip install 'armillary\[ray\]'"):
        execution.workers_of("ray")

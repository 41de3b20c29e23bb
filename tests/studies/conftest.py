import pytest

from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.surrogates import prime_training
from armillary.surrogates.prime_training import Rung, Schedule
from armillary.workloads import zoo


@pytest.fixture(scope="session")
def template():
    return TEMPLATE


@pytest.fixture(scope="session")
def workload():
    return zoo.build("mobilenet_v2")


@pytest.fixture
def short_schedule(monkeypatch):
    """Make the schedule `quick` last a few seconds."""
    short = Schedule(
        rungs=(Rung(30, 2), Rung(2, 10)), warmup=60, batch=64, learning_rate=1e-3, checkpoint=10,
        mining_period=4, refit=60,
    )  # fmt: skip
    monkeypatch.setitem(prime_training.SCHEDULES, "quick", short)

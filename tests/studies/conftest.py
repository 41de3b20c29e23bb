import pytest

from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.surrogates import hurdle
from armillary.surrogates.prime import schedules as prime_schedules
from armillary.surrogates.prime.schedules import Rung, Schedule
from armillary.workloads import zoo


@pytest.fixture(scope="session")
def template():
    return TEMPLATE


@pytest.fixture(scope="session")
def workload():
    return zoo.build("mobilenet_v2")


@pytest.fixture(scope="module")
def short_schedule():
    """Make the schedule `quick`, and all else that the default surrogate trains, last a few seconds."""
    short = Schedule(
        rungs=(Rung(30, 2), Rung(2, 10)), warmup=60, batch=64, learning_rate=1e-3, checkpoint=10,
        mining_period=4, refit=60,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hurdle, "_SETTING", {"steps": 100})
        patch.setitem(prime_schedules.SCHEDULES, "quick", short)
        yield

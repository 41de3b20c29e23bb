import pytest

from armillary.log.store import Log


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "log")

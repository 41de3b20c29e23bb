"""Settings of all tests."""

import os
from pathlib import Path

import pytest

# Tests run beside others: the threads of several processes that wait for each other on few cores
# made a study of 13 seconds last for minutes. Set before torch is loaded; child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests build nearly a hundred simulators, each to run for a moment: what -O3 gains there is a tenth of what it takes.
os.environ.setdefault("ARMILLARY_OPTIMIZATION", "-O1")


@pytest.fixture(scope="session")
def shared_data():
    """The reference data beside the checkout; what needs it is skipped where it is not."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}")
    return folder


@pytest.fixture(autouse=True, scope="session")
def no_failed_run_is_kept_for_the_user(tmp_path_factory):
    """Tests make programs fail by the dozen; the last twenty runs of the user's own would be forgotten."""
    before = os.environ.get("ARMILLARY_KEPT")
    os.environ["ARMILLARY_KEPT"] = str(tmp_path_factory.mktemp("kept"))
    yield
    del os.environ["ARMILLARY_KEPT"]
    if before is not None:
        os.environ["ARMILLARY_KEPT"] = before

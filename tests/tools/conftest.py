"""What the tests of other people's programs share."""

import pytest


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of its own for kept runs."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("ARMILLARY_KEPT", str(folder))
    return folder

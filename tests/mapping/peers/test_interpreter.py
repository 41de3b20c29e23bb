import sys

import pytest

from armillary.mapping.peers.interpreter import interpreter, version_in
from armillary.types import ArmillaryError


def test_another_python_is_named_by_a_variable(monkeypatch):
    monkeypatch.delenv("ARMILLARY_SOME_PYTHON", raising=False)
    assert interpreter("ARMILLARY_SOME_PYTHON") == sys.executable
    monkeypatch.setenv("ARMILLARY_SOME_PYTHON", "/opt/python")
    assert interpreter("ARMILLARY_SOME_PYTHON") == "/opt/python"


def test_versions_are_those_of_that_python(tmp_path):
    assert version_in(sys.executable, "numpy")
    assert version_in(sys.executable, "no-such-thing") is None
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 7.5\n")
    other.chmod(0o755)
    assert version_in(str(other), "numpy") == "7.5"
    assert version_in("false", "numpy") is None


def test_a_python_that_is_not_there_is_an_error():
    with pytest.raises(ArmillaryError, match="no-such-python"):
        version_in("/no-such-python", "numpy")

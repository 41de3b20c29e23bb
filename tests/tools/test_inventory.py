from __future__ import annotations

import os

import pytest

from armillary.tools.inventory import caches, inventory


@pytest.fixture
def parts():
    return {part.name: part for part in inventory()}


def test_what_is_there_tells_its_version(parts):
    assert parts["torch"].found[0].isdigit()
    assert parts["g++"].found.startswith("g++")


def test_what_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    found = {part.name: part for part in inventory()}
    assert found["no-such-compiler"].found == found["chromium"].found == ""
    assert found["chromium"].install == "apt install chromium"
    assert all(part.install for part in found.values() if not part.found)


def test_a_program_that_breaks_is_no_fault_of_ours(monkeypatch, tmp_path):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "tells no version" in {part.name: part for part in inventory()}["chromium"].found


def test_caches_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    assert caches() == []
    (tmp_path / "simulators").mkdir()
    (tmp_path / "simulators" / "one").write_bytes(b"12345")
    assert caches() == [(str(tmp_path / "simulators"), 1, 5)]

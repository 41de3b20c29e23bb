from pathlib import Path

from armillary.compiled import called, compilers, folder_of


def test_a_change_in_any_source_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path / "cache"))
    own, called = tmp_path / "own.py", tmp_path / "called"
    called.mkdir()
    own.write_text("a = 1\n")
    (called / "inner.py").write_text("b = 1\n")
    before = folder_of(own, called)
    assert before == folder_of(own, called)
    (called / "inner.py").write_text("b = 2\n")
    assert folder_of(own, called) != before


def two_functions(inner, outer):
    """Return a function and one that calls it, each compiled by its decorator."""

    @inner
    def doubled(x):
        return 2 * x

    @outer
    def twice_and_one(x):
        return doubled(x) + 1

    return doubled, twice_and_one


def test_machine_code_is_kept_in_the_users_cache_and_numbas_own_folder_is_left_alone(tmp_path, monkeypatch):
    from numba import config

    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    before = config.CACHE_DIR
    compiled, inlined = compilers(Path(__file__))
    _, twice_and_one = two_functions(inlined, compiled)
    assert twice_and_one(3) == 7
    assert before == config.CACHE_DIR
    assert list(tmp_path.rglob("*.nbi"))


def test_what_compiled_functions_alone_call_has_no_entry_from_python(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    compiled, _ = compilers(Path(__file__))
    doubled, twice_and_one = two_functions(called(Path(__file__)), compiled)
    assert twice_and_one(3) == 7
    assert len(list(tmp_path.rglob("*.nbi"))) == 2
    codes = [code for one in (doubled, twice_and_one) for code in one.inspect_llvm().values()]
    assert ["cpython" in code for code in codes] == [False, True]

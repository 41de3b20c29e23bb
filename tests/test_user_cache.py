import os
from pathlib import Path

import pytest

from armillary import user_cache
from armillary.user_cache import cache_folder, is_stored, put, store


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("ARMILLARY_CACHE", "/a")
    assert cache_folder("rtl") == Path("/a/rtl")
    monkeypatch.delenv("ARMILLARY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder("rtl") == Path("/b/armillary/rtl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("rtl") == Path.home() / ".cache/armillary/rtl"


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    made, kept = tmp_path / "made", tmp_path / "cache" / "kept"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    put(made, kept)
    assert kept.read_text() == "#!/bin/sh\n"
    assert kept.stat().st_mode & 0o111

    def full_disk(source, target):
        target.write_text("#!")
        raise OSError("no space")

    monkeypatch.setattr(user_cache.shutil, "copy2", full_disk)
    with pytest.raises(OSError, match="no space"):
        put(made, kept)
    assert kept.read_text() == "#!/bin/sh\n"
    assert list(kept.parent.iterdir()) == [kept]


def stored(tmp_path):
    made, kept = tmp_path / "made", tmp_path / "cache" / "kept"
    made.write_bytes(b"#!/bin/sh\n" * 100)
    made.chmod(0o755)
    store(made, kept)
    return kept


def test_what_is_stored_is_there_and_nothing_else(tmp_path):
    kept = stored(tmp_path)
    assert is_stored(kept)
    assert not is_stored(kept.with_name("other"))
    assert sorted(path.name for path in kept.parent.iterdir()) == ["kept", "kept.sha256"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept.write_bytes(b""),
        lambda kept: os.truncate(kept, 500),
        lambda kept: kept.write_bytes(kept.read_bytes().replace(b"s", b"z", 1)),
        lambda kept: kept.chmod(0o644),
        lambda kept: kept.with_name("kept.sha256").unlink(),
        lambda kept: kept.with_name("kept.sha256").write_bytes(b"\xff"),
    ],
)
def test_what_was_damaged_is_not_there(damage, tmp_path):
    kept = stored(tmp_path)
    assert is_stored(kept)
    damage(kept)
    assert not is_stored(kept)
    store(tmp_path / "made", kept)
    assert is_stored(kept)

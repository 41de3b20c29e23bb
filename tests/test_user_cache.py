from pathlib import Path

import pytest

from armillary import user_cache
from armillary.user_cache import cache_folder, put


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

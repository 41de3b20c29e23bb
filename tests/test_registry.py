import math
from importlib import metadata

import pytest

from armillary.registry import Registry
from armillary.types import ArmillaryError

COLOURS = Registry("colour", "armillary.none", {"sky": "math:pi", "broken": "math:none", "gone": "no_such_module:x"})


def test_lists_and_loads():
    assert COLOURS.names() == ["broken", "gone", "sky"]
    assert COLOURS.load("sky") == pytest.approx(3.14159, abs=1e-4)


def test_a_former_name_loads_and_is_not_listed():
    renamed = Registry("colour", "armillary.none", {"sky": "math:pi"}, former={"heaven": "sky"})
    assert renamed.load("heaven") == math.pi
    assert renamed.names() == ["sky"]


def test_offers_the_nearest_name():
    with pytest.raises(ArmillaryError, match="did you mean 'sky'"):
        COLOURS.load("skye")


@pytest.mark.parametrize("name", ["broken", "gone"])
def test_says_what_cannot_be_loaded(name):
    with pytest.raises(ArmillaryError, match=f"{name!r}.*cannot be loaded"):
        COLOURS.load(name)


def test_other_packages_add_members_and_replace_none(monkeypatch):
    found = [metadata.EntryPoint("sun", "math:e", "armillary.none"), metadata.EntryPoint("sky", "math:e", "")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: found if group == "armillary.none" else [])
    assert COLOURS.names() == ["broken", "gone", "sky", "sun"]
    assert COLOURS.load("sun") == math.e
    assert COLOURS.load("sky") == math.pi


def test_a_member_whose_library_is_missing_says_which(tmp_path, monkeypatch):
    """As LightGBM without the compiler's OpenMP library, which is no ImportError."""
    (tmp_path / "lacking.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("surrogate", "armillary.none", {"auto": "lacking:KIND"})
    with pytest.raises(ArmillaryError, match=r"surrogate 'auto' at lacking:KIND cannot be loaded: .*libgomp\.so\.1"):
        registry.load("auto")

import pytest

from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError


def test_serves_one_request(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    folder.claim({"area_mm2": 29.0})
    folder.claim({"area_mm2": 29.0})
    with pytest.raises(ArmillaryError, match=r"holds a study with area_mm2=29\.0, not 18\.0; choose another folder"):
        folder.claim({"area_mm2": 18.0})
    with pytest.raises(ArmillaryError, match="holds a study with seed=None, not 1"):
        folder.claim({"area_mm2": 29.0, "seed": 1})
    assert folder.request()["area_mm2"] == 29.0


def test_a_file_where_the_folder_belongs_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "s"):
        with pytest.raises(ArmillaryError, match=r"study\.json: cannot be written"):
            StudyFolder(path).claim({})


def test_writes_whole_files(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.write_text("a.txt", "one")
    with pytest.raises(UnicodeEncodeError):
        folder.write_text("a.txt", "\udcff")
    assert (tmp_path / "a.txt").read_text() == "one"


def test_a_file_that_is_no_text_is_damaged(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ArmillaryError, match=r"x\.json: is damaged"):
        StudyFolder(tmp_path).read("x.json")
    with pytest.raises(ArmillaryError, match=r"has no y\.json"):
        StudyFolder(tmp_path).read("y.json")

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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


def test_of_many_that_claim_a_folder_at_once_one_gets_it(tmp_path):
    """Six searches that are started at once leave the request of one of them, and the five others are refused."""
    for attempt in range(20):
        start = Barrier(6)

        def claim(seed, folder=tmp_path / str(attempt), start=start):
            start.wait()
            try:
                StudyFolder(folder).claim({"seed": seed})
            except ArmillaryError as fault:
                return str(fault)
            return seed

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(claim, range(6)))
        got = [answer for answer in answers if isinstance(answer, int)]
        assert len(got) == 1
        assert all("holds a study with seed=" in answer for answer in answers if answer != got[0])
        assert StudyFolder(tmp_path / str(attempt)).request()["seed"] == got[0]


def test_a_study_of_the_version_before_is_gone_on_with(tmp_path):
    before = {"schema_version": 2, "source": "m.onnx", "area_mm2": 29.0, "metric": "runtime_s", "power_mw": None}
    StudyFolder(tmp_path / "a").write("study.json", {**before, "optimizer": "firefly"})
    asked = StudyFolder(tmp_path / "a").request("search")
    assert asked["bounds"] == {"area_mm2": 29.0}
    assert "area_mm2" not in asked
    StudyFolder(tmp_path / "b").write("study.json", before)
    with pytest.raises(ArmillaryError, match="holds a design study, not a search study"):
        StudyFolder(tmp_path / "b").request("search")

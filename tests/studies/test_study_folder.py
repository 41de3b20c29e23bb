import os
import threading
from concurrent.futures import ThreadPoolExecutor

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


def test_a_study_of_the_version_before_is_gone_on_with(tmp_path):
    before = {"schema_version": 2, "source": "m.onnx", "area_mm2": 29.0, "metric": "runtime_s", "power_mw": None}
    StudyFolder(tmp_path / "a").write("study.json", {**before, "optimizer": "firefly"})
    asked = StudyFolder(tmp_path / "a").request("search")
    assert asked["bounds"] == [{"metric": "area_mm2", "at_most": 29.0, "at_least": None}]
    assert asked["objectives"] == [{"metric": "runtime_s", "direction": "minimize"}]
    assert not {"area_mm2", "metric"} & set(asked)
    StudyFolder(tmp_path / "b").write("study.json", before)
    with pytest.raises(ArmillaryError, match="holds a design study, not a search study"):
        StudyFolder(tmp_path / "b").request("search")


def test_of_several_that_claim_a_folder_at_once_one_takes_it(tmp_path, monkeypatch):
    meet, link = threading.Barrier(4), os.link

    def meeting_link(source, target):
        meet.wait(timeout=30)  # none has found a request there before
        link(source, target)

    monkeypatch.setattr("os.link", meeting_link)

    def claim(seed):
        try:
            StudyFolder(tmp_path).claim({"seed": seed})
        except ArmillaryError as fault:
            return str(fault)
        return ""

    with ThreadPoolExecutor(4) as pool:
        refusals = list(pool.map(claim, range(4)))
    winner = StudyFolder(tmp_path).request()["seed"]
    assert refusals[winner] == ""
    for seed in set(range(4)) - {winner}:
        assert f"holds a study with seed={winner}, not {seed}" in refusals[seed]

import pytest

from armillary.evaluators import spec_of
from armillary.execution.local import LocalExecutor
from armillary.log.exchange import export_csv
from armillary.log.store import Log
from armillary.studies.collect import collect
from armillary.studies.imports import import_files
from armillary.types import ArmillaryError, Fidelity


def test_appends_all_files_or_none(template, workload, tmp_path):
    collect(
        template, workload, LocalExecutor(Log(tmp_path / "log")), spec_of("edge_tpu", Fidelity.ANALYTICAL), samples=30
    )
    export_csv(Log(tmp_path / "log"), tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("pes_x\n3\n")
    with pytest.raises(ArmillaryError, match=r"b\.csv"):
        import_files([tmp_path / "a.csv", tmp_path / "b.csv"], str(tmp_path / "copy"), template, None)
    assert len(Log(tmp_path / "copy")) == 0
    assert import_files([tmp_path / "a.csv"] * 2, str(tmp_path / "copy"), template, None) == 60
    assert len(Log(tmp_path / "copy")) == 60


def test_says_what_it_cannot_read(template, tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(b"")
    (tmp_path / "a.txt").write_text("")
    for name, match in (("none.csv", "no such file"), ("a.tfrecord", "--workload"), ("a.txt", "neither .csv nor")):
        with pytest.raises(ArmillaryError, match=match):
            import_files([tmp_path / name], str(tmp_path / "log"), template, None)

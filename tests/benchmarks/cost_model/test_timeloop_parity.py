import pytest

from armillary.benchmarks.cost_model import timeloop_parity
from armillary.benchmarks.result import BenchOptions
from armillary.types import ArmillaryError


def options(data, tmp_path, quick=False):
    return BenchOptions(data=data, quick=quick, seed=0, out=tmp_path, on_progress=lambda *_: None)


def test_timeloops_own_rows_are_reproduced(shared_data, tmp_path):
    result = timeloop_parity.run(options(shared_data, tmp_path))
    assert result.ok, result.notes
    assert [row["n"] for row in result.rows] == [12_295, 202, 202]


def test_a_wrong_row_is_named(shared_data, tmp_path):
    """The comparison can fail: a row whose answer was changed is found."""
    import csv
    import gzip

    for name in ("rows.csv.gz", "reference.csv.gz"):
        rows = timeloop_parity._read(shared_data / "timeloop" / name)[:20]
        if name == "reference.csv.gz":
            rows[3] = {**rows[3], "cycles": "1", "accesses_per_instance": "{}"}
        (tmp_path / "timeloop").mkdir(exist_ok=True)
        with gzip.open(tmp_path / "timeloop" / name, "wt", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    result = timeloop_parity.run(options(tmp_path, tmp_path))
    assert [check.ok for check in result.checks] == [True, True, False, True]
    assert any(rows[3]["id"] in note for note in result.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"rows\.csv\.gz: there is no such file"), (b"not gzip", r"rows\.csv\.gz: cannot be read")],
)
def test_bad_data_is_named(content, message, tmp_path):
    (tmp_path / "timeloop").mkdir()
    if content:
        (tmp_path / "timeloop" / "rows.csv.gz").write_bytes(content)
    with pytest.raises(ArmillaryError, match=message):
        timeloop_parity.run(options(tmp_path, tmp_path))


def test_the_folder_must_be_named(tmp_path):
    with pytest.raises(ArmillaryError, match="name their folder with --data DIR"):
        timeloop_parity.run(options(None, tmp_path))

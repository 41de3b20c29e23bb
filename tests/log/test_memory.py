"""Commands on a log of many rows take less than 2 GiB."""

import numpy as np
import pyarrow as pa
import pytest

from armillary.benchmarks.scale.log_rows import most_bytes
from armillary.log.fragments import fragment_name, write_parquet
from armillary.log.schema import EVALUATIONS, to_table
from armillary.log.store import Log

ROWS = 10_000_000
MOST_BYTES = 2 << 30


@pytest.fixture(scope="module")
def path(tmp_path_factory, evaluations):
    """Provide a log of ten million rows in one fragment."""
    log = Log(tmp_path_factory.mktemp("large") / "log")
    stored = to_table(evaluations(1000), EVALUATIONS)
    table = stored.take(pa.array(np.arange(ROWS) % 1000)).combine_chunks()
    log.of_evaluations.folder.write(fragment_name(), lambda file: write_parquet(table, file))
    return log.path


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "SELECT * FROM log LIMIT 20000"),
        ("query", "SELECT pes_x, runtime_s FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"),
        ("query", "SELECT * FROM log", "--csv", "{folder}/rows.csv"),
        ("export", "--csv", "{folder}/all.csv"),
        ("check",),
        ("compact",),
    ],
    ids=" ".join,
)
def test_a_command_on_ten_million_rows(path, tmp_path, arguments):
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert most_bytes(["log", *given, "--log", path]) < MOST_BYTES

import numpy as np
import pytest

from armillary.log.query import query
from armillary.log.removal import remove, restore
from armillary.log.store import Log
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Evaluations

SPACE = Space("line", (Parameter("x", tuple(range(1, 9))),))


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "log")
    for first, metric in ((0, "runtime_s"), (4, "energy_pj")):
        designs = SPACE.designs(np.arange(first, first + 4)[:, None])
        log.append(
            Evaluations.from_list([evaluation(d, {metric: float(d["x"])} if d["x"] != 8 else None) for d in designs])
        )
    return log


def designs(log):
    return sorted(log.evaluations("line").design["x"].tolist())


def test_what_a_condition_holds_for_is_gone_and_comes_back(log):
    found = remove(log, "runtime_s >= 2 AND x <> 3")
    assert (found.removed, found.left, found.fragments) == (2, 6, 1)
    assert designs(log) == [1, 3, 5, 6, 7, 8]
    assert len(query(log.path, "SELECT * FROM log")) == 6
    assert restore(log) == 2
    assert designs(log) == list(range(1, 9))
    rows = {row.design["x"]: row for row in log.evaluations("line").to_list()}
    assert rows[2].metrics == {"runtime_s": 2.0}


def test_the_order_of_what_is_left_stays(log):
    remove(log, "x IN (1, 6)")
    assert log.evaluations("line").design["x"].tolist() == [2, 3, 4, 5, 7, 8]


def test_whole_fragments_and_failures_can_be_removed(log):
    assert remove(log, "failure IS NOT NULL OR energy_pj > 0").removed == 4
    assert designs(log) == [1, 2, 3, 4]
    assert remove(log, "true").left == 0
    with pytest.raises(ArmillaryError, match="holds no evaluations"):
        log.evaluations("line")
    assert restore(log) == 8
    assert designs(log) == list(range(1, 9))


def test_several_removals_are_all_restored(log):
    remove(log, "x = 1")
    remove(log, "x = 2")
    assert restore(log) == 2
    with pytest.raises(ArmillaryError, match="nothing was removed from it"):
        restore(log)


def test_a_restore_brings_back_only_what_is_missing(log):
    """As after a removal that was ended between keeping the rows and replacing the fragment."""
    kept = log.evaluations("line").select(np.array([0]))
    remove(log, "x = 1")
    log.append(kept)
    assert restore(log) == 0
    assert designs(log) == list(range(1, 9))


@pytest.mark.parametrize("where", ["speed > 3", "x = ", "1; DROP TABLE log", "x IN (SELECT x FROM read_csv('a.csv'))"])
def test_what_is_no_condition_removes_nothing(log, where):
    with pytest.raises(ArmillaryError, match="--where"):
        remove(log, where)
    assert designs(log) == list(range(1, 9))


def test_a_condition_on_a_text_column_that_other_spaces_lack_holds_there_for_none(log):
    flows = Space("flows", (Parameter("flow", ("ws", "os")),))
    log.append(Evaluations.from_list([evaluation(flows.design([code]), {"runtime_s": 1.0}) for code in (0, 1)]))
    assert len(query(log.path, "SELECT * FROM log WHERE flow = 'os'")) == 1
    assert (remove(log, "flow = 'os'").removed, designs(log)) == (1, list(range(1, 9)))
    assert remove(log, "flow IS NULL").removed == 8


def test_a_condition_that_holds_for_none_changes_nothing(log):
    assert (remove(log, "x > 100").removed, designs(log)) == (0, list(range(1, 9)))

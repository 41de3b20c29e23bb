import numpy as np
import pytest

from armillary.log.store import Log
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.studies.problem import Problem
from armillary.studies.study import Study
from armillary.types import ArmillaryError, Metric


def filled(path, name="toy"):
    space = Space(name, (Parameter("a", (1, 2, 4)), Parameter("kind", ("x", "y"), "categorical")))
    study = Study(Problem(space, (Objective("delay"),), metrics={"delay": Metric("ns")}), "random", log=path)
    study.optimize(lambda d: {"delay": 8 / d["a"]} if d["kind"] == "y" else "timing", 6)
    return Log(path)


def test_holds_every_row_under_the_names_of_the_log(tmp_path):
    log = filled(tmp_path / "log")
    table, rows = log.to_dataframe(), log.evaluations("toy")
    assert list(table.columns[:5]) == ["a", "kind", "delay", "feasible", "failure"]
    assert table.a.tolist() == rows.design["a"].tolist()
    assert np.array_equal(table.delay, rows.metrics["delay"], equal_nan=True)
    assert (table[table.feasible].delay * table[table.feasible].a == 8).all()
    assert set(table[~table.feasible].failure) == {"infeasible: timing"}
    assert table[table.feasible].failure.isna().all()
    assert set(table.space) == {"toy"}
    assert str(table.time.dtype).startswith("datetime64")


def test_a_space_is_named_where_there_are_several(tmp_path):
    log = filled(tmp_path / "log", "one")
    log.append(filled(tmp_path / "beside", "other").evaluations("other"))
    with pytest.raises(ArmillaryError, match=r"holds the spaces \['one', 'other'\]; name one"):
        log.to_dataframe()
    assert set(log.to_dataframe("one").space) == {"one"}


def test_an_empty_log_says_so(tmp_path):
    with pytest.raises(ArmillaryError, match="holds no evaluations"):
        Log(tmp_path / "log").to_dataframe()


def test_a_log_shows_its_spaces_in_a_notebook(tmp_path):
    text = filled(tmp_path / "log")._repr_html_()
    assert "<td style='text-align:left'>toy</td><td style='text-align:left'>6</td>" in text

"""Optuna's storages on the command line."""

import io
import json
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest.mock import patch

import optuna
import pytest

from armillary.cli import main
from armillary.studies.problem import Problem
from armillary.studies.study import Study

FILE = """
name: toy
parameters: {a: [1, 2, 4, 8], b: {range: [0, 9]}}
metrics: {delay_ns: {unit: ns, goal: minimize}, area: {unit: mm2, at_most: 6}}
"""


def armillary(folder, line):
    """Return a command's exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        chdir(folder),
        patch.object(sys, "argv", ["armillary", *line.split()]),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return stop.value.code, out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.yaml").write_text(FILE)
    study = Study(Problem.from_yaml(tmp_path / "toy.yaml"), "random", log=tmp_path / "log")
    study.optimize(lambda d: {"delay_ns": 9 / d["a"] + d["b"], "area": d["a"]} if d["b"] else "timing", 30)
    return tmp_path


EXPORT = "log export --log log --problem toy.yaml --optuna sqlite:///runs.db"


def test_a_log_goes_to_a_storage_and_comes_back_as_a_problem_and_a_log(folder):
    status, out, _ = armillary(folder, EXPORT)
    assert (status, out) == (0, "30 trials added to study 'toy' of sqlite:///runs.db, which has 30\n")
    status, out, _ = armillary(folder, f"{EXPORT} --json")
    assert json.loads(out)["studies"] == [{"study": "toy", "new": 0, "trials": 30}]
    status, out, _ = armillary(folder, "problem init sqlite:///runs.db --out again.yaml")
    assert status == 0
    hint = next(line for line in out.splitlines() if "armillary log import" in line).strip()
    status, out, _ = armillary(folder, hint.removeprefix("armillary ").replace("toy.log", "back"))
    assert (status, out.splitlines()[0][:29]) == (0, "30 rows appended to back, 27 ")


def test_another_goal_goes_to_a_study_of_its_own(folder):
    status, _, _ = armillary(folder, f"{EXPORT} --maximize area --bound delay_ns=5 --study-name large")
    study = optuna.load_study(study_name="large", storage=f"sqlite:///{folder / 'runs.db'}")
    assert status == 0
    assert study.best_value == 4  # of 8, which is beyond the bound of the file
    assert set(study.best_trial.constraints) == {"area <= 6", "delay_ns <= 5"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("log export --log log", "give either --csv FILE or --optuna URL"),
        (f"{EXPORT} --csv log.csv", "give either --csv FILE or --optuna URL"),
        ("log export --log log --csv log.csv --problem toy.yaml", "--problem goes with --optuna"),
        ("log export --log log --problem toy.yaml --optuna runs.db", "'runs.db' is no address of a storage"),
        ("log import --log log --problem toy.yaml", "give either files or --optuna URL"),
        ("log import a.csv --optuna sqlite:///runs.db --log log", "give either files or --optuna URL"),
        ("log import --optuna sqlite:///runs.db --log log", "goes with --problem"),
        ("log import a.csv --study-name x --log log", "--study-name 'x' goes with --optuna"),
        ("log import --optuna sqlite:///no.db --log log --problem toy.yaml", "sqlite:///no.db: no such file"),
        ("problem init a.csv --study-name x", "--study-name 'x' goes with a storage of Optuna"),
    ],
)
def test_a_wrong_request_is_refused(folder, line, words):
    status, out, err = armillary(folder, line)
    assert (status, out) == (2, "")
    assert words in err

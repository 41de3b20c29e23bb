import numpy as np
import pytest

from armillary.studies.problem import Problem
from armillary.types import ArmillaryError

FILE = """
name: toy
parameters: {a: [1, 2, 4], b: {choices: [x, y]}}
constraints: ["a < 4 or b == 'x'"]
candidates: listed.csv
metrics:
  delay: {unit: ns, goal: minimize}
  area: {unit: mm2, at_most: 5}
laws: {area: 2 * a}
workloads: {kws: {macs: 1e6}, asr: null}
evaluator: {command: [sim], version: "7"}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "listed.csv").write_text("a,b\n1,x\n2,y\n2,x\n")
    (tmp_path / "toy.yaml").write_text(FILE)
    return tmp_path / "toy.yaml"


def test_reads_everything_that_the_file_says(path):
    problem = Problem.from_yaml(path)
    assert problem.metric == "delay"
    assert [str(bound) for bound in problem.bounds] == ["area <= 5"]
    assert problem.candidates.tolist() == [[0, 0], [1, 1], [1, 0]]
    assert [(w.name, w.numbers) for w in problem.workloads] == [("kws", {"macs": 1e6}), ("asr", {})]
    assert problem.version == "7"
    assert problem.laws["area"](np.array([[2, 0]])).tolist() == [8.0]
    assert problem.keep(np.array([[1, 1], [0, 1]])).tolist() == [True, False]


def test_takes_the_path_as_text(path):
    assert Problem.from_yaml(str(path)) == Problem.from_yaml(path)


def test_shows_itself_in_a_notebook(path):
    text = Problem.from_yaml(path)._repr_html_()
    for part in ("minimize delay", "area &lt;= 5", "toy: 6 designs", "kws"):
        assert part in text


def test_names_the_fault_of_a_file(tmp_path):
    (tmp_path / "bad.yaml").write_text(FILE.replace("goal: minimize", "goal: low"))
    with pytest.raises(ArmillaryError, match=r"bad\.yaml: line 7: metrics\.delay\.goal"):
        Problem.from_yaml(tmp_path / "bad.yaml")

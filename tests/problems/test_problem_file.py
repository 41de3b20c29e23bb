import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem_file import read_problem
from armillary.problems.problem_form import schema
from armillary.types import ArmillaryError

GOOD = """
name: mychip
parameters:
  rows: [4, 8, 16, 32]
  buffer_kib: {range: [8, 64], step: 8, scale: log}
  clock: {range: [200, 1000], step: 200}
  share: {range: [0.1, 0.3], step: 0.1}
  dataflow: {choices: [ws, os]}
  double: [false, true]
  unroll: [false, 2, 4]
constraints: ["rows * buffer_kib <= 1024", "dataflow == 'ws' or not double"]
metrics:
  latency_ms: {unit: ms, goal: minimize}
  yield_pct: {unit: "%", at_least: 90}
  area_mm2: {unit: mm2, at_most: 5}
laws: {area_mm2: "0.2 + 0.01 * rows * clock / 100"}
workloads: {asr: {macs: 1.2e9, mb: 3}, kws:}
log: {columns: {lat: latency_ms}, scale: {lat: 1e-3}, feasible: "status == 'OK'", reason: status, workload: net}
"""


def write(folder, text, name="problem.yaml"):
    path = Path(folder) / name
    path.write_text(text)
    return path


@pytest.fixture
def problem(tmp_path):
    return read_problem(write(tmp_path, GOOD))


def test_parameters_are_what_the_file_says(problem):
    found = {p.name: (p.values, p.kind) for p in problem.space.parameters}
    assert found == {
        "rows": ((4, 8, 16, 32), "cardinal"),
        "buffer_kib": (tuple(range(8, 65, 8)), "cardinal"),
        "clock": ((200, 400, 600, 800, 1000), "ordinal"),
        "share": ((0.1, 0.2, 0.3), "ordinal"),
        "dataflow": (("ws", "os"), "categorical"),
        "double": ((False, True), "categorical"),
        "unroll": (("False", "2", "4"), "categorical"),
    }
    assert problem.space.name == "mychip"


def test_values_of_several_types_are_told_to_the_simulator_as_they_were_written(problem):
    assert [problem.value("unroll", text) for text in ("False", "2", "4")] == [False, 2, 4]
    assert problem.value("rows", 8) == 8


def test_goals_bounds_and_laws(problem):
    asked = problem.problem()
    assert asked.objectives == (Objective("latency_ms"),)
    assert asked.bounds == (Bound("yield_pct", at_least=90.0), Bound("area_mm2", at_most=5.0))
    code = problem.space.encode_columns({p.name: np.array([p.values[-1]]) for p in problem.space.parameters})
    assert asked.laws["area_mm2"](code) == pytest.approx([0.2 + 0.01 * 32 * 10])
    assert problem.metrics["latency_ms"].unit == "ms"


def test_constraints_say_which_designs_exist(problem):
    rows, buffer, flow, double = (problem.space.names.index(n) for n in ("rows", "buffer_kib", "dataflow", "double"))
    codes = np.zeros((4, len(problem.space.names)), dtype=np.int64)
    codes[1, [rows, buffer]] = 3, 4  # 32 * 40 is beyond 1024
    codes[2, [flow, double]] = 1, 1
    codes[3, double] = 1
    assert problem.exists(codes).tolist() == [True, False, False, True]


def test_a_row_of_the_users_own_form_is_an_outcome(problem):
    assert problem.outcome({"lat": 2500.0, "yield_pct": 95, "status": "OK"}) == (
        {"latency_ms": 2.5, "yield_pct": 95.0},
        None,
    )
    assert problem.outcome({"lat": None, "status": "FAIL"}) == ({}, "FAIL")
    with pytest.raises(ArmillaryError, match="it is feasible, but lacks 'yield_pct'"):
        problem.outcome({"lat": 1.0, "status": "OK"})
    with pytest.raises(ArmillaryError, match="lat='soon' is no number"):
        problem.outcome({"lat": "soon", "status": "OK"})


def faults(tmp_path, old, new):
    assert old in GOOD
    with pytest.raises(ArmillaryError) as raised:
        read_problem(write(tmp_path, GOOD.replace(old, new)))
    return str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: mychip", "nam: mychip", "line 2: nam: is unknown; did you mean 'name'?"),
        ("step: 8, scale", "stepp: 8, scale", "line 5: parameters.buffer_kib.stepp: is unknown; did you mean 'step'?"),
        ("[4, 8, 16, 32]", "[4, 8, 8]", "line 4: parameters.rows.values: lists 8 twice"),
        ("[4, 8, 16, 32]", "[4, 16, 8]", "lists numbers that do not rise"),
        ("[4, 8, 16, 32]", "[]", "line 4: parameters.rows.values: is empty"),
        ("[4, 8, 16, 32]", "[4, .nan]", "nan is not allowed"),
        ("[4, 8, 16, 32]", "{values: [4], choices: [a]}", "has values and choices; give values, a range or choices"),
        ("[4, 8, 16, 32]", "{unit: KiB}", "has no values"),
        ("range: [8, 64], step: 8", "range: [64, 8]", "the first must be less than the last"),
        ("range: [8, 64], step: 8", "range: [8, 64], step: 9", "9 does not divide the range 8 to 64"),
        ("range: [0.1, 0.3], step: 0.1", "range: [0.1, 0.3]", "share.step: is missing; a range of fractions"),
        ("range: [8, 64], step: 8", "range: [8, 80000000], step: 8", "makes 10,000,000 values; at most 10,000"),
        ("range: [8, 64], step: 8", "range: [-8, 64], step: 8", "'log' is not allowed; -8 is not positive"),
        ("{choices: [ws, os]}", "{choices: [ws, os], scale: log}", "only numbers have a scale"),
        ("  rows:", "  seed:", "parameters.seed: is the name of a column of every log"),
        ("  rows:", "  ro-ws:", "is no name; write letters, digits and _"),
        ("  rows:", "  runtime_s:", "is the name of a metric"),
        ("rows * buffer_kib <= 1024", "rows * bufer <= 1024", r"constraints.0: 'bufer' in .* is unknown"),
        ("rows * buffer_kib <= 1024", "rows * buffer_kib", "it must be a truth value"),
        ("goal: minimize", "goal: less", "line 13: metrics.latency_ms.goal: 'less' is not allowed"),
        ("at_most: 5", "at_most: 5, at_least: 6", "metrics.area_mm2.at_least: 6 is more than at_most=5"),
        ("unit: mm2", "unit: um2", "'um2' is not allowed; area_mm2 is in mm2"),
        ("at_most: 5", "at_most: -5", "-5 is not allowed; it must be positive"),
        ("laws: {area_mm2", "laws: {weight", "laws.weight: is no metric of the file"),
        (
            "{lat: latency_ms}",
            "{lat: latency}",
            "'latency' is neither a parameter nor a metric; did you mean 'latency_ms'",
        ),
        ("scale: {lat: 1e-3}", "scale: {lat: 0}", "it must be a number other than 0"),
        ("scale: {lat: 1e-3}", "scale: {net: 2}", "log.scale.net: holds no metric"),
        ("status == 'OK'", "status = 'OK'", "log.feasible: .* is no expression"),
        ("metrics:", "metrics:\n  latency_ms: {}", "stands twice"),
        ("mb: 3}", "mb: three}", "workloads"),
    ],
)
def test_every_fault_names_its_line_field_and_what_is_allowed(tmp_path, old, new, message):
    assert re.search(message, faults(tmp_path, old, new)), faults(tmp_path, old, new)


def test_all_faults_are_told_at_once(tmp_path):
    text = (
        GOOD.replace("[4, 8, 16, 32]", "[4, 4]").replace("status == 'OK'", "status =").replace("unit: mm2", "unit: m")
    )
    with pytest.raises(ArmillaryError) as raised:
        read_problem(write(tmp_path, text))
    first, *lines = str(raised.value).splitlines()
    assert first.endswith("problem.yaml: 3 faults")
    places = ["line 4: parameters.rows", "line 15: metrics.area_mm2.unit", "line 18: log.feasible"]
    assert [line.strip()[: len(place)] for line, place in zip(lines, places, strict=True)] == places


def test_a_problem_without_a_goal_says_where_to_write_one(tmp_path):
    found = read_problem(write(tmp_path, GOOD.replace(", goal: minimize", "")))
    with pytest.raises(ArmillaryError, match=r"no metric has a goal; write goal: minimize \(or maximize\) at one of"):
        found.problem()


@pytest.mark.parametrize("text", ["", "[1, 2]", "name", "a: [", "\x00"])
def test_what_is_no_problem_file_is_refused(tmp_path, text):
    with pytest.raises(ArmillaryError, match=r"problem\.yaml: is no"):
        read_problem(write(tmp_path, text))


def test_the_schema_is_one_that_the_file_meets():
    content = json.loads(json.dumps(schema()))
    assert set(yaml.safe_load(GOOD)) <= set(content["properties"])
    assert content["additionalProperties"] is False
    assert content["required"] == ["name", "parameters", "metrics"]

import csv
import json
import stat
import sys
from dataclasses import replace

import numpy as np
import pytest

from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.studies.imports import import_own_files
from armillary.studies.joint_design import load_joint_design, run_joint_design
from armillary.studies.joint_recipe import JointRequest
from armillary.studies.loading import load_study
from armillary.studies.running import Running
from armillary.studies.study_folder import StudyFolder
from armillary.studies.subject import Users
from armillary.surrogates.deep_ensemble import Setting
from armillary.types import ArmillaryError, Candidate

PROBLEM = """
name: mychip
parameters:
  rows: [4, 8, 16, 32, 64]
  cols: [4, 8, 16, 32, 64]
  buffer_kib: {range: [8, 64], step: 8}
  flow: {choices: [ws, os]}
  unroll: [false, 2, 4]
metrics:
  latency_ms: {unit: ms, goal: minimize}
  area_mm2: {unit: mm2, at_most: 3}
workloads: {asr: {macs: 2.0e9}, kws: {macs: 2.0e8}}
log: {columns: {lat_us: latency_ms}, scale: {lat_us: 0.001}, feasible: "status == 'OK'", reason: status, workload: net}
evaluator: {command: [./mysim]}
"""
SIMULATOR = f"""#!{sys.executable}
import json, sys
asked = json.load(sys.stdin)
d, macs = asked["design"], asked["workload"]["numbers"]["macs"]
assert d["unroll"] is False or isinstance(d["unroll"], int), d
pes = d["rows"] * d["cols"]
area = 0.1 + pes * 0.002 + d["buffer_kib"] * 0.01
if pes > 1024 and d["flow"] == "os":
    print(json.dumps({{"area_mm2": area, "status": "TIMING"}}))
else:
    lat = macs / pes / (1.5 if d["flow"] == "ws" else 2.0) / 1e3 + 2000 / d["buffer_kib"]
    lat *= {{"False": 1.2, "2": 1.0, "4": 1.1}}[str(d["unroll"])]
    print(json.dumps({{"lat_us": lat, "area_mm2": area, "status": "OK", "pes": pes, "kib": d["buffer_kib"]}}))
"""


@pytest.fixture(autouse=True)
def ensemble(monkeypatch):
    """Let studies learn in a second."""
    members, hidden, _, *others = Setting.__init__.__defaults__
    monkeypatch.setattr(Setting.__init__, "__defaults__", (members, hidden, 150, *others))


def made(folder, text=PROBLEM):
    (folder / "mysim").write_text(SIMULATOR)
    (folder / "mysim").chmod(stat.S_IRWXU)
    path = folder / "problem.yaml"
    path.write_text(text)
    return Users.read(path)


def request_of(subject, **changed):
    template = subject.template()
    given = {
        "template": subject.name,
        "workloads": ("asr",),
        "digests": ("d",),
        "objectives": template.objectives,
        "bounds": template.bounds,
        "samples": 40,
        "top": 4,
        "surrogate": "deep-ensemble",
        "problem": subject.problem_path,
    }
    return JointRequest(**{**given, **changed})


def run(subject, folder, request, names=("asr",)):
    networks = subject.workloads(list(names), Running())
    template = subject.template(networks)
    simulator = subject.simulator()
    return run_joint_design(request, template, networks, simulator, StudyFolder(folder), command="armillary design")


def latency(design, macs=2.0e9):
    pes, flow = design["rows"] * design["cols"], 1.5 if design["flow"] == "ws" else 2.0
    return (
        (macs / pes / flow / 1e3 + 2000 / design["buffer_kib"])
        * {"False": 1.2, "2": 1.0, "4": 1.1}[design["unroll"]]
        / 1e3
    )


def test_with_a_simulator_it_logs_learns_proposes_and_verifies(tmp_path):
    subject = made(tmp_path)
    study = run(subject, tmp_path / "s", request_of(subject))
    assert 32 <= len(study.log) <= 40  # a sampler may draw a design twice
    winner = study.winner
    assert winner.metrics["area_mm2"] <= 3.0
    assert winner.metrics["latency_ms"] == pytest.approx(latency(winner.design))
    assert winner.metrics["latency_ms"] <= study.best_of_log.metrics["latency_ms"]
    assert study.best_of_log.metrics["latency_ms"] == min(
        row.metrics["latency_ms"] for row in study.log.to_list() if row.feasible and row.metrics["area_mm2"] <= 3.0
    )
    assert len(study.candidates.evaluations) == len(study.proposals.rows) == 4
    again = load_study(StudyFolder(tmp_path / "s"))
    assert again.winner == winner


def test_a_study_that_is_run_again_evaluates_nothing(tmp_path):
    subject = made(tmp_path)
    first = run(subject, tmp_path / "s", request_of(subject))
    (tmp_path / "mysim").write_text("#!/bin/false")
    again = run(subject, tmp_path / "s", request_of(subject))
    assert again.winner == first.winner
    assert [dict(row) for row in again.proposals.rows] == [dict(row) for row in first.proposals.rows]


def without_simulator(tmp_path, rows=120):
    """A subject without a simulator, with a log of rows that one made elsewhere."""
    full = made(tmp_path)
    networks = full.workloads(["asr"], Running())
    evaluator = full.own.make(full.own.spec())
    codes = np.random.default_rng(0).integers(0, full.template().space.cardinalities, size=(rows, 5))
    lines = ["rows,cols,buffer_kib,flow,unroll,net,lat_us,area_mm2,status"]
    for design in full.template().space.designs(codes):
        row = evaluator.evaluate([Candidate(design)], networks[0])[0]
        value = row.metrics["latency_ms"] * 1e3 if row.feasible else ""
        lines.append(",".join(map(str, [*design.as_dict().values(), "asr", value, row.metrics["area_mm2"],
                                        "OK" if row.feasible else "TIMING"])))  # fmt: skip
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    subject = made(tmp_path, PROBLEM.replace("evaluator: {command: [./mysim]}\n", ""))
    import_own_files([tmp_path / "runs.csv"], str(tmp_path / "log"), subject.own)
    return subject


def test_without_a_simulator_it_ends_with_proposals_and_goes_on_from_the_next_import(tmp_path):
    subject = without_simulator(tmp_path)
    request = request_of(subject, log=str(tmp_path / "log"), samples=0)
    study = run(subject, tmp_path / "s", request)
    assert study.candidates is None
    with (tmp_path / "s" / "proposals.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {"rows", "unroll", "predicted_latency_ms", "p_feasible", "rarest_pair"} <= set(rows[0])
    known = {tuple(map(str, row.design.as_dict().values())) for row in study.log.to_list()}
    assert not known & {tuple(row[name] for name in subject.template().space.names) for row in rows}

    lines = ["rows,cols,buffer_kib,flow,unroll,net,lat_us,area_mm2,status"]
    for row in rows:
        design = {
            name: int(row[name]) if row[name].isdigit() and name != "unroll" else row[name] for name in list(row)[:5]
        }
        lines.append(",".join([*(row[name] for name in list(row)[:5]), "asr", str(latency(design) * 1e3), "2.0", "OK"]))
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    import_own_files([tmp_path / "results.csv"], str(tmp_path / "log"), subject.own)
    second = run(subject, tmp_path / "s", request)
    assert len(second.log) == len(study.log) + 4
    new, old = ({tuple(row.values())[:5] for row in s.proposals.rows} for s in (second, study))
    assert not new & old


def test_several_workloads_count_together(tmp_path):
    subject = made(tmp_path)
    asked = request_of(subject, workloads=("asr", "kws"), digests=("d", "e"), samples=24, top=4)
    study = run(subject, tmp_path / "mean", asked, ("asr", "kws"))
    design = study.winner.design
    expected = (latency(design) + latency(design, 2.0e8)) / 2
    assert study.winner.metrics["latency_ms"] == pytest.approx(expected)
    assert study.workload == "asr + kws"
    assert study.combination == "the mean of the workloads"
    assert len(study.candidates.evaluations) == 4
    heavy = run(subject, tmp_path / "heavy", replace(asked, weights=(3.0, 1.0)), ("asr", "kws"))
    design = heavy.winner.design
    assert heavy.winner.metrics["latency_ms"] == pytest.approx(0.75 * latency(design) + 0.25 * latency(design, 2.0e8))
    worst = run(subject, tmp_path / "worst", replace(asked, worst=True), ("asr", "kws"))
    assert worst.winner.metrics["latency_ms"] >= 0.99  # beside the best that the log has of the worst workload
    rows = [*worst.log.to_list(), *worst.candidates.evaluations.to_list()]
    within = [r.metrics["latency_ms"] for r in rows if r.feasible and r.metrics["area_mm2"] <= 3.0]
    assert min(within) == pytest.approx(worst.winner.metrics["latency_ms"])  # what is loaded stands beside it, too


def test_several_goals_are_designed_for_from_the_log(tmp_path):
    subject = made(tmp_path)
    goals = (Objective("latency_ms"), Objective("area_mm2"))
    asked = request_of(subject, objectives=goals, prefer={"area_mm2": 3.0})
    study = run(subject, tmp_path / "s", asked)
    front = study.front
    values = front.values[np.argsort(front.values[:, 0])]
    assert (np.diff(values[:, 1]) <= 0).all()  # what is faster is larger
    assert study.winner.design == front.rows.row(front.preferred).design
    assert len(study.candidates.evaluations) == 4
    every = [*study.log.to_list(), *study.candidates.evaluations.to_list()]
    within = [r.metrics["latency_ms"] for r in every if r.feasible and r.metrics["area_mm2"] <= 3.0]
    assert front.values[:, 0].min() == min(within)
    assert {"predicted_latency_ms", "predicted_area_mm2"} <= set(study.proposals.rows[0])
    assert load_study(StudyFolder(tmp_path / "s")).winner == study.winner
    assert run(subject, tmp_path / "s", asked).proposals == study.proposals


def test_goals_that_laws_tell_need_no_surrogate(tmp_path):
    told = PROBLEM.replace("at_most: 3}", "at_most: 3}\n  pes: {unit: PEs}\n  kib: {unit: KiB}")
    subject = made(tmp_path, told + "laws: {pes: rows * cols, kib: buffer_kib}\n")
    goals = (Objective("pes", "maximize"), Objective("kib"))
    study = run(subject, tmp_path / "s", request_of(subject, objectives=goals, bounds=()))
    assert {"pes", "kib"} <= set(study.proposals.rows[0])
    assert not {"predicted_pes", "predicted_kib"} & set(study.proposals.rows[0])
    assert study.front.values[:, 0].max() == max(
        r.design["rows"] * r.design["cols"] for r in study.front.rows.to_list()
    )


def test_rows_of_other_options_are_no_rows_of_the_evaluator(tmp_path):
    subject = made(tmp_path)
    first = run(subject, tmp_path / "s", request_of(subject, samples=24, top=2))
    rows = first.log
    Log(tmp_path / "log").append(replace(rows, options=np.full(len(rows), "effort=9", dtype=object)))
    study = run(subject, tmp_path / "r", request_of(subject, log=str(tmp_path / "log"), samples=24, top=2))
    assert len(study.log) == len(first.log)
    assert set(study.log.options) == {""}


def test_of_what_is_to_be_maximised_the_most_wins(tmp_path):
    subject = made(tmp_path)
    asked = request_of(subject, objectives=(Objective("latency_ms", "maximize"),))
    study = run(subject, tmp_path / "s", asked)
    every = [*study.log.to_list(), *study.candidates.evaluations.to_list()]
    within = [r.metrics["latency_ms"] for r in every if r.feasible and r.metrics["area_mm2"] <= 3.0]
    assert study.winner.metrics["latency_ms"] == max(within)


def test_a_bound_that_nothing_meets_says_so(tmp_path):
    subject = made(tmp_path)
    asked = request_of(subject, bounds=(Bound("area_mm2", at_most=0.01),), samples=30, top=2)
    with pytest.raises(ArmillaryError, match=r"area_mm2 <= 0\.01"):
        run(subject, tmp_path / "s", asked)


def test_a_log_of_other_versions_is_none(tmp_path):
    subject = without_simulator(tmp_path, rows=30)
    newer = made(
        tmp_path, PROBLEM.replace("evaluator: {command: [./mysim]}", 'evaluator: {command: [./mysim], version: "2"}')
    )
    asked = request_of(newer, log=str(tmp_path / "log"), samples=0)
    with pytest.raises(ArmillaryError, match="holds no row of mychip 2"):
        run(newer, tmp_path / "s", asked)
    assert len(Log(tmp_path / "log")) > 0
    assert subject.name == "mychip"


def test_what_is_proposed_without_rules_is_said(tmp_path):
    subject = without_simulator(tmp_path)
    study = run(subject, tmp_path / "s", request_of(subject, log=str(tmp_path / "log"), samples=0))
    assert any("no rule says which designs exist" in warning for warning in study.warnings)
    ruled = made(
        tmp_path, PROBLEM.replace("evaluator: {command: [./mysim]}\n", "") + 'constraints: ["rows * cols <= 1024"]\n'
    )
    study = run(ruled, tmp_path / "r", request_of(ruled, log=str(tmp_path / "log"), samples=0))
    assert not any("no rule" in warning for warning in study.warnings)
    assert all(row["rows"] * row["cols"] <= 1024 for row in study.proposals.rows)


def test_results_read_back_are_those_that_were_written(tmp_path):
    subject = made(tmp_path)
    study = run(subject, tmp_path / "s", request_of(subject))
    networks = subject.workloads(["asr"], Running())
    again = load_joint_design(StudyFolder(tmp_path / "s"), subject.template(networks), networks)
    assert json.loads(json.dumps(dict(again.winner.metrics))) == dict(study.winner.metrics)
    assert again.warnings == study.warnings

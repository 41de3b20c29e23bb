"""A study that searches by layouts, on a stand-in for the flow: formulas of area, power and clock."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.function import FunctionEvaluator
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.problems.rung import Rung
from armillary.spaces.space import Parameter, Space
from armillary.studies.layout_design import foresee_layout_design, load_layout_design, run_layout_design
from armillary.studies.layout_recipe import PREDICTED, RUNGS, SEARCHED, LayoutRequest
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, EvaluatorSpec, Fidelity
from armillary.workloads.layer import Workload
from surrogates.ppa.members import with_one_member

SPACE = Space(
    "standin.physical",
    (
        Parameter("bits", (4, 8, 12, 16)),
        Parameter("cycles", tuple(range(1, 25))),
        Parameter("clock_ns", (0.6, 0.8, 1.0, 1.3, 1.7)),
        Parameter("aim", ("speed", "area"), kind="categorical"),
    ),
)
TEMPLATE = Template("standin", SPACE)
WORKLOAD = Workload("product", (), numbers={})
SPEC = EvaluatorSpec("standin", Fidelity.PHYSICAL, "standin", "1")
GOALS = (Objective("energy_j"), Objective("area_mm2"))
BOUNDS = (Bound("area_mm2", at_most=0.004),)
REQUEST = LayoutRequest("product.onnx", "0", "standin", GOALS, BOUNDS, budget=22, samples=14, picks=3, trials=96)


def flow(values):
    """Return what a layout takes; the widest designs find no tracks."""
    lanes, bits = -(-24 // values["cycles"]), values["bits"]
    if bits == 16 and lanes > 12:
        return None
    speed = values["aim"] == "speed"
    period_ns = max(values["clock_ns"], 0.5 + 0.02 * bits + 0.06 * np.log2(lanes + 1) - 0.1 * speed)
    area_mm2 = (400 + 14 * bits * lanes) * 1e-6 * (1.2 if speed else 1.0)
    power_mw = 1e3 * area_mm2 * (0.1 + 0.9 / period_ns)
    runtime_s = (values["cycles"] + 3) * period_ns * 1e-9
    return {"runtime_s": runtime_s, "energy_pj": power_mw * runtime_s * 1e9, "area_mm2": area_mm2}


class Counting:
    """The stand-in, which counts the layouts that it made."""

    def __init__(self):
        self.made = 0

    def __call__(self, spec):
        def counted(values):
            self.made += 1
            return flow(values)

        return FunctionEvaluator(counted, TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,)), spec)


class Stopping(Counting):
    """The stand-in as one that can stop after the first of its 4 seconds; figures are then 0.8 of what they become."""

    def __call__(self, spec):
        asked = TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,))
        early = spec.options.get("until") == "first"

        def made(values):
            self.made += 0 if early else 1
            found = flow(values)
            own_s = 1e-3 * values["cycles"] + 1e-5 * values["bits"] + 1e-7 * values["clock_ns"]
            if found is None or early:
                steps = {"first_cpu_s": 0.9 + own_s, "look_cpu_s": 0.1 + own_s}
                return None if found is None else {name: 0.8 * value for name, value in found.items()} | steps
            return found | {"first_cpu_s": 0.9 + own_s, "rest_cpu_s": 3.1 + own_s}

        evaluator = FunctionEvaluator(made, asked, spec)
        evaluator.rungs = lambda: (Rung("first", replace(spec, options={"until": "first"}), ("aim",)),)
        return evaluator


@pytest.fixture(autouse=True)
def one_member(monkeypatch):
    with_one_member(monkeypatch)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        with_one_member(patch)
        folder, flow_of = StudyFolder(tmp_path_factory.mktemp("layouts") / "study"), Counting()
        told = []
        results = run_layout_design(
            REQUEST, TEMPLATE, WORKLOAD, folder, spec=SPEC, make=flow_of, command="armillary design",
            on_progress=lambda *step: told.append(step),
        )  # fmt: skip
    return folder, results, flow_of, told


def test_the_budget_is_spent_the_last_of_it_on_what_surrogates_promise(study):
    folder, results, flow_of, told = study
    assert flow_of.made == REQUEST.budget == len(results.log)
    assert len(folder.read(SEARCHED)["codes"]) == REQUEST.budget - REQUEST.picks
    assert len(results.layouts) - (results.layouts[0].name == "Winner") == REQUEST.picks
    assert ("laying out", 19, 19) in told
    assert ("laying out the picks", 3, 3) in told


def test_picks_are_new_designs_and_their_predictions_are_near(study):
    _, results, _, _ = study
    searched = {tuple(e.design.as_dict().values()) for e in results.log.select(slice(0, 19)).to_list()}
    picks = [one for one in results.layouts if one.name != "Winner"]
    assert not searched & {tuple(one.design.as_dict().values()) for one in picks}
    errors = [abs(one.error(goal.metric)) for one in picks for goal in GOALS if one.failure is None]
    assert errors
    assert np.median(errors) < 0.2  # one member learned 19 layouts


def test_the_winner_has_the_least_cost_within_the_bounds(study):
    folder, results, _, _ = study
    problem = TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,))
    cost = folder.read(PREDICTED)["cost"]
    values = problem.matrix(results.log) @ [cost["energy_j"], cost["area_mm2"]]
    assert results.winner.design == results.log.row(int(values.argmin())).design
    assert results.winner.metrics["area_mm2"] <= 0.004
    front = results.front
    assert front.rows.row(front.preferred).design == results.winner.design
    assert (folder.path / "front.csv").exists()


def test_finds_what_few_random_designs_do(study):
    """The cost of the winner is that of the best of five times as many designs, within three hundredths."""
    folder, results, _, _ = study
    cost = folder.read(PREDICTED)["cost"]
    every = [flow(design.as_dict()) for design in SPACE.designs(SPACE.at(np.arange(SPACE.size)))]
    sums = sorted(
        cost["energy_j"] * row["energy_pj"] * 1e-12 + cost["area_mm2"] * row["area_mm2"]
        for row in every
        if row and row["area_mm2"] <= 0.004
    )
    ours = sum(cost[goal.metric] * results.winner.metrics[goal.metric] for goal in GOALS)
    assert ours <= 1.03 * sums[0]


def test_a_study_that_was_killed_goes_on_and_a_finished_one_makes_no_layout(study):
    folder, results, _, _ = study
    again = Counting()
    found = run_layout_design(REQUEST, TEMPLATE, WORKLOAD, folder, spec=SPEC, make=again, command="")
    assert again.made == 0
    assert found.winner.design == results.winner.design
    (folder.path / SEARCHED).unlink()  # as if it had been killed on the way
    found = run_layout_design(REQUEST, TEMPLATE, WORKLOAD, folder, spec=SPEC, make=again, command="")
    assert again.made == 0
    assert found.winner.design == results.winner.design


def test_a_study_that_climbs_keeps_what_stopped_apart_and_picks_whole_layouts(tmp_path):
    asked, folder, flow_of = replace(REQUEST, optimizer="ppa-ladder"), StudyFolder(tmp_path / "study"), Stopping()
    given = (asked, TEMPLATE, WORKLOAD, folder)
    told = []
    results = run_layout_design(
        *given, spec=SPEC, make=flow_of, command="", on_progress=lambda *step: told.append(step)
    )  # fmt: skip
    counted = [done for stage, done, _ in told if stage == "laying out"]
    assert counted == sorted(counted)
    assert counted[-1] == 19
    whole = Log(folder.log).evaluations(SPACE.name)
    stopped = Log(folder.path / RUNGS).evaluations(SPACE.name)
    assert set(whole.options) == {""}
    assert set(stopped.options) == {'{"until": "first"}'}
    assert len(whole) == len(results.log) == flow_of.made
    assert 14 + 3 < len(whole) <= REQUEST.budget
    assert len(stopped) > len(whole) - 3
    searched = whole.select(slice(0, len(folder.read(SEARCHED)["codes"])))
    spent = sum(np.nansum(rows.metrics[step]) for rows, step in
                [(searched, "first_cpu_s"), (searched, "rest_cpu_s"), (stopped, "look_cpu_s")])  # fmt: skip
    assert spent < (REQUEST.budget - REQUEST.picks + 1) * 4.05
    designs = [tuple(row.design.as_dict().values()) for row in whole.to_list()]
    assert tuple(results.winner.design.as_dict().values()) in designs
    again = Stopping()
    (folder.path / SEARCHED).unlink()  # as if it had been killed on the way
    found = run_layout_design(*given, spec=SPEC, make=again, command="")
    assert again.made == 0
    assert found.winner.design == results.winner.design


def test_whole_layouts_are_not_replaced_by_stopped_ones(tmp_path):
    asked = replace(REQUEST, options={"until": "placement"})
    with pytest.raises(ArmillaryError, match="until='placement' is not allowed here, where whole layouts are wanted"):
        run_layout_design(asked, TEMPLATE, WORKLOAD, StudyFolder(tmp_path), spec=SPEC, make=Counting(), command="")


def test_what_a_dry_run_foresees(study, tmp_path):
    folder, _, _, _ = study
    (stage,) = foresee_layout_design(REQUEST, TEMPLATE, WORKLOAD, folder, spec=SPEC, make=Counting())
    assert (stage.evaluations, stage.logged) == (0, 22)
    fresh = StudyFolder(tmp_path / "fresh")
    (stage,) = foresee_layout_design(REQUEST, TEMPLATE, WORKLOAD, fresh, spec=SPEC, make=Counting())
    assert (stage.evaluations, stage.logged) == (22, 0)
    assert stage.seconds is not None
    assert not fresh.path.exists()


@pytest.mark.parametrize(
    ("first_works", "tried", "told"),
    [(3, 3, "one layout timed"), (9, 8, "longest of 8 layouts timed on this machine, none of which succeeded")],
)
def test_a_dry_run_times_a_layout_that_succeeds_if_it_soon_finds_one(first_works, tried, told, tmp_path):
    asked = []

    def make(spec):
        def counted(values):
            asked.append(values)
            return flow({**values, "bits": 4}) if len(asked) >= first_works else None

        return FunctionEvaluator(counted, TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,)), spec)

    (stage,) = foresee_layout_design(REQUEST, TEMPLATE, WORKLOAD, StudyFolder(tmp_path), spec=SPEC, make=make)
    assert len(asked) == tried
    assert told in stage.basis


def test_bounds_that_no_layout_keeps_to_are_told(tmp_path):
    asked = replace(REQUEST, bounds=(Bound("area_mm2", at_most=1e-9),), budget=16)
    with pytest.raises(
        ArmillaryError,
        match=r"none of 13 layouts, 1\d of them feasible, keeps to area_mm2 <= 1e-09; of these the least area_mm2 is",
    ):
        run_layout_design(asked, TEMPLATE, WORKLOAD, StudyFolder(tmp_path), spec=SPEC, make=Counting(), command="")
    assert len(Log(tmp_path / "log").evaluations(SPACE.name)) == 13


@pytest.mark.parametrize("picks", [0, 16])
def test_picks_that_leave_nothing_to_learn_from_are_refused(picks, tmp_path):
    asked = replace(REQUEST, picks=picks, budget=16)
    with pytest.raises(ArmillaryError, match=rf"picks={picks} of budget=16 layouts are not allowed"):
        run_layout_design(asked, TEMPLATE, WORKLOAD, StudyFolder(tmp_path), spec=SPEC, make=Counting(), command="")


def test_a_budget_that_leaves_too_little_to_learn_from_is_refused(tmp_path):
    asked, flow_of = replace(REQUEST, budget=12), Counting()
    with pytest.raises(ArmillaryError, match=r"budget=12 is not allowed with picks=3; .* must be 13 or more"):
        run_layout_design(asked, TEMPLATE, WORKLOAD, StudyFolder(tmp_path), spec=SPEC, make=flow_of, command="")
    assert flow_of.made == 0


class Tight(Counting):
    """The stand-in, of which hardly any design finds tracks."""

    def __call__(self, spec):
        def made(values):
            self.made += 1
            return flow(values) if values["cycles"] in (5, 6) else None

        return FunctionEvaluator(made, TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,)), spec)


def test_too_few_feasible_layouts_to_learn_from_end_with_the_best_of_them(tmp_path):
    asked, folder, flow_of = replace(REQUEST, budget=17, samples=14), StudyFolder(tmp_path), Tight()
    results = run_layout_design(
        asked, TEMPLATE, WORKLOAD, folder, spec=SPEC, make=flow_of, command="armillary design"
    )  # fmt: skip
    rows = results.log
    assert 1 <= rows.feasible.sum() < 10
    assert flow_of.made == len(rows) == 14
    matrix = TEMPLATE.asked(GOALS, BOUNDS, (WORKLOAD,)).matrix(rows)
    cost = (matrix / matrix.min(axis=0)).sum(axis=1)
    assert results.winner.design == rows.row(int(cost.argmin())).design
    assert f"only {rows.feasible.sum()} of 14 layouts are feasible" in results.winner.note
    again = load_layout_design(folder, TEMPLATE, WORKLOAD)
    assert again.winner.design == results.winner.design

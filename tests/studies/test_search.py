from dataclasses import replace

import numpy as np
import pytest
import yaml

from armillary import optimizers
from armillary.evaluators import spec_of
from armillary.hardware.templates import spotlight
from armillary.log.store import Log
from armillary.problems.criteria import Objective, upper_bounds
from armillary.problems.outcomes import Outcomes
from armillary.studies import search as module
from armillary.studies.design_file import read_design
from armillary.studies.search import SearchRequest, load_search, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

REQUEST = SearchRequest(
    source="w", digest="d", template="edge_tpu", optimizer="random", bounds=upper_bounds({"area_mm2": 29.0}), budget=100
)
PART = Workload("part", zoo.build("mnasnet").layers[:3])
CO_DESIGN = replace(
    REQUEST,
    template="spotlight",
    optimizer="spotlight",
    bounds=upper_bounds({"area_mm2": 3.5}),
    objectives=(Objective("edp_pj_cycles"),),
    budget=14,
    options={"samples": 20},
)


def rows_of(folder, space):
    """Return what a search logged, but for when and how long."""
    return [(row.design, dict(row.metrics)) for row in Log(folder / "log").evaluations(space).to_list()]


@pytest.mark.parametrize("optimizer", ["firefly", "random"])
def test_spends_its_budget_and_returns_the_best_legal_design(optimizer, template, workload, tmp_path):
    found = run_search(replace(REQUEST, optimizer=optimizer), template, workload, StudyFolder(tmp_path))
    rows = Log(tmp_path / "log").evaluations("edge_tpu")
    legal = rows.feasible & (rows.metrics["area_mm2"] <= 29.0)
    assert found.evaluated == len(rows) == 100
    assert found.feasible == legal.sum()
    assert found.best.metrics["runtime_s"] == rows.metrics["runtime_s"][legal].min()
    assert found.best.metrics["runtime_s"] < rows.metrics["runtime_s"][legal].max()
    assert read_design(tmp_path / "design.yaml", template.space) == found.best.design


def test_ends_with_the_values_of_a_report(template, workload, tmp_path):
    found = run_search(REQUEST, template, workload, StudyFolder(tmp_path), command="armillary search")
    study = load_search(StudyFolder(tmp_path), template, workload)
    assert study.winner.design == found.best.design
    assert [layer.name for layer in study.winner.layers] == [use.layer.name for use in workload.layers]
    assert len(study.log) == 100
    assert study.baseline.name == "Edge TPU"
    assert study.candidates is None


@pytest.mark.parametrize("after", [1, 40, 99])
def test_resumes_where_it_was(after, template, workload, tmp_path):
    request = replace(REQUEST, optimizer="genetic")

    def interrupt(stage, done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(request, template, workload, StudyFolder(tmp_path / "a"), on_progress=interrupt)
    resumed = run_search(request, template, workload, StudyFolder(tmp_path / "a"))
    whole = run_search(request, template, workload, StudyFolder(tmp_path / "b"))
    assert resumed.best.design == whole.best.design
    assert rows_of(tmp_path / "a", "edge_tpu") == rows_of(tmp_path / "b", "edge_tpu")


def co_designed(folder, on_progress=lambda *_: None):
    return run_search(CO_DESIGN, spotlight.TEMPLATE, PART, StudyFolder(folder), on_progress=on_progress)


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory):
    """The folder of a co-design that nothing interrupted."""
    folder = tmp_path_factory.mktemp("co-design") / "whole"
    co_designed(folder)
    return folder


@pytest.mark.parametrize("after", [1, 7, 12])
def test_a_co_design_resumes_and_repeats_to_the_last_digit(after, whole_folder, tmp_path):
    """A chip's mappings begin where those of others ended: taken from the log, not from what a process remembers."""

    def interrupt(stage, done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        co_designed(tmp_path / "cut", interrupt)
    resumed, again = co_designed(tmp_path / "cut"), co_designed(whole_folder)  # which is done
    assert resumed.best.metrics == again.best.metrics
    assert rows_of(whole_folder, "spotlight") == rows_of(tmp_path / "cut", "spotlight")
    for name in ("mappings.yaml", "hierarchy.yaml"):
        assert (whole_folder / name).read_text() == (tmp_path / "cut" / name).read_text()


def test_the_written_mappings_are_those_of_the_winner(tmp_path):
    """Evaluated under them, the winner costs what was printed."""
    found = run_search(CO_DESIGN, spotlight.TEMPLATE, PART, StudyFolder(tmp_path))
    mappings = yaml.safe_load((tmp_path / "mappings.yaml").read_text())
    from armillary.evaluators import make

    evaluator = make(spec_of("spotlight", Fidelity.ANALYTICAL))
    (again,) = evaluator.evaluate([Candidate(found.best.design, mappings)], PART)
    assert again.metrics == found.best.metrics


@pytest.mark.parametrize(
    ("metric", "goal"),
    [("runtime_s", "delay"), ("delay_cycles", "delay"), ("energy_pj", "energy"), ("edp_pj_cycles", "edp")],
)
def test_mappings_minimise_what_is_searched_for(metric, goal, tmp_path):
    run_search(
        replace(CO_DESIGN, objectives=(Objective(metric),), budget=1), spotlight.TEMPLATE, PART, StudyFolder(tmp_path)
    )
    (row,) = Log(tmp_path / "log").evaluations("spotlight").to_list()
    assert row.options["goal"] == goal


def test_a_metric_that_names_no_best_mapping_is_refused(tmp_path):
    with pytest.raises(ArmillaryError, match="metric 'area_mm2' does not say which mapping"):
        run_search(
            replace(CO_DESIGN, objectives=(Objective("area_mm2"),)),
            spotlight.TEMPLATE,
            PART,
            StudyFolder(tmp_path / "s"),
        )
    assert not (tmp_path / "s").exists()


class Plain:
    """An optimizer of a stranger's, with ask and tell alone."""

    def __init__(self, problem, *, seed=0):
        self.problem, self.rng, self.told = problem, np.random.default_rng(seed), []

    def ask(self, n):
        codes = self.rng.integers(0, self.problem.space.cardinalities, (n, len(self.problem.space.names)))
        return [Candidate(design) for design in self.problem.space.designs(codes)]

    def tell(self, candidates, outcomes):
        assert isinstance(outcomes, Outcomes)
        self.told += zip(candidates, outcomes.feasible, strict=True)


def test_takes_an_optimizer_that_has_plain_ask_and_tell(template, workload, tmp_path, monkeypatch):
    made = []

    def plain(problem, *, seed):
        made.append(Plain(problem, seed=seed))
        return made[-1]

    monkeypatch.setattr(module.optimizers, "load", lambda _: plain)
    found = run_search(replace(REQUEST, budget=30), template, workload, StudyFolder(tmp_path))
    assert found.evaluated == len(made[0].told) == 30
    assert found.feasible <= sum(feasible for _, feasible in made[0].told)


def test_a_folder_serves_one_network(template, workload, tmp_path):
    run_search(REQUEST, template, workload, StudyFolder(tmp_path))
    with pytest.raises(ArmillaryError, match="holds a study with digest='d', not 'other'"):
        run_search(replace(REQUEST, digest="other"), template, workload, StudyFolder(tmp_path))


def test_a_power_bound_makes_designs_illegal(template, workload, tmp_path):
    free = run_search(REQUEST, template, workload, StudyFolder(tmp_path / "free"))
    rows = Log(tmp_path / "free" / "log").evaluations("edge_tpu")
    power = rows.metrics["energy_pj"] * 1e-9 / rows.metrics["runtime_s"]
    most = float(np.nanmedian(power))
    bounds = {"area_mm2": 29.0, "power_mw": most}
    bound = run_search(
        replace(REQUEST, bounds=upper_bounds(bounds)), template, workload, StudyFolder(tmp_path / "bound")
    )
    assert bound.feasible < free.feasible
    assert bound.best.metrics["energy_pj"] * 1e-9 / bound.best.metrics["runtime_s"] <= most


def test_refuses_an_unknown_optimizer(template, workload, tmp_path):
    with pytest.raises(ArmillaryError, match="did you mean 'firefly'"):
        run_search(replace(REQUEST, optimizer="fireflies"), template, workload, StudyFolder(tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_every_optimizer_is_made_of_a_problem(template):
    for name in optimizers.names():
        if getattr(optimizers.load(name), "needs_layers", False):
            continue  # Polaris, see its own tests
        space = spotlight.TEMPLATE if name.startswith(("spotlight", "confuciux", "hasco")) else template
        assert optimizers.load(name)(space.problem(), seed=1).ask(1)

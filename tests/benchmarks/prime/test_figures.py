import csv
from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks.prime import calibration as prime_calibration
from armillary.benchmarks.prime import curves as prime_curves
from armillary.benchmarks.prime import figures as prime_figures
from armillary.benchmarks.prime.runs import Runs, joint_values
from armillary.benchmarks.result import BenchOptions, Check
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.types import Prediction
from armillary.workloads import zoo


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setattr(prime_figures, "_SAMPLES", 3000)
    monkeypatch.setattr(prime_figures, "_SHOWN", 60)
    monkeypatch.setattr(prime_curves, "budget_of", lambda task, runs: 60)
    codes = SPACE.at(np.array([123_456_789]))[0].tolist()
    found = {"runtime_s": 1.2e-3, "evaluations": 256.0, "codes": codes}
    monkeypatch.setattr(Runs, "one", lambda *_: found)
    return BenchOptions(None, True, 0, tmp_path / "figures", lambda *_: None)


def columns(options, name):
    with (options.out / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_histogram_counts_every_feasible_design(options):
    check = prime_figures.latencies(options)
    codes = prime_figures.sample(SPACE, 3000, "random", 0)
    feasible = EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_edgetpu")).feasible
    assert sum(int(row["designs"]) for row in columns(options, "figure3")) == feasible.sum()
    assert check.value == pytest.approx(1 - feasible.mean())
    assert (options.out / "figure3.html").exists()


def test_curves_fall_and_are_kept(options, monkeypatch):
    monkeypatch.setattr(prime_figures, "_CURVE_SEARCHES", ("firefly", "genetic"))
    check = prime_figures.cost_alone(options)
    assert check.value == pytest.approx(256 / 60)
    for method in ("firefly", "genetic"):
        curve = np.array([float(row[method]) for row in columns(options, "figure5")])
        assert len(curve) == 60
        assert (np.diff(curve) <= 0).all()
    monkeypatch.setattr(prime_curves, "best_so_far", None)
    prime_figures.cost_alone(options)  # nothing is searched again


def test_figure_7_counts_the_evaluations_until_a_search_hardly_improves(options, monkeypatch):
    curves = {"firefly": [9.0, 4.0, 2.01, 2.0, 2.0], "p3bo": [9.0, 8.0, 7.0, 6.0, 5.0]}
    monkeypatch.setattr(prime_figures, "curve", lambda _runs, method, _task: 1e-3 * np.array(curves[method]))
    check = prime_figures.cost_of_p3bo(options)
    assert check.value == pytest.approx(5 / 3)
    assert check.ok
    assert [float(row["p3bo"]) for row in columns(options, "figure7")] == pytest.approx(curves["p3bo"])
    assert (options.out / "figure7.html").exists()


@pytest.mark.parametrize("name", ["map_of_joint_designs", "map_of_designs", "core_memory", "plateaus"])
def test_every_figure_has_its_page_and_data(name, options):
    getattr(prime_figures, name)(options)
    pages = sorted(path.stem for path in options.out.glob("*.html"))
    assert pages == sorted(path.stem for path in options.out.glob("*.csv"))
    assert len(pages) == 1
    assert len(columns(options, pages[0])) > 5


def test_quick_leaves_the_long_figures_out(options, monkeypatch):
    steps = ("latencies", "cost_alone", "cost_of_seven", "cost_of_p3bo", "plateaus", "map_of_joint_designs")
    for step in (
        *steps,
        "core_memory",
        "map_of_designs",
        "overestimation",
        "conservatism",
        "conservatism_as_published",
    ):
        monkeypatch.setattr(prime_figures, step, lambda _: Check("drawn", 1.0, "", True))
    monkeypatch.setattr(prime_figures, "_curves", lambda _: None)
    drawn = [
        {row["figure"] for row in prime_figures.run(replace(options, quick=quick)).rows} for quick in (True, False)
    ]
    assert drawn[1] - drawn[0] == {"figure6", "figure7", "figure9", "figure14-published"}
    assert len(drawn[0]) == 7


class Optimist:
    """Promises half of what is measured."""

    def predict(self, codes, context):  # noqa: ARG002
        value = 0.5 * joint_values(codes, prime_figures._ALONE)
        return Prediction(mean=value, std=value, p_feasible=np.ones(len(codes)))


def test_a_standard_surrogate_promises_too_much(options, monkeypatch):
    monkeypatch.setattr(prime_calibration, "trained", lambda *_: (Optimist(), 0.0))
    assert prime_figures.overestimation(options).value == 1.0
    for row in columns(options, "figure13"):
        assert float(row["measured_ms"]) == pytest.approx(2 * float(row["predicted_ms"]))


@pytest.mark.slow
def test_prime_is_also_shown_with_the_published_alpha_and_beta(options, monkeypatch):
    asked = []

    def trained(*_, **settings):
        asked.append(settings)
        return Optimist(), 0.0

    monkeypatch.setattr(prime_calibration, "trained", trained)
    prime_figures.conservatism(options)
    prime_figures.conservatism_as_published(options)
    assert asked == [{}, {"alphas": (0.01,), "betas": (5.0,)}]
    assert (options.out / "figure14-published.html").exists()
    assert (options.out / "figure14.html").exists()

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary.reports import candidate_figures, figures, layer_figures, roofline
from armillary.reports.candidate_figures import rank_agreement
from armillary.reports.wording import TIMES, number
from armillary.studies.results import Candidates
from reports.plausible import explained


def trace(chart, name):
    return next(t for t in chart.figure.data if (t.name or "").startswith(name))


def test_hover_texts_name_every_parameter(results):
    rows = np.flatnonzero(results.log.feasible)[:3]
    for row, text in zip(rows, figures.hover_texts(results, results.log, rows), strict=True):
        assert text.count("<br>") == len(results.space.parameters) + len(results.log.metrics) - 1
        assert f"Lanes: {results.log.design['lanes'][row]}" in text
        assert "MiB" in text or "KiB" in text


def test_hover_of_an_infeasible_design_says_why(results):
    row = np.flatnonzero(~results.log.feasible)[:1]
    assert str(results.log.failure(int(row[0]))) in figures.hover_texts(results, results.log, row)[0]


def test_thinning_keeps_the_ends_and_repeats_itself():
    rows = np.arange(10_000)
    kept = figures.thinned(rows, 100)
    assert len(kept) == 100
    assert (kept[0], kept[-1]) == (0, 9999)
    assert np.array_equal(kept, figures.thinned(rows, 100))
    assert np.array_equal(figures.thinned(rows[:7], 100), rows[:7])


def test_histogram_counts_every_feasible_row_once(results):
    chart = figures.histogram(results)
    top = np.array(trace(chart, "Out of bounds").y)[1:-1:2]
    assert top.sum() == results.log.feasible.sum()
    below = np.array(trace(chart, "Within bounds").y)[1:-1:2]
    assert below.sum() == results.legal(results.log).sum()
    assert (top >= below).all()


def test_reasons_add_up_to_the_infeasible_rows(results):
    chart = figures.reasons(results)
    counts = list(chart.figure.data[0].x)
    assert sum(counts) == (~results.log.feasible).sum()
    assert counts == sorted(counts, reverse=True)
    assert "median need" in chart.figure.data[0].customdata[0]


def test_importances_are_ranked(results):
    shares = list(figures.importances(results).figure.data[0].x)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100)


def test_selection_shows_the_best_step_of_each_cell(results):
    chart = figures.selection(results)
    grid = np.array(chart.figure.data[0].z, dtype=float)
    assert grid.shape == (5, 6)
    for trial in results.selection.trials:
        assert trial.kendall <= grid.max() + 1e-12
    assert grid.max() == pytest.approx(results.selection.trials[results.selection.chosen].kendall)


def test_every_candidate_is_drawn_once_in_its_class(results):
    chart = candidate_figures.predicted_measured(results)
    sizes = {t.name.split(" (")[0]: len(t.x) for t in chart.figure.data if "(" in (t.name or "")}
    legal = int(results.legal(results.candidates.evaluations).sum())
    assert sizes["Within bounds"] == legal
    assert sum(sizes.values()) == 256


def test_progress_never_gets_worse(results):
    for chart in (candidate_figures.log_progress(results), candidate_figures.candidate_progress(results)):
        best = list(trace(chart, "Best so far").y)
        assert best == sorted(best, reverse=True)
    winner = results.winner.metrics["runtime_s"] * figures.objective_scale(results).factor
    assert best[-1] == pytest.approx(winner)


def test_rank_agreement_follows_the_order(results):
    evaluations = results.candidates.evaluations
    measured = np.nan_to_num(results.measured(evaluations), nan=1.0)
    assert rank_agreement(results, Candidates(evaluations, measured)) == pytest.approx(1.0)
    assert rank_agreement(results, Candidates(evaluations, -measured)) == pytest.approx(-1.0)
    assert np.isnan(rank_agreement(results, Candidates(evaluations, np.ones(len(measured)))))


def test_layer_times_show_the_slowest_in_network_order(results):
    chart = layer_figures.layer_times(results)
    labels = chart.figure.layout.yaxis.ticktext
    positions = [int(label.split()[0]) for label in labels]
    assert len(positions) == layer_figures.MOST_LAYERS
    assert positions == sorted(positions)
    slowest = int(results.winner.layer_seconds().argmax()) + 1
    assert slowest in positions


def test_limits_share_out_all_of_the_time(results):
    for _, contender in results.contenders():
        assert sum(layer_figures.time_by_bound(contender).values()) == pytest.approx(1.0)


def test_time_beside_the_layers_counts_as_overhead(results):
    seconds = results.winner.layer_seconds().sum()
    slow = explained(results.winner, overhead_s={"invocation": 9 * seconds})
    assert layer_figures.time_by_bound(slow)["overhead"] >= 0.9
    chart = layer_figures.bounds(replace(results, winner=slow))
    assert "Overhead includes what comes beside the layers (invocation)" in chart.caption


def test_no_layer_lies_above_its_roof(results):
    chart = roofline.roofline(results)
    rates = results.winner.rates
    for t in (t for t in chart.figure.data if t.mode == "markers" and t.name == "Layers of Winner"):
        for intensity, rate in zip(t.x, t.y, strict=True):
            assert rate * 1e12 <= min(rates.macs_per_s, rates.dram_bytes_per_s * intensity) * 1.001


def test_layers_without_dram_traffic_stand_in_a_panel_of_their_own(results):
    layers = (replace(results.winner.layers[0], dram_bytes=0.0), *results.winner.layers[1:])
    chart = roofline.roofline(replace(results, winner=explained(results.winner, layers=layers)))
    aside = [t for t in chart.figure.data if t.mode == "markers" and t.xaxis == "x2"]
    assert [(t.name, list(t.x)) for t in aside] == [("Layers of Winner", [1])]
    assert "no DRAM traffic" in aside[0].text[0]
    assert "need no DRAM" in chart.caption
    assert "need no DRAM" not in roofline.roofline(results).caption


def test_there_is_no_roofline_without_dram_traffic(results):
    def dry(contender):
        return explained(contender, layers=tuple(replace(layer, dram_bytes=0.0) for layer in contender.layers))

    contenders = {name: dry(getattr(results, name)) for name in ("winner", "best_of_log", "baseline")}
    assert roofline.roofline(replace(results, **contenders)) is None


def test_a_component_has_one_colour_in_both_breakdowns(results):
    area, energy = layer_figures.area_parts(results), layer_figures.energy_parts(results)
    colours = {t.name: t.marker.color for t in area.figure.data}
    for t in energy.figure.data:
        assert colours.get(t.name, t.marker.color) == t.marker.color


def test_every_figure_can_be_drawn_twice_alike(results):
    for draw in (figures.landscape, figures.histogram, candidate_figures.predicted_measured, roofline.roofline):
        assert draw(results).figure.to_json() == draw(results).figure.to_json()


def test_the_time_splits_into_what_a_design_can_change_and_what_none_does(results):
    chart = layer_figures.time_split(results)
    scale = figures.objective_scale(results)
    assert [t.name for t in chart.figure.data] == ["Layers", "Invocation (fixed)"]
    for place, (_, contender) in enumerate(results.contenders()):
        bars = [t.x[place] for t in chart.figure.data]
        assert sum(bars) == pytest.approx(contender.metrics["runtime_s"] * scale.factor + 2e-5 * scale.factor)
        assert bars[0] == pytest.approx(contender.rest_s * scale.factor)
    assert f"{scale.text(results.winner.rest_s)} of {scale.text(results.winner.total_s)} on Winner" in chart.caption


def test_a_study_without_overhead_has_no_split(results):
    bare = {
        name: explained(getattr(results, name), overhead_s={}, fixed=())
        for name in ("winner", "best_of_log", "baseline")
    }
    assert layer_figures.time_split(replace(results, **bare)) is None
    loose = {name: explained(getattr(results, name), fixed=()) for name in bare}
    chart = layer_figures.time_split(replace(results, **loose))
    assert [t.name for t in chart.figure.data] == ["Layers", "Invocation (overhead)"]
    assert "can change" not in chart.caption


def test_the_roofline_names_lines_and_markers(results):
    named = {t.name for t in roofline.roofline(results).figure.data if t.showlegend is not False}
    assert named >= {"Winner", "Layers of Winner", "Edge TPU", "Layers of Edge TPU"}


def test_a_progress_chart_fits_its_own_designs(results):
    for chart in (candidate_figures.log_progress(results), candidate_figures.candidate_progress(results)):
        low, high = chart.figure.layout.yaxis.range
        if chart.figure.layout.yaxis.type == "log":
            low, high = 10**low, 10**high
        designs = np.array(trace(chart, "Design within bounds").y)
        inside = designs[(designs >= low) & (designs <= high)]
        assert len(inside) >= 0.85 * len(designs)
        assert (high - low) <= 4 * (inside.max() - inside.min())


def test_a_reference_far_from_the_candidates_is_named_and_not_drawn_to(results):
    far = replace(results.baseline, metrics=results.baseline.metrics | {"runtime_s": 1e4})
    near, beyond = (candidate_figures.candidate_progress(study) for study in (results, replace(results, baseline=far)))
    assert [t.name for t in near.figure.data][-1] == "Edge TPU"
    assert "beyond this chart" in [t.name for t in beyond.figure.data][-1]
    assert max(beyond.figure.layout.yaxis.range) <= max(near.figure.layout.yaxis.range)


@pytest.mark.parametrize(("factor", "told"), [(1.0, ""), (30.0, "Read the order of the predictions")])
def test_the_caption_tells_how_far_predictions_were_off(results, factor, told):
    rows = results.candidates.evaluations
    measured = np.nan_to_num(results.measured(rows), nan=1.0)
    caption = candidate_figures.predicted_measured(
        replace(results, candidates=Candidates(rows, factor * measured))
    ).caption
    assert f"A prediction was {number(factor)}{TIMES} the measured value at the median." in caption
    assert ("Read the order" in caption) == bool(told)
    assert "conservative" not in caption

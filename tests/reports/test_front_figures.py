from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary.problems.criteria import Bound, Objective
from armillary.reports import page
from armillary.reports.front_figures import front_chart, front_progress
from armillary.reports.summary import paragraphs
from armillary.studies.fronts import front_of


def with_front(results, *metrics, prefer=None):
    """The same study with the front of some metrics of its log under its bounds."""
    problem = replace(results.problem, objectives=tuple(map(Objective, metrics)))
    return replace(results, front=front_of(problem, results.log, prefer))


@pytest.fixture(params=[("runtime_s", "area_mm2"), ("runtime_s", "energy_pj", "area_mm2")], ids=["two", "three"])
def traded(results, request):
    return with_front(results, *request.param)


def traces(chart):
    return {trace.name: trace for trace in chart.figure.data}


def test_a_study_without_a_front_has_no_chart_of_one(results):
    assert front_chart(results) is None
    assert front_progress(results) is None
    one = with_front(results, "runtime_s")
    assert front_chart(one) is None
    assert front_progress(one) is None


def test_every_legal_design_is_drawn_once_in_one_of_three_markers(traded):
    drawn = traces(front_chart(traded))
    assert list(drawn) == ["Dominated", "On the front", "Preferred"]
    counts = {name: len(trace.text) for name, trace in drawn.items()}
    assert counts["Preferred"] == 1
    assert counts["On the front"] == len(traded.front.rows) - 1
    assert sum(counts.values()) == traded.legal(traded.log).sum()


def test_hover_tells_every_parameter(traded):
    for trace in front_chart(traded).figure.data:
        assert all(text.count("<br>") >= len(traded.space.parameters) for text in trace.text)
        assert trace.hovertemplate.startswith("%{text}")


def test_the_preferred_design_is_where_it_is(results):
    heavy = with_front(results, "runtime_s", "area_mm2", prefer={"area_mm2": 100.0})
    chart = front_chart(heavy)
    star = traces(chart)["Preferred"]
    everywhere = np.concatenate([trace.y for trace in chart.figure.data])
    assert star.y[0] == everywhere.min()
    assert star.marker.symbol == "star"
    assert "weighed runtime 1 and area 100" in chart.caption


def test_two_objectives_are_one_plot_and_three_a_matrix(results):
    two = front_chart(with_front(results, "runtime_s", "area_mm2"))
    assert {trace.type for trace in two.figure.data} == {"scatter"}
    three = front_chart(with_front(results, "runtime_s", "energy_pj", "area_mm2"))
    layout = three.figure.layout
    heads = [layout.xaxis.title.text, layout.xaxis2.title.text, layout.yaxis.title.text, layout.yaxis2.title.text]
    assert [head.split(" (")[0] for head in heads] == ["Runtime", "Energy", "Energy", "Area"]
    pairs = {(trace.xaxis, trace.yaxis) for trace in three.figure.data}
    assert pairs == {("x", "y"), ("x", "y2"), ("x2", "y2")} or pairs == {("x1", "y1"), ("x1", "y2"), ("x2", "y2")}
    assert {trace.type for trace in three.figure.data} == {"scatter"}  # a matrix of Plotly's own needs WebGL
    names = [trace.name for trace in three.figure.data if trace.showlegend]
    assert len(names) == len(set(names))


def test_out_of_bounds_designs_are_left_out(results):
    tight = replace(results, problem=replace(results.problem, bounds=(Bound("area_mm2", at_most=20.0),)))
    chart = front_chart(with_front(tight, "runtime_s", "area_mm2"))
    assert max(float(np.max(trace.y)) for trace in chart.figure.data) <= 20.0


def test_progress_has_a_point_per_evaluation_and_tells_its_reference(traded):
    chart = front_progress(traded)
    assert len(chart.figure.data[0].y) == len(traded.log)
    assert (np.diff(chart.figure.data[0].y) >= 0).all()
    assert chart.figure.data[0].y[-1] == traded.front.hypervolume[-1]
    assert "mm²" in chart.caption


def test_the_page_shows_the_front(traded):
    assert {"front", "front-progress"} <= set(page.charts(traded))
    text = page.render(traded)
    assert 'id="figure-front"' in text
    assert 'id="figure-front-progress"' in text


def test_the_summary_tells_of_the_preferred_design_in_words(traded):
    (first, *_), count = paragraphs(traded), len(traded.front.rows)
    assert f"Of {count} designs on the front the preferred one has runtime " in first
    alone = replace(traded.front, rows=traded.front.rows.select(np.array([traded.front.preferred])), preferred=0,
                    values=traded.front.values[[traded.front.preferred]])  # fmt: skip
    assert "One design is on the front: runtime " in paragraphs(replace(traded, front=alone))[0]

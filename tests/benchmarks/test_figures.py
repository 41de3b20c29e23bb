import pytest

from armillary.benchmarks.figures import _COLOURS, write_bars, write_lines, write_regrets


@pytest.mark.parametrize(("values", "logarithmic"), [([1.0, 1.85], False), ([1.0, 20.0], True), ([0.0, 20.0], False)])
def test_an_axis_is_logarithmic_only_where_that_leaves_numbers_on_it(tmp_path, values, logarithmic):
    write_lines({"a": ([1.0, 2.0], values)}, tmp_path / "page.html", title="t", x="x", y="y")
    text = (tmp_path / "page.html").read_text().split("Plotly.newPlot")[-1]
    assert ('"type":"log"' in text) is logarithmic


def test_every_bar_of_the_largest_figure_has_its_own_colour(tmp_path):
    names = [f"method {i}" for i in range(13)]
    write_bars({name: {"group": 1.0 + i} for i, name in enumerate(names)}, tmp_path / "page.html", title="t", y="y")
    text = (tmp_path / "page.html").read_text()
    assert all(colour in text for colour in _COLOURS[:13])
    assert len(set(_COLOURS)) == len(_COLOURS) >= 13


def test_a_share_keeps_its_linear_axis(tmp_path):
    curve = {"a": ([1.0, 50.0], [0.01, 1.0])}
    for axes, count in (("xy", 2), ("x", 1)):
        write_lines(curve, tmp_path / "page.html", title="t", x="x", y="y", logarithmic=axes)
        text = (tmp_path / "page.html").read_text().split("Plotly.newPlot")[-1]
        assert text.count('"type":"log"') == count


@pytest.mark.parametrize(("axes", "logarithmic"), [("y", True), ("", False)])
def test_bars_may_start_at_zero(tmp_path, axes, logarithmic):
    write_bars({"m": {"a": 1.0, "b": 20.0}}, tmp_path / "page.html", title="t", y="y", logarithmic=axes)
    text = (tmp_path / "page.html").read_text().split("Plotly.newPlot")[-1]
    assert ('"type":"log"' in text) is logarithmic


def test_every_group_of_bars_has_its_name(tmp_path):
    write_bars({"m": {f"group {i}": 1.0 for i in range(10)}}, tmp_path / "page.html", title="t", y="y")
    assert '"dtick":1' in (tmp_path / "page.html").read_text().split("Plotly.newPlot")[-1]


def test_regrets_are_in_percent_from_the_optimum_up(tmp_path):
    methods = {"met": {"a": (1.0, 1.0)}, "near": {"a": (1.02, 3.0)}, "nothing legal": {"a": (float("inf"),) * 2}}
    write_regrets(methods, tmp_path / "page.html", title="t")
    text = (tmp_path / "page.html").read_text().split("Plotly.newPlot")[-1]
    assert '"ticktext":["the optimum","0.01%","0.1%","1%","10%","100%","1000%"]' in text
    assert '"y":[0.001]' in text
    assert '"y":[2.0' in text
    assert '"scattermode":"group"' in text

"""Back ends beside published layouts."""

import pytest

from armillary.benchmarks.physical import published


def row(design, back_end, metric, error):
    return {"design": design, "back end": back_end, "metric": metric, "error": error}


def test_the_nearest_back_end_is_that_of_the_least_mean_distance():
    metric = "placed half perimeters, um"
    rows = [
        row("gcd", "own", metric, -0.1), row("aes", "own", metric, 0.3),
        row("gcd", "other", metric, 0.15), row("aes", "other", metric, -0.05),
        row("gcd", "own", "fmax, MHz", 0.01),  # which the other has not
    ]  # fmt: skip
    (note,) = published._nearer(rows, ["own", "other"])
    assert note == f"{metric}: mean distance from the median: own 20.0%; other 10.0%; nearest: other"


def test_without_coriolis_the_comparison_says_how_to_install_it():
    (note,) = published._nearer([row("gcd", "own", "area, um2", -0.1)], ["own"])
    assert "pip install 'armillary[coriolis]'" in note


def test_routed_wire_before_detailed_routing_is_told_apart():
    _, globally = published._METRICS["globally routed wire, um"]
    _, routed = published._METRICS["routed wire, um"]
    metrics = {"wire_mm": 3.0, "global_mm": 2.5}
    assert (globally(metrics), routed(metrics)) == pytest.approx((2500, 3000))
    assert globally({"wire_mm": 3.0}) == pytest.approx(3000)


def test_a_design_is_held_against_the_rows_of_its_time_and_clock():
    design = published.Design("gcd", "", {}, "gcd", 0.46, {}, since="2022-12", until="2024-03-15")
    rows = [{"design": "gcd", "clocks": "core_clock: 0.4600", "date": day}
            for day in ("2022-11-30", "2022-12-01", "2024-02-28", "2024-03-15")]  # fmt: skip
    assert [design.has(row) for row in rows] == [False, True, True, False]
    assert not design.has({**rows[1], "design": "aes"})
    assert not design.has({**rows[1], "clocks": "core_clock: 2.0322"})
    assert design.title == "gcd since 2022-12 until 2024-03-15"

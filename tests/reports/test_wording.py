from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.reports import wording
from armillary.reports.wording import (
    MISSING,
    TIMES,
    Scale,
    bytes_text,
    comparison,
    count_text,
    duration,
    listed,
    look,
    number,
    percent,
    quantity,
    shortened,
    signed,
    title,
    value_text,
)
from armillary.spaces.space import Parameter
from armillary.types import Metric


def metric_text(metric, value):
    return Scale.of_metric(metric, [value]).text(value)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, "s", "1.23 ms"),
        (0.0009996, "s", "1.00 ms"),
        (0.9999e-3, "s", "1.00 ms"),
        (0, "J", "0 J"),
        (2.5e12, "MAC/s", "2.50 TMAC/s"),
        (1e-20, "J", "0.0000100 fJ"),
        (math.nan, "s", MISSING),
    ],
)
def test_amounts_carry_the_prefix_that_keeps_them_short(value, unit, text):
    assert quantity(value, unit) == text


@given(st.floats(1e-14, 1e16))
def test_a_prefix_leaves_one_to_three_digits_before_the_point(value):
    digits = quantity(value, "s").split()[0]
    assert 1 <= len(digits.split(".")[0]) <= 3
    assert "e" not in digits


def test_metrics_are_shown_in_si_units():
    assert metric_text("energy_pj", 3.2e9) == "3.20 mJ"
    assert metric_text("area_mm2", 27.44) == "27.4 mm²"
    assert metric_text("utilization", 0.4512) == "45.1 %"
    assert metric_text("power_mw", 1500.0) == "1.50 W"
    assert metric_text("edp_pj_cycles", 2e31) == "20,000 PJ·cycles"
    assert metric_text("runtime_s", math.nan) == MISSING


def test_a_metric_without_a_look_keeps_its_number():
    assert metric_text("wires", 12.0) == "12.0"
    assert metric_text("wire_mm", 12.0) == "12.0 mm"


def test_a_metric_without_a_look_is_read_from_its_unit():
    assert metric_text("register_bytes", 17_328_219.0) == "17.3 MB"
    assert metric_text("leakage_mw", 2.0) == "2.00 mW"


def test_names_become_words():
    assert title("pe_memory_bytes") == "PE memory"
    assert title("pes_x") == "PEs X"
    assert title("dram_bandwidth_gbps") == "DRAM bandwidth"
    assert title("scratchpad_kib") == "Scratchpad"
    assert title("RegisterFile") == "Register file"
    assert title("DRAM") == "DRAM"
    assert title("row bytes") == "Row bytes"  # words already: they say what is counted
    assert title("bytes") == "Bytes"
    assert title("") == ""


def test_a_comparison_says_which_way_and_by_how_much():
    assert comparison("runtime_s", 1.0, 2.31) == f"2.31{TIMES} faster"
    assert comparison("runtime_s", 2.0, 1.0) == f"2.00{TIMES} slower"
    assert comparison("area_mm2", 29.0, 27.0) == f"1.07{TIMES} larger"
    assert comparison("energy_pj", 1.0, 1.001) == "equal"
    assert comparison("energy_pj", math.nan, 1.0) == ""
    assert comparison("energy_pj", 0.0, 1.0) == ""


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_a_comparison_and_its_reverse_name_the_same_ratio(value, other):
    forth, back = comparison("runtime_s", value, other), comparison("runtime_s", other, value)
    assert forth == back == "equal" or {forth.split()[1], back.split()[1]} == {"faster", "slower"}


def test_shares_do_not_round_a_remainder_away():
    assert percent(0.0) == "0%"
    assert percent(1.0) == "100%"
    assert percent(0.9996) == ">99.9%"
    assert percent(0.0004) == "<0.1%"
    assert percent(0.043) == "4.3%"
    assert percent(0.43) == "43%"


def test_durations():
    assert duration(0.44) == "0.4 s"
    assert duration(245.2) == "4 min 05 s"
    assert duration(2 * 3600 + 3 * 60) == "2 h 03 min"
    assert duration(59.97) == "1 min 00 s"


def test_values_carry_the_unit_of_their_parameter():
    assert value_text(Parameter("m", (2**21,), unit="bytes"), 2**21) == "2 MiB"
    assert value_text(Parameter("n", (16384,), unit="entries"), 16384) == "16,384 entries"
    assert value_text(Parameter("n", (4,)), 4) == "4"
    assert value_text(Parameter("order", ("KCPQ",), kind="categorical"), "KCPQ") == "KCPQ"
    assert bytes_text(1000, least=1000) == "1,000 B"


def test_long_names_keep_both_ends():
    assert shortened("features.12/inverted_bottleneck/expand", 15) == "feature…/expand"
    assert shortened("short", 15) == "short"


def test_one_scale_for_an_axis():
    scale = Scale.of([0.2e-3, 1.5e-3, 9e-3], "s")
    assert (scale.factor, scale.unit) == (pytest.approx(1e3), "ms")
    assert Scale.of([], "s") == Scale(1.0, "s")
    assert Scale.of([math.nan, 0.0], "s").unit == "s"
    assert number(math.inf) == MISSING


def test_large_counts_are_powers_of_ten():
    assert count_text(452_760_000) == "452,760,000"
    assert count_text(12**104) == f"1.72{TIMES}10¹¹²"


def test_phrases():
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert signed(-0.128) == "\u22120.13"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_metrics_of_other_packages_are_shown_in_their_own_units(monkeypatch):
    units = {"noise_db": "dB", "score": "1", "speed_samples_s": "samples/s", "leakage_mw": "mW", "peak_s": "K"}
    monkeypatch.setattr(wording, "METRICS", {name: Metric(unit) for name, unit in units.items()})
    assert (look("noise_db").title, metric_text("noise_db", 12.0)) == ("Noise", "12.0 dB")
    assert metric_text("score", 0.5) == "0.500"
    assert (look("speed_samples_s").title, metric_text("speed_samples_s", 4000.0)) == ("Speed", "4,000 samples/s")
    assert (look("leakage_mw").title, metric_text("leakage_mw", 2500.0)) == ("Leakage", "2.50 W")
    assert metric_text("peak_s", 350.0) == "350 K"


def test_the_unit_of_a_metric_that_nobody_registered_is_read_from_its_name():
    assert (look("unheard_of_pj").title, metric_text("unheard_of_pj", 3.0e9)) == ("Unheard of", "3.00 mJ")
    assert (look("unheard_of").title, metric_text("unheard_of", 3.0)) == ("Unheard of", "3.00")
    assert (look("dram_row_cycles").title, metric_text("dram_row_cycles", 2000.0)) == ("DRAM row", "2.00 kcycles")

from __future__ import annotations

import re
from dataclasses import replace

from armillary.reports.page import charts, render
from armillary.reports.units import layer_units, scale_of, study_scale, text_of
from armillary.types import Failure


def test_a_metric_has_the_unit_of_the_first_contender_that_has_it(results):
    fast = replace(results.winner, metrics={"runtime_s": 3e-4})
    slow = replace(results.winner, metrics={"runtime_s": 3e-1, "energy_pj": 5e9})
    assert scale_of("runtime_s", [fast, slow]).text(0.3) == "300,000 µs"
    assert scale_of("energy_pj", [fast, slow]).text(5e8) == "0.500 mJ"
    assert scale_of("runtime_s", [replace(fast, explanation=None, failure=Failure("infeasible")), slow]).unit == "ms"
    assert scale_of("area_mm2", []).text(3.0) == "3.00 mm²"


def test_the_page_writes_runtimes_and_energies_of_networks_in_one_unit_each(results):
    visible = re.sub(r"<details>.*?</details>", "", render(results), flags=re.DOTALL)
    said = " ".join(c.caption + c.label for c in charts(results).values()) + re.sub(r"<script.*?</script>", "", visible)
    assert set(re.findall(r"\d ([nµm]?)s\b(?! in all)", said)) - {""} == {study_scale(results, "runtime_s").unit[:-1]}
    assert set(re.findall(r"\d ([nµm]?)J\b", said)) == {study_scale(results, "energy_pj").unit[:-1]}


def test_layers_have_units_of_their_own(results):
    units = layer_units([results.winner])
    median = sorted(results.winner.layer_seconds())[len(results.winner.layers) // 2]
    assert 1 <= median * units.time.factor < 1000


def test_bounds_are_written_in_the_unit_of_their_metric(results):
    assert text_of(results, "area_mm2", 29.0) == "29.0 mm²"

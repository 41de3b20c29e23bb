"""The section on layouts at the end of a study."""

from dataclasses import replace

import pytest

from armillary.reports.layouts import layouts
from armillary.reports.page import render
from armillary.studies.results import LaidOut
from armillary.types import Failure

PNG = b"\x89PNG picture"


@pytest.fixture(scope="module")
def study(results):
    design = results.winner.design
    metrics = {"runtime_s": 2e-3, "area_mm2": 20.0, "effective_mhz": 900.0}
    said, spread = {"runtime_s": 2.1e-3, "area_mm2": 19.0}, {"runtime_s": 1e-4}
    first = LaidOut("Pick 1", design, said, metrics, spread, pictures={"congestion": PNG})
    broken = Failure("infeasible", "routing", detail="no track")
    failed = LaidOut("Pick 2", design, {"runtime_s": 1e-3}, {}, failure=broken)
    return replace(results, layouts=(first, failed))


def test_predictions_stand_beside_layouts_with_their_errors(study):
    section = layouts(study)
    assert section.heads[0] == "Runtime"
    first, failed = section.rows
    runtime = first.figures[0]
    assert (runtime.measured, runtime.error) == ("2.00 ms", "+5.0%")
    assert runtime.predicted == "2.10 ms ± 7.8%"  # 1.645 deviations of 0.1 ms
    area = first.figures[section.heads.index("Area")]
    assert area.error == "\u22125.0%"
    assert "routing: no track" in failed.failure
    assert failed.figures[0].error == ""
    assert "runtime 5.0%, area 5.0%" in section.sentence


def test_the_page_shows_the_pictures_and_needs_no_file(study, results):
    page = render(study)
    assert '<section id="layouts"' in page
    assert 'src="data:image/png;base64,iVBOR' in page
    assert 'alt="Pick 1: congestion"' in page
    assert '<section id="layouts"' not in render(results)


def test_a_study_without_layouts_has_no_section(results):
    assert layouts(results) is None

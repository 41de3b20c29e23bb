from dataclasses import replace

import numpy as np
import pytest

from armillary.reports.page import render
from armillary.reports.proof import proof_table
from armillary.reports.summary import highlights, paragraphs
from armillary.reports.wording import MISSING, TIMES
from armillary.studies.results import Proof
from reports.plausible import with_proof
from reports.test_page import Outline

RATIOS = (3.0, 1.5, 2.0, 4.0)


@pytest.fixture
def proven(results):
    return with_proof(results, RATIOS)


def failed(proven, *places):
    """Return the study with some of its designs infeasible by the truer evaluator."""
    rows = proven.proof.evaluations
    feasible = np.array([place not in places for place in range(len(rows))])
    rows = replace(
        rows,
        feasible=feasible,
        failure_kind=np.where(feasible, "", "infeasible").astype(object),
        failure_resource=np.where(feasible, "", "row bytes").astype(object),
        failure_needed=np.where(feasible, np.nan, 8.0),
        failure_available=np.where(feasible, np.nan, 4.0),
    )
    return replace(proven, proof=replace(proven.proof, evaluations=rows))


def test_without_a_proof_there_is_no_section(results):
    assert proof_table(results) is None
    assert 'id="proof"' not in render(results)


def test_every_design_stands_beside_both_answers(proven):
    table = proof_table(proven)
    assert (table.metric, table.cheaper, table.truer) == ("Runtime", "toy_roofline 1.0 (analytical)", "toy/rtl 2 (rtl)")
    assert [row.rank for row in table.rows] == [1, 2, 3, 4]
    assert [row.ratio for row in table.rows] == [f"{ratio:.2f}{TIMES}" for ratio in RATIOS]
    assert [row.is_winner for row in table.rows] == [False, True, False, False]
    assert [row.feasible for row in table.rows] == ["yes"] * 4
    milliseconds = [float(row.measured.split()[0]) / float(row.predicted.split()[0]) for row in table.rows]
    assert milliseconds == pytest.approx(RATIOS, rel=0.02)


def test_designs_are_told_apart_by_what_differs(proven):
    table = proof_table(proven)
    for row, evaluation in zip(table.rows, proven.proof.evaluations.to_list(), strict=True):
        every = ", ".join(filter(None, [row.design, table.shared])).split(", ")
        assert sorted(every) == sorted(f"{name}={value}" for name, value in evaluation.design.items)
    assert len({row.design for row in table.rows}) == len(RATIOS)
    one = replace(proven, proof=Proof(proven.proof.evaluations.select([0]), proven.proof.cheaper[:1]))
    assert proof_table(one).shared == ""
    assert len(proof_table(one).rows[0].design.split(", ")) == len(proven.space.parameters)


def test_the_sentence_sums_up(proven):
    sentence = proof_table(proven).sentence
    assert sentence.startswith(
        "The 4 best designs by toy_roofline 1.0 (analytical) were measured again by toy/rtl 2 (rtl)"
    )
    assert f"4 of 4 are within bounds, and their runtime is 1.50{TIMES} to 4.00{TIMES} what was predicted" in sentence
    assert "rank correlation of prediction and measurement is" in sentence


def test_designs_that_fail_say_why(proven):
    study = failed(proven, 0, 3)
    table = proof_table(study)
    assert [row.feasible for row in table.rows] == [
        "row bytes needs 8, has 4", "yes", "yes", "row bytes needs 8, has 4"
    ]  # fmt: skip
    assert [row.ratio for row in table.rows] == [MISSING, f"1.50{TIMES}", f"2.00{TIMES}", MISSING]
    assert f"2 of 4 are within bounds, and their runtime is 1.50{TIMES} to 2.00{TIMES}" in table.sentence
    area = study.proof.evaluations.with_metrics({"area_mm2": np.array([20.0, 20.0, 30.0, 20.0])})
    beyond = replace(study, proof=replace(study.proof, evaluations=area))
    assert proof_table(beyond).rows[2].feasible == "out of bounds"


def test_a_proof_that_confirms_nothing_says_so(proven):
    study = failed(proven, 0, 1, 2, 3)
    assert proof_table(study).sentence.endswith(": none of them is within bounds.")
    assert "None of the 4 best designs was confirmed by toy/rtl 2 (rtl)." in paragraphs(study)[0]
    assert not [h for h in highlights(study) if h.label.endswith("by RTL")]


def test_the_summary_tells_what_was_measured_of_the_winner(proven):
    measured = 1e3 * RATIOS[1] * proven.proof.cheaper[1]
    (shown,) = [h for h in highlights(proven) if h.label == "Runtime by RTL"]
    assert shown.value == f"{measured:.3g} ms" or shown.value.startswith(f"{measured:.2f}")
    assert shown.remarks[0].endswith("by the analytical evaluator")
    assert "Of 4 designs that toy/rtl 2 (rtl) measured again it is the best, with" in paragraphs(proven)[0]


def test_the_page_shows_the_proof_and_whose_numbers_it_holds(proven):
    page = render(proven)
    outline = Outline(page)
    assert (
        "Rank Design Runtime, predicted toy_roofline 1.0 (analytical) Runtime, measured toy/rtl 2 (rtl)" in outline.text
    )
    assert "evaluator toy/rtl 2 (rtl)" in outline.text
    assert page.count('href="#proof"') == 1
    assert outline.headings.count(2) == 1 + Outline(render(replace(proven, proof=None))).headings.count(2)
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))

from dataclasses import replace

import pytest

from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.problems.criteria import Objective
from armillary.reports.summary import beating, highlights, in_sentence, paragraphs, split_sentence
from armillary.reports.wording import TIMES
from reports.plausible import explained


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Best of log", "the best of log"),
        ("Middle of the space", "the middle of the space"),
        ("Uniform design", "the uniform design"),
        ("Edge TPU", "the Edge TPU"),
        ("Gemmini", "the Gemmini"),
    ],
)
def test_a_phrase_is_written_small_within_a_sentence_and_a_name_as_it_is(results, name, written):
    assert in_sentence(replace(results.baseline, name=name)) == written


def test_a_search_tells_of_what_it_evaluated(results):
    search = replace(results, candidates=None, winner=results.best_of_log)
    assert [h.label for h in highlights(search)][-1] == "Evaluated designs"
    outcome, log = paragraphs(search)
    assert "The best design found reaches a runtime of" in outcome
    assert log.startswith("Of the 1,200 evaluated designs")
    assert [h.label for h in highlights(results)][-2:] == ["Logged designs", "Candidates measured"]


def test_the_split_of_the_time_is_told_with_the_ratio_of_the_rest(results):
    winner, other = results.winner, results.baseline
    sentence = split_sentence(results)
    assert "are fixed overhead (invocation), which no design changes" in sentence
    assert f"{other.rest_s / winner.rest_s:.3g}{TIMES} faster than the Edge TPU" in sentence
    assert winner.total_s / other.total_s != winner.rest_s / other.rest_s
    assert sentence in paragraphs(results)[0]


def test_there_is_nothing_to_split_where_time_is_no_goal_or_no_overhead_fixed(results):
    assert split_sentence(replace(results, winner=explained(results.winner, fixed=()))) == ""
    assert split_sentence(replace(results, problem=TEMPLATE.problem("energy_pj", {"area_mm2": 29.0}))) == ""


def test_candidates_beat_the_log_by_more_of_what_is_maximised(results):
    measured = results.measured(results.candidates.evaluations)[results.legal(results.candidates.evaluations)]
    best = results.best_of_log.metrics["runtime_s"]
    most = replace(results, problem=replace(results.problem, objectives=(Objective("runtime_s", "maximize"),)))
    assert beating(results) == (measured < best).sum() > 0
    assert beating(most) == (measured > best).sum()
    assert beating(most) != beating(results)

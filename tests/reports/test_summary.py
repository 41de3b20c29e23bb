from dataclasses import replace

import pytest

from armillary.reports.summary import highlights, in_sentence, paragraphs


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

"""How much `armillary design` evaluates where nobody says."""

import pytest

from armillary.cli.designing import _sizes
from armillary.studies.subject import Shipped
from armillary.types import Fidelity


@pytest.mark.parametrize(
    ("template", "samples", "top"), [("edge_tpu", 16_384, 256), ("gemmini", 120, 16), ("axiline", 70, 16)]
)
def test_an_evaluator_that_takes_seconds_is_asked_for_few_designs(template, samples, top):
    subject = Shipped(template, Fidelity.ANALYTICAL)
    assert _sizes(subject, subject.template(), None, None) == {"samples": samples, "top": top}
    assert _sizes(subject, subject.template(), 5, 3) == {"samples": 5, "top": 3}

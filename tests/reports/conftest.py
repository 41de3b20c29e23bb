from __future__ import annotations

from collections.abc import Callable

import pytest

from armillary.studies.results import StudyResults
from reports.plausible import plausible_results


@pytest.fixture(scope="session")
def make_results() -> Callable[..., StudyResults]:
    return plausible_results


@pytest.fixture(scope="session")
def results() -> StudyResults:
    return plausible_results()

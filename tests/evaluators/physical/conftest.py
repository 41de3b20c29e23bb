import pytest

from armillary.evaluators.physical.enablement import enablement
from armillary.evaluators.physical.library import read_library


@pytest.fixture(scope="session")
def nangate():
    return enablement("nangate45")


@pytest.fixture(scope="session")
def library(nangate):
    return read_library(nangate)

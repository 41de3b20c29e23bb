"""Starlight as a surrogate of layers."""

import pytest

from armillary.surrogates.starlight import surrogate
from armillary.testing.layer_surrogates import LayerSurrogateContract


class TestStarlight(LayerSurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return surrogate.KIND

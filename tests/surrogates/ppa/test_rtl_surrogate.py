"""The surrogate that is told what RTL is made of."""

import numpy as np
import pytest
from tests.surrogates.ppa.test_gcn import SPACE, drawn

from armillary.hardware.templates.edge_tpu import SPACE as EDGE_TPU
from armillary.surrogates import default_of_layouts
from armillary.surrogates.ppa.graph import FEATURES
from armillary.surrogates.ppa.rtl_surrogate import RtlPpa
from armillary.surrogates.ppa.surrogate import Ppa
from armillary.types import ArmillaryError


def test_members_are_told_counts_that_parameters_do_not_hold():
    space = RtlPpa.described(SPACE)
    codes = drawn(4, 2, seed=2)
    told = space.derived(codes, {})
    assert told.shape == (len(codes), len(FEATURES))
    bits = told[:, FEATURES.index("register bits")]
    assert len(np.unique(bits)) > 1
    assert RtlPpa.members == Ppa.members


def test_it_is_the_default_where_a_platform_writes_the_rtl():
    assert default_of_layouts(SPACE) == "ppa-rtl"
    assert default_of_layouts(EDGE_TPU) == "ppa"
    with pytest.raises(ArmillaryError, match=r"'ppa-rtl' and 'ppa-gcn' ask for the RTL .* 'edge_tpu' has not"):
        RtlPpa(space=EDGE_TPU)

"""Bounds of all boundaries together, beside what mappings cost."""

import numpy as np
import pytest

from armillary.mapping.proven.chains import least_further, spread_rounds


def test_every_state_gets_the_least_of_those_with_as_many_rounds():
    rng = np.random.default_rng(0)
    table = rng.random((4, 3, 5)).astype(np.float32)
    row = table.ravel().copy()
    least_further(row, np.array(table.shape))
    for state, found in np.ndenumerate(row.reshape(table.shape)):
        least = table[tuple(slice(place, None) for place in state)].min()
        assert found <= least
        assert found == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize(("perfect", "counts"), [(False, [4, 5, 9]), (True, [4, 8, 12])])
def test_a_last_round_reaches_one_instance_at_least(perfect, counts):
    rounds = np.array([1.0, 2.0, 3.0])
    assert spread_rounds(rounds, 4.0, 4.0, perfect=perfect).tolist() == counts

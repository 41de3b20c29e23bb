from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from armillary.spaces.space import Parameter, Space
from armillary.studies import occurrence
from armillary.studies.occurrence import fewest

SPACE = Space("cube", tuple(Parameter(name, (1, 2, 3)) for name in "abcd"))
CODES = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=12).map(np.array)


@given(logged=CODES, proposed=CODES, size=st.integers(2, 3))
def test_it_counts_the_rarest_combination(logged, proposed, size):
    expected = [
        min(int((logged[:, list(c)] == design[list(c)]).all(axis=1).sum()) for c in combinations(range(4), size))
        for design in proposed
    ]
    assert fewest(SPACE, logged, proposed, size).tolist() == expected


def test_what_would_take_minutes_is_not_counted(monkeypatch):
    codes = np.zeros((3, 4), dtype=np.int64)
    monkeypatch.setattr(occurrence, "_MOST_WORK", 10)
    assert fewest(SPACE, codes, codes, 2) is None
    assert fewest(Space("one", SPACE.parameters[:1]), codes[:, :1], codes[:, :1], 2) is None

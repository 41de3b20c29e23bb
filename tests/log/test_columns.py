import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.log.columns import numbered, objects

ROW = st.tuples(st.integers(-2, 2), st.sampled_from(["a", "b", ""]), st.booleans(), st.sampled_from([0.1, 2.5]))


@given(rows=st.lists(ROW, min_size=1, max_size=30))
def test_rows_have_one_number_where_they_are_equal(rows):
    columns = [
        objects(column) if isinstance(column[0], str) else np.array(column) for column in zip(*rows, strict=True)
    ]
    found = numbered(columns)
    assert [rows[i] == rows[j] for i in range(len(rows)) for j in range(len(rows))] == [
        found[i] == found[j] for i in range(len(rows)) for j in range(len(rows))
    ]
    assert sorted(set(found)) == list(range(len(set(rows))))


def test_columns_of_many_values_do_not_overflow():
    """Eight columns of 2^10 values have 2^80 combinations; counted in 64 bits, the first columns would not count."""
    values = np.arange(1024)
    first = np.concatenate([values, np.roll(values, 1)])
    found = numbered([first, *[np.tile(values, 2)] * 7])
    assert sorted(found) == list(range(2048))


@pytest.mark.parametrize("dtype", [object, int])
def test_no_rows_have_no_numbers(dtype):
    assert numbered([np.empty(0, dtype=dtype)] * 3).tolist() == []

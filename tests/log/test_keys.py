import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.log.keys import Keys, hashes_of


def designs(numbers, texts):
    return {"a": np.array(numbers), "b": np.array([texts[n % len(texts)] for n in numbers], dtype=object)}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=9), min_size=1, max_size=6))
def test_every_design_is_found_in_each_part_that_holds_it(parts):
    keys = Keys()
    hashes = [hashes_of(designs(part, ["x", "y"])) for part in parts]
    firsts = [keys.add([each]) for each in hashes]
    assert firsts == list(range(len(parts)))
    assert len(keys) == sum(map(len, parts))
    for number in {n for part in parts for n in part}:
        holding = [place for place, part in enumerate(parts) if number in part]
        assert set(holding) <= set(keys.parts_of(hashes_of(designs([number], ["x", "y"]))).tolist())


def test_other_designs_are_hardly_ever_taken_for_them():
    keys = Keys()
    held = np.arange(200_000)
    keys.add([hashes_of({"n": part}) for part in np.split(held, 20)])
    others = hashes_of({"n": np.arange(10**6, 10**6 + 1000)})
    assert sum(len(keys.parts_of(others[place : place + 1])) for place in range(1000)) <= 2
    assert keys.parts_of(hashes_of({"n": held[:10_000]})).tolist() == [0]


def test_equal_numbers_of_different_types_are_equal_and_the_place_of_a_value_counts():
    whole, real = {"a": np.array([1, 0])}, {"a": np.array([1.0, -0.0])}
    assert (hashes_of(whole) == hashes_of(real)).all()
    one, other = {"a": np.array([1]), "b": np.array([2])}, {"a": np.array([2]), "b": np.array([1])}
    assert hashes_of(one) != hashes_of(other)

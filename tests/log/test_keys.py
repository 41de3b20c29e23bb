import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.log import keys as keys_module
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
        places, found = keys.found(hashes_of(designs([number, number], ["x", "y"])))
        assert set(holding) <= set(found[places == 0].tolist())
        assert found[places == 0].tolist() == found[places == 1].tolist()


def test_no_array_grows_beyond_its_bound(monkeypatch):
    monkeypatch.setattr(keys_module, "MOST_SORTED", 1000)
    keys = Keys()
    for part in np.split(np.arange(10_000), 100):
        keys.add([hashes_of({"n": part})])
    assert max(map(len, keys._sorted)) <= 1000
    assert len(keys._sorted) < 30
    assert set(keys.found(hashes_of({"n": np.arange(10_000)}))[0].tolist()) == set(range(10_000))


def test_other_designs_are_hardly_ever_taken_for_them():
    keys = Keys()
    held = np.arange(200_000)
    keys.add([hashes_of({"n": part}) for part in np.split(held, 20)])
    others = hashes_of({"n": np.arange(10**6, 10**6 + 1000)})
    assert len(keys.found(others)[0]) <= 2
    places, parts = keys.found(hashes_of({"n": held[5_000:15_000]}))
    assert len(places) <= 10_002
    assert (np.bincount(parts, minlength=20)[:2] >= 5_000).all()
    assert (places[parts == 1] >= 5_000).sum() == 5_000


def test_equal_numbers_of_different_types_are_equal_and_the_place_of_a_value_counts():
    whole, real = {"a": np.array([1, 0])}, {"a": np.array([1.0, -0.0])}
    assert (hashes_of(whole) == hashes_of(real)).all()
    one, other = {"a": np.array([1]), "b": np.array([2])}, {"a": np.array([2]), "b": np.array([1])}
    assert hashes_of(one) != hashes_of(other)

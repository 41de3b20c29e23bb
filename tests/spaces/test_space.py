import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design

codes = st.tuples(*(st.integers(0, n - 1) for n in SPACE.cardinalities)).map(np.array)


def test_is_the_space_of_prime():
    assert SPACE.size == 452_760_000  # PRIME Table 1
    assert SPACE.one_hot_width == 77
    assert SPACE.cardinalities == (10, 10, 7, 10, 7, 11, 7, 4, 5, 6)


@given(st.lists(codes, min_size=1, max_size=5).map(np.stack))
def test_codes_designs_columns_and_positions_round_trip(batch):
    assert (SPACE.encode(SPACE.designs(batch)) == batch).all()
    assert (SPACE.encode_columns(SPACE.columns(batch)) == batch).all()
    assert (SPACE.at(SPACE.index(batch)) == batch).all()


@given(codes)
def test_one_hot_marks_one_value_per_parameter(code):
    encoded = SPACE.one_hot(code[None])[0]
    parts = np.split(encoded, np.cumsum(SPACE.cardinalities)[:-1])
    assert [int(part.argmax()) for part in parts] == code.tolist()
    assert encoded.sum() == len(SPACE.parameters)


def test_positions_enumerate_the_space():
    small = Space("small", (Parameter("a", (1, 2, 3)), Parameter("b", ("x", "y"), kind="categorical")))
    every = small.designs(small.at(np.arange(small.size)))
    assert len(set(every)) == 6


def test_collects_all_faults_of_a_file():
    values = dict(SPACE.design(np.zeros(10, dtype=int)).items) | {"lanes": 5, "colour": "red"}
    del values["cores"]
    with pytest.raises(ArmillaryError) as fault:
        SPACE.design_from(values, "d.yaml")
    text = str(fault.value)
    assert text.startswith("d.yaml: ")
    assert "cores is missing" in text
    assert "colour is no parameter of edge_tpu" in text
    assert "lanes=5 is not allowed; choose one of [4, 8, 16, 32, 64, 128, 256]" in text


def test_refuses_designs_of_another_space():
    with pytest.raises(ArmillaryError, match="no design of 'edge_tpu'"):
        SPACE.encode([Design("other", ())])


def test_refuses_columns_with_a_missing_or_illegal_value():
    columns = SPACE.columns(np.zeros((3, 10), dtype=int))
    columns["lanes"] = np.array([4, 4, 7])
    with pytest.raises(ArmillaryError, match=r"row 2: lanes=.*7.* is not allowed"):
        SPACE.encode_columns(columns)
    del columns["cores"]
    with pytest.raises(ArmillaryError, match="column 'cores' is missing"):
        SPACE.encode_columns(columns)


@pytest.mark.parametrize(("values", "match"), [((), "no values"), ((1, 1), "twice"), ((1, "a"), "mixes types")])
def test_a_parameter_has_distinct_values_of_one_type(values, match):
    with pytest.raises(ValueError, match=match):
        Parameter("p", values)


def test_a_space_names_each_parameter_once():
    with pytest.raises(ValueError, match="twice"):
        Space("s", (Parameter("a", (1,)), Parameter("a", (2,))))


def test_a_design_holds_the_values_of_the_space():
    values = SPACE.design(np.zeros(10, dtype=int)).as_dict() | {"pes_x": 4.0}
    assert type(SPACE.design_from(values, "d.yaml")["pes_x"]) is int


@pytest.mark.parametrize("value", [True, "4", None, [4], float("nan")])
def test_refuses_values_of_another_type(value):
    values = SPACE.design(np.zeros(10, dtype=int)).as_dict() | {"pes_x": value}
    with pytest.raises(ArmillaryError, match=r"pes_x=.* is not allowed; choose one of"):
        SPACE.design_from(values, "d.yaml")


def test_refuses_a_design_that_lacks_a_parameter():
    with pytest.raises(ArmillaryError, match="design 0 of edge_tpu: pes_x is missing"):
        SPACE.encode([Design("edge_tpu", (("lanes", 4),))])


def test_refuses_columns_of_another_type():
    columns = SPACE.columns(np.zeros((3, 10), dtype=int))
    for column in (np.array(["4", "4", "4"], dtype=object), np.full(3, np.nan)):
        with pytest.raises(ArmillaryError, match=r"row 0: lanes=.* is not allowed"):
            SPACE.encode_columns(columns | {"lanes": column})


def test_names_round_trip_in_columns():
    space = Space("s", (Parameter("mode", ("slow", "fast", "idle"), kind="categorical"),))
    column = np.array(["idle", "slow", "fast", "fast"], dtype=object)
    assert space.encode_columns({"mode": column})[:, 0].tolist() == [2, 0, 1, 1]
    for wrong in (np.array(["fast", "quick"], dtype=object), np.array([1, 2])):
        with pytest.raises(ArmillaryError, match=r"mode=.* is not allowed"):
            space.encode_columns({"mode": wrong})

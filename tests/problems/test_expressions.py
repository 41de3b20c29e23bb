import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.problems.expressions import FUNCTIONS, names_in, parse
from armillary.types import ArmillaryError

NAMES = {"a": "number", "b": "number", "flow": "text", "twice": "truth"}
COLUMNS = {
    "a": np.array([1, 2, 4, 8]),
    "b": np.array([0.5, 3.0, 0.0, -2.0]),
    "flow": np.array(["ws", "os", "ws", "rs"]),
    "twice": np.array([True, False, True, False]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a * b <= 4", [True, False, True, True]),
        ("1 <= a <= 4", [True, True, True, False]),
        ("flow == 'ws' and not twice", [False, False, False, False]),
        ("flow in ['os', 'rs'] or b > 0", [True, True, False, True]),
        ("a not in [2, 8]", [True, False, True, False]),
        ("twice == true", [True, False, True, False]),
        ("a % 4 == 0", [False, False, True, True]),
        ("a // 3 == 2", [False, False, False, True]),
    ],
)
def test_rules_say_which_rows_pass(text, expected):
    assert parse(text, NAMES, "truth")(COLUMNS).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.2 + 0.5 * a", [0.7, 1.2, 2.2, 4.2]),
        ("-a ** 2", [-1, -4, -16, -64]),
        ("max(a, 3, b) - min(a, b)", [2.5, 1, 4, 10]),
        ("log2(a) + sqrt(a * a)", [1, 3, 6, 11]),
        ("3 if flow == 'ws' else a", [3, 2, 3, 8]),
        ("7", [7, 7, 7, 7]),
    ],
)
def test_laws_say_a_number_of_each_row(text, expected):
    assert parse(text, NAMES, "number")(COLUMNS) == pytest.approx(expected)


def test_what_has_no_value_is_no_number_and_breaks_a_rule():
    assert np.isnan(parse("log2(b)", NAMES)(COLUMNS)[3])
    assert parse("1 / b", NAMES)(COLUMNS)[2] == np.inf
    assert parse("log2(b) > -100", NAMES)(COLUMNS).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a +", "is no expression"),
        ("__import__('os')", "is no function; they are abs, ceil"),
        ("a.real", "'a.real' is not allowed here"),
        ("(lambda: 1)()", "is no function"),
        ("[x for x in [1]]", "is not allowed here"),
        ("a[0]", "is not allowed here"),
        ("c > 1", r"'c' in 'c > 1' is unknown; known are \['a', 'b', 'flow', 'twice'\]"),
        ("flow > 'a'", "only numbers are less or greater"),
        ("flow == 1", "is a number, but 'flow' is a text"),
        ("flow * 2 > 1", "'flow' in .* is a text; a number belongs there"),
        ("a and twice", "'a' in .* is a number; a truth value belongs there"),
        ("a & 1 == 1", r"the operators are \+ - "),
        ("a in 3", "must be a list"),
        ("sqrt(a, b) > 1", "has 2 arguments; sqrt takes one"),
        ("max(a) > 1", "has 1 arguments; max takes two or more"),
        ("~a > 1", "is not allowed here"),
        ("None", "is neither a number, a text nor a truth value"),
        ("a", "is a number; it must be a truth value"),
        ("a > 1 " + "or a > 1 " * 400, "has .* characters; at most 2,000"),
        ("(" * 900 + "a" + ")" * 900, "expression"),
        ("-" * 1900 + "a > 1", "expression|nested"),
    ],
)
def test_anything_else_is_refused_with_the_part_that_is_wrong(text, message):
    with pytest.raises(ArmillaryError, match=message):
        parse(text, NAMES, "truth")


@given(a=st.integers(-50, 50), b=st.integers(-50, 50), c=st.integers(1, 50))
def test_it_agrees_with_arithmetic(a, b, c):
    columns = {"a": np.array([a]), "b": np.array([b]), "c": np.array([c])}
    kinds = dict.fromkeys(columns, "number")
    assert parse("a * b - (a + b) // c", kinds)(columns)[0] == a * b - (a + b) // c
    assert parse("a < b or a % c == b % c", kinds)(columns)[0] == (a < b or a % c == b % c)


def test_an_expression_travels_to_another_process():
    there = pickle.loads(pickle.dumps(parse("a * b <= 4", NAMES)))
    assert there(COLUMNS).tolist() == [True, False, True, True]


def test_names_are_those_that_are_no_functions():
    assert names_in("max(status, 2) + log2(x) > status") == ("status", "x")
    assert set(FUNCTIONS) >= {"min", "max", "sqrt", "log2"}

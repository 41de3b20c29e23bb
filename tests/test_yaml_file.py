import pytest

from armillary.types import ArmillaryError
from armillary.yaml_file import MOST_BYTES, read_located, read_yaml


def test_content_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1, 2]")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"a\.yaml: no such file"), (b"a: [", r"a\.yaml: is no YAML"), (b"\xff", r"is no YAML")],
)
def test_what_is_wrong_is_named(content, message, tmp_path):
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ArmillaryError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_objects_are_not_made(tmp_path):
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(ArmillaryError, match="is no YAML"):
        read_yaml(tmp_path / "a.yaml")


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return read_yaml(tmp_path / "a.yaml")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + inner] * 9)}]\n" for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"aliases repeat more than 100,000 values .* line 6"),
        ("a: &a [*a]", r"\*a is an alias of what it stands in"),
        ("[" * 50_000, r"values are nested deeper than 100"),
        ("".join(" " * n + "a:\n" for n in range(200)), r"values are nested deeper than 100 .* line 100"),
        ("a: 1\nb: {c: 1, c: 2}\na: 2\n", r"line 2: b\.c stands twice; line 3: a stands twice"),
        ("a: " + "9" * 5000, r"a number of more than 40 digits .* line 1"),
        ("a: \0", r"is no YAML: unacceptable character #x0000"),
        ("a: !!timestamp 2020-01-01", r"could not determine a constructor for the tag"),
        ("a: !!int x", r"is no YAML: invalid literal"),
        ("a: !!bool x", r"is no YAML: 'x'"),
        ("? [a]\n: 1", r"unhashable key"),
    ],
)
def test_what_no_such_file_needs_is_refused(text, message, tmp_path):
    with pytest.raises(ArmillaryError, match=message):
        read(tmp_path, text)


def test_a_file_too_large_is_not_read(tmp_path):
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ArmillaryError, match=r"a\.yaml: has 16,777,217 bytes, and a YAML file at most 16,777,216"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2020-01-01", "2020-01-01"), ("1:30", "1:30"), ("yes", "yes"), ("TRUE", True), ("1e9", 1e9), ("017", 17),
        ("-0x1F", -31), ("1_000", 1000), ("~", None), (".5", 0.5),
    ],
)  # fmt: skip
def test_values_are_what_people_expect(text, value, tmp_path):
    assert read(tmp_path, f"a: {text}") == {"a": value}


def test_aliases_and_merged_tables_are_read(tmp_path):
    assert read(tmp_path, "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a") == {
        "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}
    }  # fmt: skip


def test_places_have_their_lines(tmp_path):
    (tmp_path / "a.yaml").write_text("a:\n- b: 1\n- 2\n")
    assert read_located(tmp_path / "a.yaml").lines == {("a",): 1, ("a", 0): 2, ("a", 0, "b"): 2, ("a", 1): 3}

import pytest

from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml


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

import pytest

from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE
from armillary.studies.design_file import read_design
from armillary.types import ArmillaryError


def test_reads_parameters_at_the_top_or_under_design(tmp_path):
    lines = [f"{name}: {value}" for name, value in EDGE_TPU.as_dict().items()]
    flat, nested = tmp_path / "flat.yaml", tmp_path / "nested.yaml"
    flat.write_text("\n".join(lines))
    nested.write_text("template: edge_tpu\ndesign:\n" + "\n".join(f"  {line}" for line in lines))
    assert read_design(flat, SPACE) == read_design(nested, SPACE) == EDGE_TPU


@pytest.mark.parametrize(
    ("text", "match"),
    [("pes_x: 3", r"pes_x=3 is not allowed"), ("- a", "holds no design"), ("a: [", "is no YAML"), ("", "no design")],
)
def test_says_what_is_wrong_with_a_file(text, match, tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(ArmillaryError, match=match):
        read_design(path, SPACE)


def test_names_a_missing_file(tmp_path):
    with pytest.raises(ArmillaryError, match=r"none\.yaml: no such file"):
        read_design(tmp_path / "none.yaml", SPACE)

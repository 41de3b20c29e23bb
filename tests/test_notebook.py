from armillary.notebook import html_table
from armillary.spaces.space import Parameter, Space


def test_every_text_is_escaped():
    text = html_table("<b>", ("a&b",), [("<script>",)])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    assert "a&amp;b" in text


def test_a_space_shows_its_parameters():
    space = Space("toy", (Parameter("a", tuple(range(100)), "ordinal", "KiB"), Parameter("b", ("x", "y"))))
    text = space._repr_html_()
    for part in ("toy: 200 designs", "0 to 99, 100 values", "x, y", "KiB"):
        assert part in text

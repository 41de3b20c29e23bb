import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.hierarchy import DIMENSIONS, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

TEXT = "L3[WIO] K8 Q28 - L2[WI] N1 K4X - L1[O] K2 S7 R7 Q4 P7 C3X - L0[W] P16"


@st.composite
def loops(draw, axis, cut, used=frozenset()):
    """Loops over different dimensions, none of `used`; those over a dimension in `cut` may have a remainder."""
    found = []
    free = [d for d in DIMENSIONS if d not in used]
    for d in draw(st.lists(st.sampled_from(free), max_size=5, unique=True)):
        factor = draw(st.integers(1, 64))
        residual = draw(st.integers(0, factor - 1)) if d in cut else 0
        cut |= {d} if factor > 1 else set()
        found.append(Loop(d, factor, axis, residual))
    return tuple(found)


@st.composite
def mappings(draw):
    levels = []
    outside = set()
    for _ in range(draw(st.integers(1, 5))):
        temporal = draw(loops("", outside))
        across = draw(loops("X", outside))
        down = draw(loops("Y", outside, {loop.dimension for loop in across}))
        keeps = "".join(draw(st.permutations("WIO"))[: draw(st.integers(0, 3))])
        levels.append(LevelMapping(keeps, temporal, (*across, *down)))
    return Mapping(tuple(levels))


def test_the_text_form_is_kept_to_the_letter():
    assert str(Mapping.parse(TEXT)) == TEXT
    assert Mapping.parse(TEXT).levels[1].spatial == (Loop("K", 4, "X"),)
    assert Mapping.parse(TEXT).extents()["K"] == 64


@given(mappings())
def test_printing_and_parsing_are_inverse(mapping):
    text = str(mapping)
    assert str(Mapping.parse(text)) == text
    if all(level.temporal or level.spatial for level in mapping.levels):
        assert Mapping.parse(text) == mapping


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1[WIO] K8", r"level 0: is called L1; levels count down to L0"),
        ("L0[WIO]", r"level 0: has no loop; write N1 for none"),
        ("L0[WIX] K2", r"keeps='WIX' is not allowed; name each of W, I and O"),
        ("L0[WIO] Z2", r"loop dimension 'Z' is unknown; choose one of \['N', 'K'"),
        ("L0[WIO] K0", r"loop K has factor 0; it must be at least 1"),
        ("L0[WIO] K2Z", r"'K2Z' is no loop; write a dimension, a factor"),
        ("L0[WIO] K2 K3", r"two temporal loops over K at one level; join their factors"),
        ("L0[WIO] K2X C2", r"spatial loops stand after temporal ones"),
        ("L0[WIO] K2Y C2X", r"spatial loops on X stand before those on Y"),
        ("L0[WIO] K2X K2X", r"two spatial loops over K"),
        ("K8 Q28", r"'K8' is no level; write e\.g\. L0\[WIO\]"),
        ("", r"no level"),
        ("L1[WIO] K2 - L0[WIO] K4,5", r"level 0: loop K4 has remainder 5; it must be 1 to 3"),
        ("L1[WIO] K2 - L0[WIO] K4,0", r"'K4,0' is no loop"),
        ("L1[WIO] C2 - L0[WIO] K4,3", r"loop K4,3 has a remainder, but no loop over K outside it; write K3"),
    ],
)
def test_a_wrong_text_is_told_where(text, message):
    with pytest.raises(ArmillaryError, match=message):
        Mapping.parse(text)


def test_a_remainder_shortens_the_last_round():
    mapping = Mapping.parse("L2[WIO] K2 - L1[WIO] K3,2 K7,6X - L0[W] N1")
    assert mapping.extents()["K"] == 3 * 7 + 1 * 7 + 6
    assert mapping.imperfect
    assert str(mapping) == "L2[WIO] K2 - L1[WIO] K3,2 K7,6X - L0[W] N1"


def test_faults_name_what_does_not_fit_layer_and_hierarchy():
    hierarchy = Hierarchy(name="h", levels=(Level(name="DRAM"), Level(name="Buf", keeps="W")))
    layer = Layer("conv1", "conv", K=8, C=4)
    good = Mapping.parse("L1[WIO] K8 - L0[W] C4")
    assert not list(good.faults(hierarchy, layer))
    wrong = Mapping.parse("L1[WI] K4 - L0[WO] C4")
    assert list(wrong.faults(hierarchy, layer)) == [
        "the outermost level DRAM keeps 'WI'; it must keep 'WIO'",
        "level Buf keeps 'WO', but can keep 'W' only",
        "the factors of K multiply to 4, layer conv1 has K=8",
    ]
    assert "has 1 levels, hierarchy h has 2" in next(Mapping.parse("L0[WIO] K8").faults(hierarchy, layer))


def test_grouped_layers_loop_over_groups_and_channels_per_group():
    bounds = loop_bounds(Layer("dw", "depthwise", K=32, C=32, P=7, Q=7, R=3, S=3, groups=32))
    assert (bounds["G"], bounds["K"], bounds["C"], bounds["P"]) == (32, 1, 1, 7)

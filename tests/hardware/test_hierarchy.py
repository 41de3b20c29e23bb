import pytest

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Compute, Level, load_hierarchy
from armillary.hardware.technology import area_mm2
from armillary.types import ArmillaryError

TEXT = """
name: small
clock_ghz: 1
compute: {bits: 8, energy_pj: 0.5}
levels:
  - {name: DRAM, kind: dram, block_words: 64, shared_bandwidth: 8.0,
     energy: {read_pj: 6400.0, fill_pj: 6400.0, update_pj: 6400.0}}
  - {name: Buf, keeps: IO, capacity_words: 1024, fanout: [4, 2], buffers: 2}
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "h.yaml"
        path.write_text(text)
        return path

    return write


def test_a_file_is_read(written):
    hierarchy = load_hierarchy(written(TEXT))
    assert [level.name for level in hierarchy.inner_first] == ["Buf", "DRAM"]
    assert hierarchy.instances() == (1, 1, 8)
    assert hierarchy.levels[1].tile_words == 512
    assert hierarchy.levels[0].tile_words == float("inf")
    assert hierarchy.levels[0].energy == AccessEnergy(read_pj=6400.0, fill_pj=6400.0, update_pj=6400.0)
    assert repr(hierarchy) == "small: DRAM[WIO] unlimited > Buf[IO] 1,024 x 8 bit, fan-out 4x2 > 8 x MAC"


def test_writing_and_reading_are_inverse(written):
    hierarchy = load_hierarchy(written(TEXT))
    assert load_hierarchy(written(hierarchy.to_yaml())) == hierarchy


@pytest.mark.parametrize("bits", ["int4", "'W=4,P=32'", "{W: 4, P: 32, kind: float}"])
def test_widths_are_read_and_written(bits, written):
    text = TEXT.replace("clock_ghz: 1", f"bits: {bits}").replace("name: Buf,", f"name: Buf, bits: {bits},")
    hierarchy = load_hierarchy(written(text))
    assert hierarchy.bits == hierarchy.levels[1].bits
    assert (hierarchy.bits.W, hierarchy.bits.P) == (4, 32)
    assert load_hierarchy(written(hierarchy.to_yaml())) == hierarchy
    assert f"bits {hierarchy.bits}" in repr(hierarchy)


def test_a_role_has_the_width_of_who_stands_nearest(written):
    hierarchy = load_hierarchy(written(TEXT.replace("clock_ghz: 1", "bits: 'W=4,I=4,P=32'")))
    level = hierarchy.levels[1].model_copy(update={"bits": Bits(W=2, I=3)})
    assert hierarchy.widths(level, Bits(W=1)) == (1, 3, 32, 8)
    assert hierarchy.widths(level) == (2, 3, 32, 8)


def test_keeps_has_one_order():
    assert Level(name="a", keeps="OW").keeps == "WO"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("capacity_words: 1024", "capacity_words: 0"), r"levels\[1\]\.capacity_words=0 is not allowed: .*1"),
        (("keeps: IO", "keeps: XO"), r"levels\[1\]\.keeps: keeps='XO' is not allowed"),
        (("name: Buf", "name: DRAM"), r"two levels are called 'DRAM'"),
        (("buffers: 2", "buffer: 2"), r"levels\[1\]\.buffer is unknown"),
        (("name: small", "title: small"), r"name is missing; title is unknown"),
        (("fanout: [4, 2]", "fanout: [4]"), r"levels\[1\]\.fanout"),
        (("kind: dram", "kind: flash"), r"levels\[0\]\.kind='flash' is not allowed"),
        (("levels:", "levels: []\nothers:"), r"levels=.* is not allowed.*others is unknown"),
        (("name: DRAM,", "name: DRAM, keeps: W,"), r"the outermost level DRAM keeps 'W'; it must keep 'WIO'"),
        (("clock_ghz: 1", "bits: W=0"), r"yaml: bits: W=0 is not allowed; it must be an integer of at least 1"),
        (("name: Buf,", "name: Buf, bits: {X: 8},"), r"levels\[1\]\.bits: .*'X'.* is not allowed; name W, I, P, O"),
        (("clock_ghz: 1", "bits: 8"), r"bits: 8 is not allowed; name W, I, P, O"),
        (("clock_ghz: 1", "bits: int5"), r"bits: 'int5' .*choose one of \['int4', 'int8'"),
        (("name: small", "name: [small"), r"h\.yaml: is no YAML"),
        ((TEXT, "7"), r"holds int, not a hierarchy"),
    ],
)
def test_a_wrong_file_is_told_where(change, message, written):
    text = TEXT.replace(*change)
    assert text != TEXT
    with pytest.raises(ArmillaryError, match=message):
        load_hierarchy(written(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArmillaryError, match=r"none\.yaml: no such file"):
        load_hierarchy(tmp_path / "none.yaml")


def test_compute_refuses_nonsense():
    with pytest.raises(ValueError, match="energy_pj"):
        Compute(energy_pj=-1.0)


UNEVEN = TEXT.replace("keeps: IO,", "keeps: WIO, uneven: true, rules: {innermost: K, factors: {C: 2}, spatial_x: P},")


def test_an_uneven_level_becomes_two_parts(written):
    hierarchy = load_hierarchy(written(UNEVEN))
    _, outer, inner = hierarchy.levels
    assert [level.name for level in hierarchy.levels] == ["DRAM", "Buf", "Buf.inner"]
    assert [level.memory for level in hierarchy.levels] == ["DRAM", "Buf", "Buf"]
    assert hierarchy.is_uneven
    assert not hierarchy.even().is_uneven
    assert (outer.fanout, inner.fanout) == ((1, 1), (4, 2))
    assert hierarchy.instances() == (1, 1, 1, 8)
    assert outer.rules.temporal == "NPQRSG"  # K stands innermost and C has a fixed factor: both are the inner part's
    assert (outer.rules.spatial_x, inner.rules.spatial_x) == ("", "P")
    assert inner.rules.factors == {"C": 2}
    assert not outer.rules.factors
    assert hierarchy.even() == load_hierarchy(written(UNEVEN.replace("uneven: true, ", "")))
    assert load_hierarchy(written(hierarchy.to_yaml())) == hierarchy
    assert "Buf.inner[WIO] in Buf, fan-out 4x2" in repr(hierarchy)


def test_a_memory_in_two_parts_has_its_area_once(written):
    hierarchy = load_hierarchy(written(UNEVEN))
    assert area_mm2(hierarchy) == area_mm2(hierarchy.even())


PARTS = """
name: parts
levels:
  - {name: DRAM, kind: dram}
  - {name: Buf, capacity_words: 64, keeps: W}
  - {name: In, capacity_words: 64, keeps: IO, part_of: Buf}
"""


def test_parts_may_be_given_one_by_one(written):
    hierarchy = load_hierarchy(written(PARTS))
    assert hierarchy.levels[2].part_of == "Buf"
    assert [(level.name, level.keeps) for level in hierarchy.even().levels] == [("DRAM", "WIO"), ("Buf", "WIO")]


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        (UNEVEN, ("name: DRAM,", "name: DRAM, uneven: true,"), r"level DRAM: uneven=True is not allowed at the outerm"),
        (UNEVEN, ("keeps: WIO", "keeps: I"), r"h\.yaml: levels: level Buf: uneven=True is not allowed with keeps='I'"),
        (
            UNEVEN,
            ("factors: {C: 2}", "temporal: KCP, factors: {C: 2, P: 1}"),
            r"level Buf: uneven=True .* no loop",
        ),
        (UNEVEN, ("uneven: true", "uneven: often"), r"levels\[1\]\.uneven='often' is not allowed"),
        (UNEVEN, ("Buf,", "Buf, part_of: DRAM,"), r"level Buf.*: part_of='DRAM' is not allowed; choose one of \[\]"),
        (PARTS, ("part_of: Buf", "part_of: Bus"), r"level In: part_of='Bus' is not allowed; choose one of \['Buf'\]"),
        (PARTS, ("64, keeps: IO", "32, keeps: IO"), r"level In: part_of='Buf' .*capacity_words=32, but Buf has 64"),
        (
            PARTS,
            ("keeps: W}", "keeps: W, fanout: [2, 1]}"),
            r"part_of='Buf' .* as Buf has fanout=\(2, 1\)",
        ),
    ],
)
def test_parts_that_are_no_memory_are_told(text, change, message, written):
    assert change[0] in text
    with pytest.raises(ArmillaryError, match=message):
        load_hierarchy(written(text.replace(*change)))

import pytest

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Compute, Level, load_hierarchy
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

import pytest

from armillary.hardware.accelergy import with_reference
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.technology import area_mm2
from armillary.types import ArmillaryError

CHIP = Hierarchy(
    name="h", levels=(Level(name="DRAM", kind="dram"), Level(name="Buf", fanout=(4, 1))), compute=Compute(name="mac")
)
ERT = """
ERT:
  version: 0.4
  tables:
    - name: system.DRAM
      actions:
        - {name: read, arguments: {}, energy: 512}
        - {name: write, arguments: {}, energy: 500}
        - {name: update, arguments: {}, energy: 501}
    - name: system.chip.PE[0..3].Buf[0..1]
      actions:
        - {name: read, arguments: {data_delta: 0, address_delta: 0}, energy: 0.1}
        - {name: read, arguments: {data_delta: 1, address_delta: 1}, energy: 1.5}
        - {name: write, energy: 2}
        - {name: leak, energy: 0.001}
    - name: system.chip.mac
      actions:
        - {name: compute, energy: 0.6}
"""
ART = """
ART:
  tables:
    - {name: system.DRAM, area: 0}
    - {name: 'system.chip.PE[0..3].Buf[0..1]', area: 2500}
    - {name: system.chip.mac, area: 400.0}
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_energies_and_areas_are_taken(written):
    chip = with_reference(CHIP, ert=written(ERT, "ert.yaml"), art=written(ART, "art.yaml"))
    assert chip.levels[0].energy == AccessEnergy(read_pj=512.0, fill_pj=500.0, update_pj=501.0)
    assert chip.levels[1].energy == AccessEnergy(read_pj=1.5, fill_pj=2.0, update_pj=2.0)
    assert chip.compute.energy_pj == 0.6
    assert [level.area_mm2 for level in chip.levels] == [0.0, 0.0025]
    assert chip.compute.area_mm2 == 0.0004


def test_one_table_leaves_the_rest(written):
    chip = with_reference(CHIP, art=written(ART, "art.yaml"))
    assert chip.levels[1].energy is None
    assert chip.levels[1].area_mm2 == 0.0025
    assert with_reference(CHIP) == CHIP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("system.DRAM", "system.HBM"), r"has no component 'DRAM'; it has \['Buf', 'HBM', 'mac'\]"),
        (("name: compute", "name: think"), r"component mac has none of the actions .*; it has \['think'\]"),
        (("energy: 512", "energy: -1"), r"component DRAM, action read: energy=-1 is not allowed"),
        (("energy: 512", "joule: 1"), r"component DRAM: .* is no action with a name and an energy"),
        (("{name: write, energy: 2}", "{name: idle, energy: 2}"), r"component Buf has no action write or fill; it has"),
        (("ERT:", "ART:"), r"is no ERT; it needs ERT\.tables"),
        (("- name: system.DRAM", "- title: system.DRAM"), r"ERT\.tables\[0\] has no name"),
    ],
)
def test_what_is_wrong_is_named(change, message, written):
    assert change[0] in ERT
    with pytest.raises(ArmillaryError, match=message):
        with_reference(CHIP, ert=written(ERT.replace(*change, 1), "ert.yaml"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArmillaryError, match=r"none\.yaml: no such file"):
        with_reference(CHIP, ert=tmp_path / "none.yaml")


def test_both_parts_of_a_memory_have_its_energy_and_its_area(written):
    buffer = CHIP.levels[1].model_copy(update={"uneven": True})
    chip = Hierarchy(name="h", levels=(CHIP.levels[0], buffer), compute=CHIP.compute)
    plain, uneven = (
        with_reference(one, ert=written(ERT, "ert.yaml"), art=written(ART, "art.yaml")) for one in (CHIP, chip)
    )
    assert uneven.levels[1].energy == uneven.levels[2].energy == plain.levels[1].energy
    assert area_mm2(uneven) == area_mm2(plain)

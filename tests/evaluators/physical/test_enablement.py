import pytest

from armillary.evaluators.physical.enablement import enablement
from armillary.evaluators.physical.library import read_library
from armillary.types import ArmillaryError


def write(tmp_path, nangate, **changes):
    fields = {
        "name": "mine", "title": "t", "liberty": str(nangate.liberty), "tech_lef": str(nangate.tech_lef),
        "cell_lef": str(nangate.cell_lef), "layers": "[metal2, metal3]", "buffer": "BUF_X1",
        "clock_buffer": "CLKBUF_X1", "volts": 1.1, "wires": "{metal2: {ohm_per_um: 9.0, ff_per_um: 0.5}}",
    } | changes  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None))
    return str(path)


def test_a_users_technology(tmp_path, nangate):
    found = read_library(enablement(write(tmp_path, nangate)))
    assert [layer.name for layer in found.layers] == ["metal2", "metal3"]
    assert found.layers[0].wire.ohm_per_um == 9.0
    assert found.layers[1].wire.ohm_per_um == pytest.approx(0.25 / 0.07)  # of the LEF file


def test_how_slow_a_technology_is_changes_no_layout(tmp_path, nangate):
    usual = enablement(write(tmp_path, nangate))
    slow = enablement(write(tmp_path, nangate, slowness=3.5))
    assert (usual.slowness, slow.slowness) == (1.0, 3.5)
    assert slow.digest() == usual.digest() != enablement(write(tmp_path, nangate, volts=1.2)).digest()


@pytest.mark.parametrize(("changes", "match"), [
    ({"volt": 1}, "volt is no field"), ({"layers": None}, "lacks .*layers"), ({"usable": 2}, "usable=2"),
    ({"slowness": 0}, "slowness=0"),
    ({"liberty": "nowhere.lib"}, "liberty: there is no file"), ({"buffer": "BUFF"}, "buffer='BUFF' is no cell"),
    ({"layers": "[metal99]"}, "metal99 is no routing layer"), ({"wires": "{metal2: 3}"}, "wires: write"),
])  # fmt: skip
def test_wrong_files_are_refused(tmp_path, nangate, changes, match):
    with pytest.raises(ArmillaryError, match=match):
        read_library(enablement(write(tmp_path, nangate, **changes)))


def test_unknown_names_are_refused():
    with pytest.raises(ArmillaryError, match=r"'sky130' is unknown; choose one of \['nangate45', 'osu018'\]"):
        enablement("sky130")

import numpy as np
import pytest

from armillary.evaluators.physical.energies import scaled
from armillary.evaluators.physical.liberty import cells_of, read_liberty
from armillary.types import ArmillaryError

TEXT = """
/* a comment */ library (tiny) {
  time_unit : "1ps"; voltage_unit : "2V"; capacitive_load_unit (1,pf); leakage_power_unit : "1uW";
  lu_table_template (t) { variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1, 2"); index_2 ("10, 20, 30"); }
  cell (GATE) { area : 2.5; cell_leakage_power : 0.003;
    pin (A, B) { direction : input; capacitance : 0.002; rise_capacitance : 0.003; }
    pin ("Y") { direction : output; max_capacitance : 0.5; function : "!(A B)";
      timing () { related_pin : "A"; cell_rise (t) { values ("1, 2, 3", \\
        "4, 5, 6"); } }
      internal_power () { related_pin : "A"; rise_power (t) { index_1 ("1, 2"); values ("1, 2, 3", "4, 5, 6"); } } } }
  cell (FF) { area : 5; ff (IQ, IQN) { next_state : "D"; clocked_on : "C"; }
    pin (C) { clock : true; direction : input; } }
}
"""


@pytest.fixture
def cells(tmp_path):
    (tmp_path / "tiny.lib").write_text(TEXT)
    return cells_of(read_liberty(tmp_path / "tiny.lib"))


def test_units_are_those_of_the_file(cells):
    gate = cells["GATE"]
    assert gate.area_um2 == 2.5
    assert gate.leakage_nw == pytest.approx(3.0)
    assert gate.pins["A"].cap_ff == gate.pins["B"].cap_ff == pytest.approx(3.0)
    assert gate.pins["Y"].max_cap_ff == pytest.approx(500)
    assert gate.pins["Y"].function == "!(A B)"
    assert not gate.sequential
    assert cells["FF"].sequential
    assert cells["FF"].pins["C"].clock


def test_tables_are_over_slew_and_load_whatever_their_order(cells):
    table = cells["GATE"].pins["Y"].timing[0].tables["cell_rise"]
    assert table.slews_ns == pytest.approx([0.01, 0.02, 0.03])
    assert table.loads_ff == pytest.approx([1000, 2000])
    assert table.at(0.02, 1000) == pytest.approx(0.002)
    assert table.at(0.02, 2000) == pytest.approx(0.005)
    assert table.at(0.015, 1500) == pytest.approx(0.003)
    assert table.at(0.03, 3000) == pytest.approx(0.009)  # beyond the table


def test_energies_are_in_fj(cells):
    energy = cells["GATE"].pins["Y"].energy[0].tables["rise_power"]
    assert energy.at(0.01, 1000) == pytest.approx(1 * 1000 * 4)  # pF V^2 at 2 V a unit


def test_scaling_divides_the_energies_of_outputs_alone(tmp_path):
    text = "".join(scaled(TEXT, {"GATE": 2.0}))
    (tmp_path / "scaled.lib").write_text(text)
    gate = cells_of(read_liberty(tmp_path / "scaled.lib"))["GATE"]
    assert gate.pins["Y"].energy[0].tables["rise_power"].at(0.01, 1000) == pytest.approx(2000)
    assert gate.pins["Y"].timing[0].tables["cell_rise"].at(0.02, 1000) == pytest.approx(0.002)
    assert "".join(scaled(TEXT, {})) == TEXT


@pytest.mark.parametrize(("text", "match"), [("cell (a) { }", "no group `library`"), ("library (a) { ", "ends within")])
def test_other_files_are_refused(tmp_path, text, match):
    (tmp_path / "wrong.lib").write_text(text)
    with pytest.raises(ArmillaryError, match=match):
        read_liberty(tmp_path / "wrong.lib")


def test_nangate_drives_grow_by_their_names(library):
    sizes = [cell.name for cell in library.sizes[library.cells["NAND2_X1"].family]]
    assert sizes == ["NAND2_X1", "NAND2_X2", "NAND2_X4"]
    strengths = [library.cells[name].kohm for name in sizes]
    assert np.array(strengths[:-1]) / np.array(strengths[1:]) == pytest.approx([2, 2], rel=0.05)
    assert library.cells["DFF_X1"].pins["CK"].clock
    assert (library.site_um, library.row_um) == (0.19, 1.4)

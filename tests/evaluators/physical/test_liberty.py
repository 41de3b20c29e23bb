import numpy as np
import pytest

from armillary.evaluators.physical.activity import functions_of
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


NESTED = "library (a) {" + "x () {" * 3000


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("area : 2.5", "area : much", r"line 6: area='much' is not allowed; write one finite number"),
        ("area : 2.5", "area : 1e999", "area='1e999' is not allowed"),
        ("capacitance : 0.002", "capacitance : nan", "line 7: capacitance='nan'"),
        ("(1,pf)", "(1x,pf)", "capacitive_load_unit='1x' is not allowed"),
        ("(1,pf)", "(1,farad)", r"capacitive_load_unit='1,farad' is not allowed; write \(1, ff\)"),
        ('"1ps"', '"1.2.3ps"', "time_unit='1.2.3ps' is not allowed"),
        ("cell (GATE)", "cell ()", "line 6: the group `cell` has no name"),
        ("lu_table_template (t)", "lu_table_template ()", "the group `lu_table_template` has no name"),
        ('"4, 5, 6"', '"4, 5"', "line 9: cell_rise has 5 values, its axes 6"),
        ('"10, 20, 30"', '"10, 20, 20"', "index_2='10, 20, 20' is not allowed; each must be above the last"),
        ("input_net_transition", "total_output_net_capacitance", "cell_rise has two axes of loads"),
        ("area : 2.5", "area ; 2.5", "line 6: 'area' is followed by ';'"),
        ('pin ("Y")', 'pin ("Y} ; exec rm x ; {")', r"pin 'Y} ; exec rm x ; {' is not allowed; write letters"),
        ("cell (GATE)", 'cell ("A B")', "cell 'A B' is not allowed"),
        (TEXT, NESTED, "groups are nested deeper than 50"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, old, new, match):
    path = tmp_path / "wrong.lib"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ArmillaryError, match=match) as told:
        cells_of(read_liberty(path))
    assert str(told.value).startswith(f"{path}: line ")


@pytest.mark.parametrize("function", ["!(A B", "A )", "A +", "(" * 5000 + "A", "!", "A B C D E F G H I J K L M"])
def test_a_function_that_cannot_be_evaluated_is_refused(tmp_path, function):
    path = tmp_path / "wrong.lib"
    path.write_text(TEXT.replace("!(A B)", function))
    if function == "!":  # no input, as of a cell that drives a constant
        assert functions_of(path)["GATE"]["Y"] == "!"
        return
    with pytest.raises(ArmillaryError, match=rf"{path}: cell GATE: pin Y: "):
        functions_of(path)

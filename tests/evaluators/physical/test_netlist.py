import pytest

from armillary.evaluators.physical.netlist import PORT, Netlist, from_yosys
from armillary.types import ArmillaryError
from evaluators.physical.designs import mapped, needs_tools


def module(cells, ports, nets=None):
    return {"modules": {"top": {"cells": cells, "ports": ports, "netnames": nets or {}}}}


def bits(direction, *numbers):
    return {"direction": direction, "bits": list(numbers)}


def cell(kind, **pins):
    return {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}}


def read(content, library):
    return from_yosys(content, "top", library, {}, "BUF_X1", "clk")


def test_nets_begin_with_their_driver_and_constants_are_rails(library):
    content = module(
        {"g": cell("NAND2_X1", A1=2, A2="1", ZN=3)},
        {"a": bits("input", 2), "y": bits("output", 3, "0")},
        {"inner.wire": {"bits": [3], "hide_name": 0}, "longer.inner.wire": {"bits": [3], "hide_name": 0}},
    )
    found = read(content, library)
    assert found.nets == {"n2": ((PORT, "a"), ("u0", "A1")), "n3": (("u0", "ZN"), (PORT, "y[0]"))}
    assert found.rails == {("u0", "A2"): 1, (PORT, "y[1]"): 0}
    assert found.names["n3"] == "inner.wire"
    assert Netlist.from_json(found.as_json()) == found
    assert "NAND2_X1 u0 (.A1(a), .ZN(y[0]), .A2(1'b1));" in found.verilog()
    assert "assign y[1] = 1'b0;" in found.verilog()


def test_ports_that_share_a_net_get_buffers(library):
    found = read(module({}, {"a": bits("input", 2), "y": bits("output", 2), "z": bits("output", 2)}), library)
    assert sorted(found.cells.values()) == ["BUF_X1", "BUF_X1"]
    for pins in found.nets.values():
        assert sum(instance == PORT for instance, _ in pins) == 1


@pytest.mark.parametrize(("content", "match"), [
    (module({"g": cell("INV_X1", A=2, ZN=3)}, {"y": bits("output", 3)}), "0 drivers"),
    (module({"g": cell("INV_X1", A=2, ZN=3), "h": cell("INV_X1", A=2, ZN=3)},
            {"a": bits("input", 2), "y": bits("output", 3)}), "2 drivers"),
    (module({"g": cell("$_DLATCH_P_", E=2, D=2, Q=3)}, {"a": bits("input", 2)}), "no cell of the library"),
    (module({"g": cell("DFF_X1", CK=2, D=2, Q=3)}, {"c": bits("input", 2), "y": bits("output", 3)}), "no input 'clk'"),
])  # fmt: skip
def test_what_cannot_be_laid_out_is_refused(library, content, match):
    with pytest.raises(ArmillaryError, match=match):
        read(content, library)


def test_buffers_take_the_sinks_they_are_given(library):
    content = module({"g": cell("INV_X1", A=2, ZN=3), "h": cell("INV_X1", A=2, ZN=4)},
                     {"a": bits("input", 2), "y": bits("output", 3), "z": bits("output", 4)})  # fmt: skip
    found = read(content, library)
    more = found.with_buffers([("b", "BUF_X1", "n2", "n2b", [("u1", "A")])], {"BUF_X1": ("A", "Z")})
    assert more.nets["n2"] == ((PORT, "a"), ("u0", "A"), ("b", "A"))
    assert more.nets["n2b"] == (("b", "Z"), ("u1", "A"))


@needs_tools
def test_a_layout_is_flat_even_where_synthesis_keeps_modules_apart(nangate):
    apart = "(* keep_hierarchy *) module inner (input a, output y); assign y = ~a; endmodule"
    whole = "module top (input a, output y); inner only (.a(a), .y(y)); endmodule"
    assert list(mapped(f"{apart}\n{whole}", "top", nangate).cells.values()) == ["INV_X1"]

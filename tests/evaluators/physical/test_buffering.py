from armillary.evaluators.physical.buffering import with_port_buffers
from armillary.evaluators.physical.netlist import PORT, Netlist

NETS = {
    "a": ((PORT, "a"), ("g", "A1"), ("g", "A2")),
    "c": ((PORT, "clk"), ("r", "CK")),
    "n": (("g", "ZN"), ("r", "D"), (PORT, "y")),
    "q": (("b", "Z"), (PORT, "q")),
    "r": (("r", "Q"), ("b", "A")),
    "t": ((PORT, "t"), (PORT, "u")),
}
PORTS = {"a": "input", "clk": "input", "t": "input", "y": "output", "q": "output", "u": "output"}
CELLS = {"g": "NAND2_X1", "r": "DFF_X1", "b": "BUF_X1"}


def test_every_port_but_the_clocks_has_one_buffer(library):
    found = with_port_buffers(Netlist("top", CELLS, NETS, PORTS, {}, "clk", {}), library, "BUF_X1")
    assert set(found.cells) - set(CELLS) == {"input_a", "output_n", "input_t"}  # q has one already
    assert found.nets["a"] == ((PORT, "a"), ("input_a", "A"))
    assert found.nets["a_in"] == (("input_a", "Z"), ("g", "A1"), ("g", "A2"))
    assert found.nets["n"] == (("g", "ZN"), ("r", "D"), ("output_n", "A"))
    assert found.nets["n_out"] == (("output_n", "Z"), (PORT, "y"))
    assert found.nets["t_in"] == (("input_t", "Z"), (PORT, "u"))
    assert found.nets["c"] == NETS["c"]

"""Which block a cell is drawn in."""

from collections import Counter

from armillary.evaluators.physical.netlist import PORT, Netlist
from armillary.evaluators.physical.pictures import blocks_of


def netlist(drivers):
    """Return a netlist in which each instance drives a net of such a name in the RTL, or of none, and given sinks."""
    nets = {f"n{i}": ((one, "Z"), *((sink, "A") for sink in sinks)) for i, (one, _, sinks) in enumerate(drivers)}
    names = {f"n{i}": name for i, (_, name, _) in enumerate(drivers) if name}
    return Netlist("chip", {one: "INV_X1" for one, *_ in drivers}, nets, {}, {}, "", names)


def test_blocks_are_modules_and_the_largest_is_taken_apart():
    core = [(f"mesh{i}", f"core.mesh.row[{i}].sum", ()) for i in range(6)]
    core += [(f"load{i}", f"core.load.q[{i}]", ()) for i in range(5)]
    others = [(f"dma{i}", f"dma.q[{i}]", ()) for i in range(4)] + [("own", "busy", ()), ("glue", "core.go", ())]
    counts = Counter(blocks_of(netlist(core + others)).values())
    assert counts == {"core.mesh": 6, "core.load": 5, "dma": 4, "top": 1, "core": 1}


def test_a_module_of_which_nothing_is_within_stays_one_block():
    found = blocks_of(netlist([(f"a{i}", f"adder.sum[{i}]", ()) for i in range(5)] + [("b", "other.x", ())]))
    assert Counter(found.values()) == {"adder": 5, "other": 1}


def test_what_has_no_name_belongs_where_most_of_what_it_drives_belongs():
    named = [(f"a{i}", f"a.x[{i}]", ()) for i in range(2)] + [("b0", "b.x", ()), ("b1", "b.y", ())]
    found = blocks_of(netlist([*named, ("buffer", "", ("a0", "a1", "b0", PORT)), ("behind", "", ("buffer",))]))
    assert (found["buffer"], found["behind"]) == ("a", "a")
    assert set(blocks_of(netlist([("alone", "", ())])).values()) == {"top"}

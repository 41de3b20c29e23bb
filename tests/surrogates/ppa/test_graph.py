"""The logical hierarchy graph, of small modules by hand and of the generators' own RTL."""

import numpy as np
import pytest

from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.hardware.templates.edge_tpu import SPACE as EDGE_TPU
from armillary.surrogates.ppa import graph
from armillary.surrogates.ppa.graph import FEATURES, Architectures, graph_of, graphs_of
from armillary.tools.yosys import Outline
from armillary.types import ArmillaryError
from surrogates.ppa.layouts import ARCHITECTURE, SPACE, drawn

NONE = dict.fromkeys(("multiplication", "arithmetic", "selection", "logic"), (0, 0))


def outline(registers, instances=()):
    return Outline((("input", 3), ("output", 2)), NONE, (1, registers), (), dict(instances))


MODULES = {
    "top": outline(1, {"a": "unit", "b": "unit", "c": "other"}),
    "unit": outline(10, {"x": "leaf", "y": "leaf", "z": "leaf"}),
    "other": outline(100, {"x": "leaf"}),
    "leaf": outline(1000),
}


def of(found, name):
    return found.features[:, FEATURES.index(name)]


def test_instances_that_are_alike_are_one_node_with_their_number():
    found = graph_of(MODULES, "top")
    bits = of(found, "register bits")
    assert found.parent[0] == -1
    counted = {
        (b, bits[p]): (t, i) for b, p, t, i in zip(bits, found.parent, found.times, found.instances, strict=True)
    }
    del counted[1, bits[-1]]  # the top module
    assert counted == {(10, 1): (2, 2), (100, 1): (1, 1), (1000, 10): (3, 6), (1000, 100): (1, 1)}
    assert of(found, "level").tolist() == [{1: 0, 10: 1, 100: 1, 1000: 2}[int(b)] for b in bits]
    assert found.totals[FEATURES.index("register bits")] == 1 + 2 * 10 + 100 + 7 * 1000
    assert found.totals[FEATURES.index("level")] == 2


def test_the_expanded_graph_has_a_node_for_each_instance():
    found = graph_of(MODULES, "top")
    whole = found.expanded()
    assert len(whole.parent) == found.instances.sum() == 11
    assert (whole.totals == found.totals).all()
    children = np.bincount(whole.parent[1:], minlength=11)
    assert (children == of(whole, "instances")).all()


@pytest.mark.parametrize("name", ["axiline", "tabla"])
def test_graphs_of_generated_hardware_are_kept(name, tmp_path, monkeypatch):
    platform = PLATFORMS.load(name, Platform)
    sources = platform.sources(platform.accelerator())
    (found,) = graphs_of([sources], platform.top, tmp_path)
    assert len(found.parent) > 4
    assert (found.features >= 0).all()
    assert of(found, "multiplications").sum() > 0
    assert of(found, "register bits").sum() > 100
    monkeypatch.setattr(graph, "outlines", None)
    (again,) = graphs_of([sources], platform.top, tmp_path)
    assert (again.features == found.features).all()
    assert (again.parent == found.parent).all()


def test_designs_that_differ_in_knobs_alone_have_one_graph():
    codes = drawn(3, 4, seed=0)
    graphs, which = Architectures.of(SPACE).graphs(codes)
    own = codes[:, : len(ARCHITECTURE)]
    assert len(graphs) == len(np.unique(own, axis=0))
    for one in range(len(codes)):
        for other in range(len(codes)):
            assert (which[one] == which[other]) == (own[one] == own[other]).all()
    dimension = SPACE.columns(codes)["dimension"] / SPACE.columns(codes)["cycles"]
    lanes = np.array([graph.totals[FEATURES.index("multiplications")] for graph in graphs])[which]
    assert (lanes == np.ceil(dimension)).all()


def test_designs_of_the_same_hardware_are_one_architecture():
    codes = drawn(1, 3, seed=0)
    columns = [SPACE.names.index(name) for name in ("dimension", "cycles", "clock_ns")]
    six, ten, twelve, four = 1, 3, 4, 2  # in four cycles they take 2, 3 and 3 lanes
    codes[:, columns] = [[six, four, 0], [ten, four, 1], [twelve, four, 2]]
    found = Architectures.of(SPACE).hardware(codes)
    assert found[1] == found[2] != found[0]


def test_a_space_without_rtl_is_refused():
    with pytest.raises(ArmillaryError, match=r"ask for the RTL .* space 'edge_tpu' has not.*--surrogate ppa"):
        Architectures.of(EDGE_TPU)

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model.cost import evaluate
from armillary.hardware import templates
from armillary.hardware.mapping import loop_bounds
from armillary.hardware.templates.layerwise import FILTERS, PES, buffer_bytes, slots
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.algorithm import Algorithm, Tree
from armillary.workloads.layer import Layer, Workload

FAMILIES = ("nvdla", "shidiannao")


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "depthwise", "gemm"]))
    small = st.integers(1, 20)
    if kind == "gemm":
        groups = draw(st.sampled_from([1, 3]))
        return Layer("l", kind, K=groups * draw(small), C=groups * draw(small), P=draw(small), groups=groups)
    taps, stride = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from([1, 2]))
    plane = {"P": draw(small), "Q": draw(small), "R": taps, "S": taps, "stride_h": stride, "stride_w": stride}
    if kind == "depthwise":
        channels = draw(st.integers(2, 30))
        return Layer("l", kind, K=channels, C=channels, groups=channels, **plane)
    return Layer("l", kind, K=draw(small), C=draw(small), **plane)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=80, deadline=None)
@given(layer=layers(), pes=st.sampled_from(PES), filters=st.sampled_from(FILTERS))
def test_a_dataflow_maps_any_layer_onto_any_array(name, layer, pes, filters):
    family = templates.family(name)
    mapping, hierarchy = family.spread(layer, pes, filters), family.hierarchy(layer, pes, filters)
    assert mapping.extents() == loop_bounds(layer)
    assert not list(mapping.faults(hierarchy, layer))
    costs = evaluate(hierarchy, layer, [mapping])
    assert bool(costs.feasible[0])
    assert hierarchy.instances()[-1] <= pes
    assert float(costs.delay_cycles[0]) >= layer.macs / pes


@pytest.mark.parametrize(
    ("name", "mapping"),
    [
        ("nvdla", "L2[WIO] N1 - L1[WIO] K16 C2 P28 Q28 C16Y - L0[WIO] K4 R3 S3"),
        ("shidiannao", "L2[WIO] N1 - L1[WIO] K16 P7 Q7 C32 P4X Q4Y - L0[WIO] K4 R3 S3"),
    ],
)
def test_what_stays_in_the_pes_is_the_dataflows(name, mapping):
    """Weights: the innermost loops outside the PEs, P and Q, do not index them; partial sums: nor C them."""
    layer = Layer("l", "conv", K=64, C=32, P=28, Q=28, R=3, S=3)
    assert str(templates.family(name).spread(layer, 16, 4)) == mapping


def test_the_buffer_holds_weights_window_and_outputs():
    conv = Layer("l", "conv", K=8, C=4, R=3, S=3)
    assert [buffer_bytes(conv, k) for k in (1, 12)] == [9 + 9 + 1, 12 * 9 + 9 + 12]
    depthwise = Layer("d", "depthwise", K=8, C=8, groups=8, R=3, S=3)
    assert buffer_bytes(depthwise, 2) == 2 * (9 + 9 + 1)


def test_resnet_50_has_the_papers_106_parameters():
    space = templates.load("nvdla", zoo.build("resnet50")).space
    assert len(space.parameters) == 106
    assert space.size == 12**106
    assert math.log10(space.size) == pytest.approx(math.log10(2.5e114), abs=0.01)
    assert len(templates.load("shidiannao", zoo.build("mobilenet_v2")).space.parameters) == 104


def test_a_network_without_convolutions_has_an_array_per_distinct_product():
    workload = zoo.build("transformer")
    arrays = slots(workload)
    assert len(arrays) == 5
    assert sum(slot.runs * slot.layer.macs for slot in arrays) == workload.macs


def test_convolutions_each_have_their_own_array():
    workload = zoo.build("mobilenet_v2")
    convolutions = sum(use.macs for use in workload.layers if use.layer.kind != "gemm")
    assert sum(slot.runs * slot.layer.macs for slot in slots(workload)) == convolutions


@pytest.mark.parametrize("name", FAMILIES)
def test_area_grows_with_every_parameter(name):
    template = templates.load(name, zoo.build("transformer"))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 11, (200, len(template.space.parameters)))
    for parameter in range(codes.shape[1]):
        larger = codes.copy()
        larger[:, parameter] += 1
        assert (template.area_mm2(larger) > template.area_mm2(codes)).all()
    full = np.full((1, codes.shape[1]), 11)
    assert template.area_mm2(full)[0] == pytest.approx(template.max_area_mm2)


def test_the_workload_must_be_named():
    with pytest.raises(ArmillaryError, match="two parameters for every layer of a workload"):
        templates.load("nvdla")
    with pytest.raises(ArmillaryError, match="the same for all workloads"):
        templates.family("edge_tpu")
    assert templates.load("edge_tpu", zoo.build("unet")) is templates.load("edge_tpu")


def test_a_workload_without_layers_has_no_arrays():
    tree = Tree((0,), (0.0,), (1.0, 2.0))
    workload = Workload("tree", (), algorithm=Algorithm("decision_tree", "inference", 1, tree=tree))
    with pytest.raises(ArmillaryError, match="workload tree has no layer; template 'nvdla' has an array for each"):
        templates.load("nvdla", workload)

import itertools

import numpy as np
import pytest

from armillary.cost_model.cost import evaluate
from armillary.evaluators import for_template
from armillary.evaluators.layerwise import optimum, tables_of
from armillary.hardware import templates
from armillary.hardware.templates.layerwise import FILTERS, PES, slots
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity, MappingSearch
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

FAMILIES = ("nvdla", "shidiannao")
TINY = Workload(
    "tiny",
    (
        LayerUse(Layer("a", "conv", K=24, C=3, P=16, Q=16, R=3, S=3)),
        LayerUse(Layer("b", "depthwise", K=24, C=24, groups=24, P=16, Q=16, R=3, S=3), count=2, weight_sets=1),
    ),
)


class LayerwiseContract(EvaluatorContract):
    name = ""

    @pytest.fixture
    def evaluator(self):
        return for_template(self.name, Fidelity.ANALYTICAL)

    @pytest.fixture(params=["mobilenet_v2", "transformer"])
    def workload(self, request):
        return zoo.build(request.param)

    @pytest.fixture
    def space(self, workload):
        return templates.load(self.name, workload).space

    @pytest.fixture
    def size(self):
        return 8  # of as many parameters as a network has layers twice

    @pytest.fixture
    def laws(self, workload):
        return templates.load(self.name, workload).laws


class TestNvdla(LayerwiseContract):
    name = "nvdla"


class TestShiDianNao(LayerwiseContract):
    name = "shidiannao"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_design_costs_the_sum_of_its_layers(name):
    family, workload = templates.family(name), zoo.build("mobilenet_v2")
    template = family.of(workload)
    codes = sample(template.space, 3, "random", 0)
    found = for_template(name, Fidelity.ANALYTICAL).evaluate_codes(codes, workload)
    for row, code in enumerate(codes):
        cycles = energy = 0.0
        for slot, (pes, filters) in zip(slots(workload), code.reshape(-1, 2), strict=True):
            choice = PES[pes], FILTERS[filters]
            costs = evaluate(family.hierarchy(slot.layer, *choice), slot.layer, [family.spread(slot.layer, *choice)])
            cycles += slot.runs * float(costs.delay_cycles[0])
            energy += slot.runs * float(costs.energy_pj[0])
        assert found.metrics["delay_cycles"][row] == pytest.approx(cycles)
        assert found.metrics["energy_pj"][row] == pytest.approx(energy)
    assert found.metrics["area_mm2"] == pytest.approx(template.area_mm2(codes))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("network", ["mobilenet_v2", "transformer"])
def test_a_network_is_the_sum_of_its_arrays_runs(name, network):
    workload = zoo.build(network)
    template = templates.load(name, workload)
    evaluator = for_template(name, Fidelity.ANALYTICAL)
    for design in template.space.designs(sample(template.space, 3, "random", 0)):
        answer = evaluator.evaluate([Candidate(design)], workload)[0]
        assert len(answer.layers) == len(slots(workload))
        for metric in ("delay_cycles", "energy_pj"):
            assert answer.metrics[metric] == pytest.approx(sum(r.runs * r.metrics[metric] for r in answer.layers))
        assert answer.metrics["runtime_s"] == pytest.approx(answer.metrics["delay_cycles"] * 1e-9)  # at 1 GHz
        parts = evaluator.explain(answer, workload)
        assert sum(parts.energy_parts_pj.values()) == pytest.approx(answer.metrics["energy_pj"])
        assert sum(c.delay_cycles for c in parts.layers) == pytest.approx(answer.metrics["delay_cycles"])
        assert sum(c.macs for c in parts.layers) == sum(slot.runs * slot.layer.macs for slot in slots(workload))
        largest = max(design.as_dict()[p] for p in template.space.names if p.endswith("pes"))
        assert largest * 0.9e9 <= parts.rates.macs_per_s <= largest * 1e9  # a few PEs may fill no rectangle


@pytest.mark.parametrize("brought", [{"mappings": {"a": "L0[WIO] N1"}}, {"search": MappingSearch("thorough")}])
def test_the_dataflow_is_fixed(brought):
    design = templates.load("nvdla", TINY).baseline
    with pytest.raises(ArmillaryError, match="evaluator nvdla of template 'nvdla' takes no mappings"):
        for_template("nvdla", Fidelity.ANALYTICAL).evaluate([Candidate(design, **brought)], TINY)


def test_there_are_no_options():
    with pytest.raises(ArmillaryError, match="evaluator nvdla: option 'goal' is unknown; it has none"):
        for_template("nvdla", Fidelity.ANALYTICAL, {"goal": "edp"})


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_optimum_is_that_of_every_design(name, share):
    family = templates.family(name)
    template = family.of(TINY)
    every = np.array(list(itertools.product(range(12), repeat=4)))
    bound = share * template.max_area_mm2
    cycles = for_template(name, Fidelity.ANALYTICAL).evaluate_codes(every, TINY).metrics["delay_cycles"]
    best = cycles[template.area_mm2(every) <= bound].min()
    codes, least = optimum(family, TINY, bound)
    assert template.area_mm2(codes[None])[0] <= bound
    assert for_template(name, Fidelity.ANALYTICAL).evaluate_codes(codes[None], TINY).metrics["delay_cycles"][0] == best
    assert least == pytest.approx(best, rel=1e-6)


def test_layers_run_as_often_as_they_are_counted():
    tables = tables_of(templates.family("nvdla"), TINY)
    once = Workload("once", (TINY.layers[0], LayerUse(TINY.layers[1].layer)))
    assert tables.delay_cycles[1] == pytest.approx(2 * tables_of(templates.family("nvdla"), once).delay_cycles[1])


def test_refuses_a_bound_below_every_design_and_designs_of_another_space():
    with pytest.raises(ArmillaryError, match="the smallest has"):
        optimum(templates.family("nvdla"), TINY, 1e-6)
    with pytest.raises(ArmillaryError, match="with 2 parameters are not of space nvdla_tiny, which has 4"):
        for_template("nvdla", Fidelity.ANALYTICAL).evaluate_codes(np.zeros((1, 2), dtype=np.int64), TINY)

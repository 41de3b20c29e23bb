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
from armillary.types import ArmillaryError, Fidelity
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

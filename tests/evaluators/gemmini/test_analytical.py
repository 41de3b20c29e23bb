import numpy as np
import pytest

from armillary.evaluators import for_template
from armillary.evaluators.gemmini.analytical import GemminiEvaluator, best_mapping, distinct, mapped, packed
from armillary.evaluators.gemmini.rtl import RtlEvaluator
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, Accelerator, accelerator_of, area_mm2
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import STALLS, ArmillaryError, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

TINY = Workload(
    "tiny",
    (
        LayerUse(Layer("conv", "conv", K=8, C=3, P=8, Q=8, R=3, S=3, stride_h=2, stride_w=2), count=2),
        LayerUse(Layer("depthwise", "depthwise", K=12, C=12, P=6, Q=6, R=3, S=3, groups=12)),
        LayerUse(Layer("dense", "gemm", K=10, C=12)),
    ),
)
# The contract draws random designs: a space that few simulators serve.
FEW = {"dim": (4,), "scratchpad_kib": (8, 16), "accumulator_kib": (8,), "bus_bytes": (4, 8)}


def few_builds():
    fixed = {p.name: p.values[:1] for p in SPACE.parameters if not p.name.startswith("dram")} | FEW
    return Space("gemmini", tuple(Parameter(p.name, fixed.get(p.name, p.values)) for p in SPACE.parameters))


class TestAnalytical(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return GemminiEvaluator(budget=200)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return TINY


class TestRtl(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return RtlEvaluator(budget=200)

    @pytest.fixture
    def space(self):
        return few_builds()

    @pytest.fixture
    def workload(self):
        return TINY


def baseline(**changes):
    values = {**TEMPLATE.baseline.as_dict(), **changes}
    return SPACE.design_from(values, "test")


SMALL = {"dim": 4, "bus_bytes": 4, "scratchpad_kib": 8, "accumulator_kib": 8}


def test_rtl_is_slower_than_the_cost_model_and_says_why():
    designs = [baseline(**SMALL)]
    model, rtl = (for_template("gemmini", f).evaluate(designs, TINY)[0] for f in (Fidelity.ANALYTICAL, Fidelity.RTL))
    assert rtl.feasible
    assert rtl.metrics["delay_cycles"] > model.metrics["delay_cycles"]
    assert rtl.metrics["energy_pj"] == model.metrics["energy_pj"]
    waits = sum(rtl.metrics[f"{cause}_stall_cycles"] for cause in STALLS)
    assert rtl.metrics["busy_cycles"] + waits == rtl.metrics["delay_cycles"]


def test_a_bus_wider_than_a_row_is_infeasible():
    answer = GemminiEvaluator().evaluate([baseline(dim=4, bus_bytes=8)], TINY)[0]
    assert not answer.feasible
    assert str(answer.failure) == "row bytes needs 8, has 4"


def test_a_simulation_past_its_bound_is_a_timeout():
    answer = RtlEvaluator(most_cycles=10).evaluate([baseline(**SMALL)], TINY)[0]
    assert (answer.feasible, answer.failure.kind) == (False, "timeout")
    assert "layer conv: not done after 10 cycles" in str(answer.failure)


@pytest.mark.parametrize(
    ("layer", "dim", "groups"),
    [
        (Layer("depthwise", "depthwise", K=96, C=96, P=4, groups=96), 16, 6),
        (Layer("depthwise", "depthwise", K=90, C=90, P=4, groups=90), 16, 6),
        (Layer("grouped", "conv", K=64, C=32, P=4, groups=8), 16, 4),
        (Layer("conv", "conv", K=64, C=32, P=4), 16, 1),
        (Layer("wide", "conv", K=64, C=64, P=4, groups=2), 16, 2),
    ],
)
def test_groups_share_the_array_as_far_as_they_fit(layer, dim, groups):
    found = packed(layer, dim)
    assert found.groups == groups
    assert (found.K, found.C, found.outputs) == (layer.K, layer.C, layer.outputs)
    assert max(found.K, found.C) // groups <= max(dim, max(layer.K, layer.C) // layer.groups)


def test_equal_layers_run_once():
    assert list(distinct(Workload("twice", TINY.layers * 2)).values()) == [4, 2, 2]


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "unet"])
def test_every_layer_of_a_network_gets_a_mapping_that_compiles(name, dataflow):
    accelerator = Accelerator(dataflow=dataflow)
    for run in mapped(accelerator, zoo.build(name), budget=300):
        assert compile_layer(run.layer, run.mapping, accelerator).tiles >= 1


def test_few_channels_take_whole_rows_and_still_fit():
    layer = Layer("first", "conv", K=64, C=3, P=112, Q=112, R=7, S=7, stride_h=2, stride_w=2)
    small = Accelerator(scratchpad_kib=8, accumulator_kib=8)
    assert compile_layer(layer, best_mapping(small, layer, budget=1000), small).tiles > 1


def test_areas_grow_with_array_and_memories():
    codes = sample(SPACE, 50, "random", 0)
    areas = area_mm2(codes)
    for column in ("dim", "scratchpad_kib", "accumulator_kib"):
        at = SPACE.names.index(column)
        larger = codes.copy()
        larger[:, at] = np.minimum(codes[:, at] + 1, SPACE.cardinalities[at] - 1)
        assert (area_mm2(larger) >= areas).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 5}, "dim=5 is not allowed; it must be even"),
        ({"dataflow": "none"}, "dataflow='none' is not allowed"),
        ({"scratchpad_banks": 3}, "scratchpad_banks=3 is not allowed"),
        ({"bus_bytes": 32}, "bus_bytes=32 is not allowed; it must be at most 16"),
        ({"queue_depth": 0}, "queue_depth=0 is not allowed"),
    ],
)
def test_accelerators_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ArmillaryError, match=message):
        Accelerator(**changes)


def test_the_baseline_is_gemminis_default():
    assert accelerator_of(TEMPLATE.baseline) == Accelerator()


def test_few_requests_under_way_cannot_use_all_of_the_bandwidth():
    def read_bandwidth(**changes):
        return Accelerator(**changes).hierarchy().levels[0].read_bandwidth

    # a burst of 16 rows of 16 bytes at 16 bytes per cycle comes back after 50 + 16 cycles
    assert read_bandwidth(outstanding=1) == pytest.approx(256 / 66)
    assert read_bandwidth(outstanding=4) == pytest.approx(4 * 256 / 66)
    assert read_bandwidth(outstanding=5) == 16.0
    assert read_bandwidth(outstanding=1, dram_latency=0) == pytest.approx(16.0)
    assert read_bandwidth(outstanding=1, dram_latency=500, burst_rows=64) == pytest.approx(1024 / 564)

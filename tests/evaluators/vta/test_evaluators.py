from pathlib import Path

import pytest

from armillary import evaluators
from armillary.hardware.templates.vta import SPACE, TEMPLATE, accelerator_of
from armillary.studies.design_file import read_design
from armillary.studies.evaluate import evaluate_one
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Layer, LayerUse, Workload

SMALL = {
    "block_in": 4, "block_out": 4, "input_buffer": 256, "weight_buffer": 4096, "accumulator_buffer": 1024,
    "uop_buffer": 256, "bus_bytes": 4,
}  # fmt: skip
# The layers of a residual network, as small as they come.
NETWORK = Workload(
    "small",
    (
        LayerUse(Layer("stem", "conv", K=8, C=3, P=6, Q=6, R=7, S=7, stride_h=2, stride_w=2, bias=True)),
        LayerUse(Layer("conv", "conv", K=8, C=8, P=6, Q=6, R=3, S=3, bias=True), count=2, weight_sets=2),
        LayerUse(Layer("down", "conv", K=16, C=8, P=3, Q=3, stride_h=2, stride_w=2)),
        LayerUse(Layer("depthwise", "depthwise", K=16, C=16, P=3, Q=3, R=3, S=3, groups=16)),
        LayerUse(Layer("dense", "gemm", K=10, C=16, bias=True)),
    ),
)


def evaluated(workload=NETWORK, fidelity=Fidelity.ANALYTICAL, options=None, **values):
    design = SPACE.design_from({**TEMPLATE.defaults, **SMALL, **values}, "test")
    return evaluators.for_template("vta", fidelity, options).evaluate([Candidate(design)], workload)[0]


class TestAnalytical(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return evaluators.for_template("vta", Fidelity.ANALYTICAL)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return NETWORK

    @pytest.fixture
    def size(self):
        return 12


@pytest.mark.parametrize("options", [{}, {"padding": "same", "dram_latency": 9, "dram_bytes_per_cycle": 2}])
def test_the_simulated_hardware_takes_what_the_schedule_says(options):
    first, second = (evaluated(fidelity=fidelity, options=options) for fidelity in ("analytical", "rtl"))
    assert first.feasible
    assert second.metrics == first.metrics
    assert [run.metrics for run in second.layers] == [run.metrics for run in first.layers]


def test_metrics_add_up():
    answer = evaluated(options={"clock_ns": 2.5})
    cycles = sum(run.runs * run.metrics["delay_cycles"] for run in answer.layers)
    assert answer.metrics["delay_cycles"] == cycles
    assert answer.metrics["runtime_s"] == pytest.approx(cycles * 2.5e-9)
    assert answer.metrics["utilization"] == pytest.approx(NETWORK.macs / (cycles * 16))
    assert [run.runs for run in answer.layers] == [1, 2, 1, 1, 1]
    assert answer.layers[0].mapping.startswith("blocks_out ")


@pytest.mark.parametrize(
    "better",
    [
        {"block_in": 8, "input_buffer": 512, "weight_buffer": 8192},
        {"block_out": 8, "weight_buffer": 8192, "accumulator_buffer": 2048},
        {"input_buffer": 1024},
        {"weight_buffer": 16384},
        {"accumulator_buffer": 4096},
        {"uop_buffer": 1024},
    ],
)
def test_more_of_anything_is_not_slower_where_channels_fill_it(better):
    full = Workload("full", (LayerUse(Layer("conv", "conv", K=16, C=16, P=8, Q=8, R=3, S=3)),))
    assert evaluated(full, **better).metrics["delay_cycles"] <= evaluated(full).metrics["delay_cycles"]


def test_a_matrix_product_fills_the_rows_of_tiles():
    product = Workload("product", (LayerUse(Layer("p", "gemm", K=16, C=16, P=64)),))
    one, two = (evaluated(product, batch=n, input_buffer=512 * n, accumulator_buffer=1024 * n) for n in (1, 2))
    assert two.metrics["busy_cycles"] == one.metrics["busy_cycles"] / 2


def test_narrow_numbers_move_fewer_bytes():
    wide = {
        "block_in": 8, "block_out": 8, "input_buffer": 1024, "weight_buffer": 16384, "accumulator_buffer": 4096,
    }  # fmt: skip
    narrow = {**wide, "input_width": 4, "weight_width": 4, "accumulator_width": 16}
    assert evaluated(**narrow).metrics["dram_bytes"] < 0.8 * evaluated(**wide).metrics["dram_bytes"]


@pytest.mark.parametrize(
    ("layer", "values", "reason"),
    [
        (Layer("l", "conv", K=4, C=4, R=9, S=9), {}, "layer l: input tiles needs 81, has 64"),
        (
            Layer("l", "conv", K=4, C=4, R=3, S=3),
            {"weight_buffer": 32768},
            "design: weight_buffer=32768 is not allowed; it must be 64",
        ),
        (Layer("l", "conv", K=4, C=4), {"bus_bytes": 8}, "design: bus_bytes=8 is not allowed; a tile of inputs has 4"),
    ],
)
def test_what_cannot_run_says_why(layer, values, reason):
    answer = evaluated(Workload("w", (LayerUse(layer),)), **values)
    assert not answer.feasible
    assert reason in str(answer.failure)
    assert not answer.metrics


def test_a_workload_without_layers_is_refused():
    with pytest.raises(ArmillaryError, match="workload svm has no layers; vta runs convolutions and matrix products"):
        evaluated(Workload("svm", (), algorithm=Algorithm("svm", "training", 5, rate=0.25)))


def test_an_option_that_is_not_allowed_is_named():
    with pytest.raises(ArmillaryError, match=r"dram_bytes_per_cycle=12 is not allowed: .* a power of two"):
        evaluated(options={"dram_bytes_per_cycle": 12})


def test_the_example_is_the_smallest_useful_accelerator():
    path = Path(__file__).parents[3] / "examples" / "vta.yaml"
    design = read_design(path, TEMPLATE.space, TEMPLATE.defaults)
    assert accelerator_of(design).macs_per_cycle == 16
    answer = evaluate_one(TEMPLATE, design, NETWORK, Fidelity.ANALYTICAL)
    assert answer.metrics["delay_cycles"] > NETWORK.macs / 16

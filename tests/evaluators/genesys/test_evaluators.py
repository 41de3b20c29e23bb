from dataclasses import replace

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.genesys import evaluator as module
from armillary.evaluators.simulated import RunError
from armillary.hardware.rtl.genesys.arithmetic import Op
from armillary.hardware.rtl.genesys.behind import Pass
from armillary.hardware.templates.genesys import SPACE, TEMPLATE
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from evaluators.genesys.test_vector_programs import WIDE

NETWORK = Workload(
    "small",
    (
        LayerUse(Layer("first", "conv", K=6, C=3, P=5, Q=5, R=3, S=3, bias=True)),
        LayerUse(Layer("again", "conv", K=6, C=6, P=5, Q=5), count=3, weight_sets=3),
        LayerUse(Layer("dense", "gemm", K=10, C=30, P=2, bias=True)),
    ),
)
CHIP = {name: getattr(WIDE, name) for name in SPACE.names}
SMALL = dict(zip(SPACE.names, (4, 8, 8, 1, 1, 1, 1, 2, 32), strict=True))


def evaluated(fidelity=Fidelity.ANALYTICAL, workload=NETWORK, options=None, seed=0, **values):
    design = SPACE.design_from({**TEMPLATE.defaults, **SMALL, **values}, "test")
    return evaluators.for_template("genesys", fidelity, options, seed=seed).evaluate([Candidate(design)], workload)[0]


class TestAnalytical(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return evaluators.for_template("genesys", Fidelity.ANALYTICAL)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return NETWORK

    @pytest.fixture
    def size(self):
        return 20


@pytest.mark.parametrize("options", [{}, {"activation": "gelu", "latency": 9, "clock_ns": 2.5}])
def test_the_simulated_hardware_takes_the_cycles_of_the_schedule(options):
    planned, measured = (evaluated(f, options=options, seed=3, **CHIP) for f in (Fidelity.ANALYTICAL, Fidelity.RTL))
    assert measured.feasible
    assert measured.metrics == planned.metrics
    assert [run.metrics for run in measured.layers] == [run.metrics for run in planned.layers]


def test_metrics_of_a_network_are_the_sums_of_its_layers():
    found = evaluated(options={"clock_ns": 2.0})
    first, again, dense = (run.metrics["delay_cycles"] for run in found.layers)
    delay = first + 3 * again + dense
    assert found.metrics["delay_cycles"] == delay
    assert found.metrics["runtime_s"] == pytest.approx(delay * 2e-9)
    assert found.metrics["utilization"] == pytest.approx(NETWORK.macs / delay / 16)
    assert [run.runs for run in found.layers] == [1, 3, 1]
    least = 5 * 5 * 6 // 8  # an array of four takes the second layer's channels in two blocks, each way
    assert found.layers[1].metrics["busy_cycles"] == 4 * 25 > least


CONV = Layer("conv", "conv", K=48, C=48, P=9, Q=9, R=3, S=3)
GEMM = Layer("gemm", "gemm", K=8, C=512, P=256)


@pytest.mark.parametrize(
    ("layer", "base", "change", "metric"),
    [
        (CONV, {}, {"array": 8}, "delay_cycles"),
        (CONV, {"array": 8}, {"array": 8, "port_width": 64}, "delay_cycles"),
        (CONV, {}, {"ibuf_kib": 16, "obuf_kib": 16}, "delay_cycles"),
        (GEMM, {"array": 8, "ibuf_kib": 64}, {"array": 8, "ibuf_kib": 64, "wbuf_kib": 64}, "delay_cycles"),
        (CONV, {}, {"data_width": 4}, "dram_bytes"),
        (CONV, {}, {"weight_width": 4}, "dram_bytes"),
    ],
)
def test_more_hardware_and_fewer_bits_cost_less(layer, base, change, metric):
    workload = Workload("one", (LayerUse(layer),))
    before, after = evaluated(workload=workload, **base), evaluated(workload=workload, **change)
    assert after.metrics[metric] < before.metrics[metric]


def test_a_larger_vector_memory_shortens_activations_of_several_passes():
    layer = Layer("conv", "conv", K=48, C=8, P=9, Q=9)
    workload = Workload("conv", (LayerUse(layer),))
    few, many = (
        evaluated(workload=workload, options={"activation": "tanh"}, obuf_kib=8, vmem_kib=kib) for kib in (1, 16)
    )
    assert many.metrics["delay_cycles"] < few.metrics["delay_cycles"]
    assert many.metrics["delay_cycles"] > evaluated(workload=workload, obuf_kib=8).metrics["delay_cycles"]


@pytest.mark.parametrize(
    ("layer", "values", "reason"),
    [
        (Layer("wide", "conv", S=40), {}, "layer wide: WBUF words needs 160, has 128"),
        (Layer("far", "conv", R=2, dilation_h=300), {}, "layer far: IBUF words needs 301, has 128"),
        (
            Layer("any", "gemm"),
            {"array": 64, "wbuf_kib": 4},
            "design: wbuf_kib=4 is not allowed; it must be a power of",
        ),
    ],
)
@pytest.mark.parametrize("fidelity", [Fidelity.ANALYTICAL, Fidelity.RTL])
def test_what_cannot_run_says_why(layer, values, reason, fidelity):
    answer = evaluated(fidelity, Workload("w", (LayerUse(layer),)), **values)
    assert not answer.feasible
    assert str(answer.failure).startswith(reason)
    assert not answer.metrics


def test_wrong_hardware_is_an_error_and_no_result(monkeypatch):
    """What the vector unit is told differs from what the reference does."""
    checked = module.checked

    def other(compiled, *args, **options):
        return checked(replace(compiled, passes=(Pass(Op.MULTIPLY, 1, 3),)), *args, **options)

    monkeypatch.setattr(module, "checked", other)
    with pytest.raises(RunError, match=r"layer first: output\[0, \d+, \d+, \d+\] is .*, the reference says"):
        evaluated(Fidelity.RTL, **CHIP)


def test_a_limit_of_cycles_ends_a_simulation():
    with pytest.raises(RunError, match="not done after 50 cycles"):
        evaluated(Fidelity.RTL, options={"most_cycles": 50}, **CHIP)


def test_options_that_are_not_allowed_are_refused():
    with pytest.raises(ArmillaryError, match="option activation='swish' is not allowed"):
        evaluated(options={"activation": "swish"})
    with pytest.raises(ArmillaryError, match="option latency=0 is not allowed"):
        evaluated(options={"latency": 0})


def test_the_seed_draws_other_tensors_and_the_same_cycles(monkeypatch):
    drawn = []
    tensors = module.random_tensors
    monkeypatch.setattr(module, "random_tensors", lambda *given: drawn.append(tensors(*given)) or drawn[-1])
    cycles = [evaluated(Fidelity.RTL, seed=seed, **CHIP).metrics["delay_cycles"] for seed in (1, 1, 2)]
    assert len(set(cycles)) == 1
    first = sorted((one.inputs.sum(), one.weights.sum()) for one in drawn[:3])
    assert first == sorted((one.inputs.sum(), one.weights.sum()) for one in drawn[3:6])
    assert not np.array_equal(first, sorted((one.inputs.sum(), one.weights.sum()) for one in drawn[6:]))

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from armillary import evaluators
from armillary.evaluators.axiline.model import Inputs, misfit, model_of
from armillary.hardware.rtl.fixed_point import fixed
from armillary.hardware.templates.axiline import SPACE, TEMPLATE, Accelerator
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads.algorithm import Algorithm, Tree
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.onnx.importer import import_onnx
from workloads.onnx import algorithm_models as models

SVM = Workload("svm", (), algorithm=Algorithm("svm", "training", 5, rate=0.25))
SMALL = {"dimension": 5, "cycles": 2}


def evaluated(workload, fidelity=Fidelity.ANALYTICAL, options=None, seed=0, **values):
    design = SPACE.design_from({**TEMPLATE.defaults, **SMALL, **values}, "test")
    return evaluators.for_template("axiline", fidelity, options, seed=seed).evaluate([Candidate(design)], workload)[0]


class TestAnalytical(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return evaluators.for_template("axiline", Fidelity.ANALYTICAL)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return SVM

    @pytest.fixture
    def size(self):
        return 200


def test_metrics_are_the_closed_form_at_the_clock():
    metrics = evaluated(SVM, options={"inputs": 11, "clock_ns": 2.0}).metrics
    per_input, latency = 2 + 5, 2 * 2 + 4
    stream = per_input * 10 + latency
    assert metrics == pytest.approx({
        "per_input_cycles": per_input, "latency_cycles": latency, "stream_cycles": stream,
        "delay_cycles": stream / 11, "runtime_s": stream / 11 * 2e-9, "throughput_mhz": 1e3 / (per_input * 2),
    })  # fmt: skip


TREE = Algorithm("decision_tree", "inference", 4, tree=Tree((1, 0, 0), (0.5, -0.25, 0.0), (-1.5, 0.25, 2.0, 2.0)))


@pytest.mark.parametrize(
    ("algorithm", "values"),
    [
        (SVM.algorithm, {}),
        (Algorithm("recommender", "inference", 4), {"algorithm": "recommender", "mode": "inference"}),
        (TREE, {"algorithm": "decision_tree", "mode": "inference", "depth": 3}),
    ],
)
def test_the_simulated_hardware_takes_the_cycles_of_the_closed_form(algorithm, values):
    workload = Workload("small", (), algorithm=algorithm)
    first, second = (evaluated(workload, f, {"inputs": 20}, seed=3, **values) for f in ("analytical", "rtl"))
    assert first.feasible
    assert second.metrics == first.metrics


@pytest.mark.parametrize(
    ("algorithm", "values", "reason"),
    [
        (SVM.algorithm, {"mode": "inference"}, "algorithm: the workload is training of svm, the accelerator is "
         "made for inference of svm"),
        (SVM.algorithm, {"dimension": 4}, "dimension elements needs 5, has 4"),
        (replace(TREE, tree=replace(TREE.tree, thresholds=(0.5, 3.0, 0.0))), {"depth": 2},
         "input_width bits: the threshold 3 is none of the numbers that data can be, -2 to 2; scale the features"),
        (TREE, {"depth": 1}, "depth levels needs 2, has 1"),
        (Algorithm("svm", "inference", 2, weights=(0.5, 100.0)), {"mode": "inference", "internal_width": 12},
         "internal_width bits needs 16, has 12"),
        (Algorithm("svm", "training", 5, rate=1e-4), {"internal_width": 8},
         "internal_width bits: the rate 0.0001 is not from 0.0078125 to below 2"),
        (Algorithm("svm", "training", 5, rate=2.5), {}, "internal_width bits: the rate 2.5 is not from"),
        (SVM.algorithm, {"cycles": 6}, "design: cycles=6 is not allowed; it must be 1 to dimension=5"),
    ],
)  # fmt: skip
def test_what_cannot_run_says_why(algorithm, values, reason):
    tree = {"algorithm": "decision_tree", "mode": "inference"} if algorithm.tree else {}
    answer = evaluated(Workload("w", (), algorithm=algorithm), **tree, **values)
    assert not answer.feasible
    assert str(answer.failure).startswith(reason)
    assert not answer.metrics


def test_a_network_that_is_no_algorithm_is_refused():
    layers = (LayerUse(Layer("fc", "gemm", K=3, C=3)),)
    with pytest.raises(
        ArmillaryError, match="workload net is none of the algorithms of axiline: Relu node 'y' is none"
    ):
        evaluated(Workload("net", layers, no_algorithm="Relu node 'y' is none of"))
    with pytest.raises(ArmillaryError, match=r"workload net is none .*axiline takes ONNX files of its algorithms"):
        evaluated(Workload("net", layers))


def imported(model, tmp_path):
    onnx.save(model, str(tmp_path / "model.onnx"))
    return import_onnx(tmp_path / "model.onnx").algorithm


WIDE = {"input_width": 16, "internal_width": 24, "cycles": 2}
# The logistic function is made of lines; a step of training moves weights by a quarter of that, times an input.
MOST = {"logistic_regression": 0.019}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(models.STEPS))
def test_a_step_is_what_onnx_says_it_is(name, seed, tmp_path):
    model = models.training(models.STEPS[name])
    algorithm = imported(model, tmp_path)
    accelerator = Accelerator(name, "training", models.DIMENSION, **WIDE)
    assert misfit(algorithm, accelerator) is None
    rng = np.random.default_rng(seed)
    given = model_of(algorithm, accelerator, rng)
    label = rng.choice([-1.0, 1.0])
    vector = fixed(rng.uniform(-1, 1, size=models.DIMENSION), accelerator.input_fraction)
    inputs = Inputs(vector[None], fixed(np.array([label]), accelerator.input_fraction))
    found = given.results(accelerator, inputs)
    scale, data = 2.0**accelerator.internal_fraction, 2.0**accelerator.input_fraction
    feeds = {"W": given.weights / scale, "x": vector / data, "y": np.array([label])}
    (expected,) = ReferenceEvaluator(model).run(None, {name: value.astype(np.float32) for name, value in feeds.items()})
    assert np.abs(found.weights / scale - expected).max() < MOST.get(name, 0) / 4 + 3 / scale
    assert np.abs(given.weights / scale - expected).max() > 1e-3 or name == "svm"


@pytest.mark.parametrize("name", list(models.PREDICTIONS))
def test_a_prediction_is_what_onnx_says_it_is(name, tmp_path):
    model = models.inference(models.PREDICTIONS[name])
    algorithm = imported(model, tmp_path)
    accelerator = Accelerator(name, "inference", models.DIMENSION, **WIDE)
    rng = np.random.default_rng(0)
    vectors = fixed(rng.uniform(-1, 1, size=(20, models.DIMENSION)), accelerator.input_fraction)
    found = model_of(algorithm, accelerator, rng).results(accelerator, Inputs(vectors, np.zeros(20, dtype=np.int64)))
    runs = ReferenceEvaluator(model)
    for vector, prediction in zip(vectors / 2.0**accelerator.input_fraction, found.predictions, strict=True):
        (expected,) = runs.run(None, {"x": vector[None].astype(np.float32)})
        assert abs(prediction / 2.0**accelerator.internal_fraction - expected.item()) < MOST.get(name, 0) + 2e-3


@pytest.mark.parametrize("kind", ["Regressor", "Classifier"])
def test_a_tree_is_what_onnx_says_it_is(kind, tmp_path):
    model = models.tree_model(kind)
    algorithm = imported(model, tmp_path)
    accelerator = Accelerator("decision_tree", "inference", 4, 8, 16, 2, 2)
    rng = np.random.default_rng(0)
    vectors = rng.integers(-128, 128, size=(40, 4))
    found = model_of(algorithm, accelerator, rng).results(accelerator, Inputs(vectors, np.zeros(40, dtype=np.int64)))
    runs = ReferenceEvaluator(model)
    expected = [runs.run(None, {"x": (vector[None] / 64).astype(np.float32)})[0].item() for vector in vectors]
    assert (found.predictions / 256).tolist() == expected
    assert len(set(expected)) == 3

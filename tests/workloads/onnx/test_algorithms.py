from dataclasses import replace

import onnx
import pytest

from armillary.types import ArmillaryError
from armillary.workloads.algorithm import Algorithm, Tree
from workloads.onnx import algorithm_models as models

NAMES = ["linear_regression", "logistic_regression", "svm"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("linear54", Algorithm("linear_regression", "training", 54)),
        ("logistic54", Algorithm("logistic_regression", "training", 54)),
        # whose weights move where label * score exceeds the label
        ("svm54", Algorithm("svm", "training", 54, hinge=False)),
    ],
)
def test_files_of_others_are_recognized(file, expected, shared_onnx, imported):
    workload = imported(onnx.load(str(shared_onnx / f"{file}.onnx")))
    assert workload.algorithm == expected
    assert (workload.macs, workload.parameters, workload.no_algorithm) == (54, 0, "")


@pytest.mark.parametrize("text", [models.STEPS, models.OTHER_STEPS], ids=["textbook", "otherwise"])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_training_is_what_it_computes(name, text, imported):
    found = imported(models.training(text[name])).algorithm
    assert found == Algorithm(name, "training", models.DIMENSION, rate=0.25)


@pytest.mark.parametrize(("name", "text"), [*models.PREDICTIONS.items(), ("svm", models.OTHER_SVM)])
def test_a_prediction_has_weights_and_a_bias(name, text, imported):
    found = imported(models.inference(text)).algorithm
    weights = tuple(models.WEIGHTS.tolist())
    assert found == Algorithm(name, "inference", models.DIMENSION, weights=weights, bias=0.375)


def test_an_operator_that_is_a_regression_is_one(imported):
    found = imported(models.regressor_model()).algorithm
    weights = tuple(models.WEIGHTS.tolist())
    assert found == Algorithm("linear_regression", "inference", models.DIMENSION, weights=weights, bias=0.375)


def test_a_recommender_changes_both_vectors(imported):
    assert imported(models.whole(models.RECOMMENDER)).algorithm == Algorithm("recommender", "training", 5, rate=0.25)


def test_a_dot_product_of_inputs_is_a_recommendation(imported):
    model = models.whole("model (float[7] u, float[7] v) => (float s) { s = MatMul(u, v) }")
    assert imported(model).algorithm == Algorithm("recommender", "inference", 7)


TREE = Tree(features=(1, 0, 0), thresholds=(0.5, -0.25, 0.0), leaves=(-1.5, 0.25, 2.0, 2.0))


@pytest.mark.parametrize(("kind", "leaves"), [("Regressor", TREE.leaves), ("Classifier", (2.0, 0.0, 1.0, 1.0))])
def test_a_tree_becomes_a_heap(kind, leaves, imported):
    workload = imported(models.tree_model(kind))
    assert workload.algorithm == Algorithm("decision_tree", "inference", 4, tree=replace(TREE, leaves=leaves))
    assert workload.layers == ()


def test_base_values_are_added_to_every_leaf(imported):
    found = imported(models.tree_model(base_values=[0.5])).algorithm
    assert found.tree.leaves == (-1.0, 0.75, 2.5, 2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (models.DOT + "e = Sub(y, s) f = Mul(e, x) W1 = Sub(W, f)", "Sub node 'W1' computes is neither a prediction"),
        (models.DOT + "e = Sub(s, y) f = Mul(e, W) W1 = Sub(W, f)", "Sub node 'W1' computes is neither a prediction"),
        (models.DOT + "e = Sub(s, x) f = Mul(e, x) W1 = Sub(W, f)", "Sub node 'W1' computes is neither a prediction"),
        ("e = Sub(x, y) f = Mul(e, x) W1 = Sub(W, f)", "Sub node 'W1' computes has 0 dot products"),
        (models.DOT + "t = Tanh(s) e = Sub(t, y) f = Mul(e, x) W1 = Sub(W, f)", "Tanh node 't' is none of"),
        ("p = Add(W, x) W1 = ReduceSum(p, axis)", "ReduceSum node 'W1' sums up no product of two vectors"),
    ],
)
def test_what_is_none_of_them_names_a_node(text, message, imported):
    workload = imported(models.training(text))
    assert workload.algorithm is None
    assert message in workload.no_algorithm


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s = Gemm(x, w, b) out = Relu(s)", "Relu node 'out' is none of"),
        ("s = Gemm<alpha=2.0>(x, w, b) out = Sigmoid(s)", "Sigmoid node 'out' computes is neither"),
        ("s = Gemm(x, w, b) h = Cast<to=7>(s) out = Cast<to=1>(h)", "Cast node 'h' makes integers of numbers"),
        ("t = Transpose(w) o = Mul(w, t) out = MatMul(x, w)", r"Mul node 'o' makes a matrix of \[5, 1\] and \[1, 5\]"),
    ],
)
def test_a_network_that_is_none_of_them_has_layers_and_says_why(text, message, imported):
    workload = imported(models.inference(text))
    assert workload.algorithm is None
    assert workload.layers
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(workload.no_algorithm)


def test_several_results_are_none_of_them(imported):
    head, weights = "model (float[1,4] x) => (float[1,2] y)", "<float[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}>"
    workload = imported(models.whole(f"{head} {weights} {{ y = MatMul(x, w) }}"))
    assert workload.algorithm is None
    assert "the weights 'w' are 8 numbers for an input of 4 elements" in workload.no_algorithm


def test_two_layers_are_none_of_them(shared_onnx, imported):
    workload = imported(onnx.load(str(shared_onnx / "backprop8_16_4.onnx")))
    assert workload.algorithm is None
    assert "Transpose node 'transpose' turns a matrix of [16, 4]" in workload.no_algorithm


def test_weights_that_are_not_there_are_told(imported):
    workload = imported(models.with_weights_missing(models.inference(models.PREDICTIONS["linear_regression"])))
    assert workload.algorithm is None
    assert "the weights 'w' are not in the file" in workload.no_algorithm


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"nodes_modes": ["BRANCH_LT", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]},
            r"node 'tree' has rules \['BRANCH_LT'\]",
        ),
        ({"nodes_treeids": [0, 0, 0, 1, 1]}, "node 'tree' has 2 trees"),
        ({"n_targets": 2}, "node 'tree' has 2 targets"),
        ({"nodes_falsenodeids": [4, 9, 0, 0, 0]}, r"node 'tree' cannot be read: KeyError\(9\)"),
        ({"nodes_truenodeids": [1, 1, 0, 0, 0]}, "node 'tree' has a tree of more than 16 levels"),
        ({"post_transform": "LOGISTIC"}, "node 'tree' has post_transform='LOGISTIC'"),
    ],
)
def test_other_trees_are_refused(changed, message, imported):
    with pytest.raises(ArmillaryError, match=message):
        imported(models.tree_model(**changed))

"""ONNX models of small machine-learning algorithms, written in several ways."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIMENSION = 5
WEIGHTS = np.array([0.5, -0.25, 1.0, -0.75, 0.125], dtype=np.float32)
HEAD = '<ir_version: 8, opset_import: ["" : 15]>\n'
CONSTANTS = "<float rate = {0.25}, float one = {1.0}, float zero = {0.0}, float two = {2.0}, int64[1] axis = {0}>"
TRAINING = f"model (float[{DIMENSION}] W, float[{DIMENSION}] x, float[1] y) => (float[{DIMENSION}] W1) {CONSTANTS}"
INFERENCE = f"model (float[1,{DIMENSION}] x) => (float[1,1] out) {CONSTANTS[:-1]}, float[{DIMENSION},1] w = {{" + (
    ", ".join(map(str, WEIGHTS.tolist())) + "}, float[1] b = {0.375}>"
)
DOT = "p = Mul(W, x) s = ReduceSum<keepdims=0>(p, axis) "
STEPS = {
    "linear_regression": DOT + "e = Sub(s, y) f = Mul(e, x) g = Mul(rate, f) W1 = Sub(W, g)",
    "logistic_regression": DOT + "q = Sigmoid(s) e = Sub(q, y) f = Mul(e, x) g = Mul(rate, f) W1 = Sub(W, g)",
    "svm": DOT + "m = Mul(y, s) c = Less(m, one) d = Cast<to=1>(c) e = Mul(d, y) f = Mul(e, x) g = Mul(rate, f) "
    "W1 = Add(W, g)",
}
"""A step of training as the textbooks write it."""
OTHER_STEPS = {
    # the error the other way round, the rate applied first, a matrix product
    "linear_regression": "s = MatMul(x, W) e = Sub(y, s) r = Mul(e, rate) g = Mul(x, r) W1 = Add(g, W)",
    # the product multiplied out
    "logistic_regression": DOT
    + "q = Sigmoid(s) a = Mul(q, x) b = Mul(x, y) c = Sub(b, a) g = Mul(c, rate) W1 = Add(W, g)",
    # a choice instead of a product
    "svm": DOT + "m = Mul(s, y) c = Greater(one, m) f = Mul(y, x) z = Mul(zero, f) h = Where(c, f, z) g = Mul(h, rate) "
    "n = Neg(g) W1 = Sub(W, n)",
}
RECOMMENDER = (
    f"model (float[{DIMENSION}] u, float[{DIMENSION}] v, float[1] r) => (float[{DIMENSION}] u1, float[{DIMENSION}] v1) "
    f"{CONSTANTS} {{ p = Mul(u, v) s = ReduceSum<keepdims=0>(p, axis) e = Sub(s, r) g = Mul(rate, e) "
    "a = Mul(g, v) u1 = Sub(u, a) b = Mul(g, u) v1 = Sub(v, b) }"
)
PREDICTIONS = {
    "linear_regression": "s = MatMul(x, w) out = Add(s, b)",
    "logistic_regression": "s = Gemm(x, w, b) out = Sigmoid(s)",
    "svm": "s = Gemm(x, w, b) out = Sign(s)",
}
OTHER_SVM = "s = Gemm(x, w, b) c = Greater(s, zero) d = Cast<to=1>(c) e = Mul(two, d) out = Sub(e, one)"


def training(text):
    """Return a model of a step of training with these nodes."""
    return onnx.parser.parse_model(f"{HEAD}{TRAINING} {{ {text} }}")


def inference(text):
    """Return a model of a prediction with these nodes."""
    return onnx.parser.parse_model(f"{HEAD}{INFERENCE} {{ {text} }}")


def whole(text):
    """Return the model of a whole graph."""
    return onnx.parser.parse_model(HEAD + text)


def tree_model(kind="Regressor", features=4, **changed):
    """Return a tree: x[1] <= 0.5 ? (x[0] <= -0.25 ? leaf 2 : leaf 3) : leaf 4.

    Its leaves are -1.5, 0.25 and 2 of a regressor; classes 2, 0 and 1 of a classifier.
    """
    attributes = {
        "nodes_treeids": [0] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_featureids": [1, 0, 0, 0, 0],
        "nodes_values": [0.5, -0.25, 0.0, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 2, 0, 0, 0],
        "nodes_falsenodeids": [4, 3, 0, 0, 0],
    }
    if kind == "Regressor":
        attributes |= {"n_targets": 1, "target_treeids": [0] * 3, "target_nodeids": [2, 3, 4], "target_ids": [0] * 3}
        attributes |= {"target_weights": [-1.5, 0.25, 2.0]}
        outputs = [("out", TensorProto.FLOAT, [1, 1])]
    else:
        attributes |= {"classlabels_int64s": [0, 1, 2], "class_treeids": [0] * 9}
        attributes |= {"class_nodeids": [2] * 3 + [3] * 3 + [4] * 3, "class_ids": [0, 1, 2] * 3}
        attributes |= {"class_weights": [0.1, 0.2, 0.7, 0.6, 0.2, 0.2, 0.3, 0.4, 0.3]}
        outputs = [("out", TensorProto.INT64, [1]), ("scores", TensorProto.FLOAT, [1, 3])]
    node = helper.make_node(
        f"TreeEnsemble{kind}", ["x"], [name for name, _, _ in outputs], "tree", domain="ai.onnx.ml",
        **(attributes | changed),
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, features])],
        [helper.make_tensor_value_info(*output) for output in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)])


def regressor_model(**changed):
    """Return the linear regression of `WEIGHTS` as the operator that is one."""
    attributes = {"coefficients": WEIGHTS.tolist(), "intercepts": [0.375]} | changed
    node = helper.make_node("LinearRegressor", ["x"], ["out"], "line", domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, DIMENSION])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)])


def with_weights_missing(model):
    """Return a model whose weights `w` are kept in a file that is not there."""
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    values = numpy_helper.to_array(weights)
    weights.CopyFrom(numpy_helper.from_array(values, "w"))
    onnx.external_data_helper.set_external_data(weights, "nowhere.bin")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    return model

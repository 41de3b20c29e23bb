"""Write a step of training of a support vector machine with 54 features as ONNX, for the template `axiline`."""

import sys

import onnx

STEP = """
<ir_version: 8, opset_import: ["" : 15]>
svm (float[54] W, float[54] x, float[1] y) => (float[54] updated)
<float rate = {0.125}, float one = {1.0}, int64[1] axis = {0}>
{
    products = Mul(W, x)
    score = ReduceSum<keepdims=0>(products, axis)
    margin = Mul(y, score)
    wrong = Less(margin, one)
    counts = Cast<to=1>(wrong)
    label = Mul(counts, y)
    direction = Mul(label, x)
    step = Mul(rate, direction)
    updated = Add(W, step)
}
"""

onnx.save(onnx.parser.parse_model(STEP), sys.argv[1])

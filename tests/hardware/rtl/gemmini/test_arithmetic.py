"""The reference of `convert` against ONNX's operators, exact fractions, and what it refuses."""

import math
from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from armillary.hardware.rtl.gemmini.arithmetic import Conversion, converted
from armillary.types import ArmillaryError
from hardware.rtl.gemmini.sums import random_conversion, random_sums


def by_onnx(sums, how):
    """Return what ONNX's operators make of sums, as a quantised network has them."""
    nodes = [
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["products"]),
        helper.make_node("Round", ["products"], ["integers"]),
        helper.make_node("Clip", ["integers", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["bytes"], to=TensorProto.INT8),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("scale", how.scale), ("low", how.low), ("high", how.high))
    ]
    graph = helper.make_graph(
        nodes,
        "convert",
        [helper.make_tensor_value_info("sums", TensorProto.INT32, sums.shape)],
        [helper.make_tensor_value_info("bytes", TensorProto.INT8, sums.shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return ReferenceEvaluator(model).run(None, {"sums": sums})[0]


@pytest.mark.parametrize("seed", range(20))
def test_floating_conversion_is_what_onnx_computes(seed):
    rng = np.random.default_rng(seed)
    how = random_conversion(rng, floating=True)
    sums = random_sums(rng, (4000,), how)
    np.testing.assert_array_equal(converted(sums, how), by_onnx(sums, how))


def binary32(value):
    """Return a fraction rounded to 24 bits, half to even."""
    if value == 0:
        return value
    exponent = math.floor(math.log2(abs(value)))
    exponent += (abs(value) >= Fraction(2) ** (exponent + 1)) - (abs(value) < Fraction(2) ** exponent)
    last = Fraction(2) ** (exponent - 23)
    return round(value / last) * last


@pytest.mark.parametrize("seed", range(10))
def test_floating_conversion_is_what_fractions_rounded_three_times_are(seed):
    rng = np.random.default_rng(seed)
    how = random_conversion(rng, floating=True)
    sums = random_sums(rng, (300,), how)
    scale = Fraction(how.scale)
    expected = [round(binary32(binary32(Fraction(int(value))) * scale)) for value in sums]
    np.testing.assert_array_equal(converted(sums, how), [min(max(e, how.low), how.high) for e in expected])


@pytest.mark.parametrize("seed", range(10))
def test_fixed_conversion_is_what_fractions_rounded_half_up_are(seed):
    rng = np.random.default_rng(seed)
    how = random_conversion(rng, floating=False)
    sums = random_sums(rng, (300,), how)
    exact = [Fraction(int(value) * how.scale, 2**how.shift) for value in sums]
    expected = [min(max(math.floor(value + Fraction(1, 2)), how.low), how.high) for value in exact]
    np.testing.assert_array_equal(converted(sums, how), expected)


def test_known_values():
    sums = np.array([-5, -3, -1, 0, 1, 3, 5, 300], dtype=np.int32)
    np.testing.assert_array_equal(converted(sums, Conversion(1, 1)), [-2, -1, 0, 0, 1, 2, 3, 127])
    np.testing.assert_array_equal(converted(sums, Conversion(0.5, floating=True)), [-2, -2, 0, 0, 0, 2, 2, 127])
    np.testing.assert_array_equal(converted(sums, Conversion(2, 0, low=0, high=6)), [0, 0, 0, 0, 2, 6, 6, 6])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"scale": 0}, r"scale=0 is not allowed; choose an integer from 1 to 65535"),
        ({"scale": 65536}, r"scale=65536 is not allowed"),
        ({"scale": 1.5}, r"scale=1\.5 is not allowed"),
        ({"scale": math.nan}, r"scale=nan is not allowed"),
        ({"shift": 64}, r"shift=64 is not allowed; choose 0 to 63"),
        ({"shift": -1}, r"shift=-1 is not allowed"),
        ({"shift": 1, "floating": True}, r"shift=1 is not allowed; choose 0 to 0"),
        ({"scale": 0.1, "floating": True}, r"scale=0\.1 is not allowed; choose a positive normal binary32 number"),
        ({"scale": -1.0, "floating": True}, r"scale=-1\.0 is not allowed"),
        ({"scale": 2.0**-127, "floating": True}, r"is not allowed"),
        ({"scale": 2.0**128, "floating": True}, r"is not allowed"),
        ({"scale": math.inf, "floating": True}, r"scale=inf is not allowed"),
        ({"scale": math.nan, "floating": True}, r"scale=nan is not allowed"),
        ({"low": -129}, r"low=-129, high=127 is not allowed"),
        ({"high": 128}, r"low=-128, high=128 is not allowed"),
        ({"low": 5, "high": 4}, r"low=5, high=4 is not allowed: -128 <= low <= high <= 127"),
    ],
)
def test_refuses_what_the_hardware_cannot_be_set_to(given, why):
    with pytest.raises(ArmillaryError, match=why):
        Conversion(**given)


def test_scale_bits_are_what_the_hardware_takes():
    assert Conversion(65535).scale_bits == 65535
    assert Conversion(1.5, floating=True).scale_bits == 0x3FC00000

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.rtl.genesys.arithmetic import ONE, Op, Reduce, computed, reduced, saturated
from armillary.hardware.rtl.genesys.behind import passed, passes
from armillary.hardware.rtl.genesys.vector_programs import Norm, Scale, layer_norm_of, softmax_of
from armillary.hardware.templates.genesys import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

INTEGERS = st.integers(-(2**31), 2**31 - 1)


def limited(value):
    return min(max(value, -(2**31)), 2**31 - 1)


@given(INTEGERS, st.integers(-(2**15), 2**15 - 1), st.integers(0, 47))
def test_products_are_rounded_half_up_and_saturate(a, b, shift):
    exact = limited((a * b * 2 + (1 << shift)) >> (shift + 1))
    assert computed(Op.MULTIPLY, np.array([a]), b, shift=shift).tolist() == [exact]
    assert computed(Op.MULTIPLY, np.array([a]), b, shift=shift, relu=True).tolist() == [max(exact, 0)]
    assert computed(Op.LEAKY, np.array([a]), b, shift=shift).tolist() == [exact if a < 0 else a]


@given(INTEGERS, INTEGERS)
def test_sums_and_the_greater(a, b):
    found = [computed(op, np.array([a]), b)[0] for op in (Op.ADD, Op.SUBTRACT, Op.MAXIMUM, Op.MINIMUM)]
    assert found == [limited(a + b), limited(a - b), max(a, b), min(a, b)]


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


# The stated errors, and at least half of each, so that a better table does not leave a stale number.
@pytest.mark.parametrize(
    ("op", "function", "least", "most", "error"),
    [
        (Op.SIGMOID, lambda x: 1 / (1 + math.exp(-x)), -12, 12, 9e-4),
        (Op.TANH, math.tanh, -8, 8, 1.8e-3),
        (Op.GELU, gelu, -8, 8, 1.8e-3),
        (Op.EXP2, lambda x: 2.0**x, -14, 0.999, 4e-4),
        (Op.LOG2, math.log2, 1 / 4096, 400, 4e-4),
    ],
)
def test_functions_are_within_their_stated_errors(op, function, least, most, error):
    values = np.unique(np.linspace(least * ONE, most * ONE, 20_001).astype(np.int64))
    exact = np.array([function(value / ONE) for value in values])
    worst = np.abs(computed(op, values) / ONE - exact).max()
    assert error / 2 < worst < error


def test_a_power_keeps_its_precision_with_fewer_bits_after_the_point():
    values = np.arange(0, 10 * ONE, 37)
    found = computed(Op.EXP2, values, shift=4) * 2.0**4 / ONE
    exact = 2.0 ** (values / ONE)
    assert (np.abs(found - exact) <= 2.0**3 / ONE + 2e-4 * exact).all()


def test_a_shift_beyond_is_refused():
    with pytest.raises(ArmillaryError, match="shift=48 is not allowed; choose 0 to 47"):
        computed(Op.MULTIPLY, np.array([1]), 1, shift=48)


def test_reduced_sums_saturate_on_the_way():
    values = np.array([[2**31 - 1, 5, -7], [-(2**31), -1, 3]])
    assert reduced(Reduce.SUM, values).tolist() == [2**31 - 8, -(2**31) + 3]
    assert reduced(Reduce.MAXIMUM, values).tolist() == [2**31 - 1, 3]


@given(st.floats(2**-30, 2**14))
def test_scales_are_within_a_part_in_thirty_thousand(number):
    scale = Scale.of(number)
    assert abs(scale.factor / 2.0**scale.shift / number - 1) < 1 / 30_000


@pytest.mark.parametrize("scale", [1 / 64, 1 / 16, 0.25])
def test_shares_are_those_of_a_softmax(scale):
    rng = np.random.default_rng(0)
    rows = rng.integers(-128, 128, size=(50, 300))
    powers = np.exp(scale * rows)
    exact = 128 * powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(softmax_of(rows, scale, 8) - np.minimum(exact, 127)).max() < 0.6
    equal = softmax_of(np.full((1, 4), 17), scale, 8)
    assert equal.tolist() == [[32, 32, 32, 32]]


@pytest.mark.parametrize("elements", [16, 768])
def test_normalised_rows_are_those_of_a_layer_normalisation(elements):
    rng = np.random.default_rng(0)
    rows = rng.normal(rng.uniform(-40, 40, (50, 1)), rng.uniform(1, 30, (50, 1)), (50, elements))
    rows = rows.round().clip(-128, 127).astype(np.int64)
    norm, one, none = Norm(elements, 32.0), np.full(elements, ONE), np.zeros(elements, dtype=np.int64)
    exact = 32 * (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + norm.epsilon)
    assert np.abs(layer_norm_of(rows, one, none, norm, 8) - exact.clip(-128, 127)).max() < 1.0


@pytest.mark.parametrize("width", [4, 8])
def test_activations_are_those_of_the_scaled_sums(width):
    accelerator = Accelerator(data_width=width, weight_width=width)
    layer = Layer("conv", "conv", K=4, C=32, P=4, Q=4, R=3, S=3)
    most = (1 << (width - 1)) - 1
    spread = math.sqrt(32 * 9) * 4**width / 12
    sums = np.random.default_rng(0).normal(0, spread, 4000).astype(np.int64)
    scaled = sums / spread * (most + 1) / 3
    arguments = 2 * sums / spread
    exact = {
        "none": scaled,
        "relu": np.maximum(scaled, 0),
        "leaky_relu": np.where(scaled < 0, scaled / 10, scaled),
        "sigmoid": most / (1 + np.exp(-arguments)),
        "tanh": most * np.tanh(arguments),
        "gelu": (most + 1) / 4 * np.array([gelu(x) for x in arguments]),
    }
    for name, values in exact.items():
        found = passed(passes(name, layer, accelerator), sums, width)
        limit = saturated(np.round(values).astype(np.int64), width)
        assert np.abs(found - limit).max() <= 1, name
        assert len(np.unique(found)) > most // 2

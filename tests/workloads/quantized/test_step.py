import numpy as np
import pytest

from armillary.types import ArmillaryError
from armillary.workloads.quantized.step import IntegerNetwork, Multiplier, Step, TensorInfo, Window


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_multiplier_is_within_half_a_unit_of_its_mantissa(seed):
    for factor in np.exp(np.random.default_rng(seed).uniform(np.log(0.5), np.log(255 << 15), 300)):
        found = Multiplier.nearest(factor)
        assert abs(found.value - factor) <= max(0.5, factor / 255)
        assert found.mantissa >= 128 or found.exponent == 0


@pytest.mark.parametrize(
    ("factor", "mantissa", "exponent"),
    [(0.5, 1, 0), (1, 1, 0), (2.6, 3, 0), (255, 255, 0), (255.6, 128, 1), (256, 128, 1), (511.4, 128, 2),
     (255 << 15, 255, 15), (254.6 * 2**15, 255, 15)],
)  # fmt: skip
def test_multipliers_at_the_edges(factor, mantissa, exponent):
    assert Multiplier.nearest(factor) == Multiplier(mantissa, exponent)


@pytest.mark.parametrize("factor", [0.49, (255 << 15) + 1, float("nan"), float("inf")])
def test_a_factor_that_no_multiplier_is_close_to_is_refused(factor):
    with pytest.raises(ArmillaryError, match=r"must be in 0\.5\.\.8355840"):
        Multiplier.nearest(factor)


@pytest.mark.parametrize(
    ("values", "message"), [((0, 0), "mantissa=0"), ((256, 0), "1..255"), ((1, 16), "exponent=16")]
)
def test_a_multiplier_that_the_hardware_lacks_is_refused(values, message):
    with pytest.raises(ArmillaryError, match=message):
        Multiplier(*values)


def test_windows_count_their_outputs():
    window = Window((3, 2), (2, 1), (1, 0, 0, 3), (1, 4))
    assert window.outputs(8, 6) == (4, 5)
    assert window.area == 6


def conv(**changes):
    given, output = TensorInfo("x", (1, 4, 8, 8), 1.0), TensorInfo("y", (1, 6, 4, 4), 1.0)
    weights = np.ones((6, 2, 3, 3), dtype=np.int8)
    weights[3] = -5
    bias = np.array([0, 0, -7, 0, 0, 0], dtype=np.int32)
    made = {"window": Window((3, 3), (2, 2), (1, 1, 1, 1)), "groups": 2, "weights": weights, "bias": bias, **changes}
    return Step("c", "conv", given, output, **made)


def test_a_convolution_is_a_layer():
    layer = conv().layer()
    assert (layer.name, layer.kind, layer.groups, layer.bias) == ("c", "conv", 2, True)
    assert (layer.N, layer.K, layer.C, layer.P, layer.Q, layer.R, layer.S) == (1, 6, 4, 4, 4, 3, 3)
    assert (layer.stride_h, layer.stride_w, layer.dilation_h, layer.dilation_w) == (2, 2, 1, 1)


def test_the_largest_sum_is_that_of_the_worst_inputs():
    assert conv().largest_sum == 128 * 5 * 18 + 7
    residual = TensorInfo("r", (1, 6, 4, 4), 1.0)
    assert conv(residual=residual, residual_multiplier=Multiplier(3, 2)).largest_sum == 128 * (5 * 18 + 12) + 7


@pytest.mark.parametrize("count", [0, 2, -1])
def test_only_as_many_steps_as_there_are_can_be_asked_for(count):
    step = conv()
    with pytest.raises(ArmillaryError, match=f"--layers={count} is not allowed; net has 1 to 1 steps"):
        IntegerNetwork("net", step.inputs, (step,)).first(count)

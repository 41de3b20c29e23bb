import json

import numpy as np
import pytest

from armillary.types import ArmillaryError
from armillary.workloads.quantized.quantizing import calibrated, integers, quantized, read_scales
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.step import Multiplier, TensorInfo
from workloads.quantized.small_networks import Builder, inverted_residual, residual_block


@pytest.fixture
def read(tmp_path):
    return lambda builder: read_network(builder.save(tmp_path / "net.onnx"))


def test_the_same_seed_gives_the_same_scales(read):
    network = read(residual_block())
    assert calibrated(network, seed=3) == calibrated(network, seed=3) != calibrated(network, seed=4)


def test_scales_make_the_largest_magnitude_127(read):
    net = Builder((1, 2, 4, 4))
    weights = np.zeros((1, 2, 1, 1), np.float32)
    weights[0, 0] = 2.0
    net.node("Conv", ["image", net.constant(weights)], (1, 1, 4, 4))
    network = read(net)
    scales = calibrated(network, seed=5)
    rng = np.random.default_rng(5)
    images = [rng.normal(size=(1, 2, 4, 4)).astype(np.float32) for _ in range(4)]
    assert scales["image"] == pytest.approx(max(np.abs(image).max() for image in images) / 127)
    assert scales[net.last] == pytest.approx(max(2 * np.abs(image[:, 0]).max() for image in images) / 127)


def test_integers_follow_from_the_scales(read):
    net = Builder((1, 2, 1, 1))
    weights = np.array([[1.27, -0.5], [0.0, 0.2]], np.float32).reshape(2, 2, 1, 1)
    bias = np.array([0.1, -0.3], np.float32)
    start = net.node("Conv", ["image", *map(net.constant, (weights, bias))], (1, 2, 1, 1))
    net.conv(2, (1, 1))
    net.node("Add", [net.last, start])
    network = quantized(read(net), {"image": 0.1, start: 0.5, net.last: 2.0})
    first, second = network.steps
    np.testing.assert_array_equal(first.weights.reshape(2, 2), [[127, -50], [0, 20]])
    np.testing.assert_array_equal(first.bias, [100, -300])
    assert first.scale == pytest.approx(0.1 * 0.01 / 0.5)
    unit = second.scale * 2.0  # what a sum of one is worth
    assert second.residual.name == start
    assert second.residual_multiplier == Multiplier.nearest(0.5 / unit)


def test_the_maximum_keeps_the_scale_and_additions_are_exact(read):
    net = Builder((1, 3, 6, 6))
    pooled = net.pool("MaxPool", (3, 3), pads=(1, 1, 1, 1))
    net.node("Add", [pooled, "image"])
    pool, add = quantized(read(net), {"image": 0.25, net.last: 0.5}).steps
    assert pool.output.scale == 0.25
    assert add.multiplier == add.residual_multiplier == Multiplier(128, 8)
    assert add.scale == 0.25 / 2**15 / 0.5


def test_relu6_ends_at_the_quantised_six(read):
    net = Builder((1, 3, 4, 4))
    net.conv(2)
    net.clip()
    network = read(net)
    highs = [quantized(network, {"image": 1.0, net.last: scale}).steps[0].high for scale in (0.1, 6 / 127, 0.01)]
    assert highs == [60, 127, 127]
    assert quantized(network, {"image": 1.0, net.last: 0.1}).steps[0].low == 0


@pytest.mark.parametrize("bias", [1e6, -1e9])
def test_a_bias_that_dwarfs_the_products_does_not_overflow(read, bias):
    net = Builder((1, 2, 2, 2))
    weights = np.full((1, 2, 1, 1), 1e-6, np.float32)
    net.node("Conv", ["image", *map(net.constant, (weights, np.array([bias], np.float32)))], (1, 1, 2, 2))
    (step,) = quantized(read(net), {"image": 1.0, net.last: abs(bias) / 100}).steps
    assert abs(step.bias[0]) == 1 << 29
    assert step.bias[0] * step.scale == pytest.approx(np.sign(bias) * 100)


def test_a_residual_that_dwarfs_the_products_fits_its_multiplier(read):
    net = Builder((1, 2, 4, 4))
    net.conv(2, (1, 1))
    net.node("Add", [net.last, "image"])
    net.conv(2, (3, 3))
    network = read(net)
    step = quantized(network, {"image": 1.0, "add_1": 1.0, net.last: 1.0}).steps[0]
    assert step.residual_multiplier.value * step.scale == pytest.approx(1.0, rel=0.01)
    wide = read(inverted_residual())
    scales = {**calibrated(wide), "conv_0": 1e9}
    step = next(s for s in quantized(wide, scales).steps if s.residual)
    assert step.residual_multiplier == Multiplier(255, 15)
    assert not step.weights.any()


def test_a_residual_too_small_to_count_is_refused_by_node(read):
    network = read(inverted_residual())
    with pytest.raises(ArmillaryError, match=r"node_conv_6: the scales of what it adds lie too far apart: a factor of"):
        quantized(network, {**calibrated(network), "conv_0": 1e-12})


def test_sums_beyond_32_bits_are_refused(read):
    net = Builder((1, 70000, 1, 1))
    net.node("Conv", ["image", net.constant(np.ones((1, 70000 * 2, 1, 1), np.float32)[:, :70000])], (1, 1, 1, 1))
    network = read(net)
    quantized(network, {"image": 1.0, net.last: 1.0})
    wide = Builder((1, 140000, 1, 1))
    wide.node("Conv", ["image", wide.constant(np.ones((1, 140000, 1, 1), np.float32))], (1, 1, 1, 1))
    with pytest.raises(ArmillaryError, match=r"node_conv_0: its sums reach 2,275,840,000; they must be at most 2,147"):
        quantized(read(wide), {"image": 1.0, wide.last: 1.0})


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_scales_come_from_a_file(read, tmp_path, suffix):
    network = read(residual_block())
    scales = calibrated(network)
    path = tmp_path / f"scales.{suffix}"
    path.write_text(json.dumps(scales) if suffix == "json" else "".join(f"{k}: {v!r}\n" for k, v in scales.items()))
    assert read_scales(path, network) == scales


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("image"), "tensor 'image' has no scale"),
        (lambda s: s.update(sky=1.0), r"no tensor 'sky'; there are \['image'"),
        (lambda s: s.update(image=0), "image=0 is not allowed; a scale is a positive number"),
        (lambda s: s.update(image=-1.0), "image=-1.0 is not allowed"),
        (lambda s: s.update(image=True), "image=True is not allowed"),
        (lambda s: s.update(image="x"), "image='x' is not allowed"),
    ],
)
def test_wrong_scales_are_refused(read, tmp_path, change, message):
    network = read(residual_block())
    scales = calibrated(network)
    change(scales)
    path = tmp_path / "scales.json"
    path.write_text(json.dumps(scales))
    with pytest.raises(ArmillaryError, match=message):
        read_scales(path, network)


def test_an_input_becomes_integers():
    tensor = TensorInfo("x", (1, 2, 1, 2), 0.5)
    values = np.array([[[[0.24, -0.76]], [[1000.0, -1000.0]]]])
    assert integers(values, tensor).reshape(-1).tolist() == [0, -2, 127, -128]
    given = np.arange(4, dtype=np.int8).reshape(1, 2, 1, 2)
    np.testing.assert_array_equal(integers(given, tensor), given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 1, 1, 2), np.int8), r"shape \[2, 1, 1, 2\]; tensor 'x' has \[1, 2, 1, 2\]"),
        (np.zeros((1, 2, 1, 2), np.int16), "type int16; allowed are int8, float32 and float64"),
        (np.full((1, 2, 1, 2), np.nan), "not finite"),
    ],
)
def test_a_wrong_input_is_refused(values, message):
    with pytest.raises(ArmillaryError, match=message):
        integers(values, TensorInfo("x", (1, 2, 1, 2), 0.5))

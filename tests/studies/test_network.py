import json
import re

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from armillary.cli import app
from armillary.hardware.templates.gemmini import Accelerator
from armillary.studies import network as studies
from armillary.studies.network import run_quantized, write_run
from armillary.types import ArmillaryError
from armillary.workloads.quantized.executing import differing
from armillary.workloads.quantized.runtime import run_model
from workloads.quantized.small_networks import inverted_residual, residual_block

SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)
DESIGN = "dim: 4\nscratchpad_kib: 8\naccumulator_kib: 8\nbus_bytes: 4\n"


@pytest.fixture
def model(tmp_path):
    return residual_block().save(tmp_path / "net.onnx")


@pytest.fixture
def design(tmp_path):
    path = tmp_path / "design.yaml"
    path.write_text(DESIGN)
    return str(path)


def test_a_run_can_be_repeated_from_what_it_writes(model, tmp_path):
    first = run_quantized(SMALL, model, seed=3)
    assert first.matches
    written = {path.name: path for path in write_run(first, tmp_path / "out")}
    tensors = dict(np.load(written["tensors.npz"]))
    names = [run.step.output.name for run in first.steps]
    graph = onnx.load(str(written["integer.onnx"]))
    assert not differing(run_model(graph, {"image": tensors["image"]}, names), {n: tensors[n] for n in names})
    np.save(tmp_path / "image.npy", tensors["image"])
    again = run_quantized(SMALL, model, scales=written["scales.yaml"], inputs=tmp_path / "image.npy", seed=9)
    assert not differing(dict(again.tensors), tensors)


def test_utilization_counts_the_work_of_the_network(model):
    run = run_quantized(SMALL, model)
    conv, average = run.steps[0], run.steps[-2]
    assert conv.macs == 8 * 3 * 5 * 5 * 6 * 5  # of all sums, though they are pooled
    assert conv.step.pool.kernel == (3, 3)
    assert conv.utilization == conv.macs / (conv.cycles * 16)
    assert (average.step.kind, average.macs, average.utilization, average.mapping) == ("average_pool", 0, 0, "")
    assert run.result.cycles == sum(one.cycles for one in run.steps)
    assert run_quantized(SMALL, model, layers=2).tensor_bytes == 8 * 6 * 5


def test_floats_are_quantised_by_the_inputs_scale(model, tmp_path):
    image = np.random.default_rng(5).normal(size=(1, 3, 12, 10)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    run = run_quantized(SMALL, model, inputs=tmp_path / "image.npy", layers=1)
    expected = np.rint(image / run.network.inputs.scale).clip(-128, 127)
    np.testing.assert_array_equal(run.tensors["image"], expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no array", r"--input .*image\.npy: cannot be read as \.npy"), (None, r"--input .*: input has shape \[2\]")],
)
def test_a_wrong_input_is_refused_before_anything_runs(model, tmp_path, content, message):
    path = tmp_path / "image.npy"
    path.write_bytes(content) if content else np.save(path, np.zeros(2, np.int8))
    with pytest.raises(ArmillaryError, match=message):
        run_quantized(SMALL, model, inputs=path)


def run(*arguments):
    return CliRunner().invoke(app, ["rtl", "run", *map(str, arguments)])


def test_the_command_tells_of_every_step(model, design):
    result = run(model, "--design", design)
    assert result.exit_code == 0, result.output
    assert result.output.count(" yes") == 7
    assert "conv + max_pool 3x3" in result.output
    assert "7 tensors, 826 bytes, all equal to ONNX Runtime" in result.output
    assert "random" not in result.output


def test_the_document_says_what_the_table_says(model, design, tmp_path):
    onnx.save_model(onnx.load(str(model)), str(model), save_as_external_data=True, location="w", size_threshold=0)
    (tmp_path / "w").unlink()
    result = run(model, "--design", design, "--json", "--layers", 3, "--out", tmp_path / "out")
    found = json.loads(result.stdout)
    assert (found["tensors"], found["outputs_match"], found["network"]) == (2, True, "net")
    assert [(step["kind"], step["pools"], step["looks_up"]) for step in found["steps"]] == [
        ("conv", [3, 3], False), ("conv", None, False),
    ]  # fmt: skip
    assert found["cycles"] == sum(step["cycles"] for step in found["steps"])
    assert found["tensor_bytes"] == 2 * 240
    assert "constant_0" in found["random_weights"]
    assert len(found["written"]) == 3


def test_a_tensor_that_differs_ends_with_status_1(model, design, monkeypatch):
    real = studies.reference

    def other(network, image):
        found = real(network, image)
        name = list(found)[4]
        return {**found, name: found[name] ^ 1}

    monkeypatch.setattr(studies, "reference", other)
    result = run(model, "--design", design)
    assert result.exit_code == 1
    assert len(re.findall(r" NO *\n", result.output)) == 1
    assert "NOT all equal" in result.output


@pytest.mark.parametrize("layers", [0, 99])
def test_steps_that_are_not_there_are_refused(model, design, layers):
    result = run(model, "--design", design, "--layers", layers)
    assert isinstance(result.exception, ArmillaryError)
    assert f"--layers={layers} is not allowed; net has 1 to 8 steps" in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tensors"), [("resnet18", 23), ("mobilenetv2", 54)])
def test_whole_networks_are_bit_exact(name, tensors, shared_data):
    found = run_quantized(Accelerator(), shared_data / "onnx" / f"{name}.onnx")
    assert found.matches
    assert len(found.steps) == tensors


def test_relu6_and_depthwise_layers_run_on_an_output_stationary_array(tmp_path):
    outputs = Accelerator(
        dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=2, dataflow="output_stationary", outstanding=5
    )
    found = run_quantized(outputs, inverted_residual().save(tmp_path / "net.onnx"))
    assert found.matches

import json
import re

import pytest
from typer.testing import CliRunner

from armillary.cli import app
from armillary.hardware.rtl.gemmini.compiler import RefusedError
from armillary.hardware.templates.gemmini import Accelerator
from armillary.studies import rtl
from armillary.studies.rtl import read_accelerator, trace, write_rtl
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, LayerUse, Workload

SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)
DESIGN = "dim: 4\nscratchpad_kib: 8\naccumulator_kib: 8\nbus_bytes: 4\n"
NETWORK = Workload(
    "two",
    (
        LayerUse(Layer("conv", "conv", K=8, C=4, P=6, Q=6, R=3, S=3, dilation_h=2)),
        LayerUse(Layer("depthwise", "depthwise", K=8, C=8, P=6, Q=6, R=3, S=3, groups=8)),
    ),
)


def test_a_file_need_not_say_everything(tmp_path):
    path = tmp_path / "design.yaml"
    path.write_text(DESIGN)
    assert read_accelerator(path) == SMALL
    path.write_text("design:\n  dim: 6\n  bus_bytes: 8\n")
    assert read_accelerator(path) == Accelerator(dim=6, bus_bytes=8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dim: 4\ncolour: red\n", "colour is no parameter of gemmini"),
        ("dim: four\n", "dim='four' is no int"),
        ("dim: true\n", "dim=True is no int"),
        ("dim: 5\n", "dim=5 is not allowed; it must be even"),
        ("- dim\n", "holds no design"),
        (
            "dim: 32\nbus_bytes: 16\naccumulator_kib: 1\naccumulator_banks: 8\n",
            "accumulator_kib=1 .* at least 2, so that",
        ),
    ],
)
def test_a_wrong_file_names_its_parameter(tmp_path, text, message):
    path = tmp_path / "design.yaml"
    path.write_text(text)
    with pytest.raises(ArmillaryError, match=message) as fault:
        read_accelerator(path)
    assert str(path) in str(fault.value)


def test_a_design_that_is_no_hardware_is_not_generated(tmp_path):
    design = tmp_path / "design.yaml"
    design.write_text("dim: 64\nscratchpad_kib: 1\naccumulator_kib: 1\nscratchpad_banks: 16\naccumulator_banks: 4\n")
    command = ["rtl", "generate", "--design", str(design), "--out", str(tmp_path / "rtl")]
    with pytest.raises(ArmillaryError, match=r"design\.yaml: scratchpad_kib=1 is not allowed; it must be at least 2"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert not (tmp_path / "rtl").exists()


def test_hardware_is_not_written_among_other_files(tmp_path):
    assert {path.suffix for path in write_rtl(SMALL, tmp_path)} == {".sv", ".csv"}
    write_rtl(SMALL, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArmillaryError, match=r"holds 'notes.txt'; name an empty or new folder"):
        write_rtl(SMALL, tmp_path)


def test_a_file_that_names_its_template_becomes_that_hardware(tmp_path):
    design = tmp_path / "design.yaml"
    design.write_text("template: axiline\ndesign:\n  dimension: 7\n  cycles: 3\n")
    command = ["rtl", "generate", "--design", str(design), "--out", str(tmp_path / "rtl"), "--json"]
    told = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    assert told["top"] == "axiline"
    assert set(told["files"]) == {path.name for path in (tmp_path / "rtl").iterdir()}
    assert "parameter int LANES           = 3," in (tmp_path / "rtl" / "axiline.sv").read_text()
    with pytest.raises(ArmillaryError, match=r"design.yaml: holds a design of template 'axiline', not 'gemmini'"):
        CliRunner().invoke(app, [*command, "--template", "gemmini"], catch_exceptions=False)


def test_a_parameter_of_another_template_is_unknown(tmp_path):
    design = tmp_path / "design.yaml"
    design.write_text("dim: 4\n")
    command = ["rtl", "generate", "--design", str(design), "--out", str(tmp_path / "rtl"), "--template", "axiline"]
    with pytest.raises(ArmillaryError, match=r"dim is no parameter of axiline; it has \['algorithm', 'mode'"):
        CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize("name", ["conv", "depthwise"])
def test_a_traced_layer_computes_what_numpy_does(name):
    found = trace(SMALL, NETWORK, layer=name)
    assert found.matches
    assert {event.unit for event in found.result.events} == {"load", "execute", "store"}


def test_a_layer_must_be_named_if_there_are_several():
    with pytest.raises(ArmillaryError, match=r"two has 2 layers; name one with --layer: \['conv', 'depthwise'\]"):
        trace(SMALL, NETWORK)
    with pytest.raises(ArmillaryError, match="two has no layer 'dense'"):
        trace(SMALL, NETWORK, layer="dense")


def test_a_mapping_that_does_not_fit_is_refused():
    large = Workload("large", (LayerUse(Layer("gemm", "gemm", K=64, C=64, P=64)),))
    text = "L3[WIO] N1 - L2[WI] N1 K4X - L1[O] K16 C16 C4X - L0[W] P64"
    with pytest.raises(RefusedError, match="accumulator rows overflow: 1,024 needed, 512 there"):
        trace(SMALL, large, mapping=text)


def traced(design, out, *options):
    """Return what `rtl trace` says of the smallest layer of MobileNetV2."""
    runner = CliRunner()
    layers = json.loads(runner.invoke(app, ["workloads", "show", "mobilenet_v2", "--json"]).stdout)["layers"]
    smallest = min(layers, key=lambda layer: layer["macs"])["name"]
    where = ["--design", str(design), "--workload", "mobilenet_v2", "--layer", smallest, "--out", str(out), "--json"]
    done = runner.invoke(app, ["rtl", "trace", *where, *options])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_the_commands_write_hardware_waves_and_a_timeline(tmp_path):
    design, out = tmp_path / "design.yaml", tmp_path / "out"
    design.write_text(DESIGN)
    command = ["rtl", "generate", "--design", str(design), "--out", str(tmp_path / "rtl"), "--json"]
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0
    assert "accelerator.sv" in json.loads(made.stdout)["files"]
    content = traced(design, out)
    assert content["outputs_match"]
    assert content["busy_cycles"] + sum(content["stall_cycles"].values()) == content["cycles"]
    assert (out / "timeline.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (out / "trace.fst").stat().st_size > 10_000


def test_activity_is_that_of_every_multiplier(tmp_path):
    (tmp_path / "design.yaml").write_text(DESIGN)
    content = traced(tmp_path / "design.yaml", tmp_path, "--saif", "--no-waves")
    assert content["outputs_match"]
    assert list(content["traces"]) == ["saif"]
    activity = (tmp_path / "activity.saif").read_text()
    assert "(SAIFILE" in activity
    elements = [part.split("(INSTANCE")[0] for part in activity.split("(INSTANCE pe\n")[1:]]
    assert len(elements) == 4 * 4
    for element in elements:  # every multiplier's product changes
        assert sum(map(int, re.findall(r"\(product\S+ .*\(TC (\d+)\)\)", element))) > 0


@pytest.mark.parametrize(
    ("kinds", "full"), [((), False), (("fst",), False), (("saif",), True), (("fst", "saif"), True)]
)
def test_activity_alone_needs_every_multiplier(kinds, full, monkeypatch, tmp_path):
    built = []
    of_model = rtl.simulator(SMALL)
    monkeypatch.setattr(rtl, "simulator", lambda _, full, trace="": built.append((trace, full)) or of_model)
    trace(SMALL, NETWORK, layer="conv", traces={kind: tmp_path / kind for kind in kinds})
    assert built == [(kind, full) for kind in kinds or ("",)]

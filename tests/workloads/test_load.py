from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from armillary.types import ArmillaryError
from armillary.workloads import load, zoo


def test_a_name_loads_from_the_zoo() -> None:
    assert load("resnet18") == zoo.build("resnet18")


def test_a_path_is_imported(shared_onnx: Path) -> None:
    assert load(str(shared_onnx / "resnet18.onnx")).name == "resnet18"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", r"'resnet19' is neither a workload .* did you mean resnet18"),
        ("MobileNet-V2", r"did you mean mobilenet_v2"),
        ("zzz", r"choose one of bert, conformer_s, diffusion_unet"),
        ("no/such/model.onnx", r"no/such/model\.onnx: no such file"),
        ("", r"the workload's name is empty; give one of"),
        ("resnet18.onnx", r"resnet18\.onnx: no such file; did you mean resnet18"),
    ],
)
def test_an_unknown_name_or_file_is_refused_with_near_matches(name: str, message: str) -> None:
    with pytest.raises(ArmillaryError, match=message):
        load(name)


def test_a_misspelt_file_is_refused_with_those_beside_it(shared_onnx: Path) -> None:
    with pytest.raises(ArmillaryError, match=r"no such file; did you mean .*alexnet\.onnx"):
        load(str(shared_onnx / "alexnett.onnx"))


def test_a_zoo_workload_has_no_open_dimension() -> None:
    with pytest.raises(ArmillaryError, match=r"'resnet18' has no open dimension, got {'batch': 2}"):
        load("resnet18", {"batch": 2})


def test_the_zoo_loads_neither_onnx_nor_torch() -> None:
    code = (
        "import sys, armillary.workloads.zoo as zoo; [zoo.build(n) for n in zoo.names()]; "
        "assert not {'onnx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""What docs/tabla.md tells of cycles is what the compiler says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from armillary.hardware import templates
from armillary.hardware.rtl.tabla.compiler import compiled
from armillary.hardware.templates.tabla import Accelerator
from armillary.studies.design_file import read_design
from armillary.studies.evaluate import evaluate_one
from armillary.types import Fidelity
from armillary.workloads.onnx.importer import import_onnx

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tabla.md").read_text()
DEPTHS = {"data_depth": 64, "weight_depth": 256, "intermediate_depth": 256, "inbox_depth": 256}


def rows():
    """Yield file, operations, and cycles by shape, as the table has them."""
    shapes = [tuple(map(int, shape)) for shape in re.findall(r"(\d+)x(\d+) \|", TEXT)]
    for file, cells in re.findall(r"\| `(\w+\.onnx)` \| (.+) \|", TEXT):
        operations, *cycles = map(int, cells.split(" | "))
        yield file, operations, dict(zip(shapes, cycles, strict=True))


@pytest.mark.parametrize(("file", "operations", "cycles"), list(rows()))
def test_the_table_of_cycles_is_the_compilers(file, operations, cycles, shared_data):
    graph = import_onnx(shared_data / "onnx" / file).dataflow
    for shape, expected in cycles.items():
        accelerator = Accelerator(*shape, axi_width=min(8, shape[0] * shape[1]), instruction_depth=1024, **DEPTHS)
        step = compiled(graph, accelerator)
        assert (len(step.mapped.operations), step.program.cycles) == (operations, expected), shape


def test_the_example_takes_what_is_printed(tmp_path):
    path = tmp_path / "svm.onnx"
    subprocess.run([sys.executable, ROOT / "examples" / "svm_to_onnx.py", path], check=True)
    template = templates.load("tabla")
    design = read_design(ROOT / "examples" / "tabla.yaml", template.space, template.defaults)
    answer = evaluate_one(template, design, import_onnx(path), Fidelity.ANALYTICAL)
    for name in ("latency_cycles", "stream_cycles", "delay_cycles", "runtime_s"):
        printed = re.search(rf"^    {name} +([\d,.e-]+)$", TEXT, re.MULTILINE)[1]
        assert answer.metrics[name] == pytest.approx(float(printed.replace(",", ""))), name

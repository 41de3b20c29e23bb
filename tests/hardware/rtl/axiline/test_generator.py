import subprocess
import sys

import pytest

from armillary.hardware.rtl.axiline.generator import PLATFORM, TOP, sources
from armillary.hardware.templates.axiline import Accelerator
from armillary.tools.verilator import tools
from armillary.workloads.algorithm import ALGORITHMS, MODES

# Dimension, input width, internal width, cycles: one element, a part of zeros, widths alike, a cycle for every element.
SHAPES = ((54, 8, 16, 9), (1, 4, 8, 1), (5, 16, 16, 2), (7, 12, 24, 5), (3, 8, 8, 3))
LINEAR = [Accelerator(name, mode, *shape) for name in ALGORITHMS[:-1] for mode in MODES for shape in SHAPES]
TREES = [
    Accelerator("decision_tree", "inference", *shape, depth)
    for shape, depth in zip((*SHAPES, (4, 8, 8, 2)), (4, 1, 8, 3, 7, 2), strict=True)
]


def test_verilator_finds_nothing_to_warn_of(tmp_path):
    for number, accelerator in enumerate([*LINEAR, *TREES]):
        folder = tmp_path / str(number)
        names = [path.name for path in PLATFORM.generate(accelerator, folder)]
        command = [str(tools().verilator), "--lint-only", "-Wall", "--top-module", TOP, *names]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={"VERILATOR_ROOT": str(tools().root)}
        )
        assert (done.returncode, done.stderr) == (0, ""), accelerator


@pytest.mark.parametrize("number", [0, 1, 2])
def test_yosys_finds_no_problem_and_no_latch(tmp_path, number):
    some = [*LINEAR[number::6], *TREES[number::3]]
    scripts = []
    for place, accelerator in enumerate(some):
        folder = tmp_path / str(place)
        files = " ".join(str(path) for path in PLATFORM.generate(accelerator, folder))
        steps = [f"read_verilog -sv {files}", f"hierarchy -check -top {TOP}", "proc", "check -assert", "flatten", "opt"]
        scripts.append([*steps, "check -assert", "select -assert-none t:$dlatch"])
    code = (
        "import pyosys.libyosys as ys\n"
        f"for script in {scripts!r}:\n    d = ys.Design()\n    for step in script: ys.run_pass(step, d)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]


def test_what_an_algorithm_does_not_need_is_not_there():
    assert "tree_stage.sv" not in sources(Accelerator())
    assert set(sources(Accelerator(mode="inference"))) < set(sources(Accelerator(mode="training")))
    tree = Accelerator("decision_tree", "inference", depth=3)
    assert set(sources(tree)) == {f"{TOP}.sv", "tree_stage.sv"}


def test_the_header_names_every_parameter(tmp_path):
    PLATFORM.generate(Accelerator(dimension=11, cycles=3), tmp_path)
    head = (tmp_path / f"{TOP}.sv").read_text().split("module")[0]
    assert "//   algorithm       svm\n" in head
    assert "//   dimension       11\n" in head

import subprocess
import sys

import numpy as np
import pytest

from armillary.hardware.rtl.tabla.generator import PLATFORM, TOP, config_bits
from armillary.hardware.rtl.tabla.program import layout_of
from armillary.hardware.templates.tabla import Accelerator
from armillary.tools.verilator import tools
from hardware.rtl.tabla.graphs import random_accelerator

LEAST = {"data_depth": 2, "weight_depth": 4, "intermediate_depth": 4, "inbox_depth": 4, "instruction_depth": 16}
FEW = (
    Accelerator(),
    Accelerator(1, 2, 4, 8, 1, **LEAST),
    Accelerator(1, 3, 32, 32, 3, weight_depth=1024, instruction_depth=16),
    Accelerator(3, 5, 8, 8, 4),
    *(random_accelerator(np.random.default_rng(seed)) for seed in range(4)),
)


def test_verilator_finds_nothing_to_warn_of(tmp_path):
    for number, accelerator in enumerate(FEW):
        folder = tmp_path / str(number)
        names = [path.name for path in PLATFORM.generate(accelerator, folder)]
        command = [str(tools().verilator), "--lint-only", "-Wall", "--top-module", TOP, *names]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={"VERILATOR_ROOT": str(tools().root)}
        )
        assert (done.returncode, done.stderr) == (0, ""), accelerator


def test_yosys_finds_no_problem_and_no_latch(tmp_path):
    scripts = []
    for place, accelerator in enumerate(FEW[1:4]):
        files = " ".join(str(path) for path in PLATFORM.generate(accelerator, tmp_path / str(place)))
        steps = [f"read_verilog -sv {files}", f"hierarchy -check -top {TOP}", "proc", "check -assert"]
        scripts.append([*steps, "flatten", "opt_clean", "check -assert", "select -assert-none t:$dlatch"])
    code = (
        "import pyosys.libyosys as ys\n"
        f"for script in {scripts!r}:\n    d = ys.Design()\n    for step in script: ys.run_pass(step, d)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]


@pytest.mark.parametrize("accelerator", FEW, ids=str)
def test_an_instruction_has_a_bit_for_every_field(accelerator):
    layout = layout_of(accelerator)
    assert sum(bits for _, bits in layout.values()) == accelerator.instruction_bits <= config_bits(accelerator)


def test_the_header_names_every_parameter(tmp_path):
    PLATFORM.generate(Accelerator(num_pu=2, inbox_depth=16), tmp_path)
    head = (tmp_path / f"{TOP}.sv").read_text().split("module")[0]
    assert "//   num_pu              2\n" in head
    assert "//   inbox_depth         16\n" in head

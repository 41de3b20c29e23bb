import subprocess
import sys
from itertools import pairwise

import pytest

from armillary.hardware.rtl.genesys.arithmetic import TABLES, lookup_source
from armillary.hardware.rtl.genesys.generator import PLATFORM, TOP
from armillary.hardware.templates.genesys import Accelerator
from armillary.tools.verilator import tools

# Array, widths, memories in KiB, port: words of several beats, of one, and of a part of one.
SHAPES = [
    Accelerator(4, 8, 8, 1, 1, 1, 1, 1, 32),
    Accelerator(4, 4, 8, 1, 2, 2, 1, 4, 512),
    Accelerator(2, 4, 4, 1, 1, 1, 1, 1, 32),
    Accelerator(16, 8, 4, 16, 64, 8, 4, 4, 256),
]


def test_verilator_finds_nothing_to_warn_of(tmp_path):
    for number, accelerator in enumerate(SHAPES):
        folder = tmp_path / str(number)
        names = [path.name for path in PLATFORM.generate(accelerator, folder)]
        command = [str(tools().verilator), "--lint-only", "-Wall", "--top-module", TOP, *names]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={"VERILATOR_ROOT": str(tools().root)}
        )
        assert (done.returncode, done.stderr) == (0, ""), accelerator


def test_yosys_finds_no_problem_and_no_latch(tmp_path):
    scripts = []
    for place, accelerator in enumerate(SHAPES[:3:2]):
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


@pytest.mark.parametrize("accelerator", SHAPES)
def test_every_parameter_reaches_the_hardware(accelerator):
    top = PLATFORM.files(accelerator)[f"{TOP}.sv"]
    head, _, body = top.partition("module")
    for name in ("array", "data_width", "weight_width", "ibuf_kib", "wbuf_kib", "obuf_kib", "bbuf_kib", "vmem_kib"):
        assert f"//   {name:<12}  {getattr(accelerator, name)}\n" in head
    values = {"ARRAY": accelerator.array, "DATA": accelerator.data_width, "WEIGHT": accelerator.weight_width}
    values |= {f"{name.upper()}_WORDS": getattr(accelerator, f"{name}_words") for name in ("ibuf", "wbuf", "obuf")}
    values |= {
        "BBUF_WORDS": accelerator.bbuf_words,
        "VMEM_WORDS": accelerator.vmem_words,
        "PORT": accelerator.port_width,
    }
    for name, value in values.items():
        assert any(line.split() == ["parameter", "int", name, "=", str(value)]
                   for line in body.replace(",", "").split("\n") for line in [line.split("//")[0]])  # fmt: skip


def test_the_tables_of_the_hardware_are_those_of_the_reference():
    lines = lookup_source().split("\n")
    for which, table in enumerate(TABLES):
        entries = table.entries
        assert f"      7'd{32 * which}: {{entry, change}} = {{14'd{entries[0]}, " in "\n".join(lines)
        assert max(entries) < 1 << 14
        assert max(abs(after - entry) for entry, after in pairwise(entries)) < 1 << 10

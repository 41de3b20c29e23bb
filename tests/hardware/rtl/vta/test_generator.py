import subprocess
import sys

from armillary.hardware.rtl.vta.generator import PLATFORM, TOP, parameters, sources
from armillary.hardware.templates.vta import Accelerator
from armillary.tools.verilator import tools
from hardware.rtl.vta.accelerators import NARROW, SMALL

# The published one; beats of 32 bytes, each with two commands; tiles of a beat and few of them.
SOME = (
    NARROW,
    Accelerator(),
    Accelerator(batch=4, block_in=32, block_out=16, bus_bytes=32, weight_width=2, weight_buffer=65536),
    Accelerator(
        block_in=4, block_out=4, bus_bytes=4, input_buffer=16, weight_buffer=64, accumulator_buffer=64, uop_buffer=64
    ),
)


def test_verilator_finds_nothing_to_warn_of(tmp_path):
    for number, accelerator in enumerate(SOME):
        folder = tmp_path / str(number)
        names = [path.name for path in PLATFORM.generate(accelerator, folder)]
        command = [str(tools().verilator), "--lint-only", "-Wall", "--top-module", TOP, *names]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={"VERILATOR_ROOT": str(tools().root)}
        )
        assert (done.returncode, done.stderr) == (0, ""), accelerator


def test_yosys_finds_no_problem_and_no_latch(tmp_path):
    files = " ".join(str(path) for path in PLATFORM.generate(NARROW, tmp_path))
    script = [f"read_verilog -sv {files}", f"hierarchy -check -top {TOP}", "proc", "check -assert", "flatten", "opt"]
    script += ["check -assert", "select -assert-none t:$dlatch"]
    code = f"import pyosys.libyosys as ys\nd = ys.Design()\nfor step in {script!r}: ys.run_pass(step, d)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]


def test_every_parameter_of_the_template_is_one_of_the_hardware(tmp_path):
    assert len(parameters(SMALL)) == len(Accelerator.__dataclass_fields__)
    text = sources(SMALL)[f"{TOP}.sv"]
    for name, value in parameters(SMALL).items():
        assert f"parameter int {name.ljust(12)} = {value}" in text
    PLATFORM.generate(SMALL, tmp_path)
    head = (tmp_path / f"{TOP}.sv").read_text().split("module")[0]
    assert "//   block_in            4\n" in head

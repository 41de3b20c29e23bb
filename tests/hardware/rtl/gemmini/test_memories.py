import json
import subprocess
import sys
from collections import Counter

import pytest

from armillary.hardware.rtl.gemmini.generator import generate
from armillary.hardware.rtl.gemmini.memories import memories, table
from armillary.hardware.templates.gemmini import Accelerator

SCRIPT = """
import json, sys
import pyosys.libyosys as ys
d = ys.Design()
ys.run_pass("read_verilog -sv " + " ".join(sys.argv[1:]), d)
ys.run_pass("hierarchy -check -top accelerator", d)
modules = {m.name.str(): m for m in d.modules_.values()}
def origin(m): return (m.get_string_attribute(ys.IdString("\\\\hdlname")) or m.name.str()).lstrip("\\\\")
def walk(name, path):
    for cell in modules[name].cells_.values():
        kind = cell.type.str()
        if kind not in modules: continue
        here = path + [cell.name.str().lstrip("\\\\")]
        if origin(modules[kind]).startswith("sram_"):
            values = {k.str().lstrip("\\\\"): v.as_int() for k, v in modules[kind].parameter_default_values.items()}
            found.append([".".join(here), origin(modules[kind]), values["WORDS"], values["BITS"]])
        else: walk(kind, here)
found = []
walk("\\\\accelerator", [])
print("FOUND" + json.dumps(found))
"""


@pytest.mark.parametrize(
    "accelerator",
    [
        Accelerator(dim=4, bus_bytes=4, scratchpad_kib=9, accumulator_kib=8, scratchpad_banks=8, queue_depth=3),
        Accelerator(dim=6, bus_bytes=8, dataflow="output_stationary", queue_depth=1, accumulator_kib=64),
        Accelerator(dim=16),
        Accelerator(dim=4, bus_bytes=4, scratchpad_kib=8, accumulator_kib=8, activation_tables=1),
        Accelerator(dim=16, bus_bytes=4, scratchpad_kib=1, accumulator_kib=1, activation_tables=1),
        pytest.param(
            Accelerator(dim=32, bus_bytes=32, queue_depth=8, dataflow="output_stationary"), marks=pytest.mark.slow
        ),
        Accelerator(dim=8, bus_bytes=8, queue_depth=2, dataflow="both"),
    ],
)
def test_the_table_is_what_yosys_elaborates(tmp_path, accelerator):
    files = [str(path) for path in generate(accelerator, tmp_path) if path.suffix == ".sv"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *files], capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    elaborated = Counter((path.split(".")[1], *rest) for path, *rest in json.loads(line.removeprefix("FOUND")))
    told = Counter()
    for memory in memories(accelerator):
        told[memory.instance.split(".")[1], memory.module, memory.words, memory.bits] += memory.count
    assert told == elaborated


def test_the_table_is_written_beside_the_hardware(tmp_path):
    accelerator = Accelerator(dim=4, bus_bytes=4)
    paths = generate(accelerator, tmp_path)
    assert tmp_path / "memories.csv" in paths
    lines = (tmp_path / "memories.csv").read_text().splitlines()
    assert lines[:3] == [
        "instance,module,words,bits,count",
        "core.scratchpad.g_bank[*].memory,sram_1rw,16384,32,4",
        "core.accumulator.g_bank[*].memory,sram_1r1w,2048,128,2",
    ]
    assert "\n".join(lines) + "\n" == table(accelerator)

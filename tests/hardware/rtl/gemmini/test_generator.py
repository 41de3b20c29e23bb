import random
import subprocess
import sys
from dataclasses import replace

import pytest

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.rtl.gemmini.generator import ELABORATED, MEMORIES, PARAMETERS, generate, sources
from armillary.hardware.templates.gemmini import DATAFLOWS, Accelerator, TooSmallError
from armillary.tools.verilator import tools
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

BASE = Accelerator(
    dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4, outstanding=2, burst_rows=4, queue_depth=2,
    dram_bytes_per_cycle=4, dram_latency=40,
)  # fmt: skip
# Every knob, and the other value that is compared with BASE's.
KNOBS = {
    "dim": 8,
    "scratchpad_kib": 16,
    "accumulator_kib": 16,
    "dataflow": "output_stationary",
    "bus_bytes": 2,
    "scratchpad_banks": 2,
    "accumulator_banks": 4,
    "burst_rows": 16,
    "outstanding": 8,
    "queue_depth": 1,
    "dram_latency": 80,
    "dram_bytes_per_cycle": 2,
}
LAYER = Layer("conv", "conv", K=16, C=16, P=32, Q=8, R=3, S=3, stride_w=2)
LAYERS = {
    "accumulator_kib": Layer("wide", "conv", K=64, C=8, P=32, Q=8),
    "accumulator_banks": Layer("spilled", "conv", K=64, C=16, P=9, Q=7),
}
TILES = "L3[WIO] K4 P16 C2 - L2[WI] N1 K4X - L1[O] C2 R3 S3 Q2 C4X - L0[W] P2 Q4"
# Where the usual tiles do not meet what a knob decides: the two mappings compared, or the one, and the layer.
MAPPINGS = {
    "dim": (TILES, TILES.replace("K4 P16 C2", "K2 P16").replace("K4X", "K8X").replace("C4X", "C8X")),
    "dataflow": (TILES, "L3[WIO] K4 P16 C2 - L2[WI] N1 K4X - L1[O] Q2 P2 Q4X - L0[O] R3 S3 C8"),
    # a memory that holds one tile, and one that holds two
    "scratchpad_kib": ("L3[WIO] K4 Q2 - L2[WI] N1 K4X - L1[O] C4 R3 S3 C4X - L0[W] P32 Q4",) * 2,
    "accumulator_kib": ("L3[WIO] K8 - L2[WI] N1 K4X - L1[O] K2 C2 C4X - L0[W] P32 Q8",) * 2,
    # sums that are stored and loaded while others are added, by columns that no count of banks divides
    "accumulator_banks": ("L3[WIO] C4 K16 - L2[WI] N1 K4X - L1[O] C4X - L0[W] Q7 P9",) * 2,
}


def linted(accelerator, folder):
    """Return Verilator's exit status and warnings on the hardware of an accelerator."""
    generate(accelerator, folder)
    files = sorted(path.name for path in folder.glob("*.sv"))
    command = [str(tools().verilator), "--lint-only", "-Wall", "--top-module", "accelerator", *files]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"VERILATOR_ROOT": str(tools().root)}
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("dataflow", "dim", "tables"),
    [*((dataflow, *size) for dataflow in DATAFLOWS for size in ((4, 0), (6, 1))), (DATAFLOWS[2], 16, 0)],
)
def test_verilator_finds_nothing_to_warn_of(tmp_path, dataflow, dim, tables):
    accelerator = Accelerator(
        dim=dim, bus_bytes=4, dataflow=dataflow, scratchpad_kib=24, accumulator_kib=40, activation_tables=tables
    )
    assert linted(accelerator, tmp_path) == (0, "")


def small_geometries(most):
    """Return accelerators of small memories, many banks and every kind of queue, so many that others were refused.

    Wide arrays are only as wide as the smallest memories need to run out of rows.
    """
    rng, found, refused = random.Random(5), [], 0
    while len(found) < most or not refused:
        try:
            found.append(
                Accelerator(
                    dim=rng.choice([2, 4, 6, 16, 20]),
                    scratchpad_kib=rng.choice([1, 2, 3]),
                    accumulator_kib=rng.choice([1, 2, 3]),
                    dataflow=rng.choice(DATAFLOWS),
                    bus_bytes=rng.choice([1, 2, 4, 16]),
                    scratchpad_banks=rng.choice([2, 4, 8, 16]),
                    accumulator_banks=rng.choice([2, 4, 8, 16]),
                    burst_rows=rng.choice([1, 2, 3, 64]),
                    outstanding=rng.choice([1, 2, 3, 64]),
                    queue_depth=rng.choice([1, 2, 3, 16]),
                    activation_tables=rng.choice([0, 1]),
                )
            )
        except TooSmallError:
            refused += 1
    return found


@pytest.mark.parametrize("drawn", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_what_is_not_refused_is_legal_hardware(drawn, tmp_path):
    edges = [
        Accelerator(dim=20, accumulator_kib=1, scratchpad_kib=1, accumulator_banks=8, scratchpad_banks=16),
        Accelerator(dim=2, bus_bytes=1, scratchpad_kib=1, accumulator_kib=1, queue_depth=1, outstanding=1),
        Accelerator(dim=4, bus_bytes=4, scratchpad_kib=511, accumulator_kib=512, burst_rows=64),
        Accelerator(dim=16, scratchpad_kib=1024, accumulator_kib=512),
        Accelerator(dim=2, bus_bytes=2, scratchpad_kib=255, accumulator_kib=512, dataflow="output_stationary"),
    ]
    for number, accelerator in enumerate([*edges, *small_geometries(drawn)]):
        assert linted(accelerator, tmp_path / str(number)) == (0, ""), accelerator


@pytest.mark.parametrize(
    ("memory", "dim", "kib", "banks", "rows", "least"),
    [
        ("accumulator", 32, 1, 8, 8, 2),
        ("accumulator", 64, 4, 16, 16, 5),
        ("accumulator", 62, 1, 16, 4, 5),
        ("scratchpad", 64, 1, 16, 16, 2),
    ],
)
def test_banks_of_one_row_are_refused_and_the_least_size_that_is_named_is_allowed(memory, dim, kib, banks, rows, least):
    values = {"dim": dim, f"{memory}_kib": kib, f"{memory}_banks": banks}
    message = (
        rf"^{memory}_kib={kib} is not allowed; it must be at least {least}, so that {memory}_banks={banks} have more"
    )
    with pytest.raises(TooSmallError, match=message) as fault:
        Accelerator(**values)
    assert (fault.value.resource, fault.value.needed, fault.value.available) == (f"{memory} rows", banks + 1, rows)
    with pytest.raises(TooSmallError):
        Accelerator(**values | {f"{memory}_kib": least - 1})
    assert getattr(Accelerator(**values | {f"{memory}_kib": least}), f"{memory}_rows") > banks


@pytest.mark.parametrize(("dataflow", "tables"), [(DATAFLOWS[0], 0), (DATAFLOWS[1], 1), (DATAFLOWS[2], 1)])
def test_yosys_elaborates_it(tmp_path, dataflow, tables):
    values = {"scratchpad_kib": 8, "accumulator_kib": 8, "activation_tables": tables}
    generate(Accelerator(dim=4, bus_bytes=4, dataflow=dataflow, **values), tmp_path)
    files = " ".join(str(path) for path in sorted(tmp_path.glob("*.sv")))
    script = (
        "import sys; import pyosys.libyosys as ys; d = ys.Design()\n"
        f"for step in ['read_verilog -sv {files}', 'hierarchy -check -top accelerator', 'proc', 'check -assert']:\n"
        "    ys.run_pass(step, d)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]


def test_the_header_names_every_parameter(tmp_path):
    generate(BASE, tmp_path)
    header = (tmp_path / "accelerator.sv").read_text().split("module")[0]
    for name in KNOBS:
        assert f"//   {name}" in header
    assert "//   outstanding           2" in header


@pytest.mark.parametrize("dataflow", ["output_stationary", "both"])
def test_an_array_that_holds_sums_has_32_bits_of_them(dataflow):
    assert "parameter int PSUM              = 32" in sources(replace(BASE, dataflow=dataflow))["accelerator.sv"]
    assert "parameter int PSUM              = 16 + $clog2(DIM)" in sources(BASE)["accelerator.sv"]


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_hardware_and_the_cycles(knob):
    pair = BASE, replace(BASE, **{knob: KNOBS[knob]})
    found = []
    for accelerator, mapping in zip(pair, MAPPINGS.get(knob, (TILES, TILES)), strict=True):
        program = compile_layer(LAYERS.get(knob, LAYER), Mapping.parse(mapping), accelerator)
        found.append(simulate(simulator(accelerator), Job(accelerator, program, most_cycles=1_000_000)))
        elaborated = found[-1].elaborated
        assert {n: v for n, v in elaborated.items() if n not in MEMORIES} == {
            name: getattr(accelerator, name) for name in ELABORATED if name not in MEMORIES
        }
        assert all(elaborated[name] >= getattr(accelerator, name) for name in MEMORIES)
    assert found[0].cycles != found[1].cycles
    assert (sources(pair[0]) != sources(pair[1])) == (knob in PARAMETERS or knob == "dataflow")


def test_tables_are_of_the_hardware_and_cost_what_looks_nothing_up_no_cycle():
    found = []
    for accelerator in (BASE, replace(BASE, activation_tables=1)):
        program = compile_layer(LAYER, Mapping.parse(TILES), accelerator)
        found.append(simulate(simulator(accelerator), Job(accelerator, program, most_cycles=1_000_000)))
        assert found[-1].elaborated["activation_tables"] == accelerator.activation_tables
    assert found[0].cycles == found[1].cycles
    assert "parameter int ACTIVATION_TABLES = 1," in sources(replace(BASE, activation_tables=1))["accelerator.sv"]
    with pytest.raises(ArmillaryError, match=r"^activation_tables=2 is not allowed; it must be 0 or 1$"):
        Accelerator(activation_tables=2)


def test_what_an_accelerator_is_stands_in_the_top_alone():
    weights, outputs, both = (sources(replace(BASE, dataflow=dataflow)) for dataflow in DATAFLOWS)
    assert set(weights) == set(outputs) == set(both)
    for other in (outputs, both):
        assert [name for name in weights if weights[name] != other[name]] == ["accelerator.sv"]
    for number, text in enumerate((weights, outputs, both), start=1):
        assert f"parameter int DATAFLOW          = {number}," in text["accelerator.sv"]

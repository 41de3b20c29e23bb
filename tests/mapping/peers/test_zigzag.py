import json
import math
from pathlib import Path

import pytest

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini
from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.mapping.peers import zigzag
from armillary.mapping.peers.interpreter import interpreter, version_in
from armillary.types import AccidentError, ArmillaryError
from armillary.workloads.layer import Layer

LAYER = Layer("conv", "conv", K=32, C=16, P=14, Q=14, R=3, S=3)


def test_the_hierarchy_is_told_with_its_sizes_and_what_each_memory_serves():
    told = zigzag.accelerator(gemmini())
    assert told["operational_array"]["dimensions"] == ["D1", "D2"]
    assert told["operational_array"]["sizes"] == [16, 16]
    served = {name: memory["served_dimensions"] for name, memory in told["memories"].items()}
    assert served == {
        "Registers": [],
        "Accumulator": ["D1"],
        "Scratchpad": ["D1", "D2"],
        "DRAM": ["D1", "D2"],
    }
    assert told["memories"]["Scratchpad"]["size"] == (1 << 18) * 8
    assert told["memories"]["Accumulator"]["operands"] == ["O"]


def test_spatial_loops_are_no_wider_than_the_layer():
    (told,) = zigzag.mapping(gemmini(), Layer("thin", "conv", K=8, C=64))
    assert told["spatial_mapping"] == {"D1": ["C, 16"], "D2": ["K, 8"]}


def test_a_free_spatial_dimension_is_refused():
    chip = Hierarchy(name="h", levels=(Level(name="DRAM", fanout=(4, 1)), Level(name="Reg")))
    with pytest.raises(ArmillaryError, match=r"h: level DRAM: ZigZag unrolls one dimension .* rules.spatial_x"):
        zigzag.accelerator(chip)


def test_a_failing_program_is_an_answer():
    answer = zigzag.best_mapping(gemmini(), LAYER, python="false")
    assert math.isnan(answer.edp)
    assert "exit status 1" in answer.failure
    kept = Path(answer.failure.rsplit(": ", 1)[1]).parent
    assert {path.stem for path in (kept / "files").iterdir()} == {"accelerator", "mapping", "workload"}


def test_a_program_past_its_limit_is_stopped(tmp_path):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    answer = zigzag.best_mapping(gemmini(), LAYER, python=str(slow), time_limit_s=0.5)
    assert answer.failure.startswith("took more than 0.5 s; ")
    assert 0.5 <= answer.seconds < 20


def answering(folder, **said):
    """Return a program that answers as ZigZag's driver does."""
    program = folder / "python"
    line = json.dumps({"energy_pj": 2.0, "delay_cycles": 3.0, "evaluated": 4, "version": "0", **said})
    program.write_text(f"#!/bin/sh\necho loading >&2\necho loaded\necho '{line}'; echo bye >&2\n")
    program.chmod(0o755)
    return str(program)


# Of `GEMM`: uneven, as weights stay while all 17 rows go by, and all inputs are in the scratchpad.
GEMM = Layer("gemm", "gemm", K=1000, C=509, P=17)
SPATIAL = {"K": 1000 / 63, "C": 509 / 32}
INNER = [["OY", 17], ["C", 2], ["K", 7], ["C", 16]]
LOOPS = {"W": [INNER[:1], INNER[1:], [["K", 9]]], "O": [INNER, [["K", 9]]], "I": [[*INNER, ["K", 9]], []]}


def test_an_answer_is_read_from_the_last_line(tmp_path):
    answer = zigzag.best_mapping(gemmini(), GEMM, python=answering(tmp_path, loops=LOOPS, spatial=SPATIAL))
    assert (answer.energy_pj, answer.delay_cycles, answer.evaluated, answer.edp) == (2.0, 3.0, 4, 6.0)
    assert (answer.program, answer.failure, answer.lost) == ("ZigZag 0", "", "")


def test_its_mapping_becomes_ours_with_the_rounds_that_zigzag_pads_cut_short(tmp_path):
    answer = zigzag.best_mapping(gemmini(), GEMM, python=answering(tmp_path, loops=LOOPS, spatial=SPATIAL))
    assert not list(answer.mapping.faults(gemmini(), GEMM))
    spatial = {str(loop) for level in answer.mapping.levels for loop in level.spatial}
    assert spatial == {"K16,8X", "C16,13X"} or spatial == {"K16,15X", "C16,13X"}
    costs = evaluate(gemmini(), GEMM, answer.mapping)
    assert costs.feasible
    assert float(costs.compute_cycles) == 17 * 63 * 32


def test_a_narrower_unrolling_shows_in_the_temporal_loops():
    layer = Layer("l", "gemm", K=16, C=16, P=4)
    loops = {tensor: [[["OY", 4], ["K", 2]], []] for tensor in "WIO"}
    nest = zigzag.nest(gemmini(), layer, {"loops": {**loops, "W": [[], *loops["W"]]}, "spatial": {"K": 8.0, "C": 16.0}})
    assert {str(loop) for loops in nest.spatial.values() for loop in loops} == {"K8X", "C16X"}
    assert nest.temporal == (("P", 4), ("K", 2))
    assert nest.held == {(0, "W"): 0, (2, "W"): 2, (2, "I"): 2, (1, "O"): 2}


def test_loops_that_do_not_cover_the_layer_are_no_mapping(tmp_path):
    short = {"W": [[], [], [["OY", 17]]], "O": [[], [["OY", 17]]], "I": [[], [["OY", 17]]]}
    answer = zigzag.best_mapping(gemmini(), GEMM, python=answering(tmp_path, loops=short, spatial=SPATIAL))
    assert answer.mapping is None
    assert answer.failure == "its mapping has loops over K that turn 16 times; layer gemm has 1000"


def test_operands_of_different_orders_are_no_mapping():
    loops = {"W": [[["K", 2], ["OY", 4]]], "O": [[["OY", 4], ["K", 2]]], "I": [[["OY", 4], ["K", 2]]]}
    with pytest.raises(ArmillaryError, match="another order of loops"):
        zigzag.nest(gemmini(), LAYER, {"loops": loops, "spatial": {}})


def test_free_dimensions_are_told_one_by_one():
    told = list(zigzag.told_as(eyeriss()))
    rules = [level.rules for chip in told for level in chip.levels if level.name == "GlobalBuffer"]
    assert [(r.spatial_x, r.spatial_y) for r in rules] == [("P", "R"), ("P", "C"), ("K", "R"), ("K", "C")]
    assert list(zigzag.told_as(gemmini())) == [gemmini()]


def test_a_program_that_a_signal_ended_found_nothing_that_counts(tmp_path):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(0o755)
    with pytest.raises(AccidentError, match="python: ended by SIGKILL"):
        zigzag.best_mapping(gemmini(), LAYER, python=str(killed))


PYTHON = interpreter(zigzag.PYTHON_VARIABLE)


@pytest.mark.skipif(
    version_in(PYTHON, zigzag.DISTRIBUTION) is None, reason=f"ZigZag is not installed: {zigzag.INSTALL}"
)
@pytest.mark.parametrize("goal", ["energy", "delay", "edp"])
def test_zigzags_energy_is_near_ours(goal):
    answer = zigzag.best_mapping(gemmini(), LAYER, goal=goal, python=PYTHON, lpf_limit=4)
    assert not answer.failure
    assert answer.evaluated > 0
    costs = evaluate(gemmini(), LAYER, answer.mapping)
    assert costs.feasible
    assert answer.energy_pj == pytest.approx(float(costs.energy_pj), rel=0.05)

import math
from pathlib import Path

import pytest

from armillary.benchmarks.cost_model.cost_speed import gemmini
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.mapping.peers import zigzag
from armillary.mapping.search import search
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


def test_an_answer_is_read_from_the_last_line(tmp_path):
    chatty = tmp_path / "python"
    chatty.write_text(
        "#!/bin/sh\necho loading >&2\necho loaded\n"
        """echo '{"energy_pj": 2.0, "delay_cycles": 3.0, "evaluated": 4}'; echo bye >&2\n"""
    )
    chatty.chmod(0o755)
    answer = zigzag.best_mapping(gemmini(), LAYER, python=str(chatty))
    assert (answer.energy_pj, answer.delay_cycles, answer.evaluated, answer.edp) == (2.0, 3.0, 4, 6.0)


def test_a_program_that_a_signal_ended_found_nothing_that_counts(tmp_path):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(0o755)
    with pytest.raises(AccidentError, match="python: ended by SIGKILL"):
        zigzag.best_mapping(gemmini(), LAYER, python=str(killed))


@pytest.mark.skipif(zigzag.installed() is None, reason="ZigZag is not installed: pip install 'armillary[zigzag]'")
def test_zigzags_energy_is_near_ours():
    answer = zigzag.best_mapping(gemmini(), LAYER, lpf_limit=4)
    assert not answer.failure
    ours = search(gemmini(), LAYER, budget=5_000, seed=0, goal="energy")
    assert answer.energy_pj == pytest.approx(ours.energy_pj, rel=0.5)
    assert answer.evaluated > 0

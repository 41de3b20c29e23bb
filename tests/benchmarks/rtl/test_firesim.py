import csv
import threading

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.rtl import firesim
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import Padding, Requantization, compile_layer
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

SHAPE = {"N": 1, "K": 16, "C": 8, "P": 8, "Q": 8, "R": 3, "S": 3}
TEXT = "L3[WIO] K4 Q2 - L2[WI] N1 K4X - L1[O] Q4 R3 S3 C2 C4X - L0[W] P8"


def fields(mapping=TEXT, cycles=10_000.0, timeloop=9_000.0, **changes):
    shape = SHAPE | changes
    return {
        "target.cycle": timeloop,
        "target.energy": 2e6,
        "target.edp": 14_000.0,
        "mapping.mapping": mapping,
        "arch.mem1_entries": 64,
        "arch.mem2_entries": 4096,
        **{f"prob.{d}": value for d, value in shape.items()},
        **{f"prob.{name}": 1 for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")},
        "target.gemmini_cycle": cycles,
    }


def written(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def options(data, out, quick=False):
    return BenchOptions(data, quick, 0, out, lambda *_: None)


def test_a_row_is_read(tmp_path):
    (row,) = firesim.read_rows(written(tmp_path / "some.csv", [fields()]))
    assert (row.file, row.number, row.dim, row.kind) == ("some", 0, 4, "3x3")
    assert (row.cycles, row.timeloop, row.hardware) == (10_000, 9_000, (64, 4096))
    assert (row.layer.K, row.layer.P) == (16, 8)
    assert str(row.mapping) == str(Mapping.parse(TEXT))


def test_a_file_that_repeats_the_measured_cycles_has_the_analytical_ones_in_its_edp(tmp_path):
    (row,) = firesim.read_rows(written(tmp_path / "train.csv", [fields(timeloop=10_000.0)]))
    assert row.timeloop == pytest.approx(14_000 / 2)


@pytest.mark.parametrize(("across", "dim"), [("K4X", 8), ("K16X", 16), ("K1X", 8), ("K12X", 16), ("K33X", 64)])
def test_the_array_is_the_smallest_power_of_two_that_holds_what_is_unrolled(across, dim):
    assert firesim.array_size(Mapping.parse(f"L3[WIO] N1 - L2[WI] N1 {across} - L1[O] C5X - L0[W] N1")) == dim


def test_an_array_has_two_rows_at_least():
    assert firesim.array_size(Mapping.parse("L3[WIO] K4 - L2[WI] N1 - L1[O] C4 - L0[W] N1")) == 2


def row_of(text, dim=4, **sizes):
    layer = Layer("layer", "conv", **sizes)
    return firesim.Row("f", 0, layer, Mapping.parse(text), dim, (1, 1), 1.0, 1.0)


def test_loops_within_a_tile_turn_in_the_order_of_gemminis_loop_instruction():
    text = "L3[WIO] K4 Q2 - L2[WI] N1 K4X - L1[O] Q2 R3 P2 C2 S3 K2 C4X - L0[W] P4 Q2"
    row = row_of(text, K=32, C=8, P=8, Q=8, R=3, S=3)
    found = firesim.as_executed(row)
    assert str(found) == "L3[WIO] K4 Q2 - L2[WI] N1 K4X - L1[O] K2 S3 R3 C2 C4X - L0[W] Q4 P8"
    assert found.extents() == row.mapping.extents()


@pytest.mark.parametrize(
    ("text", "executed"),
    [
        (  # K of 1, C of 2 and P of 1 become 4 each; K has 2 tiles instead of 8
            "L3[WIO] P8 K8 C4 - L2[WI] N1 - L1[O] N1 C2X - L0[W] N1",
            "L3[WIO] P2 K2 C2 - L2[WI] N1 K4X - L1[O] C4X - L0[W] P4",
        ),
        (  # nothing is narrower than the array
            "L3[WIO] P2 C2 - L2[WI] N1 K4X - L1[O] K2 C4X - L0[W] P4",
            "L3[WIO] P2 C2 - L2[WI] N1 K4X - L1[O] K2 C4X - L0[W] P4",
        ),
        (  # 2 tiles of one each: there are no 4 to join
            "L3[WIO] P8 K2 - L2[WI] N1 K1X - L1[O] K4 C2 C4X - L0[W] N1",
            "L3[WIO] P2 K2 - L2[WI] N1 K4X - L1[O] C2 C4X - L0[W] P4",
        ),
    ],
)
def test_tiles_of_a_gemm_fill_the_array(text, executed):
    found = firesim.as_executed(row_of(text, K=8, C=8, P=8))
    assert str(found) == executed
    assert found.extents() == {"K": 8, "C": 8, "P": 8} | dict.fromkeys("NQRSG", 1)


def test_tiles_of_a_convolution_stay_narrow():
    text = "L3[WIO] K8 - L2[WI] N1 - L1[O] C2 C4X - L0[W] Q8 P8"
    found = firesim.as_executed(row_of(text, K=8, C=8, P=8, Q=8))
    assert str(found) == text


def test_tensors_lie_as_nhwc_and_rsck():
    mapping = Mapping.parse(TEXT.replace("S3", "S2"))
    accelerator = firesim.accelerator_for(4)
    layer = Layer("conv", "conv", K=16, C=8, P=8, Q=6, R=3, S=2, stride_h=2)
    placed = firesim.placement_of(layer, mapping, accelerator)
    assert placed.inputs.strides == (17 * 7 * 8, 4, 17 * 7 * 8, 8, 17 * 8)  # P and R along the rows of the image
    assert placed.weights.strides[1:] == (4, 2 * 8 * 16, 8 * 16, 16)
    assert placed.outputs.strides[1:] == (4, 8 * 6 * 16, 16, 8 * 16)
    assert placed.inputs.end == 17 * 7 * 8
    assert placed.inputs.end <= placed.weights.address < placed.weights.end <= placed.outputs.address
    assert placed.outputs.end <= placed.address


def test_rows_that_do_not_fill_the_array_have_gaps():
    layer = Layer("conv", "conv", K=16, C=6, P=8, Q=6, R=3, S=2)
    text = "L3[WIO] K8 - L2[WI] N1 K2X - L1[O] Q6 R3 S2 C2 C3X - L0[W] P8"
    accelerator = firesim.accelerator_for(4)
    placed = firesim.placement_of(layer, Mapping.parse(text), accelerator)
    assert placed.inputs.counts == (1, 2, 1, 10, 7)
    assert placed.inputs.strides == (10 * 7 * 8, 4, 10 * 7 * 8, 8, 10 * 8)
    assert placed.weights.counts == (1, 8, 3, 2, 6)
    assert placed.weights.strides[1:] == (4, 2 * 6 * 32, 6 * 32, 32)
    assert placed.outputs.strides[1:] == (4, 8 * 6 * 32, 32, 8 * 32)
    program = compile_layer(layer, Mapping.parse(text), accelerator, placement=placed, reload=True)
    inputs, weights = random_tensors(layer, Padding(), np.random.default_rng(0))
    job = Job(accelerator, program, into_dram(program, inputs, weights), wants_dram=True, dram_model=firesim.Soc())
    found = from_dram(program, simulate(simulator(accelerator), job).dram, layer.K)
    np.testing.assert_array_equal(found, convolved(layer, inputs, weights, Padding(), Requantization()))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mapping": "K4 C4"}, "some.csv: row 1: mapping 'K4 C4'"),
        ({"cycles": "many"}, "some.csv: row 1: could not convert string to float: 'many'"),
        ({"K": "x"}, "some.csv: row 1: invalid literal"),
    ],
)
def test_a_bad_row_is_named(tmp_path, change, text):
    with pytest.raises(ArmillaryError, match=text):
        firesim.read_rows(written(tmp_path / "some.csv", [fields(), fields(**change)]))


def test_a_file_without_the_columns_is_named(tmp_path):
    with pytest.raises(ArmillaryError, match=r"other.csv: has no rows with 'target.gemmini_cycle'"):
        firesim.read_rows(written(tmp_path / "other.csv", [{"a": 1}]))


def test_without_rows_the_option_is_named(tmp_path):
    with pytest.raises(ArmillaryError, match="--data DIR"):
        firesim.run(options(None, tmp_path))
    with pytest.raises(ArmillaryError, match="has no CSV file"):
        firesim.run(options(tmp_path, tmp_path))


def entry(**values):
    known = {"firesim": 100.0, "rtl": 100.0, "rtl_shipped": 100.0, "soc": 100.0, "cost_model": 100.0, "timeloop": 80.0}
    return {"file": "a", "kind": "1x1", "layer": "l", "hardware": "h", "refused": ""} | known | values


def test_errors_are_relative_and_absolute():
    rows = [entry(rtl=150.0), entry(rtl=50.0), entry(rtl=75.0), entry(rtl=None, refused="no")]
    found = firesim._summary("a", "all", rows, "rtl")
    assert found["rows"] == 3
    assert found["mean error"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert found["over FireSim"] == pytest.approx((1.5 * 0.5 * 0.75) ** (1 / 3))
    assert found["nearer than Timeloop"] == 0
    assert firesim._summary("a", "all", rows, "timeloop")["mean error"] == pytest.approx(0.2)
    assert firesim._nearer([entry(rtl=120.0), entry(rtl=121.0), entry(rtl=None)], "rtl") == pytest.approx(1 / 3)


def test_a_refused_row_and_a_far_one_fail_their_checks():
    good = {check.name: check.ok for check in firesim._checks("a", [entry(), entry(rtl=110.0)])}
    assert all(good.values())
    far = {check.name: check.ok for check in firesim._checks("a", [entry()] * 20 + [entry(rtl=40.0)])}
    assert [name for name, ok in far.items() if not ok] == ["a: rows off by more than 2x"]
    refused = {check.name: check.ok for check in firesim._checks("a", [entry()] * 20 + [entry(rtl=None)])}
    assert [name for name, ok in refused.items() if not ok] == ["a: rows that the RTL refuses"]


def test_ranks_are_compared_within_groups():
    rows = [entry(layer="x", rtl=a, firesim=b) for a, b in ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0))]
    rows += [entry(layer="y", rtl=a, firesim=b) for a, b in ((10.0, 30.0), (20.0, 20.0), (30.0, 10.0))]
    rows += [entry(layer="z", rtl=1.0, firesim=9.0)] * 2  # ranks of equal rows say nothing
    assert firesim._spearman(rows, "rtl", lambda row: row["layer"]) == pytest.approx(0.0)
    assert firesim._spearman(rows[:3], "rtl", lambda _: "") == pytest.approx(1.0)
    assert firesim._spearman(rows[6:], "rtl", lambda _: "") is None


def test_the_bench_compares_all_models_and_resumes(tmp_path, monkeypatch):
    rows = [fields(), fields(K=32, mapping=TEXT.replace("K4 Q2", "K8 Q2"), cycles=20_000.0)]
    written(tmp_path / "rows.csv", rows)
    first = firesim.run(options(tmp_path, tmp_path / "out"))
    assert [row["rows"] for row in first.rows] == [2] * 10
    assert (tmp_path / "out" / "figure.html").exists()
    with (tmp_path / "out" / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    work = [16 * 8 * 64 * 9 / 16, 32 * 8 * 64 * 9 / 16]
    for row, least in zip(table, work, strict=True):
        for model in ("rtl", "rtl_shipped", "soc", "cost_model"):
            assert least <= float(row[model]) < 3 * least, model
        assert row["refused"] == ""
    monkeypatch.setattr(firesim, "_part_of", lambda *_: pytest.fail("ran again"))
    assert firesim.run(options(tmp_path, tmp_path / "out")).rows == first.rows


def test_the_longest_rows_run_first_and_rows_stay_in_order(tmp_path, monkeypatch):
    written(tmp_path / "rows.csv", [fields(cycles=cycles) for cycles in (3.0, 9.0, 5.0)])
    ran = []
    monkeypatch.setenv("ARMILLARY_CORES", "1")
    monkeypatch.setattr(firesim, "_rtl_cycles", lambda row, kind: ran.append(row.cycles) or row.cycles)
    firesim.run(options(tmp_path, tmp_path / "out"))
    assert ran == [9, 9, 5, 5, 3, 3]
    with (tmp_path / "out" / "table.csv").open() as file:
        assert [float(row["rtl"]) for row in csv.DictReader(file)] == [3, 9, 5]


def test_code_is_read_before_rows_run_side_by_side(tmp_path, monkeypatch):
    """Python 3.11 cannot parse in several threads at once."""
    written(tmp_path / "rows.csv", [fields()] * 4)
    parsed, parse = [], parts.ast.parse
    parts.code_digest.cache_clear()
    parts._module.cache_clear()
    monkeypatch.setattr(parts.ast, "parse", lambda text: parsed.append(threading.current_thread()) or parse(text))
    monkeypatch.setattr(firesim, "_rtl_cycles", lambda *_: 1e4)
    firesim.run(options(tmp_path, tmp_path / "out"))
    assert set(parsed) == {threading.main_thread()}


def test_the_rtl_runs_as_gemmini_did_and_as_it_is_shipped(tmp_path):
    (row,) = firesim.read_rows(written(tmp_path / "rows.csv", [fields()]))
    gemmini, shipped = (firesim._job(row, kind) for kind in firesim.RTL)
    assert (shipped.dram_model, shipped.least_run) == (None, 0)
    assert (gemmini.dram_model, gemmini.least_run) == (firesim.Soc(), 4)
    assert gemmini.accelerator.dram_latency == 20
    # K is outside Q: the weights of each tile of K serve two of Q, and are loaded twice by Gemmini
    assert gemmini.program.tiles == shipped.program.tiles == 8
    assert len(gemmini.program.words) > len(shipped.program.words)
    assert firesim._job(firesim.replace(row, dim=16), "rtl").least_run == 8


def test_the_reason_for_no_result_names_the_row(tmp_path, monkeypatch):
    (row,) = firesim.read_rows(written(tmp_path / "rows.csv", [fields()]))

    def broken(*_):
        raise firesim.SimulationError("not done")

    monkeypatch.setattr(firesim, "simulate", broken)
    with pytest.raises(ArmillaryError, match="row 0 of rows: not done"):
        firesim._rtl_cycles(row, "rtl")


def test_what_the_rtl_refuses_is_told(tmp_path):
    tall = "L3[WIO] N1 - L2[WI] N1 K4X - L1[O] K32768 C4X - L0[W] N1"
    small = dict.fromkeys("PQRS", 1)
    rows = [fields(mapping=tall, K=131072, C=4, **small)]
    (tmp_path / "firesim").mkdir()
    written(tmp_path / "firesim" / "rows.csv", rows)
    found = firesim.run(options(tmp_path, tmp_path / "out"))
    by_model = {row["model"]: row["rows"] for row in found.rows if row["layers"] == "all"}
    rtl = {"our RTL, as Gemmini runs": 0, "our RTL, as shipped": 0}
    assert by_model == rtl | {"our model of the SoC": 1, "our cost model": 1, "Timeloop": 1}
    assert any("refused: rows row 0" in note and "scratchpad rows" in note for note in found.notes)
    assert not found.ok


def test_several_files_are_summed_up_together_as_well(tmp_path, monkeypatch):
    for name in ("a", "b"):
        written(tmp_path / f"{name}.csv", [fields()])
    monkeypatch.setattr(firesim, "_rtl_cycles", lambda *_: 1e4)
    found = firesim.run(options(tmp_path, tmp_path / "out"))
    counts = {row["file"]: row["rows"] for row in found.rows if row["layers"] == "all"}
    assert counts == {"a": 1, "b": 1, "all files": 2}
    assert {check.name.partition(":")[0] for check in found.checks} == {"a", "b"}

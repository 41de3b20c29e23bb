import pytest

from armillary.benchmarks.cost_model import maestro_agreement
from armillary.benchmarks.cost_model.maestro_agreement import Directive, directives_of, layer_of, nest_of
from armillary.benchmarks.result import BenchOptions
from armillary.cost_model import evaluate
from armillary.types import ArmillaryError

ROW = {
    "layer": "conv",
    "layer_type": "CONV",
    "N": "",
    "K": "10",
    "C": "6",
    "R": "3",
    "S": "3",
    "Y": "9",
    "X": "11",
    "stride_x": "2",
    "stride_y": "2",
    "directives": "SpatialMap(1,1) K; TemporalMap(4,4) C; TemporalMap(Sz(R),1) Y; TemporalMap(5,4) X; Cluster(4, P); "
    "SpatialMap(1,1) C; TemporalMap(Sz(R),Sz(R)) R; TemporalMap(Sz(S),Sz(S)) S",
    "num_pes": "16",
    "noc_bw": "32",
}


def options(data, tmp_path):
    return BenchOptions(data=data, quick=False, seed=0, out=tmp_path, on_progress=lambda *_: None)


def test_directives_become_loops():
    layer = layer_of(ROW)
    assert (layer.P, layer.Q) == (4, 5)
    outer, cluster, inner = directives_of(ROW, layer)
    assert cluster == 4
    assert outer == [
        Directive("K", 1, True),
        Directive("C", 4, False),
        Directive("P", 1, False),
        Directive("Q", 2, False),  # five input columns hold two windows of three, two apart
    ]
    assert inner[0] == Directive("C", 1, True)
    nest = nest_of(layer, outer, inner, (4, 4))
    buffer, registers = nest.levels
    # ten output channels over four clusters: three rounds, two in the last; six input channels over four PEs
    assert {str(loop) for loop in buffer.temporal} == {"K3", "C2", "P4", "Q3"}
    assert {str(loop) for loop in buffer.spatial} == {"K4,2X", "C4,2Y"}
    assert {str(loop) for loop in registers.temporal} == {"R3", "S3", "Q2,1"}
    hierarchy = maestro_agreement._hierarchy((4, 4), 32.0)
    assert int(evaluate(hierarchy, layer, nest).macs) == layer.macs


def test_every_row_counts_its_multiply_accumulates_once(shared_data):
    for row in list(maestro_agreement._read(shared_data / maestro_agreement.FILE))[::7]:
        layer = layer_of(row)
        outer, cluster, inner = directives_of(row, layer)
        hierarchy = maestro_agreement._hierarchy((max(1, int(row["num_pes"]) // cluster), cluster), 32.0)
        costs = evaluate(hierarchy, layer, nest_of(layer, outer, inner, hierarchy.levels[0].fanout))
        assert int(costs.macs) == int(float(row["true_macs"]))
        assert bool(costs.feasible)


def test_our_model_ranks_as_maestro_does(shared_data, tmp_path):
    result = maestro_agreement.run(options(shared_data, tmp_path))
    by_name = {row["dataflow"]: row for row in result.rows}
    assert len(by_name) == 3
    for row in result.rows:
        assert row["energy_spearman"] >= 0.9
        assert row["delay_spearman"] >= 0.88


def test_missing_rows_are_named(tmp_path):
    with pytest.raises(ArmillaryError, match="--data"):
        maestro_agreement.run(options(None, tmp_path))
    with pytest.raises(ArmillaryError, match=r"reference\.csv\.gz: no such file"):
        maestro_agreement.run(options(tmp_path, tmp_path))


def test_the_off_chip_link_refills_the_tile_of_every_step():
    layer = layer_of(ROW)
    outer, _, inner = directives_of(ROW, layer)
    nest = nest_of(layer, outer, inner, (4, 4))
    steps, weights, inputs = 3 * 2 * 4 * 3, 4 * 4 * 9, 4 * 3 * 5
    assert maestro_agreement.off_chip_cycles(layer, nest, 10.0) == steps * ((weights + inputs) // 10)


def test_the_delay_of_nvdla_like_rows_follows_to_the_cycle(shared_data):
    rows = [r for r in maestro_agreement._read(shared_data / maestro_agreement.FILE) if r["style"] == "kcp_ws"]
    ratios = [found["delay"] / found["their_delay"] for found in map(maestro_agreement._compared, rows)]
    assert sum(ratio == pytest.approx(1.0, rel=1e-3) for ratio in ratios) > 0.8 * len(rows)

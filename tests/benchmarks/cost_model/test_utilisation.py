import numpy as np
import pytest

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla
from armillary.benchmarks.cost_model.utilisation import least_rounds, utilisation_bound
from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import Hierarchy, Level, LoopRules
from armillary.mapping.mapspace import MapSpace
from armillary.workloads.layer import Layer


def test_what_does_not_fill_the_last_round_is_lost():
    assert least_rounds(gemmini(), Layer("l", "gemm", K=17, C=33, P=100)) == 2 * 3 * 100


def test_an_axis_is_shared_where_that_takes_fewer_rounds():
    chip = Hierarchy(
        name="h", levels=(Level(name="DRAM", fanout=(12, 1), rules=LoopRules(spatial_x="KC", spatial_y="")),)
    )
    assert least_rounds(chip, Layer("l", "gemm", K=4, C=3)) == 1
    assert least_rounds(chip, Layer("l", "gemm", K=5, C=4, P=7)) == 7 * 2  # 3 x 4 or 5 x 2 instances


def test_a_dimension_on_two_axes_has_all_their_instances():
    rules = LoopRules(spatial_x="K", spatial_y="K")
    chip = Hierarchy(name="h", levels=(Level(name="DRAM", fanout=(4, 4), rules=rules),))
    assert least_rounds(chip, Layer("l", "gemm", K=17)) == 2


def test_every_word_crosses_the_outermost_port():
    layer = Layer("gemv", "gemm", K=4096, C=4096)
    cycles = (4096 * 4096 + 2 * 4096) / 8
    assert utilisation_bound(gemmini(), layer) == pytest.approx(4096 * 4096 / cycles / 256)


@pytest.mark.parametrize("chip", [gemmini(), eyeriss(), nvdla()])
@pytest.mark.parametrize(
    "layer", [Layer("a", "conv", K=24, C=12, P=6, Q=6, R=3, S=3), Layer("b", "gemm", K=34, C=26, P=19)]
)
def test_no_mapping_exceeds_the_bound(chip, layer):
    space = MapSpace(chip, layer)
    codes = space.random(500, np.random.default_rng(0))
    costs = evaluate(chip, layer, [space.mapping(code) for code in codes])
    legal = costs.utilization[costs.feasible]
    assert len(legal)
    assert float(legal.max()) <= utilisation_bound(chip, layer) + 1e-12
